"""Work that takes its time, beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["aside"]

Result = TypeVar("Result")


async def aside(function: Callable[[], Result], *, name: str) -> Result:
    """Call a function in a daemon's thread, which nobody who leaves waits for. What it raises is raised here."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def give(result: Result) -> None:
        if not answer.done():
            answer.set_result(result)

    def refuse(error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)

    def call() -> None:
        with contextlib.suppress(RuntimeError):  # the app has gone
            try:
                result = function()
            except Exception as error:
                loop.call_soon_threadsafe(refuse, error)
            else:
                loop.call_soon_threadsafe(give, result)

    threading.Thread(target=call, name=name, daemon=True).start()
    return await answer
