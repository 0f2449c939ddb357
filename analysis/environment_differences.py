"""What differs between the environments of sessions, on which their figures depend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lbench.engine.session.view import SessionView

__all__ = ["Difference", "environment_differences", "short_digest"]


_ABSENT = "–"
_OF_RUNS = ("workers of ", "tasks of ", "code of ")


class Difference(msgspec.Struct, frozen=True):
    """What differs between the sessions' environments: a value for each session."""

    what: str
    values: tuple[str, ...]


def environment_differences(views: Sequence[SessionView]) -> list[Difference]:
    """The facts that are not the same in all sessions, in a fixed order.

    A session without a backend or a workload differs in nothing of it.
    """
    facts = [_facts(view) for view in views]
    names = dict.fromkeys(name for own in facts for name in own)
    rows = [Difference(name, tuple(own.get(name, _ABSENT) for own in facts)) for name in names]
    return [row for row in rows if len(set(row.values) - ({_ABSENT} if row.what.startswith(_OF_RUNS) else set())) > 1]


def _facts(view: SessionView) -> dict[str, str]:
    """What a session's figures depend on, as texts."""
    if view.header is None:
        return {}
    environment = view.header.environment
    found: dict[str, Any] = {
        "processor": environment.cpu_model,
        "usable cores": None if environment.usable_cores is None else f"{environment.usable_cores:g}",
        "physical cores": environment.physical_cores,
        "logical cores": environment.logical_cores,
        "CPU quota": None if environment.cgroup_quota is None else f"{environment.cgroup_quota:g}",
        "governor": environment.cpu_governor,
        "memory": None if environment.memory_bytes is None else f"{environment.memory_bytes / 2**30:.0f} GiB",
        "system": environment.os,
        "python": environment.python,
        "BLAS threads": environment.blas_threads,
        "lbench": view.header.lbench_version,
        **environment.packages,
    }
    runs = [run for run in view.started_runs if run.started is not None]
    for run in runs:
        assert run.started is not None
        label = run.planned.label
        found.setdefault(f"workers of {label}", run.started.capacity)
        found.setdefault(f"tasks of {label}", run.known_tasks or run.planned.tasks)
        found.setdefault(f"code of {run.planned.workload}", short_digest(run.started.code_digest))
    return {name: str(value) for name, value in found.items() if value is not None}


def short_digest(digest: str | None) -> str:
    """The beginning of a digest, for people."""
    return "none" if digest is None else digest.removeprefix("sha256:")[:8]
