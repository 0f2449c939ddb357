"""The interface of a backend: it runs one call at a time in each of its environments and reports the outcome.

Concurrency, retries, deadlines, budget, events and cost belong to the runner.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, runtime_checkable

import msgspec

from lbench.engine.machine.processor_time import Usage
from lbench.engine.model import Measures
from lbench.workloads.objects import Place

__all__ = [
    "OVER_BUDGET",
    "SIBLING_LOST",
    "UNREACHED",
    "Backend",
    "Call",
    "CountsProcessors",
    "Elastic",
    "EnvironmentInfo",
    "Failure",
    "LooksAhead",
    "Outcome",
    "Published",
    "reschedule",
]

SIBLING_LOST = "SiblingLost"  # Failure.type of a call that was lost because its neighbour's process was replaced
OVER_BUDGET = "OverBudget"  # Failure.type where `Call.may_fetch` is false

UNREACHED = "Unreached"  # Failure.type of a call that was never sent: nothing answers there, or the network is down

FailureKind = Literal["error", "throttled", "timeout"]


def _nowhere(environment: str) -> None:
    """The default of `Call.placed`: do nothing."""


def _always(size_bytes: int) -> bool:
    """The default of `Call.may_fetch`: there is no budget."""
    return True


def _nobody() -> None:
    """The default of `Call.arrived`: do nothing."""


def reschedule(limit: asyncio.Timeout | None, seconds: float | None) -> None:
    """Move a time limit to so many seconds from now; None: remove it."""
    if limit is not None:
        with contextlib.suppress(RuntimeError):  # it has expired already
            limit.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)


@dataclass(slots=True)
class Call:
    """One attempt of one task, as a backend gets it."""

    task: bytes  # encode([function name, {argument: value}])
    stage: int
    index: int  # the task's place in its stage
    attempt: int  # 0 for the first
    deadline_s: float  # seconds that the task may take once it has started
    placed: Callable[[str], None] = _nowhere  # called with the environment as soon as it is known
    run: str = ""  # the run's id, and the attempt's number in it
    number: int = 0
    may_fetch: Callable[[int], bool] = _always  # asked before a result of so many bytes is fetched from S3: it costs
    limit: asyncio.Timeout | None = None  # ends the call; S3 transfers before and after it have limits of their own
    arrived: Callable[[], None] = _nobody  # called once the function has ended and only its result is still to fetch
    interactive: bool = False  # a cancel makes room for a newer call: stop the task, keep the worker
    detached: asyncio.Task[Outcome] | None = None  # set by the runner when the call runs on after a cancel
    begin: Callable[[float], None] | None = (
        None  # called with the time from which it has its environment (`LooksAhead`)
    )
    may_wait: bool = False  # whether it may wait in an environment behind another


@dataclass(slots=True)
class Failure:
    """Why an attempt has no result."""

    kind: FailureKind
    type: str  # the exception's or AWS's error name
    message: str  # one line
    retriable: bool
    retry_after_s: float | None = None
    log_tail: str | None = None
    unrun: bool = False  # the function certainly never ran: nothing of it is billed
    pause_s: float | None = None  # the first wait before the next attempt; None: the policy's

    @property
    def not_accepted(self) -> bool:
        """Whether the service did not accept the call: it was not reached, or is full."""
        return self.kind == "throttled" or self.type == UNREACHED


class Outcome(Measures, kw_only=True):
    """The outcome of an attempt. Times ending `_s` are on the event loop's clock (CLOCK_MONOTONIC); None: not measured.

    Exactly one of `result` and `failure` is set; both where the failure itself is what was to be measured (`function`).
    """

    result: bytes | memoryview | None = None  # encode(value)
    failure: Failure | None = None
    environment: str | None = None
    ended: bool = False  # whether that environment has ended with it
    cold: bool | None = None
    started_s: float | None = None  # the function began (on Lambda: inferred from its own clock)
    finished_s: float | None = None  # the function ended
    returned_s: float | None = None  # the response had arrived, before it was decoded
    via_s3: bool = False
    s3_requests: dict[str, int] = msgspec.field(default_factory=dict)  # {"put": n, "get": n}
    s3_bytes: int = 0  # put there
    collected_s: float = 0.0  # the part of the time until `returned_s` that fetching the result from S3 took
    request_id: str | None = None
    discarded: bool = False  # it ran but is not a sample: recorded as superseded


@dataclass(slots=True)
class EnvironmentInfo:
    """An environment as far as it is known. Times ending `_s` are on the loop's clock."""

    id: str
    created_s: float | None = None
    ended_s: float | None = None
    init_ms: float | None = None
    cpu_model: str | None = None
    memory_mb: int | None = None
    cpu_share_method: str | None = None
    clock_offset_s: float | None = None
    clock_bound_s: float | None = None


@dataclass(slots=True)
class Published:
    """A job's data set as a file on this machine (`workloads.dataset`), and its SHA-256."""

    path: Path
    digest: str
    bytes: int


class Backend(Protocol):
    """Where tasks run. Open it with `async with`: workers are started and connections opened before the clock."""

    origin: Literal["measured", "emulated", "simulated"]
    settings: dict[str, str | int | float | bool | None]  # the effective ones, for the record
    transport: str | None
    oversubscribed: bool
    package_digest: str | None  # what the environments run, where that is a package
    own_s3: dict[str, int]  # requests to S3 outside every invocation, until the conductor takes them: {"put": n}
    on_cancel: Literal["stop", "detach"]  # whether a cancel can stop a call, or an interactive run leaves it running
    start_allowance_s: float  # how long an environment may take to start; the runner adds it to the deadline

    @property
    def capacity(self) -> int:
        """How many invocations it can hold at once; it may change while workers join and leave."""
        ...

    @property
    def notes(self) -> list[str]:
        """Conditions that belong to every result, one line each."""
        ...

    async def __aenter__(self) -> Self:
        """Start workers, open connections.

        Raises:
            BackendError: it cannot be opened; the message says what to do.
        """
        ...

    async def __aexit__(self, *_: object) -> None:
        """Stop everything that was started; nothing is left behind."""
        ...

    async def publish(self, data: Published | None) -> None:
        """Put a job's data where the environments reach it, once, before the clock starts."""
        ...

    async def renew(self) -> None:
        """End all environments while nothing runs: the next calls start new ones, within the clock.

        Raises:
            BackendError: that is not possible; the message says why.
        """
        ...

    async def invoke(self, call: Call) -> Outcome:
        """Run one call. Never raises for what went wrong with it: that is an `Outcome` with a `Failure`.

        Cancelling it (the runner's cancel and its deadline) stops the work where that is possible, and leaves the
        backend able to take the next call.
        """
        ...

    def environments(self) -> list[EnvironmentInfo]:
        """All environments seen so far, ended ones too."""
        ...

    def temporary(self, run: str) -> Place | None:
        """Where the tasks of a run keep objects for each other; None: a folder of this machine will do."""
        ...

    async def clear(self, place: Place) -> None:
        """Delete what is there now. What an abandoned call may still write goes when the backend is closed.

        Raises:
            BackendError: something is left.
        """
        ...

    async def left(self) -> list[str]:
        """What the tasks of the run that has ended have left where a later run could find it, one line each."""
        ...


@runtime_checkable
class LooksAhead(Protocol):
    """A backend whose environments take a call while they run another, so that they never wait for the driver.

    It keeps each call's deadline itself, as only it knows when a call begins.
    """

    @property
    def ahead(self) -> int:
        """How many calls may wait so now: 0 where tasks are long, as one would wait behind another beside idle workers."""
        ...

    @property
    def waiting(self) -> int:
        """How many calls wait so now."""
        ...


@runtime_checkable
class CountsProcessors(Protocol):
    """A backend that can tell what its tasks do with their time: its workers are processes of this machine."""

    def begin_count(self) -> None:
        """Count from now on."""
        ...

    def counted(self) -> Usage | None:
        """What the tasks have done since `begin_count`; None: it is not known."""
        ...


@runtime_checkable
class Elastic(Protocol):
    """A backend whose workers join and leave by themselves, and are paid by the hour whether they work or not."""

    on_growth: Callable[[], None]  # set by the runner: called when there is room for more calls

    @property
    def workers(self) -> int:
        """How many there are now."""
        ...

    def worker_seconds(self, since_s: float, until_s: float) -> float:
        """The time of all workers between two moments of the loop's clock, idle time too."""
        ...
