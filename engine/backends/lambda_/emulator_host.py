"""The emulator of one backend: its process, its injected conditions, its methods of sharing CPU and memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.settings import EmulatedSettings
from lbench.engine.emulator.core.spec import Conditions, EmulatorConfig, FunctionSpec
from lbench.engine.emulator.launch import RunningEmulator, launch
from lbench.workloads.sigv4 import Credentials

__all__ = ["DUMMY_CREDENTIALS", "EmulatorHost"]

DUMMY_CREDENTIALS = Credentials("lbench-emulated", "lbench-emulated")
# Settings that have the name of a condition; each is at rest at 0.
_CONDITIONS = ("latency_ms", "jitter_ms", "cold_delay_ms", "fail_rate", "throttle_rate", "lost_rate", "duplicate_rate")


class EmulatorHost:
    """Holds the emulator's process. Nothing is started before `start`."""

    def __init__(self, settings: EmulatedSettings, *, capacity: int) -> None:
        """`capacity`: environments at once."""
        self.conditions = Conditions(
            **{name: getattr(settings, name) for name in (*_CONDITIONS, "slow_rate", "slow_factor")},
            seed=settings.condition_seed,
        )
        self.cpu_share_method = ""  # known once it runs
        self.note = ""
        self._settings = settings
        self._capacity = capacity
        self._emulator: RunningEmulator | None = None

    @property
    def credentials(self) -> Credentials:
        """The emulator's, which it has made at random; it runs."""
        assert self._emulator is not None
        return self._emulator.credentials

    @property
    def injected(self) -> dict[str, float]:
        """The conditions that are not at rest, by the names of their settings."""
        conditions = self.conditions
        if conditions.at_rest:
            return {}
        found = {name: value for name in _CONDITIONS if (value := getattr(conditions, name))}
        if conditions.slow_rate:
            found |= {"slow_rate": conditions.slow_rate, "slow_factor": conditions.slow_factor}
        return found | {"condition_seed": conditions.seed}

    def start_allowance_s(self, undisturbed_s: float) -> float:
        """What an environment's start may take with these conditions, from what it may take without them."""
        conditions = self.conditions
        slower = conditions.slow_factor if conditions.slow_rate else 1.0
        return undisturbed_s * slower + (conditions.latency_ms + conditions.jitter_ms + conditions.cold_delay_ms) / 1000

    async def start(self, function: FunctionSpec) -> Resolved:
        """Start the emulator; returns its endpoint.

        Raises:
            BackendError: it does not start.
        """
        settings = self._settings
        self._emulator = await launch(
            [function],
            # A duplicate runs beside the one that it repeats.
            concurrency=self._capacity * (2 if self.conditions.duplicate_rate else 1),
            region=settings.region,
            config=EmulatorConfig(
                conditions=self.conditions,
                cpu_share=None if settings.cpu_share == "best" else settings.cpu_share,
                front_timeout_s=settings.front_timeout,
            ),
        )
        self.cpu_share_method, memory, isolation = await self._emulator.methods()
        self.note = f"CPU share by {self.cpu_share_method}, memory limit by {memory}, isolation by {isolation}"
        return Resolved(self._emulator.endpoint, settings.region)

    @contextlib.asynccontextmanager
    async def control(self) -> AsyncIterator[Any]:
        """An SDK client of the emulator; it reads none of the user's profiles and files."""
        from lbench.engine.backends.aws_client.sdk_client import isolated_session

        assert self._emulator is not None
        session = isolated_session(lambda: self.credentials, self._settings.region)
        async with session.client("lambda", endpoint_url=self._emulator.endpoint) as client:
            yield client

    def broken(self) -> str | None:
        """Why nothing can be invoked any more; None: it runs, or was not started."""
        if self._emulator is None or self._emulator.child.returncode is None:
            return None
        reason = self._emulator.last_error() or f"exit code {self._emulator.child.returncode}"
        return f"the emulator has ended during the run ({reason}): run it again"

    async def stop(self) -> None:
        """End the emulator and everything that it has started; may be called again."""
        emulator, self._emulator = self._emulator, None
        if emulator is not None:
            await emulator.stop()
