"""Lambda as a backend: one function of the chosen memory size at one endpoint, by one of three transports.

`emulated` is this backend with the emulator's endpoint (`emulated.py`); AWS differs only in the source of endpoint,
credentials and bucket. Tasks and results too large for Invoke go through S3.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import secrets
from collections.abc import Callable
from functools import partial
from typing import Literal, Self

import msgspec

from lbench.config.limits import INLINE_BYTES, fits_inline, limits
from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.invoke_client import make_client
from lbench.engine.backends.base import OVER_BUDGET, Call, EnvironmentInfo, Failure, Outcome, Published, reschedule
from lbench.engine.backends.lambda_.environments import Environments
from lbench.engine.backends.lambda_.force_cold import ColdForcing
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.lambda_.outcomes import lost
from lbench.engine.backends.lambda_.transport import Direct, Transport
from lbench.engine.backends.region import architecture_of, region_of
from lbench.engine.backends.settings import ServedSettings
from lbench.errors import BackendError, InputError
from lbench.workloads.objects import Place
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Event, Object

__all__ = ["FUNCTION_TIMEOUT_S", "INIT_LIMIT_S", "INLINE_BYTES", "LambdaBackend", "few_files", "most_files"]

FUNCTION_TIMEOUT_S = float(limits().timeout_max_s)
INIT_LIMIT_S = float(limits().init_max_s)  # an on-demand environment's, after which Lambda starts it once more
_READ_MARGIN_S = 5.0
_OTHER_FILES = 256
_LEAST_FILES = 96  # of an engine and of an emulator, besides connections

_encode = msgspec.json.Encoder().encode


class LambdaBackend:
    """Calls one function. A subclass provides it in `_start`, and removes in `_stop` what `_start` made."""

    origin: Literal["measured", "emulated", "simulated"] = "measured"
    on_cancel: Literal["stop", "detach"] = "detach"

    def __init__(self, settings: ServedSettings, *, capacity: int, oversubscribed: bool = False) -> None:
        self.capacity = capacity
        self.oversubscribed = oversubscribed
        self.region = region_of(settings)
        self.settings: dict[str, str | int | float | bool | None] = {
            "concurrency": capacity,
            "memory": settings.memory,
            "arch": architecture_of(settings),
            "region": self.region,
            "client": settings.client,
            "s3_endpoint": settings.s3_endpoint,
        }
        self.transport: str | None = settings.transport
        self.notes: list[str] = []
        self.package_digest: str | None = None
        self.own_s3: dict[str, int] = {}
        self.start_allowance_s = 2 * INIT_LIMIT_S
        self._chosen = settings
        self._function = f"lbench-{settings.memory}"
        self._transport: Transport | None = None
        self._front: tuple[Resolved, float] | None = None  # the HTTP API and its timeout
        self._route: str | None = None  # the function's route in the HTTP API; None: its name
        self._marked = False  # whether each request's call is marked in the log
        self._store: ObjectStore | None = None
        self._data: Object | None = None
        self._numbers = itertools.count()
        self._mark = secrets.token_hex(4)
        self._environments = Environments(settings.memory)
        self._forcing: ColdForcing | None = None  # once an environment was ended on purpose

    async def _start(self) -> tuple[Resolved, Callable[[], Credentials], ObjectStore]:
        """Prepare Lambda: returns its endpoint, the credentials and the store for large objects."""
        raise NotImplementedError

    def _make_forcing(self) -> ColdForcing:
        """A way to end the function's environments."""
        raise NotImplementedError

    async def _stop(self) -> None:
        """Remove what `_start` has made, complete or not."""
        raise NotImplementedError

    def _make_transport(self, place: Resolved, credentials: Callable[[], Credentials], store: ObjectStore) -> Transport:
        if self._chosen.transport == "http-api":
            from lbench.engine.backends.lambda_.http_api_transport import Fronted

            assert self._front is not None
            front, timeout_s = self._front
            return Fronted(front, credentials, self._route or self._function, timeout_s)
        client = make_client(self._chosen.client, place, credentials)
        if self._chosen.transport == "event":
            from lbench.engine.backends.lambda_.event_transport import Letterbox, Queued

            return Queued(client, self._function, Letterbox(store, partial(_add, to=self.own_s3)))
        return Direct(client, self._function)

    def _broken(self) -> str | None:
        """Why nothing can be invoked any more; None: it can, as far as is known."""
        return None

    async def __aenter__(self) -> Self:
        """Make the function reachable and open a connection for each invocation that can be under way."""
        try:
            _allow_files(self.capacity)
            place, credentials, self._store = await self._start()
            self._transport = self._make_transport(place, credentials, self._store)
            await self._transport.open(self.capacity)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close connections and delete the stored objects."""
        await self._close()

    async def _close(self) -> None:
        transport, self._transport = self._transport, None
        forcing, self._forcing = self._forcing, None
        try:
            if transport is not None:
                await transport.close()
            if forcing is not None:
                await forcing.__aexit__(None, None, None)
        finally:
            await self._stop()
            if self._store is not None:
                self._store.close()

    async def publish(self, data: Published | None) -> None:
        """Put the data set into S3, once for its digest.

        Raises:
            BackendError: S3 refused or cannot be reached.
        """
        if data is None:
            self._data = None
        elif self._data is None or self._data.sha256 != data.digest:
            assert self._store is not None
            made: dict[str, int] = {}
            try:
                self._data = await self._store.put_file("data", data.path, data.digest, made)
            finally:
                _add(made, self.own_s3)
            _add({"bytes": data.bytes}, self.own_s3)

    async def renew(self) -> None:
        """Change the function's configuration, as any update does that: the next calls start new environments.

        Raises:
            AwsError: the change is refused, or takes too long.
        """
        if self._forcing is None:
            self._forcing = await self._make_forcing().__aenter__()
        await self._forcing.fresh(object())

    async def invoke(self, call: Call) -> Outcome:
        """Run one call on Lambda. Cancelling closes its connection; the function runs on to its deadline at most.

        Raises:
            BackendError: the backend is not open, or has broken down for good.
        """
        store, transport = self._store, self._transport
        if store is None or transport is None:
            raise BackendError("the backend is not open: use `async with`")
        self._refuse_if_broken()
        event = Event(
            deadline_ms=math.ceil(call.deadline_s * 1000),
            result_limit=INLINE_BYTES,
            call=next(self._numbers),
            data=self._data,
            result_to=store.place("result"),
            mark=f"{self._mark}/{call.run}/{call.number}" if self._marked else None,
            print_limit=self._chosen.print_limit,
        )
        transport.prepare(event)
        made: dict[str, int] = {}
        if fits_inline(len(call.task), transport.event_bytes):
            event.task = call.task
        else:
            reschedule(call.limit, None)
            try:
                event.task_at = await store.put("task", call.task, made)
            except ObjectStoreError as error:
                self._refuse_if_broken()
                failure = _store_failure(error)
                failure.unrun = True  # the function was never called
                return Outcome(failure=failure, via_s3=True, s3_requests=made)
            reschedule(call.limit, call.deadline_s + self.start_allowance_s)
        payload = _encode(event)
        sent_s = asyncio.get_running_loop().time()
        try:
            outcome, answer = await transport.carry(
                event, payload, call.deadline_s, self.start_allowance_s + _READ_MARGIN_S, partial(_arrived, call)
            )
        except ObjectStoreError as error:
            self._refuse_if_broken()
            outcome, answer = Outcome(failure=_store_failure(error)), None
        except ConnectionLost as error:
            self._refuse_if_broken()
            outcome, answer = lost(error), None
        _add(outcome.s3_requests, made)
        outcome.request_bytes = len(payload)
        self._environments.note_end(outcome)
        if answer is not None:
            self._environments.learn(answer, outcome, sent_s)
            outcome.printed_bytes = answer.printed
            _add({name: count for name, count in answer.s3.items() if name != "bytes"}, made)
            outcome.s3_bytes = answer.s3.get("bytes", 0) + (
                0 if answer.result_at is None else answer.result_at.bytes or 0
            )
            if answer.result_at is not None and outcome.failure is None:
                await self._collect(call, answer.result_at, outcome, store, made)
        outcome.via_s3 |= event.task_at is not None or (answer is not None and answer.result_at is not None)
        outcome.s3_requests = made
        outcome.s3_bytes += 0 if event.task_at is None else len(call.task)
        return outcome

    def environments(self) -> list[EnvironmentInfo]:
        """All environments that have replied, or are known to have ended without a reply."""
        return self._environments.all()

    def temporary(self, run: str) -> Place | None:
        """A place under the backend's own prefix in S3."""
        assert self._store is not None
        return self._store.temporary(run)

    async def clear(self, place: Place) -> None:
        """Delete the objects of the run's tasks."""
        assert self._store is not None
        made: dict[str, int] = {}
        try:
            await self._store.clear(place, made)
        finally:
            _add(made, self.own_s3)

    async def left(self) -> list[str]:
        """Nothing: an environment writes only into its own /tmp."""
        return []

    def _refuse_if_broken(self) -> None:
        if (why := self._broken()) is not None:
            raise BackendError(why) from None

    async def _collect(
        self, call: Call, place: Object, outcome: Outcome, store: ObjectStore, made: dict[str, int]
    ) -> None:
        """Fetch a result from S3, if the budget allows; the call returns when it has arrived."""
        if not call.may_fetch(place.bytes or 0):
            why = f"its result of {place.bytes} bytes stays in S3: fetching it would exceed --max-usd"
            outcome.failure = Failure("error", OVER_BUDGET, why, retriable=False)
            return
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        _arrived(call)
        try:
            outcome.result = await store.get(place, made)
        except ObjectStoreError as error:
            self._refuse_if_broken()
            outcome.failure = _store_failure(error)
        outcome.returned_s = loop.time()
        outcome.collected_s += outcome.returned_s - began_s
        outcome.response_bytes = (outcome.response_bytes or 0) + (place.bytes or 0)


def most_files() -> int | None:
    """How many files a process may open, after it has raised its own limit; None: any number, or not known."""
    try:
        import resource
    except ImportError:  # not on this system
        return None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def few_files(connections: int) -> str:
    """What is wrong with the limit on open files, and the remedy; "": it leaves room for so many connections."""
    most, least = most_files(), connections + _LEAST_FILES
    if most is None or most >= least:
        return ""
    return (
        f"{connections} environment{'s' * (connections != 1)} at once need{'s' * (connections == 1)} "
        f"at least {least} open files, but the limit is {most}: "
        f"raise it with `ulimit -n {2 * connections + _OTHER_FILES}`, or lower --concurrency"
    )


def _allow_files(connections: int) -> None:
    """Raise the soft limit on open files as far as the hard one allows: a connection per invocation, and some more.

    Raises:
        InputError: the hard limit leaves no room for the connections.
    """
    try:
        import resource
    except ImportError:  # not on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if problem := few_files(connections):
        raise InputError(problem)


def _arrived(call: Call) -> None:
    """Lift the deadline: the function has ended, only its result remains to be fetched."""
    reschedule(call.limit, None)
    call.arrived()


def _add(made: dict[str, int], to: dict[str, int]) -> None:
    for name, count in made.items():
        to[name] = to.get(name, 0) + count


def _store_failure(error: ObjectStoreError) -> Failure:
    return Failure("error", "ObjectStoreError", str(error), retriable=True)
