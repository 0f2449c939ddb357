"""Work in a daemon thread."""

import asyncio
import threading

import pytest

from lbench.engine.processes.daemon_thread import in_daemon_thread


async def test_its_value_and_whatever_it_raises_reach_who_waits() -> None:
    assert await in_daemon_thread(lambda: threading.current_thread().daemon, name="one") is True
    for error, seen in ((ValueError("no"), ValueError), (SystemExit(3), SystemExit), (StopIteration(), RuntimeError)):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(seen):
            await in_daemon_thread(fail, name="one")


async def test_who_waits_may_leave_before_it_ends() -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        ended.set()
        raise ValueError

    waiting = asyncio.ensure_future(in_daemon_thread(work, name="one"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    assert await asyncio.to_thread(ended.wait, 60)
