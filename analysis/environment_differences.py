"""Differences between the environments of sessions: machine, versions, settings, all that figures depend on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from lbench.engine.session.view import RunView, SessionView

__all__ = ["Difference", "environment_differences", "short_digest"]


_ABSENT = "–"
_LEAST_LOAD = 0.5  # by which load averages differ that are named
_CAPACITY = "concurrency"  # the setting that the number of workers follows from


class Difference(msgspec.Struct, frozen=True):
    """What differs between the sessions' environments: a value for each session."""

    what: str
    values: tuple[str, ...]


def environment_differences(
    views: Sequence[SessionView], jobs: Iterable[Sequence[Sequence[RunView]]]
) -> list[Difference]:
    """The facts that are not the same in all sessions, in a fixed order: of the machines, then of the compared runs.

    A session without a backend or a job differs in nothing of it.

    Args:
        views: the sessions.
        jobs: of each job that is compared the runs of each session; none of a session that does not have it.
    """
    machines = [_machine(view) for view in views]
    found = [
        Difference(name, tuple(own.get(name, _ABSENT) for own in machines))
        for name in dict.fromkeys(name for own in machines for name in own)
    ]
    found = [one for one in found if len(set(one.values)) > 1]
    if (load := _load(views)) is not None:
        found.append(load)
    return found + _of_runs([[_runs(runs) for runs in job] for job in jobs], len(views))


def _machine(view: SessionView) -> dict[str, str]:
    """What a session was measured on, as texts."""
    if view.header is None:
        return {}
    environment = view.header.environment
    found: dict[str, Any] = {
        "host": environment.hostname,
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
        **environment.variables,
        "lbench": view.header.lbench_version,
        **{name: version for name, version in environment.packages.items() if name != "lbench"},
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _load(views: Sequence[SessionView]) -> Difference | None:
    """The load averages at the start, where they differ by more than an idle machine's do."""
    loads = [None if view.header is None else view.header.environment.load_1m for view in views]
    known = [load for load in loads if load is not None]
    if len(known) < 2 or max(known) - min(known) < _LEAST_LOAD:
        return None
    return Difference("load at its start", tuple(_ABSENT if load is None else f"{load:.2g}" for load in loads))


def _runs(runs: Sequence[RunView]) -> dict[str, str]:
    """What the figures of one job depend on in one session."""
    found: dict[str, Any] = {}
    for run in runs:
        if run.started is None:
            continue
        label = run.planned.label
        found.setdefault(f"workers of {label}", run.started.capacity)
        found.setdefault(f"tasks of {label}", run.known_tasks or run.planned.tasks)
        found.setdefault(f"code of {run.planned.workload}", short_digest(run.started.code_digest))
        for name, value in run.started.settings.items():
            if name != _CAPACITY:
                found.setdefault(f"{name} of {label}", "default" if value is None else value)
        if run.started.package_digest is not None:
            found.setdefault(f"package of {label}", short_digest(run.started.package_digest))
        for environment in run.environments.values():
            if environment.cpu_share_method is not None:
                found.setdefault(f"CPU share of {label}", environment.cpu_share_method)
        if len(run.columns):
            found.setdefault(f"batch of {label}", max(1, int(run.columns["batch"].max())))
        found.setdefault("schedule", run.planned.schedule)
    return {name: str(value) for name, value in found.items() if value is not None}


def _of_runs(jobs: Sequence[Sequence[dict[str, str]]], count: int) -> list[Difference]:
    """The facts that differ in a job, with the values of all jobs."""
    names = dict.fromkeys(name for job in jobs for own in job for name in own)
    found = []
    for name in names:
        rows = [[own.get(name) for own in job] for job in jobs]
        if any(len({value for value in row if value is not None}) > 1 for row in rows):
            values = [[value for row in rows if (value := row[number]) is not None] for number in range(count)]
            found.append(Difference(name, tuple(", ".join(dict.fromkeys(own)) or _ABSENT for own in values)))
    return found


def short_digest(digest: str | None) -> str:
    """The beginning of a digest, for people."""
    return "none" if digest is None else digest.removeprefix("sha256:")[:8]
