"""A deployed function as a backend: a task's payload is sent unchanged, and the platform's REPORT line is the measurement.

`locations` reaches the function (on AWS, or its code in the emulator); `force_cold` forces its cold starts.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Literal, Self

from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.base import Call, EnvironmentInfo, Failure, Outcome, Published
from lbench.engine.backends.function.configuration import FunctionFacts, parse_name
from lbench.engine.backends.function.locations import Reached, reach_aws, reach_emulated
from lbench.engine.backends.function.outcomes import read_call
from lbench.engine.backends.lambda_.emulated import supported_environments
from lbench.engine.backends.lambda_.environments import Environments
from lbench.engine.backends.lambda_.force_cold import ColdForcing
from lbench.engine.backends.lambda_.outcomes import lost
from lbench.engine.backends.region import architecture_of
from lbench.engine.backends.settings import AwsSettings, EmulatedSettings, LambdaSettings
from lbench.engine.machine import fingerprint as machine
from lbench.errors import BackendError, InputError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.function import FunctionParams

if TYPE_CHECKING:
    pass

__all__ = ["FunctionBackend", "concurrency_refusal", "open_function"]

DEFAULT_CONCURRENCY = 10  # on AWS: others may depend on the function
_INIT_ALLOWANCE_S = 20.0  # a failed init is repeated once
_READ_MARGIN_S = 5.0
_UPDATE_ALLOWANCE_S = 180.0  # a call of a batch waits until the function was updated
_SAMPLE, _NO_SAMPLE = encode(True), encode(False)


def open_function(settings: LambdaSettings, params: FunctionParams, *, timeout_s: float) -> FunctionBackend:
    """Make the backend, not yet entered.

    Args:
        settings: of `lambda`, or of `emulated` with a handler and a folder.
        params: which function, and whether its cold starts are forced.
        timeout_s: of the code here; on AWS the function has its own.

    Raises:
        InputError: the parameters do not fit the settings.
    """
    if not isinstance(settings, AwsSettings | EmulatedSettings):
        raise InputError("the workload function runs on lambda, or on emulated with handler= and code=")
    return FunctionBackend(settings, params, timeout_s=timeout_s)


class FunctionBackend:
    """Calls one function. Its own timeout is a call's deadline: the driver cannot end its environment."""

    on_cancel: Literal["stop", "detach"] = "detach"

    def __init__(self, settings: AwsSettings | EmulatedSettings, params: FunctionParams, *, timeout_s: float) -> None:
        emulated = isinstance(settings, EmulatedSettings)
        self.name = parse_name(params.name or ("function" if emulated else None))
        self.origin: Literal["measured", "emulated", "simulated"] = "emulated" if emulated else "measured"
        most = (
            supported_environments(settings.memory, machine.usable_cores(), machine.memory_bytes())
            if emulated
            else None
        )
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
        self.start_allowance_s = 0.0  # set once the function is known
        self._chosen = settings
        self._params = params
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()
        self._reached: Reached | None = None
        self._forcing: ColdForcing | None = None
        self._wait_s = 0.0
        self._environments = Environments(settings.memory)

    async def __aenter__(self) -> Self:
        """Find the function, open connections, and with force_cold prepare to restore the function.

        Raises:
            InputError: it does not exist, may not be called, or differs from the settings.
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
        self._check_settings(facts)
        if facts.most is not None and facts.most < self.capacity:
            if chosen.concurrency is not None:
                raise InputError(concurrency_refusal(chosen.concurrency, facts.most))
            self.notes.append(
                f"{facts.most} call{'s' * (facts.most != 1)} at once: the quota leaves no more for this function"
            )
            self.capacity = facts.most
            self.settings["concurrency"] = facts.most
        self.settings["region"] = reached.region
        self._environments.cpu_share_method = reached.cpu_share_method
        self._wait_s = facts.timeout_s + _INIT_ALLOWANCE_S + _READ_MARGIN_S
        self.start_allowance_s = self._wait_s + _UPDATE_ALLOWANCE_S
        self.notes += [facts.summary, *reached.notes]
        self.notes.append(
            "its environments are known only where its log names their stream; a call is cold where REPORT has an Init "
            "Duration; start and end are placed in the middle of the round trip"
        )
        if self._params.force_cold:
            self._forcing = await self._stack.enter_async_context(
                ColdForcing(reached.control, self.name.text, region=reached.region, lasting=self.origin == "measured")
            )
            self.notes.append("cold starts are forced: an environment variable is changed before each batch")
        await reached.client.open(self.capacity)

    def _check_settings(self, facts: FunctionFacts) -> None:
        """Refuse settings that differ from the function: prices are chosen by the settings."""
        for name, own in (("memory", facts.memory_mb), ("arch", facts.arch)):
            if self.settings[name] != own:
                raise InputError(
                    f"the function has {name}={own}, the settings have {name}={self.settings[name]}: set {name}={own}"
                )

    async def __aexit__(self, *_: object) -> None:
        """Restore the function; close everything."""
        self._reached = self._forcing = None
        await self._stack.aclose()

    async def publish(self, data: Published | None) -> None:
        """Do nothing: there is no data."""

    async def renew(self) -> None:
        raise BackendError("--cold-repeats does not apply to function: use --force-cold")

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
            if error.timed_out:  # it ran longer than its timeout: a retry would not differ
                text = f"no response within {self._wait_s:g} s, longer than the function's timeout allows"
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
        """The environments whose names the function's log has shown."""
        return self._environments.all()

    def temporary(self, run: str) -> None: ...

    async def clear(self, place: object) -> None: ...

    async def left(self) -> list[str]:
        """Nothing: an environment writes only into its own /tmp."""
        return []


def concurrency_refusal(concurrency: int, most: int) -> str:
    """The message that refuses an explicit concurrency."""
    return (
        f"--concurrency must be at most {most}, got {concurrency}: the account leaves no more for this function. "
        "Raise the limit under Service Quotas, or omit --concurrency"
    )
