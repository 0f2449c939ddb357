"""The rows of a run that is over, sorted by lane and time, so that a window of a million costs what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.engine.session.columns import STATUSES, Columns
from lbench.tui.bench.lanes import Lanes

__all__ = ["LaneRows", "bar_of"]

_PLAIN = [STATUSES.index(name) for name in ("ok", "cancelled", "superseded")]  # without a mark


class LaneRows:
    """The ended rows of each lane, by when their bars begin."""

    def __init__(self, lanes: Lanes, ended: NDArray[np.int64]) -> None:
        columns = lanes.run.columns
        lane = lanes.of_rows()[ended]
        ended, lane = ended[lane >= 0], lane[lane >= 0]
        begun, done = bar_of(columns, ended)
        order = np.argsort(begun, kind="stable")
        order = order[np.argsort(lane[order], kind="stable")]
        self._rows, self._begun, self._done = ended[order], begun[order], done[order]
        sizes = np.bincount(lane, minlength=len(lanes))
        self._behind = np.cumsum(sizes)
        self._first = self._behind - sizes
        rows = self._rows
        init = (columns["cold"][rows] == 1) & (columns["init_ms"][rows] > 0)
        self._marked = init | (columns["attempt"][rows] > 0) | ~np.isin(columns["status"][rows], _PLAIN)
        fetch_s = columns["fetch_ms"][rows] / 1000
        self._fetch_s = fetch_s if (fetch_s > 0).any() else None
        # Monotone bounds, for rows that are not in order: the last return up to a row, the first dispatch from it on.
        self._returned = columns["returned_s"][rows]
        self._dispatched = columns["dispatched_s"][rows]
        for first, behind in zip(self._first.tolist(), self._behind.tolist(), strict=True):
            part = slice(first, behind)
            self._returned[part] = np.fmax.accumulate(self._returned[part])
            self._dispatched[part] = np.fmin.accumulate(self._dispatched[part][::-1])[::-1]

    def showing(self, visible: list[int], window: tuple[float, float], width: int) -> NDArray[np.int64]:
        """The rows whose bars or marks show: not those of one cell that a later one in the same cell covers."""
        start_s, end_s = window
        cell_s = (end_s - start_s) / width
        found = []
        for lane in visible:
            first, behind = int(self._first[lane]), int(self._behind[lane])
            low = first + int(np.searchsorted(self._returned[first:behind], start_s))
            high = first + int(np.searchsorted(self._dispatched[first:behind], end_s, side="right"))
            if low >= high:
                continue
            part = slice(low, high)
            begin = np.floor((self._begun[part] - start_s) / cell_s)
            keep = np.ceil((self._done[part] - start_s) / cell_s) - begin >= 2
            keep[:-1] |= begin[1:] != begin[:-1]
            keep[-1] = True
            keep |= self._marked[part]
            if self._fetch_s is not None:
                keep |= self._fetch_s[part] > cell_s / 2
            found.append(self._rows[part][keep])
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def bar_of(columns: Columns, rows: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When the bars of ended rows begin and end: as the environment tells, else the driver."""
    begun, done = columns["started_s"][rows], columns["finished_s"][rows]
    begun = np.where(np.isnan(begun), columns["dispatched_s"][rows], begun)
    return begun, np.where(np.isnan(done), columns["returned_s"][rows], done)
