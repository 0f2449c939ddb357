"""An environment that exceeds its memory setting is detected and killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbench.engine.emulator.resources.memory import PolledMemory, peak_bytes
from lbench.engine.emulator.resources.process_tree import Tree
from lbench.engine.emulator.resources.timers import Agenda
from lbench.engine.processes import child as children

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

MB = 1_048_576
HOLD = f"data = bytearray({200 * MB}); print('held', flush=True); input()"
PEAK = f"data = bytearray({200 * MB}); del data; print('gone', flush=True); input()"
SPAWN = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {HOLD!r}])"
FORK = (
    f"import os\ndata = bytearray(os.urandom(1) * {40 * MB})\n"
    "pids = [os.fork() or input() for _ in range(3)]\n"
    "print('x', flush=True)\ninput()\n"
)


async def start(code: str) -> children.Child:
    return children.start([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)


async def line(child: children.Child) -> bytes:
    assert child.stdout is not None
    return await asyncio.get_running_loop().run_in_executor(None, child.stdout.readline)


async def end(child: children.Child) -> None:
    child.kill()
    await child.wait()
    if child.stdout is not None:
        child.stdout.close()


@pytest.mark.parametrize("code", [HOLD, SPAWN], ids=["itself", "by a child"])
async def test_a_process_above_its_limit_is_killed(code: str) -> None:
    agenda = Agenda()
    child = await start(code)
    tree = Tree(child.pid)
    held = PolledMemory(agenda).attach(tree, 100, child.kill)
    assert await child.wait() == -9
    assert held.exceeded()
    held.detach()
    assert held.exceeded()
    tree.close()
    agenda.close()
    await end(child)


@linux
async def test_a_peak_between_two_looks_counts() -> None:
    agenda = Agenda()
    child = await start(PEAK)
    tree = Tree(child.pid)
    held = PolledMemory(agenda).attach(tree, 100, lambda: None)
    agenda.close()  # no look at all
    await line(child)
    assert peak_bytes(child.pid) > 200 * MB
    assert held.exceeded()
    held.detach()
    tree.close()
    await end(child)


async def test_a_process_within_its_limit_runs_on() -> None:
    agenda = Agenda()
    child = await start(HOLD)
    tree = Tree(child.pid)
    held = PolledMemory(agenda).attach(tree, 1000, child.kill)
    await line(child)
    assert not held.exceeded()
    held.pause()
    held.resume()
    held.resume()
    assert not held.exceeded()
    held.detach()
    held.detach()
    held.resume()
    tree.close()
    agenda.close()
    await end(child)


@linux
async def test_pages_that_forked_children_share_count_once() -> None:
    agenda = Agenda()
    child = await start(FORK)
    await line(child)
    tree = Tree(child.pid)
    tree.refresh()
    assert len(tree.members) == 3
    assert tree.memory_bytes() > 150 * MB
    assert tree.shared_out_bytes() < 80 * MB
    looked = asyncio.Event()
    memory = PolledMemory(agenda)
    held = memory.attach(tree, 100, child.kill)
    exact = tree.shared_out_bytes
    tree.shared_out_bytes = lambda: (looked.set(), exact())[1]  # type: ignore[method-assign]
    await looked.wait()
    await asyncio.sleep(0)
    assert not held.exceeded()
    held.detach()
    tree.close()
    agenda.close()
    await end(child)


async def test_a_frozen_process_is_not_looked_at() -> None:
    agenda = Agenda()
    memory = PolledMemory(agenda)
    tree = Tree(os.getpid())
    held = memory.attach(tree, 1, lambda: None)
    held.pause()
    agenda._due()
    assert agenda._heap == []
    assert not held.exceeded() or peak_bytes(os.getpid()) > MB
    held.detach()
    tree.close()
    agenda.close()


def test_the_peak_of_an_ended_process_is_0(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert peak_bytes(process.pid) == 0
