"""probe: tasks that do nothing, spin or carry bytes; what a backend itself costs, without a problem in the way."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lbench.workloads.model import Description, Params

__all__ = ["DESCRIPTION", "ProbeParams"]


class ProbeParams(Params, frozen=True, kw_only=True):
    """What each of the tasks (default 100) does."""

    kind: Annotated[
        Literal["noop", "spin", "sleep", "carry", "spawn", "kernels"],
        Meta(
            description="noop: nothing; spin: CPU time; sleep: wall time; carry: a result of so many bytes; "
            "spawn: a process that outlives its task; kernels: three kinds of computing in turns, to compare cores "
            "(default 9 tasks)"
        ),
    ] = "noop"
    seconds: Annotated[
        float, Meta(ge=0, le=3600, description="how long it spins or sleeps, or what it spawns lives")
    ] = 0.01
    threads: Annotated[int, Meta(ge=1, le=64, description="threads of a task that spin; they share its CPU time")] = 1
    size_bytes: Annotated[int, Meta(ge=0, le=2**30, description="bytes that a task carries each way")] = 0


DESCRIPTION = Description(
    name="probe",
    summary="tasks that do nothing, spin, sleep or carry bytes: what a backend itself costs",
    params=ProbeParams,
    implementation="lbench.workloads.probe.job:WORKLOAD",
    trial={"tasks": 1},
)
