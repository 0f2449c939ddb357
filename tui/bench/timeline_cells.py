"""The cells of one timeline: a window of time over some lanes, painted as invocations end and kept until it moves.

What has ended is in the buffer and costs nothing again. What runs is laid over it for each frame. When the window or the
choice of lanes changes, the visible lanes are painted again from the columns, in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lbench.engine.session.columns import STATUSES
from lbench.tui.bench.lane_rows import LaneRows, bar_of
from lbench.tui.bench.lanes import Lanes
from lbench.tui.draw import lanes as cells

__all__ = ["Canvas"]

_AT_ONCE = 8192  # rows
_STATUS = {name: code for code, name in enumerate(STATUSES)}
_BAR_OF = np.full(len(STATUSES) + 1, cells.COMPUTE, dtype=np.uint8)
for _name in ("cancelled", "superseded", "throttled"):
    _BAR_OF[_STATUS[_name]] = cells.DISCARDED
_MARK_OF = np.zeros(len(STATUSES) + 1, dtype=np.uint8)
for _name, _mark in (("error", cells.ERROR), ("timeout", cells.TIMEOUT), ("throttled", cells.THROTTLED)):
    _MARK_OF[_STATUS[_name]] = _mark


class Canvas:
    """Cells of the lanes that are visible."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._key: Any = None
        self._place: Any = np.empty(0, dtype=np.int64)  # by lane: its line, -1 where it is not visible
        self._buffer: Any = np.zeros((0, 1), dtype=np.uint8)
        self._marks: Any = np.zeros((0, 1), dtype=np.uint8)
        self._window = (0.0, 1.0)
        self._sorted: LaneRows | None = None
        self._sorted_for: Any = None

    def frame(self, visible: list[int], window: tuple[float, float], width: int, ended: Any) -> None:
        """Be ready for these lanes and this window; `ended` are the rows that have ended since the last frame."""
        key = (tuple(visible), window, width, self.lanes.version)
        if key != self._key:
            self._key = key
            self._window = window
            self._place = np.full(max(len(self.lanes), max(visible, default=-1) + 1), -1, dtype=np.int64)
            self._place[visible] = np.arange(len(visible))
            self._buffer = np.zeros((len(visible), width), dtype=np.uint8)
            self._marks = np.zeros((len(visible), width), dtype=np.uint8)
            self._paint(self._ended_in_sight(visible))
        elif len(ended):
            self._paint(ended)

    def _ended_in_sight(self, visible: list[int]) -> Any:
        """The rows to paint again: of a large run that is over only those that show."""
        run = self.lanes.run
        ended = np.flatnonzero(run.columns["status"] >= 0)
        if len(ended) <= _AT_ONCE or (run.ended is None and not run.interrupted):
            return ended
        key = (len(ended), self.lanes.version)
        if self._sorted is None or key != self._sorted_for:
            self._sorted, self._sorted_for = LaneRows(self.lanes, ended), key
        return self._sorted.showing(visible, self._window, self._buffer.shape[1])

    def _paint(self, rows: Any) -> None:
        """Paint rows that have ended, some at a time: a score of arrays of 100,000 numbers leave holes in the heap."""
        for first in range(0, len(rows), _AT_ONCE):
            self._paint_some(rows[first : first + _AT_ONCE])

    def _paint_some(self, rows: Any) -> None:
        """Bars, init and fetch, then marks."""
        lanes = self.lanes.of_rows()[rows]
        seen = (lanes >= 0) & (lanes < len(self._place))
        rows, lanes = rows[seen], lanes[seen]
        lines = self._place[lanes]
        columns = self.lanes.run.columns
        start_s, end_s = self._window
        seen = (lines >= 0) & (columns["returned_s"][rows] >= start_s) & (columns["dispatched_s"][rows] <= end_s)
        rows, lines = rows[seen], lines[seen]
        if not len(rows):
            return
        width = self._buffer.shape[1]
        cell_s = (end_s - start_s) / width
        status = columns["status"][rows]
        begun, done = bar_of(columns, rows)
        bars = _BAR_OF[status]
        odd = self.lanes.odd()[rows]
        bars = np.where(odd & (bars == cells.COMPUTE), cells.SECOND, bars)
        first, last = cells.spans(begun, done, start_s, cell_s, width)
        order = np.argsort(begun, kind="stable")
        cells.paint(self._buffer, lines[order], first[order], last[order], bars[order])
        init_s = columns["init_ms"][rows] / 1000
        self._stretch(lines, begun - init_s, begun, (columns["cold"][rows] == 1) & (init_s > 0), cells.INIT)
        fetch_s = columns["fetch_ms"][rows] / 1000
        self._stretch(lines, begun, begun + fetch_s, fetch_s > cell_s / 2, cells.FETCH)
        again = columns["attempt"][rows] > 0
        self._mark(lines, first, again & (begun >= start_s), np.full(len(rows), cells.RETRIED, dtype=np.uint8))
        marks = _MARK_OF[status]
        self._mark(lines, np.maximum(first, last - 1), marks > 0, marks)

    def _stretch(self, lines: Any, from_s: Any, to_s: Any, where: Any, code: int) -> None:
        if not where.any():
            return
        start_s, end_s = self._window
        width = self._buffer.shape[1]
        first, last = cells.spans(from_s[where], to_s[where], start_s, (end_s - start_s) / width, width)
        cells.paint(self._buffer, lines[where], first, last, np.full(int(where.sum()), code, dtype=np.uint8))

    def _mark(self, lines: Any, at: Any, where: Any, codes: Any) -> None:
        if where.any():
            cells.paint_marks(self._marks, lines[where], at[where], codes[where])

    def line(self, number: int, running: list[int], now_s: float, selected: int | None) -> Any:
        """The cells of a visible lane: what has ended, what runs, the marks above, and the selected invocation."""
        row = self._buffer[number].copy()
        columns = self.lanes.run.columns
        for invocation in running:
            known = columns["environment"][invocation] >= 0
            first, last = self._span(float(columns["dispatched_s"][invocation]), now_s)
            if last <= first:
                continue
            odd = self.lanes.odd()[invocation]
            row[first:last] = (cells.SECOND if odd else cells.COMPUTE) if known else cells.INFERRED
            if now_s <= self._window[1]:
                row[last - 1] = cells.RUNNING_END
        marks = self._marks[number]
        np.copyto(row, marks, where=marks > 0)
        if selected is not None:
            begun, end = self.extent(selected, now_s)
            first, last = self._span(begun, end)
            if last > first:
                stretch = row[first:last]
                np.copyto(stretch, cells.SELECTED, where=(stretch == cells.COMPUTE) | (stretch == cells.SECOND))
                if not (row[first:last] == cells.SELECTED).any():
                    row[first] = cells.SELECTED
        return row

    def extent(self, row: int, now_s: float) -> tuple[float, float]:
        """When an invocation's bar begins and ends."""
        values = self.lanes.run.columns
        begun = float(values["started_s"][row])
        begun = float(values["dispatched_s"][row]) if np.isnan(begun) else begun
        end = float(values["finished_s"][row])
        end = float(values["returned_s"][row]) if np.isnan(end) else end
        return begun, now_s if np.isnan(end) else end

    def _span(self, from_s: float, to_s: float) -> tuple[int, int]:
        start_s, end_s = self._window
        width = self._buffer.shape[1]
        first, last = cells.spans([from_s], [max(from_s, to_s)], start_s, (end_s - start_s) / width, width)
        return int(first[0]), int(last[0])
