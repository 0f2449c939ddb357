"""Functions, their versions, and the choice of an invocation's environment."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any, Literal

from lbench.engine.emulator.api.version_state import VersionState
from lbench.engine.emulator.core.context import Shared
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.invocation import Invocation
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.core.throttles import Bucket, throttle
from lbench.engine.emulator.environment.environment import Environment

__all__ = ["LATEST", "Function", "Pool"]

LATEST = "$LATEST"


class Pool:
    """One version's environments; idle ones in order of use, the most recent last.

    As on Lambda, no invocation waits for an environment: it gets an idle one, or a new one, or 429.
    """

    def __init__(
        self,
        function: Function,
        spec: FunctionSpec,
        activation_s: float,
        change: Literal["create", "update"] = "create",
    ) -> None:
        self.spec = spec
        self.state = VersionState(change, function.loop.time(), activation_s)
        self.idle: list[Environment] = []
        # Lambda resets an environment that has failed an invocation, and keeps its /tmp. Here the next one gets it:
        self._tmp_folders: list[Path] = []  # of those that have ended
        self._ending: dict[str, Invocation | None] = {}  # those that are about to end, and what waits for that
        self._function = function
        self._shared = function.shared
        self._loop = function.loop
        self._expiring: asyncio.TimerHandle | None = None
        self._retired = False

    def dispatch(self, invocation: Invocation) -> None:
        """Assign it to an idle environment, or to a new one."""
        if self.idle:
            self.idle.pop().assign(invocation)
            return
        ending = next((one for one, waiting in self._ending.items() if waiting is None), None)
        if ending is not None:
            self._ending[ending] = invocation
            return
        weather = self._shared.weather
        if weather is not None and weather.conditions.cold_delay_ms:
            self._loop.call_later(weather.conditions.cold_delay_ms / 1000, self._start, invocation)
        else:
            self._start(invocation)

    def _start(self, invocation: Invocation) -> None:
        function, scratch = self._function, self._shared.scratch
        if function.stopping:
            return
        if not Path(self.spec.code).is_dir():
            function.finished(invocation)
            text = f"Lambda was not able to unzip the file: its folder {self.spec.code} was removed"
            invocation.refuse(Refusal("InvalidZipFileException", text))
            return
        if self._tmp_folders:
            folder = self._tmp_folders.pop()
        else:
            folder = scratch.folder(f"{self.spec.name}-{next(self._shared.numbers)}-{invocation.request_id}")
        try:
            environment = Environment(
                self.spec,
                self._shared,
                folder,
                released=self.idle.append,
                ended=self._gone,
                finished=function.finished,
                ending=self._note_ending,
                trace_id=invocation.trace_id,
            )
        except OSError as problem:
            function.finished(invocation)
            scratch.wipe(folder)
            text = f"cannot start an environment here: {problem.strerror}"
            invocation.refuse(Refusal("ServiceException", text))
            return
        environment.retired = self._retired
        function.environments[environment.id] = environment
        environment.assign(invocation)
        if self._expiring is None:
            self._expiring = self._loop.call_later(self._shared.config.idle_s, self._expire)

    def _expire(self) -> None:
        """End environments that have been idle for too long."""
        self._expiring = None
        idle_s, now_s = self._shared.config.idle_s, self._loop.time()
        for environment in [one for one in self.idle if one.idle_since_s + idle_s <= now_s + 0.001]:
            self.idle.remove(environment)
            environment.stop()
        self._wipe_tmp_folders()
        mine = [one for one in self._function.environments.values() if one.spec is self.spec]
        if mine and not self._function.stopping:
            oldest_s = min((one.idle_since_s for one in self.idle), default=now_s)
            self._expiring = self._loop.call_at(oldest_s + idle_s, self._expire)

    def _note_ending(self, environment: Environment) -> None:
        self._ending[environment.id] = None

    def _gone(self, environment: Environment, unseen: Invocation | None) -> None:
        if environment in self.idle:
            self.idle.remove(environment)
        self._function.gone(environment)
        if environment.reset and not self._retired:
            self._tmp_folders.append(environment.folder)
        else:
            self._function.wipe(environment.folder)
        waiting = self._ending.pop(environment.id, None)
        for invocation in (unseen, waiting):
            if invocation is not None and not self._function.stopping:
                self.dispatch(invocation)

    def retire(self) -> None:
        """End the version's idle environments now, and the others after their invocation."""
        self._retired = True
        self._wipe_tmp_folders()
        if self._expiring is not None:
            self._expiring.cancel()
        for environment in [one for one in self._function.environments.values() if one.spec is self.spec]:
            if environment in self.idle:
                self.idle.remove(environment)
            environment.retire()

    def _wipe_tmp_folders(self) -> None:
        for folder in self._tmp_folders:
            self._function.wipe(folder)
        self._tmp_folders.clear()


class Function:
    """One function: its versions (`$LATEST` and the published ones), and their common limits."""

    def __init__(self, spec: FunctionSpec, shared: Shared, activation_s: float) -> None:
        self.name = spec.name
        self.shared = shared
        self.loop = asyncio.get_running_loop()
        self.tags: dict[str, str] = {}
        self.changed = True  # `$LATEST`, since a version of it was published last
        self.reserved: int | None = None
        self.environments: dict[str, Environment] = {}
        self.ended: deque[dict[str, Any]] = deque(maxlen=1000)  # descriptions of the last ones
        self.stopping = False
        self.pools: dict[str, Pool] = {LATEST: Pool(self, spec, activation_s)}
        self._update: Pool | None = None  # of `$LATEST`, under way
        self.last_version = 0
        self._in_flight = 0
        self._rate: Bucket | None = None  # of requests, with reserved concurrency
        self._ramp = Bucket(shared.config.ramp_per_10_s / 10, shared.config.ramp_per_10_s)
        self._wiping: set[asyncio.Future[None]] = set()
        self.reserve(spec.concurrency)

    @property
    def latest(self) -> Pool:
        """`$LATEST`; an update of it that is under way, though the old one still serves."""
        return self.pools[LATEST] if self._update is None else self._update

    @property
    def spec(self) -> FunctionSpec:
        """The settings of `latest`."""
        return self.latest.spec

    def reserve(self, count: int | None) -> None:
        """Set the reserved concurrency; None: none is reserved."""
        self.reserved = count
        self._rate = None if not count else Bucket(10 * count, 10 * count)
        self.shared.limits.reserve(self.name, count)

    def replace(self, spec: FunctionSpec, activation_s: float) -> None:
        """Replace `$LATEST`, after a time in which the old one serves; its environments end after their invocation."""
        self._update = update = Pool(self, spec, activation_s, "update")
        if activation_s:
            self.loop.call_later(activation_s, self._take_over, update)
        else:
            self._take_over(update)

    def settle(self) -> None:
        """Take over an update whose time has come, though a busy loop has not called its timer yet.

        Whoever is answered that the update is over is served by the new code.
        """
        if self._update is not None and not self._update.state.settle(self.loop.time()).in_progress:
            self._take_over(self._update)

    def _take_over(self, update: Pool) -> None:
        if self._update is update:
            self.pools[LATEST].retire()
            self.pools[LATEST], self._update = update, None

    def publish(self, spec: FunctionSpec, activation_s: float) -> None:
        """Add the version `spec.version`."""
        self.changed = False
        self.last_version = int(spec.version)
        self.pools[spec.version] = Pool(self, spec, activation_s)

    def invoke(self, pool: Pool, invocation: Invocation) -> None:
        """Run it, or refuse it. While its version is being created, it waits."""
        if pool.state.pending and pool.state.settle(self.loop.time()).pending:
            self.loop.call_at(pool.state.settled_s, self.invoke, pool, invocation)
            return
        reserved, limits = self.reserved, self.shared.limits
        if reserved is not None:
            if self._in_flight >= reserved:
                invocation.refuse(throttle("ReservedFunctionConcurrentInvocationLimitExceeded"))
                return
            if self._rate is not None and not self._rate.take():
                invocation.refuse(throttle("ReservedFunctionInvocationRateLimitExceeded"))
                return
        elif limits.unreserved_left <= 0:
            invocation.refuse(throttle("ConcurrentInvocationLimitExceeded"))
            return
        if not pool.idle and not self._ramp.take():
            # AWS documents no reason for a function that grows too fast; this is that of concurrency.
            invocation.refuse(throttle("ConcurrentInvocationLimitExceeded"))
            return
        if reserved is None:
            invocation.shared = True
            limits.unreserved_left -= 1
        self._in_flight += 1
        pool.dispatch(invocation)

    def finished(self, invocation: Invocation) -> None:
        """Release its share of the concurrency."""
        self._in_flight -= 1
        if invocation.shared:
            self.shared.limits.unreserved_left += 1

    def gone(self, environment: Environment) -> None:
        """Remove an ended environment."""
        self.environments.pop(environment.id, None)
        self.ended.append(environment.describe())

    def wipe(self, folder: Path) -> None:
        """Remove the folder of an ended environment, and what was kept for the next one."""
        self.shared.sandbox.leave(folder)
        if self.stopping:
            return  # the emulator's folder is removed as a whole
        wiping = asyncio.get_running_loop().run_in_executor(None, self.shared.scratch.wipe, folder)
        self._wiping.add(wiping)
        wiping.add_done_callback(self._wiping.discard)

    def remove(self) -> None:
        """End its environments after their invocations: the function is deleted."""
        self._update = None
        for pool in self.pools.values():
            pool.retire()
        self.shared.limits.reserve(self.name, None)

    async def stop(self) -> None:
        """End all environments and wait for their end."""
        self.stopping = True
        self._update = None
        environments = list(self.environments.values())
        for environment in environments:
            environment.stop()
        for environment in environments:
            await asyncio.shield(environment.process.ended)
        if self._wiping:
            await asyncio.wait(self._wiping)
