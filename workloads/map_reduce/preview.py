"""The preview of a map-reduce while it runs: how uneven the reducers' shares are, mapper after mapper."""

from __future__ import annotations

from typing import Any

import numpy as np

from lbench.workloads.model import Task

__all__ = ["SkewCurve"]


class SkewCurve:
    """A point a mapper: the largest reducer's part of all rows sent so far, in percent."""

    def __init__(self) -> None:
        self._mappers = 0
        self._rows: Any = 0

    def add(self, task: Task, result: Any) -> dict[str, Any] | None:
        """Count a mapper's result in; reducers draw nothing."""
        if task.function != "map_reduce.map":
            return None
        self._mappers += 1
        self._rows = self._rows + result["rows"]
        total = int(np.sum(self._rows))
        share = 100.0 * int(np.max(self._rows)) / total if total else 0.0
        return {"kind": "curve", "label": "rows of the largest reducer, %", "x": float(self._mappers), "y": share}
