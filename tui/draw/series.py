"""The values of the histograms, one series per backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from lbench.engine.session.view import RunView
from lbench.tui.theme import role_of

__all__ = ["VALUES", "Series", "gather"]


class Series(msgspec.Struct, frozen=True):
    """The values of one backend."""

    backend: str
    label: str
    values: Any  # (n,) of milliseconds

    @property
    def role(self) -> str:
        return role_of(self.backend, self.label)


def cold_starts(run: RunView) -> Any:
    """Init durations (ms) of cold starts."""
    columns = run.columns
    init = columns["init_ms"]
    return init[(columns["cold"] == 1) & np.isfinite(init)]


def warm_durations(run: RunView) -> Any:
    """Compute times (ms) of warm invocations that were ok."""
    values = run.warm_compute_ms()
    return values[np.isfinite(values)]


def gather(runs: list[RunView], values: Callable[[RunView], Any]) -> list[Series]:
    """A series for each backend that has values, over all its runs but warm-ups and paused ones."""
    groups: dict[str, list[RunView]] = {}
    for run in runs:
        if not run.planned.warmup and not run.paused and run.started is not None:
            groups.setdefault(run.planned.label, []).append(run)
    series = []
    for label, group in groups.items():
        parts = [part for run in group if len(part := values(run))]
        if parts:
            series.append(Series(group[0].planned.backend, label, np.concatenate(parts)))
    return series


VALUES = {"cold": cold_starts, "warm": warm_durations}
