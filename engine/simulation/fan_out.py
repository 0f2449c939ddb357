"""One stage of tasks on the model, many times over: when each starts and ends, the makespan, the billed time.

Everything is an array over replications: a prediction needs hundreds of them, and an interval comes from their spread. The
same mechanisms as in `platform.py`, which answers call by call; a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lbench.engine.simulation.compute import speed
from lbench.engine.simulation.environments import ramp_wait_s
from lbench.engine.simulation.network import slow_start_s, transfer_s
from lbench.engine.simulation.parameters import LambdaModel
from lbench.errors import InputError

__all__ = ["Driver", "FanOut", "Stage", "one_by_one", "simulate_stage"]

Floats = NDArray[np.float64]

_HANDSHAKES = 3.0  # round trips of a new connection: TCP, and TLS 1.2; ours are open before the clock starts


@dataclass(frozen=True)
class Driver:
    """How the calls leave and how their results are noticed.

    None stands for the model's own parameter. `poll_s` is for clients that look for results at intervals (Lithops); ours
    waits on the connection. `rate_per_s` is the limit of a front before Lambda, as in the original study.
    """

    dispatch_s: float | None = None
    poll_s: float = 0.0
    rate_per_s: float | None = None
    connections_open: bool = True
    after_s: float = 0.0  # the client's own part of each call inside the function, before and after the work


@dataclass(frozen=True)
class Stage:
    """Tasks that may all run at once.

    `work_s` are durations on one full vCPU, of one thread, in the order of dispatch: shape (tasks,), or (replications,
    tasks) where they are uncertain themselves. `wait_s`, also of such a shape, is what memory does not shorten.
    """

    work_s: Floats
    wait_s: float | Floats = 0.0
    threads: float = 1.0
    request_mb: float = 0.0
    response_mb: float = 0.0
    fetch_mb: float = 0.0  # data that a new environment reads from S3
    import_s: float | Floats = 0.0  # of the code in a new environment, on a full vCPU; or of shape (replications, 1)


@dataclass(frozen=True)
class FanOut:
    """What came out: arrays of shape (replications, tasks) or (replications,), seconds after the first dispatch."""

    started_s: Floats
    ended_s: Floats
    noticed_s: Floats
    cold: NDArray[np.bool_]
    billed_s: Floats
    makespan_s: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "makespan_s", self.noticed_s.max(axis=1))


def simulate_stage(
    model: LambdaModel,
    stage: Stage,
    *,
    memory_mb: float,
    environments: int,
    warm: int,
    rng: np.random.Generator,
    replications: int = 200,
    arch: str = "x86_64",
    python: str = "3.13",
    driver: Driver = Driver(),
    together: bool | None = None,
) -> FanOut:
    """Simulate a stage on at most so many environments, `warm` of which are there already.

    `together` says whether the calls arrive as a burst (the delay of many calls at once) or singly; by default from 8
    tasks on.

    Raises:
        InputError: no tasks, or no environments.
    """
    tasks = stage.work_s.shape[-1]
    if tasks < 1 or environments < 1:
        raise InputError(f"a simulated stage needs tasks and environments, got {tasks} and {environments}")
    lanes = min(environments, tasks)
    warm = min(warm, lanes)
    burst = tasks >= 8 if together is None else together
    drawn = _draw(
        model, stage, driver, rng,
        replications=replications, lanes=lanes, warm=warm, memory_mb=memory_mb, arch=arch, python=python, burst=burst,
    )  # fmt: skip
    started_s, ended_s, billed_s, cold = _all_at_once(drawn, warm) if lanes == tasks else _in_turn(drawn, warm)
    # The responses share the downlink, and the driver decodes one after the other.
    back_s = np.sort(ended_s + drawn.response_s, axis=1)
    back_s = one_by_one(back_s, stage.response_mb / model.downlink_mb_per_s.median)
    back_s = one_by_one(back_s, stage.response_mb * model.driver_decode_s_per_mb.median)
    if driver.poll_s:
        back_s = back_s + rng.random((replications, tasks)) * driver.poll_s
    return FanOut(started_s=started_s, ended_s=ended_s, noticed_s=back_s, cold=cold, billed_s=billed_s)


@dataclass(frozen=True)
class _Drawn:
    """The parts of a stage's times: of tasks (replications, tasks), of environments (replications, lanes)."""

    dispatch_s: float  # between two calls
    delay_s: Floats  # from the dispatch of an environment's first call to its start
    again_s: Floats  # of its later calls
    run_s: Floats
    wait_s: Floats
    response_s: Floats  # (replications, 1)
    new_s: Floats  # until a new environment can run; 0 for warm ones
    init_s: Floats  # the billed part of it
    first_s: Floats  # that an environment's first call takes more
    speed: Floats  # factor on a task's time


def _draw(
    model: LambdaModel,
    stage: Stage,
    driver: Driver,
    rng: np.random.Generator,
    *,
    replications: int,
    lanes: int,
    warm: int,
    memory_mb: float,
    arch: str,
    python: str,
    burst: bool,
) -> _Drawn:
    of_tasks, of_lanes = (replications, stage.work_s.shape[-1]), (replications, lanes)
    dispatch_s = model.driver_dispatch_s.median if driver.dispatch_s is None else driver.dispatch_s
    if driver.rate_per_s is not None:
        dispatch_s = max(dispatch_s, 1.0 / driver.rate_per_s)
    if not driver.connections_open:
        dispatch_s += model.driver_connect_s.median

    rtt_s = model.rtt_s.draw(rng, (replications, 1))
    rtt = model.rtt_s.median
    upload_s = stage.request_mb * lanes / model.uplink_mb_per_s.median  # the calls under way share the uplink
    upload_s += slow_start_s(stage.request_mb, rtt, model.uplink_mb_per_s.median)
    again_s = rtt_s / 2 + upload_s + model.invoke_overhead_s.draw(rng, of_tasks)
    delay_s = rtt_s / 2 + upload_s + model.start_delay_s.draw(rng, of_tasks) if burst else again_s
    if not driver.connections_open:
        delay_s = delay_s + _HANDSHAKES * rtt_s

    # A new environment's init runs with two vCPUs; what the call itself imports and fetches, with its memory's share.
    init_s = model.init_of(arch, python).draw(rng, of_lanes)
    init_s = init_s + stage.import_s / min(model.init_vcpus.median, 1.0)
    new_s = model.allocation_s.draw(rng, of_lanes) + init_s
    ramp = np.zeros(lanes)
    ramp[warm:] = ramp_wait_s(lanes - warm, model.ramp_environments.median, model.ramp_period_s.median)
    new_s = new_s + ramp
    new_s[:, :warm] = 0.0

    lane_speed = np.exp(rng.normal(0.0, model.environment_sigma.median, of_lanes))
    task_spread = np.exp(rng.normal(0.0, model.task_sigma.median, of_tasks))
    work_s = stage.work_s / speed(memory_mb, stage.threads, model.mb_per_vcpu.median)
    first_s = np.zeros(of_lanes)
    if stage.fetch_mb:
        share = min(1.0, speed(memory_mb, 1.0, model.mb_per_vcpu.median) * 2)
        first_s = model.s3_get_s.draw(rng, of_lanes) + transfer_s(model, stage.fetch_mb) / share
    response_s = rtt_s / 2 + stage.response_mb / model.network_mb_per_s.median
    return _Drawn(
        dispatch_s=dispatch_s,
        delay_s=delay_s,
        again_s=again_s,
        run_s=work_s * task_spread + driver.after_s,
        wait_s=np.broadcast_to(stage.wait_s, of_tasks),
        response_s=response_s + slow_start_s(stage.response_mb, rtt, model.downlink_mb_per_s.median),
        new_s=new_s,
        init_s=init_s,
        first_s=first_s,
        speed=lane_speed,
    )


_Course = tuple[Floats, Floats, Floats, NDArray[np.bool_]]  # started, ended and billed seconds, and cold, of each task


def _all_at_once(drawn: _Drawn, warm: int) -> _Course:
    """Each task in an environment of its own."""
    tasks = np.arange(drawn.run_s.shape[1])
    started_s = tasks[None, :] * drawn.dispatch_s + drawn.delay_s + drawn.new_s
    ended_s = started_s + drawn.first_s + drawn.run_s * drawn.speed + drawn.wait_s
    cold = np.broadcast_to(tasks >= warm, drawn.run_s.shape)
    return started_s, ended_s, ended_s - started_s + np.where(cold, drawn.init_s, 0.0), cold


def _in_turn(drawn: _Drawn, warm: int) -> _Course:
    """More tasks than environments: the next call goes to the environment that is free first."""
    shape, lanes = drawn.run_s.shape, drawn.new_s.shape[1]
    started_s, ended_s, billed_s = np.empty(shape), np.empty(shape), np.empty(shape)
    cold = np.zeros(shape, dtype=np.bool_)
    queued_s = np.arange(lanes)[None, :] * drawn.dispatch_s
    free_s = np.broadcast_to(queued_s, drawn.new_s.shape).copy()  # when each environment can take a call
    fresh = np.ones(drawn.new_s.shape, dtype=np.bool_)
    rows, back_s = np.arange(shape[0]), drawn.response_s[:, 0] + drawn.dispatch_s
    for task in range(shape[1]):
        lane = free_s.argmin(axis=1)
        first = fresh[rows, lane]
        is_cold = first & (lane >= warm)
        start = free_s[rows, lane] + np.where(first, drawn.delay_s[:, task], drawn.again_s[:, task])
        start = start + np.where(is_cold, drawn.new_s[rows, lane], 0.0)
        end = start + np.where(first, drawn.first_s[rows, lane], 0.0) + drawn.wait_s[:, task]
        end = end + drawn.run_s[:, task] * drawn.speed[rows, lane]
        started_s[:, task], ended_s[:, task], cold[:, task] = start, end, is_cold
        billed_s[:, task] = end - start + np.where(is_cold, drawn.init_s[rows, lane], 0.0)
        free_s[rows, lane] = end + back_s
        fresh[rows, lane] = False
    return started_s, ended_s, billed_s, cold


def one_by_one(arrivals_s: Floats, each_s: float) -> Floats:
    """When each has been served, along the last axis: in the order of arrival, one after the other, each for so long."""
    if not each_s:
        return arrivals_s
    ahead = np.arange(arrivals_s.shape[-1]) * each_s
    served_s: Floats = np.maximum.accumulate(arrivals_s - ahead, axis=-1) + ahead + each_s
    return served_s
