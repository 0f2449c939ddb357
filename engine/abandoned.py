"""Calls that nobody waits for any more, on a backend that cannot stop them: they run on, and are counted with their cost.

AWS bills a function that was started, whatever becomes of its caller. So a call that a newer interaction has made useless
is left to itself, and its end goes to the journal as `superseded` when it comes, with what was billed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from lbench.engine.backends.base import Backend, Call, Failure, Outcome
from lbench.engine.events import Event, Returned
from lbench.engine.journal import Sink
from lbench.engine.model import ErrorInfo

__all__ = ["Abandoning", "RunSink"]

_AS_IT_IS = (
    "cold",
    "connect_ms",
    "init_ms",
    "fetch_ms",
    "compute_ms",
    "billed_ms",
    "billed_source",
    "memory_mb",
    "max_memory_mb",
    "request_bytes",
    "response_bytes",
    "via_s3",
    "request_id",
)


class Abandoning:
    """A backend whose cancelled calls run on; everything else is the backend's own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._left: set[asyncio.Task[Outcome]] = set()
        self.last_left: asyncio.Task[Outcome] | None = None  # what was cancelled last: its `Returned` is written next

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def invoke(self, call: Call) -> Outcome:
        """As the backend does; a cancel leaves the call behind."""
        work = asyncio.get_running_loop().create_task(self._backend.invoke(call))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.done():
                self._left.add(work)
                work.add_done_callback(self._left.discard)
                self.last_left = call.left = work
            raise

    async def settle(self, limit_s: float) -> None:
        """Wait so long for what was left behind; what runs then is cancelled."""
        if left := set(self._left):
            await asyncio.wait(left, timeout=limit_s)
            for work in left:
                work.cancel()
            await asyncio.gather(*left, return_exceptions=True)


class RunSink:
    """Where one run's events go: to the journal, but the end of a call that was left behind only when it has ended."""

    def __init__(self, journal: Sink, backend: Backend | Abandoning, zero_s: float) -> None:
        self._journal = journal
        self._backend = backend if isinstance(backend, Abandoning) else None
        self._zero_s = zero_s
        self.environments: set[str] = set()  # those that answered

    def write(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Returned):
            if event.environment is not None:
                self.environments.add(event.environment)
            if event.status == "cancelled" and self._backend is not None and self._backend.last_left is not None:
                work, self._backend.last_left = self._backend.last_left, None
                work.add_done_callback(lambda done: self._ended(event, done))
                return
        self._journal.write(event)

    def _ended(self, event: Returned, work: asyncio.Task[Outcome]) -> None:
        now_s = asyncio.get_running_loop().time()
        event.returned_s = now_s - self._zero_s
        if not work.cancelled():
            error = work.exception()
            failure = None if error is None else Failure("error", type(error).__name__, str(error), retriable=False)
            _tell(event, work.result() if failure is None else Outcome(failure=failure), self._zero_s)
        self._journal.write(event)


def _tell(event: Returned, outcome: Outcome, zero_s: float) -> None:
    """What is known of a call that was left behind, in the event of its end."""
    failure = outcome.failure
    event.status = "superseded" if failure is None else failure.kind
    event.error = None
    if failure is not None:
        event.error = ErrorInfo(failure.type, failure.message, failure.retriable, failure.unrun)
    if outcome.returned_s is not None:
        event.returned_s = outcome.returned_s - zero_s
    event.started_s = None if outcome.started_s is None else outcome.started_s - zero_s
    event.finished_s = None if outcome.finished_s is None else outcome.finished_s - zero_s
    event.environment = outcome.environment or event.environment
    event.s3_put, event.s3_get = outcome.s3_requests.get("put", 0), outcome.s3_requests.get("get", 0)
    event.s3_bytes = outcome.s3_bytes
    for name in _AS_IT_IS:
        setattr(event, name, getattr(outcome, name))
