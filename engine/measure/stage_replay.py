"""The stages of a recorded run of the same job, for a simulated run to replay."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from lbench.engine.backends.simulated.task_loads import RecordedStage
from lbench.engine.billing.estimate import recorded_runs
from lbench.engine.plan.plan import Plan
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView
from lbench.engine.simulation.compute import speed
from lbench.workloads.model import Limits

__all__ = ["Recording", "find_recording"]

_OK = STATUSES.index("ok")
_ALONE = ("sequential", "processes", "threads", "emulated", "lambda")  # the first: there a task shares its core least
_INTERPRETER_S = 0.03  # of a worker's start, what is no import


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded run: what its tasks took on a core of this machine, and what a new environment imports."""

    session: str
    run: str
    label: str
    stages: list[RecordedStage]
    import_s: float | None  # on a core of this machine; None: not known
    batched: bool  # whether its tasks are batches

    @property
    def text(self) -> str:
        """Where it comes from."""
        return f"times of run {self.run} ({self.label}) of session {self.session}"


def find_recording(plan: Plan, limits: Limits, core_ratio: float) -> Recording | None:
    """The newest recorded run of the same work on this machine, best on one worker; None: there is none."""
    best: tuple[int, Recording] | None = None
    session = None
    batches = plan.batch not in (None, 1)
    alike = msgspec.structs.replace(plan, tasks=None) if batches else plan  # its stages have fewer tasks
    for run, folder in recorded_runs(alike, limits.tasks if limits.sure else None, of_any_size=True):
        if best is not None and folder != session:
            break
        batched = bool((run.columns["batch"] > 1).any())
        if run.planned.backend not in _ALONE or (batched and not batches):
            continue
        rank = _ALONE.index(run.planned.backend)
        if best is None or rank < best[0]:
            stages = _stages(run, core_ratio)
            if stages:
                best = rank, Recording(folder, run.id, run.planned.label, stages, _import_s(run), batched)
                session = folder
    return None if best is None else best[1]


def _stages(run: RunView, core_ratio: float) -> list[RecordedStage]:
    found = []
    factor = _here(run, core_ratio)
    columns = run.columns
    for number, stage in enumerate(run.stages):
        rows = np.flatnonzero((columns["stage"] == number) & (columns["status"] == _OK))
        rows = rows[np.argsort(columns["task"][rows], kind="stable")]
        seconds = columns["compute_ms"][rows].astype(np.float64) / 1000 * factor
        if len(rows) != stage.tasks or np.isnan(seconds).any():
            return []
        found.append(
            RecordedStage(
                seconds.tolist(),
                np.maximum(columns["request_bytes"][rows], 0).tolist(),
                np.maximum(columns["response_bytes"][rows], 0).tolist(),
            )
        )
    return found


def _here(run: RunView, core_ratio: float) -> float:
    """What turns its computing into seconds on a core of this machine."""
    if run.planned.backend not in ("lambda", "emulated") or run.started is None:
        return 1.0
    limited = all(one.cpu_share_method != "none" for one in run.environments.values())
    share = speed(run.started.pricing.memory_mb or 1769) if limited else 1.0
    return share / core_ratio if run.planned.backend == "lambda" else share


def _import_s(run: RunView) -> float | None:
    if run.planned.backend in ("lambda", "emulated"):
        return None
    starts = [one.init_ms / 1000 for one in run.environments.values() if one.init_ms is not None]
    return max(0.0, float(np.median(starts)) - _INTERPRETER_S) if starts else None
