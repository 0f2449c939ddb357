"""AWS Lambda call by call: placement, cold starts, throttles, speed, eviction, and the driver and network before it.

The same mechanisms as in `fan_out`, which computes whole stages as arrays; a test holds the two against each other. Nothing
here waits: each function gets the time, in the order of time, and returns later times.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lbench.engine.simulation.compute import speed
from lbench.engine.simulation.distributions import Lognormal
from lbench.engine.simulation.environments import warm_after
from lbench.engine.simulation.network import slow_start_s, transfer_s
from lbench.engine.simulation.parameters import LambdaModel
from lbench.errors import count_text

__all__ = ["BURST", "Draws", "Environment", "Host", "Load", "Placed", "Platform", "Refused"]

BURST = 8  # so many calls at once, and each takes longer to be placed
_BLOCK = 1024
_BURST_S = 0.5  # after so long without another call a burst is over
_RATE_PERIOD_S = 1.0


class _Drawn(Protocol):
    def draw(self, rng: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True)
class Load:
    """What a task does to an environment."""

    cpu_s: float = 0.0  # CPU seconds on Lambda, over all its threads
    wait_s: float = 0.0  # seconds that no memory size shortens
    threads: float = 1.0


@dataclass(slots=True)
class Environment:
    """An execution environment."""

    id: str
    created_s: float
    init_s: float
    pace: float  # its durations as a multiple of the usual ones
    ended_s: float | None = None
    data: str | None = None  # digest of the data set that it has read


@dataclass(frozen=True, slots=True)
class Placed:
    """A call on its environment. The function starts at `started_s`; `init_s` before that is the cold start's."""

    environment: Environment
    cold: bool
    started_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was throttled, and why."""

    reason: str


class Draws:
    """Random numbers by name: each name is a stream of its own, so that a further kind of draw changes no other."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, Iterator[float]] = {}

    def of(self, name: str, distribution: _Drawn) -> float:
        """The next value of a parameter."""
        stream = self._streams.get(name)
        if stream is None:
            self._streams[name] = stream = self._blocks(name, distribution)
        return next(stream)

    def _blocks(self, name: str, distribution: _Drawn) -> Iterator[float]:
        rng = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        while True:
            yield from distribution.draw(rng, _BLOCK).tolist()


class Platform:
    """One function on Lambda: its environments live on from run to run."""

    def __init__(
        self,
        model: LambdaModel,
        *,
        memory_mb: int,
        arch: str,
        python: str,
        concurrency: int,
        seed: int,
        import_s: float = 0.0,
    ) -> None:
        """`concurrency`: environments that the account allows at once; `import_s`: of the code, on one vCPU."""
        self.environments: list[Environment] = []
        self.import_s = import_s
        self._model = model
        self._memory_mb = memory_mb
        self._concurrency = concurrency
        self._draws = Draws(seed)
        self._init_s = model.init_of(arch, python)
        self._pace = Lognormal(1.0, model.environment_sigma.median)
        self._task_pace = Lognormal(1.0, model.task_sigma.median)
        self._idle: list[Environment] = []
        self._busy = 0  # calls that are admitted and not over
        self._unplaced = 0  # of these, calls that are not placed yet
        self._expected = 0  # calls under way to the service or in it
        self._most_expected = 0
        self._growing = 0  # calls of the present burst that have raised their number
        self._grew_s = 0.0  # when the last of them left
        self._ramp = _Tokens(model.ramp_environments.median, model.ramp_period_s.median)
        self._rate = _Tokens(model.invokes_per_s_and_environment.median * concurrency, _RATE_PERIOD_S)

    # -- the course of a call

    def expect(self, now_s: float) -> bool:
        """Note a call that leaves for the service; returns whether more are under way than before.

        Such a call waits longer for its placement when many come at once; any other one takes the place of an ended call.
        """
        self._expected += 1
        grows = self._expected > self._most_expected
        if grows:
            self._most_expected = self._expected
            self._growing = 1 if now_s - self._grew_s > _BURST_S else self._growing + 1
            self._grew_s = now_s
        return grows

    def admit(self, now_s: float, grows: bool) -> float | Refused:
        """When an arrived call is placed; `grows` is what `expect` returned for it.

        Its concurrency counts from here on. Calls are placed in the order of their delays, not of their arrival.
        """
        burst = grows and self._growing >= BURST
        if self._busy >= self._concurrency:
            return Refused(f"the account allows {count_text(self._concurrency, 'environment')} at once")
        if not self._rate.take(now_s):
            return Refused(f"the account allows {self._rate.most:,.0f} requests a second")
        if self._unplaced >= len(self._idle) and not self._ramp.take(now_s):
            return Refused(f"the function gets {self._ramp.most:,.0f} new environments in 10 s")
        self._unplaced += 1
        self._busy += 1
        model = self._model
        if burst:
            return now_s + self._draws.of("start_delay_s", model.start_delay_s)
        return now_s + self._draws.of("invoke_overhead_s", model.invoke_overhead_s)

    def place(self, now_s: float) -> Placed:
        """Place an admitted call: on an idle environment, drawn at random, else on a new one."""
        self._unplaced -= 1
        if self._idle:
            chosen = int(self._draws.of("place", _UNIFORM) * len(self._idle))
            self._idle[chosen], self._idle[-1] = self._idle[-1], self._idle[chosen]
            return Placed(self._idle.pop(), cold=False, started_s=now_s)
        environment = self._new(now_s + self._draws.of("allocation_s", self._model.allocation_s))
        return Placed(environment, cold=True, started_s=environment.created_s + environment.init_s)

    def over(self) -> None:
        """Note that a call is over: its response is on its way, or it was refused."""
        self._expected -= 1
        if not self._expected:
            self._most_expected = 0

    def free(self, environment: Environment, now_s: float, *, ends: bool = False) -> None:
        """Take an environment back; `ends`: it does not outlive its call."""
        self._busy -= 1
        if ends:
            environment.ended_s = now_s
        else:
            self._idle.append(environment)

    def duration_s(self, load: Load, environment: Environment) -> float:
        factor = speed(self._memory_mb, load.threads, self._model.mb_per_vcpu.median)
        pace = self._draws.of("task_sigma", self._task_pace) * environment.pace
        return load.cpu_s / factor * pace + load.wait_s

    def fetch_s(self, environment: Environment, digest: str, size_bytes: int) -> float:
        """Seconds to read a data set from S3; 0.0 where the environment has it."""
        if environment.data == digest:
            return 0.0
        environment.data = digest
        return self.get_s(size_bytes)

    def get_s(self, size_bytes: int) -> float:
        """Seconds of one GET in an environment."""
        return self._draws.of("s3_get_s", self._model.s3_get_s) + transfer_s(self._model, size_bytes / 1e6)

    def put_s(self, size_bytes: int) -> float:
        """Seconds of one PUT in an environment."""
        return self._draws.of("s3_put_s", self._model.s3_put_s) + transfer_s(self._model, size_bytes / 1e6)

    def happens(self, name: str, share: float) -> bool:
        """Whether something of that rate happens to a call."""
        return share > 0 and self._draws.of(name, _UNIFORM) < share

    def drawn(self, name: str, distribution: _Drawn) -> float:
        """The next value of a parameter, from the platform's own random numbers."""
        return self._draws.of(name, distribution)

    # -- between runs

    def rest(self, now_s: float, idle_s: float) -> None:
        """Let the function lie idle until then: environments are evicted."""
        left = warm_after(len(self._idle), idle_s, self._model.idle_halving_s.median, self._model.idle_last_s.median)
        self._end(self._idle[: len(self._idle) - left], now_s)
        self._idle = self._idle[len(self._idle) - left :]
        self._busy = self._unplaced = self._expected = self._most_expected = self._growing = 0

    def renew(self, now_s: float) -> None:
        self._end(self._idle, now_s)
        self._idle = []

    def _end(self, environments: list[Environment], now_s: float) -> None:
        for environment in environments:
            environment.ended_s = now_s

    def _new(self, created_s: float) -> Environment:
        imported_s = self.import_s / min(self._model.init_vcpus.median, 1.0)
        environment = Environment(
            id=f"e{len(self.environments) + 1}",
            created_s=created_s,
            init_s=self._draws.of("init_s", self._init_s) + imported_s,
            pace=self._draws.of("environment_sigma", self._pace),
        )
        self.environments.append(environment)
        return environment


class Host:
    """The machine of the driver: its CPU, its uplink and its downlink serve one call after the other."""

    def __init__(self, model: LambdaModel, rtt_s: float, dispatch_s: float | None = None) -> None:
        """`rtt_s`: to the region and back; `dispatch_s`: of a call, if not the model's."""
        self.half_trip_s = rtt_s / 2
        self._dispatch_s = model.driver_dispatch_s.median if dispatch_s is None else dispatch_s
        self._up_s_per_mb = 1 / model.uplink_mb_per_s.median
        self._down_s_per_mb = 1 / model.downlink_mb_per_s.median
        self._decode_s_per_mb = model.driver_decode_s_per_mb.median
        self._cpu_free_s = self._up_free_s = self._down_free_s = self._decoder_free_s = 0.0

    def send(self, now_s: float, megabytes: float) -> float:
        """When a request that is dispatched now arrives at the service."""
        self._cpu_free_s = max(now_s, self._cpu_free_s) + self._dispatch_s
        self._up_free_s = max(self._cpu_free_s, self._up_free_s) + megabytes * self._up_s_per_mb
        return self._up_free_s + self.half_trip_s + self._slow_start_s(megabytes, self._up_s_per_mb)

    def receive(self, now_s: float, megabytes: float) -> tuple[float, float]:
        """When a response whose first byte arrives now has arrived, and when it is decoded."""
        starts_s = max(now_s + self._slow_start_s(megabytes, self._down_s_per_mb), self._down_free_s)
        self._down_free_s = starts_s + megabytes * self._down_s_per_mb
        self._decoder_free_s = max(self._down_free_s, self._decoder_free_s) + megabytes * self._decode_s_per_mb
        return self._down_free_s, self._decoder_free_s

    def _slow_start_s(self, megabytes: float, s_per_mb: float) -> float:
        return slow_start_s(megabytes, 2 * self.half_trip_s, 1 / s_per_mb)


class _Tokens:
    """A bucket of so many tokens that fills evenly within a period."""

    def __init__(self, most: float, period_s: float) -> None:
        self.most = most
        self._per_s = most / period_s
        self._left = most
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Take a token; False: there is none."""
        self._left = min(self.most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Uniform:
    """From 0 to 1."""

    def draw(self, rng: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
        return rng.random(shape)


_UNIFORM = _Uniform()
