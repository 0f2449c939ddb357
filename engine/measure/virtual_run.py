"""A run in virtual time, in a thread of its own: virtual seconds never mix with the engine's clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lbench.engine.journal.events import Event
from lbench.engine.journal.writer import Journal
from lbench.engine.runner.runner import Runner
from lbench.engine.virtual_time import VirtualTimeLoop

__all__ = ["ThreadSink", "VirtualRun"]

T = TypeVar("T")

_BLOCK = 1024  # events that are handed over together
_BLOCK_S = 0.1


class ThreadSink:
    """Takes the events of a runner in another thread, and hands them to the journal on its loop, in their order.

    An event may be changed until the next one is written, as `Sink` requires.
    """

    def __init__(self, journal: Journal) -> None:
        """Make it on the journal's loop."""
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._events: list[Event] = []
        self._handed_s = time.monotonic()

    def write(self, event: Event) -> None:
        if len(self._events) >= _BLOCK or (self._events and time.monotonic() - self._handed_s > _BLOCK_S):
            self.hand_over()
        self._events.append(event)

    def hand_over(self) -> None:
        """Give what has gathered to the journal."""
        events, self._events = self._events, []
        self._handed_s = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the engine's loop is closed
            self._loop.call_soon_threadsafe(self._take, events)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            self._journal.write(event)


class VirtualRun:
    """Cancels, pauses and resumes a runner that runs on a loop in virtual time."""

    def __init__(self, now_s: float) -> None:
        """`now_s`: the virtual time at which the run begins."""
        self._loop = VirtualTimeLoop(now_s, wakeable=True)
        self._runner: Runner | None = None
        self._waiting: list[Callable[[Runner], None]] = []

    async def carry_out(self, main: Callable[[], Awaitable[T]]) -> tuple[T, float]:
        """Run this in the thread; returns its result and the virtual time at its end. A cancel waits for that end."""

        def work() -> tuple[T, float]:
            async def timed() -> tuple[T, float]:
                result = await main()
                return result, self._loop.time()

            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                return runner.run(timed())

        working = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait({working})
            raise

    def begin(self, runner: Runner) -> None:
        """Name the runner, in its thread; what was asked of it before is done now."""
        self._runner = runner
        for action in self._waiting:
            action(runner)

    def cancel(self) -> None:
        """As `Runner.cancel`, from another thread."""
        self._ask(Runner.cancel)

    def pause(self) -> None:
        """As `Runner.pause`, from another thread."""
        self._ask(Runner.pause)

    def resume(self) -> None:
        """As `Runner.resume`, from another thread."""
        self._ask(Runner.resume)

    def _ask(self, action: Callable[[Runner], None]) -> None:
        def act() -> None:
            if self._runner is None:
                self._waiting.append(action)
            else:
                action(self._runner)

        with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
            self._loop.call_soon_threadsafe(act)
