"""`simulated`: the model of AWS Lambda (`engine.simulation.platform`) as a backend, on a loop in virtual time.

The runner, its retries, hedging and budget are the same as for every backend. A call sleeps until its next event on the
loop's clock, so an hour of Lambda passes in a moment. What the driver's machine, the network, Lambda and S3 do to it comes
from the model's parameters and the seed alone: the same seed gives the same run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import zlib
from datetime import date
from typing import Literal, Self

import msgspec

from lbench.config.limits import fits_inline, limits
from lbench.engine.backends.base import OVER_BUDGET, Call, EnvironmentInfo, Failure, Outcome, Published, reschedule
from lbench.engine.backends.region import architecture_of
from lbench.engine.backends.settings import SimulatedSettings
from lbench.engine.backends.simulated.answers import Computer
from lbench.engine.backends.simulated.task_loads import Known, known
from lbench.engine.simulation.parameters import LambdaModel, load_model, old_parameters, with_values
from lbench.engine.simulation.platform import Environment, Host, Placed, Platform, Refused
from lbench.errors import BackendError

__all__ = ["SimulatedBackend", "account_concurrency", "model_of"]

_INIT_LIMIT_S = float(limits().init_max_s)
_FRONT_LIMIT_S = 30.0  # of API Gateway's HTTP API
_FRONT_DISPATCH_S = 0.01  # it lets in 100 calls a second, as in the original study
_BASE64 = 4 / 3
_MB = 1e6


def model_of(settings: SimulatedSettings) -> LambdaModel:
    """The model that these settings choose.

    Raises:
        InputError: there is no such file, or it has no such parameters.
    """
    model = load_model(settings.model)
    if settings.core_ratio is not None:
        model = with_values(model, {"core_ratio": settings.core_ratio})
    return model.spread_by(settings.spread)


def account_concurrency(settings: SimulatedSettings, model: LambdaModel) -> int:
    """The environments that the account allows at once."""
    if settings.account_concurrency is not None:
        return settings.account_concurrency
    new = settings.account == "new"
    return int((model.concurrency_of_new_accounts if new else model.concurrency).median)


class SimulatedBackend:
    """Lambda in virtual time, as `lbench.engine.backends.base.Backend` requires.

    A run takes place between `begin_run` and `end_run`, on a loop that starts at `begin_run`'s time.
    """

    origin: Literal["measured", "emulated", "simulated"] = "simulated"
    on_cancel: Literal["stop", "detach"] = "stop"
    package_digest: str | None = None
    oversubscribed = False
    start_allowance_s = 2 * _INIT_LIMIT_S

    def __init__(self, settings: SimulatedSettings, *, seed: int, computer: Computer | None = None) -> None:
        """`seed`: where the settings have none; `computer`: runs a task of which nothing is known."""
        self._model = model = model_of(settings)
        self._chosen = settings
        self._computer = computer
        concurrency = account_concurrency(settings, model)
        self.capacity = settings.concurrency or concurrency
        self.core_ratio = model.core_ratio.median
        self.transport: str | None = settings.transport
        self.own_s3: dict[str, int] = {}
        chosen_seed = seed if settings.seed is None else settings.seed
        self._platform = Platform(
            model,
            memory_mb=settings.memory,
            arch=architecture_of(settings),
            python=settings.python,
            concurrency=concurrency,
            seed=chosen_seed,
            import_s=settings.import_s or 0.0,
        )
        self.settings: dict[str, str | int | float | bool | None] = {
            **msgspec.structs.asdict(settings),
            "concurrency": self.capacity,
            "arch": architecture_of(settings),
            "seed": chosen_seed,
            "account_concurrency": concurrency,
            "core_ratio": self.core_ratio,
        }
        old = old_parameters(model, date.today())
        self.notes = [
            f"simulated with one core here = {self.core_ratio:.3g} Lambda vCPUs: nothing was measured on AWS",
            *([f"{_parameters(len(old))} older than two years: see docs/model.md"] if old else []),
        ]
        self._now_s = 0.0
        self._host = Host(model, 0.0)
        self._data: Published | None = None
        self._ran = False

    async def __aenter__(self) -> Self:
        """Start the worker that computes tasks, if there is one."""
        if self._computer is not None:
            await self._computer.__aenter__()
            self.imports(self._computer.import_s * self.core_ratio)
        return self

    async def __aexit__(self, *error: object) -> None:
        """End that worker."""
        if self._computer is not None:
            await self._computer.__aexit__(*error)

    async def publish(self, data: Published | None) -> None:
        """Put the data set into S3: new environments read it from there.

        Raises:
            BackendError: the worker that computes tasks cannot map it.
        """
        if self._computer is not None:
            await self._computer.publish(data)
        if data is not None and (self._data is None or self._data.digest != data.digest):
            self.own_s3["put"] = self.own_s3.get("put", 0) + 1
            self.own_s3["bytes"] = self.own_s3.get("bytes", 0) + data.bytes
        self._data = data

    async def renew(self) -> None:
        self._platform.renew(self._now_s)

    def imports(self, seconds: float) -> None:
        """Let new environments import for so long, on one vCPU, unless the settings say how long."""
        if self._chosen.import_s is None:
            self._platform.import_s = seconds

    def begin_run(self) -> float:
        """The virtual time at which the next run begins, after the pause in which environments are evicted."""
        idle_s = self._chosen.idle if self._ran else 0.0
        self._now_s += idle_s
        self._platform.rest(self._now_s, idle_s)
        self._ran = True
        model = self._model
        rtt_s = self._platform.drawn("rtt_s", model.rtt_s)
        dispatch_s = max(model.driver_dispatch_s.median, _FRONT_DISPATCH_S) if self._fronted else None
        self._host = Host(model, rtt_s, dispatch_s)
        return self._now_s

    def end_run(self, now_s: float) -> None:
        """Note the virtual time at which the run has ended."""
        self._now_s = now_s

    @property
    def _fronted(self) -> bool:
        return self._chosen.transport == "http-api"

    async def invoke(self, call: Call) -> Outcome:
        """Run one call on the model. A cancel leaves its function running, as on Lambda."""
        loop = asyncio.get_running_loop()
        task = self._known(call.task)
        if isinstance(task, Failure):
            return Outcome(failure=task, request_bytes=len(call.task))
        host = self._host
        grows = self._platform.expect(loop.time())
        admitted = False
        try:
            large = not fits_inline(task.request_bytes)
            if large:
                await self._put_arguments(call, task)
            await _until(loop, host.send(loop.time(), 0.0 if large else task.request_bytes * _BASE64 / _MB))
            arrived_s = loop.time()
            placed_s = self._admit(arrived_s, grows)
            if isinstance(placed_s, Failure):
                await asyncio.sleep(host.half_trip_s)
                return Outcome(failure=placed_s, request_bytes=task.request_bytes)
            admitted = True
        finally:
            if not admitted:
                self._platform.over()
        begun: asyncio.Future[_Work] = loop.create_future()
        loop.call_at(placed_s, self._begin, begun, task, call.deadline_s)
        work = await begun
        if self._fronted and work.ended_s > arrived_s + _FRONT_LIMIT_S:
            await _until(loop, arrived_s + _FRONT_LIMIT_S + host.half_trip_s)
            failure = Failure("timeout", "FrontTimeout", "the HTTP front gives up after 30 s", retriable=True)
            return self._outcome(call, task, msgspec.structs.replace(work, known=False), failure)
        await _until(loop, work.ended_s + work.leaves_s + host.half_trip_s)
        if work.late:
            message = f"no result within the deadline of {call.deadline_s:g} s"
            return self._outcome(call, task, work, Failure("timeout", "DeadlineExceeded", message, retriable=True))
        return await self._receive(call, task, work)

    async def _put_arguments(self, call: Call, task: Known) -> None:
        """Put large arguments into S3 before the call."""
        loop = asyncio.get_running_loop()
        reschedule(call.limit, None)
        await _until(loop, self._host.send(loop.time(), task.request_bytes / _MB) + self._host.half_trip_s)
        await asyncio.sleep(self._platform.drawn("s3_put_s", self._model.s3_put_s))
        reschedule(call.limit, call.deadline_s + self.start_allowance_s)

    def _begin(self, begun: asyncio.Future[_Work], task: Known, deadline_s: float) -> None:
        """Place an admitted call, and decide all that its function does."""
        loop, platform = begun.get_loop(), self._platform
        placed = platform.place(loop.time())
        environment = placed.environment
        put, get, put_bytes, fetch_s = 0, 0, 0, 0.0
        if self._data is not None and environment.data != self._data.digest:
            fetch_s += platform.fetch_s(environment, self._data.digest, self._data.bytes)
            get += 1
        if not fits_inline(task.request_bytes):
            fetch_s += platform.get_s(task.request_bytes)
            put, get, put_bytes = put + 1, get + 1, put_bytes + task.request_bytes
        run_s = platform.duration_s(task.load, environment)
        hangs = platform.happens("timeout_rate", self._chosen.timeout_rate)
        late = hangs or fetch_s + run_s > deadline_s
        stored = not late and not fits_inline(task.response_bytes)
        ended_s = placed.started_s + (deadline_s if late else fetch_s + run_s)
        leaves_s = 0.0
        if stored:
            ended_s += platform.put_s(task.response_bytes)
            put, put_bytes = put + 1, put_bytes + task.response_bytes
        elif not late:
            leaves_s = task.response_bytes / _MB / self._model.network_mb_per_s.median
        loop.call_at(ended_s, self._ended, environment, ended_s, late)
        if not begun.done():  # its caller was cancelled
            begun.set_result(_Work(placed, fetch_s, run_s, ended_s, leaves_s, late, stored, put, get, put_bytes))

    async def _receive(self, call: Call, task: Known, work: _Work) -> Outcome:
        """Take a result from the response, or from S3 where it is large."""
        loop, host = asyncio.get_running_loop(), self._host
        failure: Failure | None = None
        ended_s = loop.time()
        if work.stored and not call.may_fetch(task.response_bytes):
            why = f"its result of {task.response_bytes} bytes stays in S3: fetching it would exceed --max-usd"
            failure = Failure("error", OVER_BUDGET, why, retriable=False)
        elif work.stored:
            reschedule(call.limit, None)
            call.arrived()
            work.get += 1
            await asyncio.sleep(2 * host.half_trip_s + self._platform.drawn("s3_get_s", self._model.s3_get_s))
        wire_bytes = task.response_bytes * (1 if work.stored else _BASE64)
        arrived_s, decoded_s = host.receive(loop.time(), wire_bytes / _MB)
        await _until(loop, decoded_s)
        outcome = self._outcome(call, task, work, failure)
        outcome.returned_s = arrived_s
        outcome.collected_s = arrived_s - ended_s if work.stored else 0.0
        return outcome

    def _ended(self, environment: Environment, now_s: float, ends: bool) -> None:
        self._platform.over()
        self._platform.free(environment, now_s, ends=ends)

    def _known(self, call: bytes) -> Known | Failure:
        found = known(call, self.core_ratio, self._chosen.threads)
        if self._computer is None:
            if found is None:
                raise BackendError("simulated does not know these tasks: compute their answers with --answers compute")
            return found
        computed = self._computer(call)
        if found is None or isinstance(computed, Failure):
            return computed
        return dataclasses.replace(found, result=computed.result)

    def _admit(self, now_s: float, grows: bool) -> float | Failure:
        """When an arrived call is placed, or why it is not."""
        chosen, platform = self._chosen, self._platform
        if platform.happens("throttle_rate", chosen.throttle_rate):
            return _throttled("throttled by throttle_rate")
        if platform.happens("fail_rate", chosen.fail_rate):
            return Failure("error", "ServiceException", "an internal error of the service", retriable=True, unrun=True)
        placed_s = platform.admit(now_s, grows)
        return _throttled(placed_s.reason) if isinstance(placed_s, Refused) else placed_s

    def _outcome(self, call: Call, task: Known, work: _Work, failure: Failure | None) -> Outcome:
        placed, environment = work.placed, work.placed.environment
        init_s = environment.init_s if placed.cold else 0.0
        billed_ms = (work.ended_s - placed.started_s + init_s) * 1000
        return Outcome(
            result=task.result if failure is None else None,
            failure=failure,
            environment=environment.id,
            ended=environment.ended_s is not None,
            cold=placed.cold,
            started_s=placed.started_s,
            finished_s=work.ended_s if work.known else None,
            init_ms=_ms(init_s) if placed.cold else None,
            fetch_ms=_ms(work.fetch_s) if work.fetch_s else None,
            compute_ms=_ms(work.run_s) if work.known and not work.late else None,
            billed_ms=max(1, math.ceil(round(billed_ms, 6))),
            billed_source="model",
            memory_mb=self._chosen.memory,
            request_bytes=task.request_bytes,
            response_bytes=task.response_bytes if failure is None else None,
            via_s3=work.stored or not fits_inline(task.request_bytes),
            s3_requests={name: count for name, count in (("put", work.put), ("get", work.get)) if count},
            s3_bytes=work.put_bytes,
            request_id=f"{zlib.crc32(call.run.encode()):08x}-0000-4000-8000-{call.number:012x}",
        )

    def environments(self) -> list[EnvironmentInfo]:
        return [
            EnvironmentInfo(
                id=one.id,
                created_s=one.created_s,
                ended_s=one.ended_s,
                init_ms=_ms(one.init_s),
                memory_mb=self._chosen.memory,
                cpu_share_method="model",
            )
            for one in self._platform.environments
        ]

    def temporary(self, run: str) -> None: ...

    async def clear(self, place: object) -> None: ...

    async def left(self) -> list[str]:
        """Nothing: no environment is real."""
        return []


class _Work(msgspec.Struct):
    """What a function does with a call, known once it is placed."""

    placed: Placed
    fetch_s: float
    run_s: float
    ended_s: float
    leaves_s: float  # from the end until the response has left the environment
    late: bool  # ended by its deadline
    stored: bool  # the result goes through S3
    put: int
    get: int
    put_bytes: int
    known: bool = True  # whether the caller sees the end


def _parameters(count: int) -> str:
    return "1 parameter of the model is" if count == 1 else f"{count} parameters of the model are"


def _throttled(reason: str) -> Failure:
    return Failure("throttled", "TooManyRequestsException", reason, retriable=True, unrun=True)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 6)


async def _until(loop: asyncio.AbstractEventLoop, at_s: float) -> None:
    """Sleep until a time of the loop's clock."""
    if at_s > loop.time():
        await asyncio.sleep(at_s - loop.time())
