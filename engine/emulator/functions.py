"""The functions, and which environment an invocation goes to."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from lbench.engine.emulator.answers import Invocation, error
from lbench.engine.emulator.environment import Environment
from lbench.engine.emulator.scratch import Scratch
from lbench.engine.emulator.spec import EmulatorConfig, FunctionSpec

__all__ = ["Function", "Limits"]


class Limits:
    """What all functions share: how many invocations may run at once."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.in_flight = 0


class Function:
    """One function: its environments, the idle ones with the most recently used last.

    Nothing ever waits for an environment, as on Lambda: an invocation gets an idle one, or a new one, or 429.
    """

    def __init__(self, spec: FunctionSpec, config: EmulatorConfig, limits: Limits, scratch: Scratch) -> None:
        self.spec = spec
        self._config = config
        self._limits = limits
        self._scratch = scratch
        self._in_flight = 0
        self._idle: list[Environment] = []
        self.environments: dict[str, Environment] = {}
        self.ended: deque[dict[str, Any]] = deque(maxlen=1000)  # the last ones that have gone, as they were
        self._stopping = False
        self._wiping: set[asyncio.Future[None]] = set()

    def invoke(self, invocation: Invocation) -> None:
        """Run it, or refuse it."""
        reserved = self.spec.concurrency
        if reserved is not None and self._in_flight >= reserved:
            self._throttle(invocation, "ReservedFunctionConcurrentInvocationLimitExceeded")
        elif self._limits.in_flight >= self._limits.concurrency:
            self._throttle(invocation, "ConcurrentInvocationLimitExceeded")
        else:
            self._in_flight += 1
            self._limits.in_flight += 1
            self._dispatch(invocation)

    def _throttle(self, invocation: Invocation, reason: str) -> None:
        error(
            invocation.exchange,
            invocation.request_id,
            429,
            "TooManyRequestsException",
            "Rate Exceeded.",
            retry_after_s=1,
            Reason=reason,
        )

    def _dispatch(self, invocation: Invocation) -> None:
        if self._idle:
            self._idle.pop().assign(invocation)
            return
        name = f"{self.spec.name}-{len(self.environments)}-{invocation.request_id}"
        folder = self._scratch.folder(name)
        try:
            environment = Environment(
                self.spec,
                self._config,
                folder,
                released=self._idle.append,
                ended=self._gone,
                finished=self._finished,
            )
        except OSError as problem:
            self._finished()
            self._scratch.wipe(folder)
            text = f"an environment cannot be started here: {problem.strerror}"
            error(invocation.exchange, invocation.request_id, 500, "ServiceException", text)
            return
        self.environments[environment.id] = environment
        environment.assign(invocation)

    def _finished(self) -> None:
        self._in_flight -= 1
        self._limits.in_flight -= 1

    def _gone(self, environment: Environment, unseen: Invocation | None) -> None:
        if environment in self._idle:
            self._idle.remove(environment)
        del self.environments[environment.id]
        self.ended.append(environment.describe())
        if self._stopping:
            return  # the whole folder goes at once
        wiping = asyncio.get_running_loop().run_in_executor(None, self._scratch.wipe, environment.folder)
        self._wiping.add(wiping)
        wiping.add_done_callback(self._wiping.discard)
        if unseen is not None:
            self._dispatch(unseen)

    async def stop(self) -> None:
        """End all environments and wait until they have gone."""
        self._stopping = True
        environments = list(self.environments.values())
        for environment in environments:
            environment.stop()
        for environment in environments:
            await asyncio.shield(environment.process.ended)
        if self._wiping:
            await asyncio.wait(self._wiping)
