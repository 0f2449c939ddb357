"""A child process is found, reported, ended with all that it has started, and never outlives its parent."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest

from lbench.engine.processes import child as children

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfds and PDEATHSIG")


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def line(child: children.Child) -> str:
    assert child.stdout is not None
    return (await asyncio.to_thread(child.stdout.readline)).decode().strip()


def done(child: children.Child) -> None:
    if child.stdout is not None:
        child.stdout.close()


def has_ended(pid: int, within_s: float = 3.0) -> bool:
    """Whether the process ends (a zombie counts) in that time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], within_s)[0])
    finally:
        os.close(pidfd)


async def test_a_child_tells_its_exit_code_to_who_waits_and_to_who_has_asked() -> None:
    codes: list[int] = []
    child = children.start(python("raise SystemExit(7)"))
    child.on_exit(codes.append)
    assert child.returncode is None
    assert await child.wait() == 7
    await asyncio.sleep(0)
    assert codes == [7]
    assert child.returncode == 7


async def test_a_program_that_is_not_there_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        children.start(["/there/is/no/such/program"])


async def test_a_child_leads_a_group_in_our_own_session() -> None:
    child = children.start(python("input()"))
    assert os.getpgid(child.pid) == child.pid
    assert os.getsid(child.pid) == os.getsid(0)
    await child.stop()


async def test_stop_closes_the_lifeline_and_waits() -> None:
    child = children.start(
        python(
            "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"
        ),
        stdout=subprocess.PIPE,
    )
    await line(child)
    assert await child.stop(grace_s=30) == 0
    done(child)


async def test_who_does_not_end_when_asked_is_killed() -> None:
    stubborn = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)\nwhile True: signal.pause()"
    )
    child = children.start(python(stubborn), stdout=subprocess.PIPE)
    await line(child)
    assert await child.stop(grace_s=0.05) == -signal.SIGKILL
    done(child)


@linux
async def test_kill_takes_what_the_child_has_started_frozen_or_not() -> None:
    child = children.start(
        python("import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"),
        stdout=subprocess.PIPE,
    )
    grandchild = int(await line(child))
    child.signal(signal.SIGSTOP)
    child.kill()
    assert await child.wait() == -signal.SIGKILL
    assert await asyncio.to_thread(has_ended, grandchild)
    done(child)


async def test_signals_to_one_that_has_ended_are_lost() -> None:
    child = children.start(python(""))
    await child.wait()
    child.kill()
    child.signal(signal.SIGTERM)
    assert await child.stop() == 0


@linux
@pytest.mark.parametrize("frozen", [False, True])
def test_a_child_ends_with_a_parent_that_is_killed(frozen: bool) -> None:
    inner = (
        "from lbench.engine.processes import lifeline; lifeline.die_with_parent(); print(flush=True)\n"
        "import signal; signal.pause()"
    )
    outer = (
        "import asyncio, os, signal, subprocess, sys\n"
        "from lbench.engine.processes import child as children\n"
        "async def main():\n"
        f"    child = children.start([sys.executable, '-c', {inner!r}], stdout=subprocess.PIPE)\n"
        "    child.stdout.readline()\n"
        f"    {frozen} and child.signal(signal.SIGSTOP)\n"
        "    print(child.pid, flush=True)\n"
        "    await child.wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(python(outer), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        assert has_ended(pid)


async def test_output_is_its_readers_after_the_end() -> None:
    child = children.start(python("print('left')"), stdout=subprocess.PIPE)
    await child.wait()
    assert await line(child) == "left"
    done(child)


TAKES_ITS_GROUP_ALONG = """
import asyncio, sys
from lbench.engine.processes import child as children

CHILD = "import signal, subprocess\\n"
CHILD += "from lbench.engine.processes.lifeline import die_with_parent, take_group_along\\n"
CHILD += "die_with_parent()\\ntake_group_along()\\n"
CHILD += "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\\nsignal.pause()"

async def main():
    await children.start([sys.executable, "-c", CHILD], stdout=None).wait()

asyncio.run(main())
"""


@linux
def test_what_a_child_has_started_goes_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(python(TAKES_ITS_GROUP_ALONG), stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        parent.kill()
        assert has_ended(grandchild)
