"""A scripted backend in virtual time, and other fakes for the tests of the engine's core."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from lbench.engine.backends.base import SIBLING_LOST, UNREACHED, Call, EnvironmentInfo, Failure, Outcome, Published
from lbench.engine.journal.events import Dispatched, Event, Returned, StageEnded, StageStarted
from lbench.engine.machine.fingerprint import Environment
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Task

# What happens to an attempt: how long it takes, and what comes of it.
Deed = tuple[float, "Outcome | BaseException"]


def ok(call: Call) -> Outcome:
    """The result of a task is its argument `x`, or its index."""
    _, arguments = decode(call.task)
    return Outcome(result=encode(arguments.get("x", call.index)))


def ok_as(value: Any) -> Outcome:
    """An outcome with this result, so that attempts can be distinguished."""
    return Outcome(result=encode(value))


def failed(
    kind: str = "error", type_: str = "Boom", *, retriable: bool = True, after: float | None = None, **more: Any
) -> Outcome:
    return Outcome(failure=Failure(kind, type_, f"it went {kind}", retriable, retry_after_s=after, **more))  # type: ignore[arg-type]


def throttled(after: float | None = None) -> Outcome:
    return failed("throttled", "TooManyRequestsException", after=after)


def unreached() -> Outcome:
    return failed("error", UNREACHED, unrun=True, pause_s=1.0)


def sibling() -> Outcome:
    return failed("error", SIBLING_LOST)


class FakeBackend:
    """Each attempt takes the next deed of `script[task index]`; after the last one it succeeds in `seconds`."""

    origin = "measured"
    transport = None
    package_digest = None
    oversubscribed = False
    on_cancel = "detach"
    start_allowance_s = 0.0

    def __init__(
        self,
        script: dict[int, list[Deed]] | Callable[[Call], Deed] | None = None,
        *,
        capacity: int = 4,
        seconds: float = 1.0,
    ) -> None:
        self.capacity = capacity
        self.settings: dict[str, Any] = {}
        self.own_s3: dict[str, int] = {}
        self.notes: list[str] = []
        self.running = 0
        self.most = 0
        self.renewed = 0
        self.calls: list[tuple[float, Call]] = []
        self.cancelled = 0
        self._script = script or {}
        self._seconds = seconds
        self._attempts: dict[tuple[int, int], int] = defaultdict(int)

    async def __aenter__(self) -> FakeBackend:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def publish(self, data: Published | None) -> None:
        pass

    async def left(self) -> list[str]:
        return []

    async def renew(self) -> None:
        self.renewed += 1

    def environments(self) -> list[EnvironmentInfo]:
        return [EnvironmentInfo(f"e{number}") for number in range(self.most)]

    def _deed(self, call: Call) -> Deed:
        if callable(self._script):
            return self._script(call)
        place = (call.stage, call.index)
        number = self._attempts[place]
        self._attempts[place] += 1
        deeds = self._script.get(call.index, [])
        return deeds[number] if number < len(deeds) else (self._seconds, ok(call))

    async def invoke(self, call: Call) -> Outcome:
        self.running += 1
        self.most = max(self.most, self.running)
        self.calls.append((asyncio.get_running_loop().time(), call))
        call.placed(f"e{self.running - 1}")
        try:
            seconds, outcome = self._deed(call)
            await asyncio.sleep(seconds)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


class ListSink:
    """Keeps the events, and checks the law that each beginning has exactly one end."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def statuses(self) -> list[str]:
        return [event.status for event in self.of(Returned)]

    def assert_whole(self) -> None:
        began = [event.n for event in self.of(Dispatched)]
        ended = [event.n for event in self.of(Returned)]
        assert began == list(range(len(began)))
        assert sorted(ended) == began
        assert len({event.run for event in self.events}) <= 1  # type: ignore[union-attr]
        begins = {event.n: event.dispatched_s for event in self.of(Dispatched)}
        assert all(event.returned_s >= begins[event.n] for event in self.of(Returned))
        assert [event.index for event in self.of(StageStarted)] == list(range(len(self.of(StageStarted))))
        assert len(self.of(StageEnded)) in (len(self.of(StageStarted)), len(self.of(StageStarted)) - 1)

    def as_json(self) -> bytes:
        return b"".join(msgspec.json.encode(event) for event in self.events)


def tasks(count: int) -> list[Task]:
    return [Task("fake.task", x=number) for number in range(count)]


def one_stage(count: int) -> Iterator[list[Task]]:
    """A job: its answer is its only stage's results."""
    return (yield tasks(count))  # type: ignore[misc]


@pytest.fixture(autouse=True)
def short_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each measured run collects garbage before its clock starts: 0.3 s with all that tests have loaded."""
    collector = SimpleNamespace(collect=lambda: gc.collect(0), freeze=lambda: None, unfreeze=lambda: None)
    monkeypatch.setattr("lbench.engine.measure.run.gc", collector)


@pytest.fixture(scope="session")
def fakes() -> SimpleNamespace:
    """The names of this module."""
    return SimpleNamespace(
        Backend=FakeBackend,
        Sink=ListSink,
        failed=failed,
        machine=Environment(),
        ok=ok,
        ok_as=ok_as,
        one_stage=one_stage,
        sibling=sibling,
        tasks=tasks,
        throttled=throttled,
        unreached=unreached,
    )
