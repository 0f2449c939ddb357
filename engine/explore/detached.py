"""Calls that nobody waits for any more, on a backend that cannot stop them: they run on, and are counted with their cost.

AWS bills a function that was started, whatever becomes of its caller. So a call that a newer interaction has made useless
is left to itself, and its end goes to the journal as `superseded` when it comes, with what was billed (`attempts`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from lbench.engine.backends.base import Backend, Call, Outcome

__all__ = ["Abandoning"]


class Abandoning:
    """A backend whose cancelled calls run on; everything else is the backend's own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._left: set[asyncio.Task[Outcome]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def invoke(self, call: Call) -> Outcome:
        """As the backend does; a cancel leaves the call behind."""
        work = asyncio.get_running_loop().create_task(self._backend.invoke(call))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._left.add(work)
            work.add_done_callback(self._left.discard)
            call.left = work  # also where it has just ended: it is billed all the same
            raise

    async def settle(self, limit_s: float) -> None:
        """Wait so long for what was left behind; what runs then is cancelled."""
        if left := set(self._left):
            await asyncio.wait(left, timeout=limit_s)
            for work in left:
                work.cancel()
            await asyncio.gather(*left, return_exceptions=True)
