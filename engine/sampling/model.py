"""The sample of a job. Times ending `_s` are seconds on a core of this machine; MB are of 1,048,576 bytes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["SAMPLE_PREFIX", "Noticed", "Request", "Sample", "SampledStage", "Verdict"]

SAMPLE_PREFIX = "lbench-sample-"  # of the folder of a sample
NoticedKind = Literal["network", "port", "program", "gpu", "write"]  # a port: of this machine


class SampledStage(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one stage that were run; the lists have an item for each."""

    tasks: int  # of the stage
    indices: list[int]  # of those that were run, in their order
    compute_s: list[float]
    request_bytes: list[int]
    response_bytes: list[int]
    peak_mb: list[int]  # 0: not measured
    between_s: float = 0.0  # the job's own code after the stage, in the driver
    wait: float = 0.0  # the share of their time in which the tasks do not compute
    threads: float = 1.0  # that are busy in the rest
    ready: float = 0.0  # the share in which they could compute, had a core been free


class Noticed(msgspec.Struct, frozen=True):
    """Something that a task did besides computing, as the interpreter's audit events show it."""

    kind: NoticedKind
    what: str


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a job: all of it (`complete`), or what the time limit allowed."""

    workload: str
    params: dict[str, Any]
    stages: list[SampledStage]
    complete: bool  # all tasks of all stages were run, and the job gave its answer
    before_s: float  # the job's own code before its first stage
    init_s: float  # the start of a worker: interpreter and imports
    data_bytes: int
    overhead_s: float  # of handing over one task to a local worker, by tasks that do nothing
    workers: int  # of this machine: its usable cores
    contention: float  # a task's time with all workers busy, over its time alone; at least 1
    limit_s: float  # the time limit of the sample
    longest_unended_s: float | None = None  # a task was stopped after so long
    stores: bool = False  # its tasks keep objects for each other, which on Lambda go through S3
    scratch_bytes: int | None = None  # the most that lay in the temporary folder; None: not measured
    noticed: list[Noticed] | None = None  # None: not watched
    machine: str = ""  # this machine and its software, as far as times depend on them
    created: str = ""  # ISO 8601

    @property
    def known_tasks(self) -> int:
        """Tasks of the stages that the job has yielded."""
        return sum(stage.tasks for stage in self.stages)

    @property
    def sampled_tasks(self) -> int:
        return sum(len(stage.compute_s) for stage in self.stages)


class Request(msgspec.Struct, kw_only=True):
    """What to sample, for the process that does."""

    workload: str
    params: dict[str, Any]
    tasks: int | None
    seed: int
    data: str | None
    encoding: str | None
    folder: str  # for the data set and temporary files; whoever asks removes it
    limit_s: float
    watch: bool = False


class Verdict(msgspec.Struct):
    """The sample, or one line on why there is none."""

    sample: Sample | None
    error: str | None = None
