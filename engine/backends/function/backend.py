"""Somebody's own function as a backend: what a task carries is sent as it is, and the platform's report is the measure.

Where the function is (on AWS, or its code in the emulator) is `function_places`'; its cold starts are `cold_forcing`'s.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.base import Call, EnvironmentInfo, Failure, Outcome, Published
from lbench.engine.backends.function.cold_starts import ColdForcing
from lbench.engine.backends.function.configuration import FunctionFacts, parse_name
from lbench.engine.backends.function.locations import Reached, reach_aws, reach_emulated
from lbench.engine.backends.function.outcomes import read_call
from lbench.engine.backends.lambda_.emulated import carried
from lbench.engine.backends.lambda_.environments import Environments
from lbench.engine.backends.lambda_.outcomes import lost
from lbench.engine.backends.placement import architecture_of
from lbench.engine.backends.settings import AwsSettings, EmulatedSettings, LambdaSettings
from lbench.engine.machine import fingerprint as machine
from lbench.errors import BackendError, InputError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.function import FunctionParams

if TYPE_CHECKING:
    from lbench.workloads.objects import Place

__all__ = ["FunctionBackend", "open_function", "too_many"]

DEFAULT_CONCURRENCY = 10  # on AWS: it may be a function that others depend on
_INIT_ALLOWANCE_S = 20.0  # an init that fails is begun once more
_READ_MARGIN_S = 5.0
_UPDATE_ALLOWANCE_S = 180.0  # a call of a batch waits until the function has been changed
_SAMPLE, _NO_SAMPLE = encode(True), encode(False)


def open_function(settings: LambdaSettings, params: FunctionParams, *, timeout_s: float) -> FunctionBackend:
    """The backend, not yet entered.

    Args:
        settings: of `lambda`, or of `emulated` with a handler and a folder.
        params: which function, and whether its cold starts are forced.
        timeout_s: of the code here; on AWS the function has its own.

    Raises:
        InputError: the parameters and settings do not go together.
    """
    if not isinstance(settings, AwsSettings | EmulatedSettings):
        raise InputError("function runs on lambda, or on emulated with handler= and code=")
    return FunctionBackend(settings, params, timeout_s=timeout_s)


class FunctionBackend:
    """Calls one function. Its own timeout is a call's deadline: nobody ends its environment from here."""

    on_cancel: Literal["stop", "detach"] = "detach"

    def __init__(self, settings: AwsSettings | EmulatedSettings, params: FunctionParams, *, timeout_s: float) -> None:
        emulated = isinstance(settings, EmulatedSettings)
        self.name = parse_name(params.name or ("function" if emulated else None))
        self.origin: Literal["measured", "emulated", "simulated"] = "emulated" if emulated else "measured"
        most = carried(settings.memory, machine.usable_cores(), machine.memory_bytes()) if emulated else None
        self.capacity = settings.concurrency or (DEFAULT_CONCURRENCY if most is None else max(1, most))
        self.oversubscribed = most is not None and self.capacity > most
        self.settings: dict[str, str | int | float | bool | None] = {
            "concurrency": self.capacity,
            "memory": settings.memory,
            "arch": architecture_of(settings),
            "region": settings.region,
            "client": settings.client,
        }
        self.transport: str | None = "direct"
        self.notes: list[str] = []
        self.package_digest: str | None = None
        self.own_s3: dict[str, int] = {}
        self.start_allowance_s = 0.0  # known when the function is
        self._chosen = settings
        self._params = params
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()
        self._reached: Reached | None = None
        self._forcing: ColdForcing | None = None
        self._wait_s = 0.0
        self._environments = Environments(settings.memory)

    async def __aenter__(self) -> Self:
        """Find the function, open connections, and with force_cold take note of what will have to be put back.

        Raises:
            InputError: it is not there, may not be called, or is not what the settings say.
            BackendError: it cannot be reached.
        """
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, AwsSettings):
            reach = reach_aws(chosen, self.name)
        else:
            reach = reach_emulated(chosen, self.name, capacity=self.capacity, timeout_s=self._timeout_s)
        reached = self._reached = await self._stack.enter_async_context(reach)
        facts = reached.facts
        self._agree(facts)
        if facts.most is not None and facts.most < self.capacity:
            if chosen.concurrency is not None:
                raise InputError(too_many(chosen.concurrency, facts.most))
            self.notes.append(f"{facts.most} calls at once: more are not left for the function by its quota")
            self.capacity = facts.most
            self.settings["concurrency"] = facts.most
        self.settings["region"] = reached.region
        self._environments.cpu_share_method = reached.cpu_share_method
        self._wait_s = facts.timeout_s + _INIT_ALLOWANCE_S + _READ_MARGIN_S
        self.start_allowance_s = self._wait_s + _UPDATE_ALLOWANCE_S
        self.notes += [facts.told, *reached.notes]
        self.notes.append(
            "its environments are known only where its log names their stream; a call is cold where REPORT has an Init "
            "Duration; start and end are placed in the middle of the round trip"
        )
        if self._params.force_cold:
            self._forcing = await self._stack.enter_async_context(
                ColdForcing(reached.control, self.name, region=reached.region, lasting=self.origin == "measured")
            )
            self.notes.append("cold starts are forced: an environment variable is changed before each batch")
        await reached.client.open(self.capacity)

    def _agree(self, facts: FunctionFacts) -> None:
        """The prices were chosen by the settings: they must be the function's own."""
        for name, own in (("memory", facts.memory_mb), ("arch", facts.arch)):
            if self.settings[name] != own:
                raise InputError(
                    f"the function has {name}={own}, and the settings say {self.settings[name]}: say {name}={own}"
                )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put back what was changed; close everything."""
        self._reached = self._forcing = None
        await self._stack.aclose()

    async def publish(self, data: Published | None) -> None:
        """There is no data."""

    async def invoke(self, call: Call) -> Outcome:
        """Call the function once with the task's payload.

        Raises:
            BackendError: the backend is not open, has broken down, or the function cannot be changed.
        """
        reached = self._reached
        if reached is None:
            raise BackendError("the backend is not open: use `async with`")
        if self._forcing is not None:
            await self._forcing.fresh((call.run, call.stage))
        payload: bytes = decode(call.task)[1]["payload"]
        sent_s = asyncio.get_running_loop().time()
        try:
            reply = await reached.client.invoke(reached.target, payload, self._wait_s)
        except ConnectionLost as error:
            if (why := reached.broken()) is not None:
                raise BackendError(why) from None
            outcome = lost(error)
            if error.timed_out:  # it ran for longer than it may: again would be no different
                text = f"no answer within {self._wait_s:g} s, which is more than the function may take"
                outcome = Outcome(result=_SAMPLE, failure=Failure("timeout", "ReadTimeout", text, retriable=False))
        else:
            outcome = read_call(reply, sent_s, _SAMPLE)
        outcome.request_bytes = len(payload)
        sampled = outcome.result is not None and outcome.failure is None
        if self._forcing is not None and sampled and outcome.cold is not True:
            outcome.result, outcome.discarded = _NO_SAMPLE, True
        self._environments.observe(outcome)
        return outcome

    def environments(self) -> list[EnvironmentInfo]:
        """Those whose names the function's log has told."""
        return self._environments.all()

    def temporary(self, run: str) -> Place | None:
        """Nothing is kept for tasks."""
        return None

    async def clear(self, place: Any) -> None:
        """There is nothing."""


def too_many(concurrency: int, most: int) -> str:
    """Why an explicit concurrency is refused."""
    return (
        f"--concurrency {concurrency}: the account leaves {most} at once for this function: "
        "ask for more under Service Quotas, or leave --concurrency out"
    )
