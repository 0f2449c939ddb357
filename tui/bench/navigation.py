"""Finds invocations in a timeline: neighbours, the slowest, the next that failed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lbench.engine.session.columns import STATUSES
from lbench.tui.bench.lanes import Lanes

__all__ = ["Navigator"]

_TROUBLE = [STATUSES.index(name) for name in ("error", "timeout", "throttled")]


class Navigator:
    """Navigates the rows of one run in its lanes."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._longest_first: list[int] = []

    @property
    def _columns(self) -> Any:
        return self._lanes.run.columns

    def order(self, *, by_duration: bool) -> list[int]:
        """The lanes as shown: by environment, or the one with the longest invocation first (computed once)."""
        count = len(self._lanes)
        if not by_duration:
            return list(range(count))
        if len(self._longest_first) != count:
            took = np.nan_to_num(self._columns["returned_s"] - self._columns["dispatched_s"], nan=0.0)
            longest = np.zeros(count)
            lanes = self._lanes.of_rows()
            inside = (lanes >= 0) & (lanes < count)
            np.maximum.at(longest, lanes[inside], took[inside])
            self._longest_first = np.argsort(-longest, kind="stable").tolist()
        return self._longest_first

    def forget_order(self) -> None:
        """Compute the order by duration again."""
        self._longest_first = []

    def rows_of(self, lane: int) -> Any:
        """The rows of a lane in the order of time."""
        rows = np.flatnonzero(self._lanes.of_rows() == lane)
        return rows[np.argsort(self._columns["dispatched_s"][rows], kind="stable")]

    def at(self, lane: int, at_s: float) -> int | None:
        """The row in a lane at a moment, else its first."""
        rows = self.rows_of(lane)
        if not len(rows):
            return None
        begun = self._columns["dispatched_s"][rows]
        return int(rows[max(0, int(np.searchsorted(begun, at_s, side="right")) - 1)])

    def beside(self, row: int, by: int) -> int | None:
        """The next (or previous) row of its lane."""
        rows = self.rows_of(int(self._lanes.of_rows()[row]))
        place = int(np.flatnonzero(rows == row)[0]) + by
        return int(rows[place]) if 0 <= place < len(rows) else None

    def slowest(self) -> int | None:
        """The slowest row that has returned."""
        took = self._columns["returned_s"] - self._columns["dispatched_s"]
        return int(np.nanargmax(took)) if len(took) and not np.isnan(took).all() else None

    def trouble(self, after: int | None) -> int | None:
        """The next failed row in time after `after` (None: the first); after the last, the first."""
        columns = self._columns
        rows = np.flatnonzero(np.isin(columns["status"], _TROUBLE))
        if not len(rows):
            return None
        rows = rows[np.argsort(columns["dispatched_s"][rows], kind="stable")]
        if after is None:
            return int(rows[0])
        later = rows[columns["dispatched_s"][rows] > columns["dispatched_s"][after]]
        return int(later[0] if len(later) else rows[0])
