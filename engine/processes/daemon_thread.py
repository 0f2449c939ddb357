"""Work that takes its time, or never ends, beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["in_daemon_thread"]

Result = TypeVar("Result")


async def in_daemon_thread(function: Callable[[], Result], *, name: str) -> Result:
    """Call a function in a daemon thread, which holds up neither the loop nor the exit. What it raises is raised here."""
    done: Future[Result] = Future()
    done.set_running_or_notify_cancel()  # who waits may leave; the thread still settles it

    def call() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # a person's code may raise anything
            # No future of the loop holds a StopIteration.
            done.set_exception(RuntimeError("StopIteration") if isinstance(error, StopIteration) else error)

    threading.Thread(target=call, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)
