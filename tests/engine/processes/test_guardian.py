"""However the emulator ends, nothing that its environments have started outlives it by more than 3 s."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.processes.guardian import MARK, kill_marked, marked, start_ticks
from lbench.engine.processes.guardian_client import Guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfds")

# An environment: a leader with a child in its group, one in a session of its own, and a daemon (forked twice).
ENVIRONMENT = """
import os, subprocess, sys
group = subprocess.Popen(["sleep", "600"])
session = subprocess.Popen(["sleep", "600"], start_new_session=True)
daemon = subprocess.Popen([sys.executable, "-S", "-c", "import os, time\\n"
    "if os.fork(): os._exit(0)\\n"
    "os.setsid(); print(os.getpid(), flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
print(group.pid, session.pid, int(daemon.stdout.readline()), flush=True)
input()
"""

# A stand-in for the emulator: two environments, one of them frozen.
EMULATOR = f"""
import asyncio, json, os, signal, subprocess, sys
from pathlib import Path
from lbench.engine.processes import child as children
from lbench.engine.processes.guardian_client import Guard

async def main():
    guard = Guard()
    guard.folder(Path(sys.argv[1]))
    report = dict(guardian=guard.pid, environments=[])
    for number in range(2):
        child = children.start([sys.executable, "-S", "-c", {ENVIRONMENT!r}],
            env={{**os.environ, **guard.variables(number)}}, stdout=subprocess.PIPE)
        guard.watch(child.pid)
        report["environments"].append([child.pid, *map(int, child.stdout.readline().split())])
        if number:
            child.signal(signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    print(json.dumps(report), flush=True)
    for line in iter(sys.stdin.readline, ""):
        if line == "end\\n":
            break
        number = int(line)
        child = report["environments"][number][0]
        os.kill(child, signal.SIGKILL)
        guard.let_go(child, number)
    await guard.close()

asyncio.run(main())
"""


class Emulator:
    """The stand-in, what it reported, and a pidfd of each of its processes."""

    def __init__(self, process: subprocess.Popen[str], report: dict[str, Any]) -> None:
        self.process = process
        self.guardian: int = report["guardian"]
        self.environments: list[list[int]] = report["environments"]
        self.descriptors = {
            pid: os.pidfd_open(pid) for pid in [self.guardian, *(pid for pids in self.environments for pid in pids)]
        }

    def all_end(self, pids: list[int], within_s: float = 3.0) -> bool:
        """Wait until they have all ended."""
        end_s = time.monotonic() + within_s
        left = {self.descriptors[pid] for pid in pids}
        while left and (wait_s := end_s - time.monotonic()) > 0:
            left -= set(select.select(list(left), [], [], wait_s)[0])
        return not left

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scratch of an emulator"
    (path / "environment").mkdir(parents=True)
    (path / "environment" / "data").write_text("x")
    return path


@pytest.fixture
def emulator(folder: Path) -> Iterator[Emulator]:
    with subprocess.Popen(
        [sys.executable, "-c", EMULATOR, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        emulator = Emulator(process, json.loads(process.stdout.readline()))
        try:
            yield emulator
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for pid, descriptor in emulator.descriptors.items():
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.close(descriptor)
                del pid


def test_a_killed_emulator_leaves_nothing(emulator: Emulator, folder: Path) -> None:
    emulator.process.kill()
    assert emulator.all_end(list(emulator.descriptors))  # the guardian too
    assert not folder.exists()


def test_a_killed_process_group_of_the_emulator_leaves_nothing(emulator: Emulator, folder: Path) -> None:
    os.killpg(emulator.process.pid, signal.SIGKILL)
    assert emulator.all_end(list(emulator.descriptors))
    assert not folder.exists()


def test_a_terminal_that_is_gone_does_not_end_the_guardian_first(emulator: Emulator, folder: Path) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(emulator.guardian, number)
    emulator.process.kill()
    assert emulator.all_end(list(emulator.descriptors))
    assert not folder.exists()


def test_an_emulator_that_ends_in_order_waits_until_nothing_is_left(emulator: Emulator, folder: Path) -> None:
    emulator.tell("end")
    emulator.process.wait(10)
    assert emulator.all_end(list(emulator.descriptors), within_s=0.5)
    assert not folder.exists()


@pytest.mark.parametrize("number", [0, 1], ids=["running", "frozen"])
def test_an_environment_that_ends_takes_what_it_started_with_it_and_no_other(emulator: Emulator, number: int) -> None:
    emulator.tell(str(number))
    assert emulator.all_end(emulator.environments[number])
    other = [emulator.descriptors[pid] for pid in emulator.environments[1 - number]]
    assert select.select(other, [], [], 0)[0] == []


def test_a_guardian_that_is_killed_is_replaced_by_one_that_knows_as_much(emulator: Emulator, folder: Path) -> None:
    os.kill(emulator.guardian, signal.SIGKILL)
    emulator.tell("0")
    emulator.tell("end")
    emulator.process.wait(10)
    assert emulator.all_end(list(emulator.descriptors))


async def test_a_restarted_guardian_receives_every_ward_again(folder: Path) -> None:
    guard = Guard()
    guard.folder(folder)
    before = guard.pid
    child = await asyncio.create_subprocess_exec(
        "sleep", "600", env={**os.environ, **guard.variables(3)}, start_new_session=True
    )
    os.kill(before, signal.SIGKILL)
    while guard.pid == before:  # noqa: ASYNC110 - its end is the loop's to notice
        await asyncio.sleep(0)
    await guard.close()
    assert await child.wait() == -signal.SIGKILL
    assert not folder.exists()  # noqa: ASYNC240


async def test_a_guardian_that_does_not_read_does_not_hold_up_the_emulator(folder: Path) -> None:
    guard = Guard()
    os.kill(guard.pid, signal.SIGSTOP)
    for number in range(20_000):  # far more than a pipe holds
        guard.let_go(2**22 - 1, number)
    guard.folder(folder)
    os.kill(guard.pid, signal.SIGCONT)
    await guard.close()
    assert not folder.exists()  # noqa: ASYNC240


async def test_a_path_with_a_line_end_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    guard = Guard()
    guard.folder(tmp_path / "kept\nfolder gone")
    await guard.close()
    assert kept.is_dir()


async def test_nothing_is_sent_after_the_end() -> None:
    guard = Guard()
    await guard.close()
    guard.let_go(1, 1)


def test_cgroups_of_a_killed_emulator_are_removed(tmp_path: Path) -> None:
    cgroup = tmp_path / "lbench-1-2-3"
    (cgroup / "e1").mkdir(parents=True)
    script = str(Path(sys.modules["lbench.engine.processes.guardian"].__file__ or ""))
    with subprocess.Popen([sys.executable, "-I", "-S", script], stdin=subprocess.PIPE) as guardian:
        guardian.communicate(f"cgroup {cgroup}\nmark nobody\n".encode(), timeout=120)
    assert not cgroup.exists()


def test_a_process_group_whose_id_is_another_ones_by_now_is_left_alone() -> None:
    script = str(Path(sys.modules["lbench.engine.processes.guardian"].__file__ or ""))
    with subprocess.Popen(["sleep", "600"], process_group=0) as other:
        with subprocess.Popen([sys.executable, "-I", "-S", script], stdin=subprocess.PIPE) as guardian:
            guardian.communicate(f"group {other.pid} 1\n".encode(), timeout=120)
        assert other.poll() is None
        other.kill()


def test_a_mark_is_whole() -> None:
    with subprocess.Popen(["sleep", "600"], env={MARK: "1-2-ab/12"}) as process:
        try:
            while not (Path(f"/proc/{process.pid}/environ").read_bytes()):
                pass
            assert marked(["1-2-ab/12"]) == [process.pid]
            assert marked(["1-2-ab/"]) == [process.pid]
            assert marked(["1-2-ab/1", "2-ab/12", "1-2-a/"]) == []
            assert kill_marked(["1-2-ab/"]) == 1
        finally:
            process.kill()


def test_a_process_is_known_by_its_start() -> None:
    assert start_ticks(os.getpid())
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert start_ticks(process.pid) is None


# An emulator whose environments are busy, each held by the method that is named; one is paused.
HOLDING = """
import asyncio, json, os, subprocess, sys
from lbench.engine.processes import child as children
from lbench.engine.emulator.resources.confinement import Confinement
from lbench.engine.processes.guardian_client import Guard

BUSY = "import subprocess\\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\\nwhile True: pass"

async def main():
    guard = Guard()
    confinement = Confinement.choose(guard, method=sys.argv[1] or None)
    pids = [guard.pid]
    for number in range(3):
        child = children.start([sys.executable, "-S", "-c", BUSY], env={**os.environ, **guard.variables(number)})
        held = confinement.attach(child.pid, number, 256, child.kill)
        held.initialised()
        if number == 2:
            held.pause()
        pids.append(child.pid)
    folders = [str(home.folder) for home in confinement._homes]
    print(json.dumps([guard.id, pids, folders]), flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


@pytest.mark.parametrize("method", ["duty-cycle", ""], ids=["duty cycle", "the best method here"])
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.13])
def test_an_emulator_that_is_killed_amid_its_shares_leaves_nothing(method: str, after_s: float) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING, method], stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None
        mark, pids, folders = json.loads(process.stdout.readline())
        descriptors = [os.pidfd_open(pid) for pid in pids]
        select.select(descriptors, [], [], after_s)  # at one moment of a round or another
        process.kill()
        end_s = time.monotonic() + 3.0
        left = set(descriptors)
        while left and (wait_s := end_s - time.monotonic()) > 0:
            left -= set(select.select(list(left), [], [], wait_s)[0])
        assert left == set()
        assert marked([f"{mark}/"]) == []
        assert [folder for folder in folders if Path(folder).exists()] == []
        for descriptor in descriptors:
            os.close(descriptor)
