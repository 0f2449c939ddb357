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
    shape = (replications, tasks)
    lanes = min(environments, tasks)
    warm = min(warm, lanes)
    dispatch_s = model.driver_dispatch_s.median if driver.dispatch_s is None else driver.dispatch_s
    if driver.rate_per_s is not None:
        dispatch_s = max(dispatch_s, 1.0 / driver.rate_per_s)
    if not driver.connections_open:
        dispatch_s += model.driver_connect_s.median
    burst = tasks >= 8 if together is None else together

    rtt_s = model.rtt_s.draw(rng, (replications, 1))
    rtt = model.rtt_s.median
    upload_s = stage.request_mb * lanes / model.uplink_mb_per_s.median  # the calls under way share the uplink
    upload_s += slow_start_s(stage.request_mb, rtt, model.uplink_mb_per_s.median)
    again_s = rtt_s / 2 + upload_s + model.invoke_overhead_s.draw(rng, shape)
    delay_s = rtt_s / 2 + upload_s + model.start_delay_s.draw(rng, shape) if burst else again_s
    if not driver.connections_open:
        delay_s = delay_s + _HANDSHAKES * rtt_s
    # A new environment's init runs with two vCPUs; what the call itself imports and fetches, with its memory's share.
    factor = speed(memory_mb, stage.threads, model.mb_per_vcpu.median)
    single = speed(memory_mb, 1.0, model.mb_per_vcpu.median)
    lane_init_s = model.init_of(arch, python).draw(rng, (replications, lanes))
    lane_init_s = lane_init_s + stage.import_s / min(model.init_vcpus.median, 1.0)
    lane_new_s = model.allocation_s.draw(rng, (replications, lanes)) + lane_init_s
    ramp = np.zeros(lanes)
    ramp[warm:] = ramp_wait_s(lanes - warm, model.ramp_environments.median, model.ramp_period_s.median)
    lane_new_s = lane_new_s + ramp
    lane_new_s[:, :warm] = 0.0
    lane_speed = np.exp(rng.normal(0.0, model.environment_sigma.median, (replications, lanes)))
    task_spread = np.exp(rng.normal(0.0, model.task_sigma.median, shape))
    run_s = stage.work_s / factor * task_spread
    wait_s = np.broadcast_to(stage.wait_s, shape)
    first_s = np.zeros((replications, lanes))
    if stage.fetch_mb:
        first_s = model.s3_get_s.draw(rng, (replications, lanes)) + transfer_s(model, stage.fetch_mb) / min(
            1.0, single * 2
        )
    response_s = rtt_s / 2 + stage.response_mb / model.network_mb_per_s.median
    response_s = response_s + slow_start_s(stage.response_mb, rtt, model.downlink_mb_per_s.median)

    queued_s = np.arange(tasks)[None, :] * dispatch_s
    if lanes == tasks:
        arrived_s = queued_s + delay_s
        started_s = arrived_s + lane_new_s
        ended_s = started_s + first_s + (run_s + driver.after_s) * lane_speed + wait_s
        cold = np.broadcast_to(np.arange(tasks) >= warm, shape)
        billed_s = ended_s - started_s + np.where(cold, lane_init_s, 0.0)
    else:
        started_s, ended_s, billed_s = np.empty(shape), np.empty(shape), np.empty(shape)
        cold = np.zeros(shape, dtype=np.bool_)
        free_s = np.broadcast_to(queued_s[:, :lanes], (replications, lanes)).copy()  # when each lane can take a call
        fresh = np.ones((replications, lanes), dtype=np.bool_)
        rows, back_s = np.arange(replications), response_s[:, 0] + dispatch_s
        for task in range(tasks):  # the next call goes to the lane that is free first
            lane = free_s.argmin(axis=1)
            first = fresh[rows, lane]
            is_cold = first & (lane >= warm)
            start = free_s[rows, lane] + np.where(first, delay_s[:, task], again_s[:, task])
            start = start + np.where(is_cold, lane_new_s[rows, lane], 0.0)
            end = start + np.where(first, first_s[rows, lane], 0.0) + wait_s[:, task]
            end = end + (run_s[:, task] + driver.after_s) * lane_speed[rows, lane]
            started_s[:, task], ended_s[:, task], cold[:, task] = start, end, is_cold
            billed_s[:, task] = end - start + np.where(is_cold, lane_init_s[rows, lane], 0.0)
            free_s[rows, lane] = end + back_s
            fresh[rows, lane] = False
    back = np.sort(ended_s + response_s, axis=1)
    # The responses share the downlink, and the driver decodes one after the other.
    back = one_by_one(back, stage.response_mb / model.downlink_mb_per_s.median)
    back = one_by_one(back, stage.response_mb * model.driver_decode_s_per_mb.median)
    if driver.poll_s:
        back = back + rng.random(shape) * driver.poll_s
    return FanOut(started_s=started_s, ended_s=ended_s, noticed_s=back, cold=cold, billed_s=np.asarray(billed_s))


def one_by_one(arrivals_s: Floats, each_s: float) -> Floats:
    """When each has been served, along the last axis: in the order of arrival, one after the other, each for so long."""
    if not each_s:
        return arrivals_s
    ahead = np.arange(arrivals_s.shape[-1]) * each_s
    served_s: Floats = np.maximum.accumulate(arrivals_s - ahead, axis=-1) + ahead + each_s
    return served_s
