"""The load of a task, known without running it: probe's tasks by their arguments, replayed ones by their record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lbench.engine.simulation.platform import Load
from lbench.workloads.encoding import decode, encode
from lbench.workloads.functions import BATCH
from lbench.workloads.model import Job, Task

__all__ = ["REPLAYED", "Known", "RecordedStage", "known", "known_workload", "replay"]

REPLAYED = "simulated.replay"
_PROBES = ("probe.noop", "probe.spin", "probe.sleep", "probe.carry")
_NOTHING = encode(None)


@dataclass(frozen=True, slots=True)
class Known:
    """What a task does, and what comes of it."""

    load: Load
    result: bytes  # encoded
    request_bytes: int
    response_bytes: int


@dataclass(frozen=True, slots=True)
class RecordedStage:
    """A stage of a recorded run: a row for each of its tasks."""

    seconds: list[float]  # on a core of the machine that recorded it
    request_bytes: list[int]
    response_bytes: list[int]


def known_workload(name: str, params: Mapping[str, Any]) -> bool:
    """Whether the tasks of a workload with these parameters are known without a recorded run."""
    return name == "probe" and f"probe.{params.get('kind', 'noop')}" in _PROBES


def known(call: bytes, core_ratio: float, threads: float) -> Known | None:
    """What an encoded task does; None: it has to run to know that.

    Args:
        call: `Call.task`.
        core_ratio: vCPUs that one core of the recording machine is worth.
        threads: busy threads inside a recorded task.
    """
    function, arguments = decode(call)
    if function == BATCH:
        return _batch(call, arguments["calls"], core_ratio, threads)
    found = _one(function, arguments, core_ratio, threads)
    if found is None:
        return None
    load, result, sizes = found
    return Known(load, result, *(sizes or (len(call), len(result))))


def replay(stages: list[RecordedStage]) -> Job:
    """A job with the stages of a recorded run, whose tasks take as long and carry as much; it has no answer."""
    for stage in stages:
        yield [
            Task(REPLAYED, seconds=seconds, sizes=[request, response])
            for seconds, request, response in zip(stage.seconds, stage.request_bytes, stage.response_bytes, strict=True)
        ]
    return None


def _batch(call: bytes, calls: list[Any], core_ratio: float, threads: float) -> Known | None:
    cpu_s = wait_s = 0.0
    request = response = 0
    most_threads = 1.0
    results = []
    for function, arguments in calls:
        found = _one(function, arguments, core_ratio, threads)
        if found is None:
            return None
        load, result, sizes = found
        cpu_s += load.cpu_s
        wait_s += load.wait_s
        most_threads = max(most_threads, load.threads)
        request += sizes[0] if sizes else 0
        response += sizes[1] if sizes else len(result)
        results.append(decode(result))
    return Known(Load(cpu_s, wait_s, most_threads), encode(results), max(request, len(call)), response)


def _one(
    function: str, arguments: dict[str, Any], core_ratio: float, threads: float
) -> tuple[Load, bytes, tuple[int, int] | None] | None:
    if function == REPLAYED:
        load = Load(cpu_s=arguments["seconds"] * core_ratio, threads=threads)
        return load, _NOTHING, tuple(arguments["sizes"])
    if function not in _PROBES:
        return None
    if function == "probe.carry":
        return Load(), encode(arguments["blob"]), None
    if function == "probe.spin":
        load = Load(cpu_s=arguments["seconds"], threads=arguments.get("threads", 1))
    else:
        load = Load(wait_s=arguments.get("seconds", 0.0))
    return load, encode(arguments["number"]), None
