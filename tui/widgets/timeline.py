"""A run's timeline: a lane an environment, a fixed window of time that steps, and only what changed drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from lbench.analysis.words import count_text, seconds_text
from lbench.engine.columns import STATUSES
from lbench.engine.session import RunView
from lbench.tui.draw import lanes as cells
from lbench.tui.draw.ink import Piece, heading, line
from lbench.tui.draw.scale import window_s
from lbench.tui.theme import role_of
from lbench.tui.timeline import Lanes
from lbench.tui.widgets.lines import Lines

__all__ = ["Timeline"]

_STATUS = {name: code for code, name in enumerate(STATUSES)}
_BAR_OF = np.full(len(STATUSES) + 1, cells.COMPUTE, dtype=np.uint8)
for _name in ("cancelled", "superseded", "throttled"):
    _BAR_OF[_STATUS[_name]] = cells.DISCARDED
_MARK_OF = np.zeros(len(STATUSES) + 1, dtype=np.uint8)
_MARK_OF[_STATUS["error"]] = cells.ERROR
_MARK_OF[_STATUS["timeout"]] = cells.TIMEOUT
_MARK_OF[_STATUS["throttled"]] = cells.THROTTLED

PLACES = {"processes": "worker", "threads": "thread", "sequential": "worker"}
NAMES = {"processes": "w", "threads": "t", "sequential": "w"}


def lanes_wanted(run: RunView | None, there: int) -> int:
    """How many lanes a run has or will have, so that a panel keeps its height."""
    if run is None or run.started is None:
        return max(1, there)
    return max(1, there, min(run.started.capacity, run.known_tasks or run.started.capacity))


class Timeline(Lines, can_focus=True):
    """One backend's newest run."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._run: RunView | None = None
        self._epoch = -1
        self._lanes: Lanes | None = None
        self._window = (0.0, 1.0)
        self._now_s: float | None = None
        self._buffer: Any = None  # (lanes seen, width) of codes, without what is running
        self._marks: Any = None
        self._strips_of: dict[int, tuple[bytes, Strip]] = {}
        self.top = 0

    @property
    def run(self) -> RunView | None:
        """What is drawn."""
        return self._run

    def name_of(self, run: RunView, row: int) -> str | None:
        """The name of an invocation's lane, if it is drawn here."""
        if run is not self._run or self._lanes is None or row >= len(self._lanes.of_rows()):
            return None
        return self._lane_name(int(self._lanes.of_rows()[row]))

    def _lane_name(self, lane: int) -> str:
        assert self._run is not None and self._lanes is not None
        digits = max(2, len(str(max(0, len(self._lanes) - 1))))
        return f"{NAMES.get(self._run.planned.backend, 'e')}{lane:0{digits}d}"

    # -- what is shown

    def show(self, run: RunView | None, rows: list[int] | None, now_s: float | None, epoch: int) -> None:
        """A run, the rows of it that changed (None: all may have), and how old it is while it is under way."""
        if run is None:
            self._run, self._epoch, self._lanes = None, epoch, None
            return
        if run is not self._run or epoch != self._epoch or self._lanes is None or rows is None:
            self._run, self._epoch = run, epoch
            self._lanes = Lanes(run)
            rows = list(range(len(run.columns)))
            self._buffer = None
            self._strips_of.clear()
        self._now_s = now_s
        ended = self._lanes.update(rows)
        self._follow()
        if self._buffer is not None:
            self._paint(ended)
        self.redraw()

    def _follow(self) -> None:
        run = self._run
        assert run is not None
        if run.ended is not None:
            last = run.ended.makespan_s
            if last is None:
                returned = run.columns["returned_s"]
                last = float(np.nanmax(returned)) if len(returned) and not np.isnan(returned).all() else 0.1
            window = (0.0, max(last, 1e-3))
        else:
            window = (0.0, window_s(self._now_s or 0.0))
        if window != self._window:
            self._window = window
            self._buffer = None

    @property
    def lanes_wanted(self) -> int:
        """How many lanes there are, or will be."""
        return lanes_wanted(self._run, 0 if self._lanes is None else len(self._lanes))

    # -- cells

    def _paint(self, rows: Any) -> None:
        """Paint rows that have ended into the buffer."""
        assert self._run is not None and self._lanes is not None
        columns = self._run.columns
        if not len(rows):
            return
        lanes = self._lanes.of_rows()[rows]
        inside = (lanes >= 0) & (lanes < len(self._buffer))
        rows, lanes = rows[inside], lanes[inside]
        if not len(rows):
            return
        start_s, end_s = self._window
        width = self._buffer.shape[1]
        cell_s = (end_s - start_s) / width
        status = columns["status"][rows]
        begun = np.where(np.isnan(columns["started_s"][rows]), columns["dispatched_s"][rows], columns["started_s"][rows])
        finished = columns["finished_s"][rows]
        done = np.where(np.isnan(finished), columns["returned_s"][rows], finished)
        codes = _BAR_OF[status].copy()
        odd = (self._lanes.ordinals()[rows] & 1).astype(bool)
        codes[odd & (codes == cells.COMPUTE)] = cells.SECOND
        order = np.argsort(begun, kind="stable")
        first, last = cells.spans(begun, done, start_s, cell_s, width)
        cells.paint(self._buffer, lanes[order], first[order], last[order], codes[order])
        init = columns["init_ms"][rows]
        cold = (columns["cold"][rows] == 1) & (init > 0)
        if cold.any():
            a, b = cells.spans(begun[cold] - init[cold] / 1000, begun[cold], start_s, cell_s, width)
            cells.paint(self._buffer, lanes[cold], a, b, np.full(int(cold.sum()), cells.INIT, dtype=np.uint8))
        fetch = columns["fetch_ms"][rows]
        fetching = fetch / 1000 > cell_s / 2
        if fetching.any():
            a, b = cells.spans(begun[fetching], begun[fetching] + fetch[fetching] / 1000, start_s, cell_s, width)
            cells.paint(self._buffer, lanes[fetching], a, b, np.full(int(fetching.sum()), cells.FETCH, dtype=np.uint8))
        marks = _MARK_OF[status]
        marked = marks > 0
        if marked.any():
            cells.paint_marks(self._marks, lanes[marked], np.maximum(first, last - 1)[marked], marks[marked])
        again = (columns["attempt"][rows] > 0) & (last > first)
        if again.any():
            at = first[again]
            cells.paint_marks(self._marks, lanes[again], at, np.full(int(again.sum()), cells.RETRIED, dtype=np.uint8))

    def _ensure(self, height: int, width: int) -> None:
        assert self._run is not None and self._lanes is not None
        if self._buffer is not None and self._buffer.shape == (len(self._lanes), width):
            return
        if self._buffer is not None and self._buffer.shape[1] == width:
            more = len(self._lanes) - len(self._buffer)
            self._buffer = np.concatenate([self._buffer, np.zeros((more, width), dtype=np.uint8)])
            self._marks = np.concatenate([self._marks, np.zeros((more, width), dtype=np.uint8)])
            return
        self._buffer = np.zeros((len(self._lanes), width), dtype=np.uint8)
        self._marks = np.zeros((len(self._lanes), width), dtype=np.uint8)
        status = self._run.columns["status"]
        self._paint(np.flatnonzero(status >= 0))

    def _row(self, lane: int, running: list[int]) -> Any:
        """A lane's cells with what runs in it and the marks above all."""
        assert self._run is not None and self._lanes is not None
        row = self._buffer[lane].copy()
        start_s, end_s = self._window
        width = len(row)
        cell_s = (end_s - start_s) / width
        columns = self._run.columns
        now = self._now_s if self._now_s is not None else end_s
        for invocation in running:
            begun = float(columns["dispatched_s"][invocation])
            first = max(0, int((begun - start_s) / cell_s))
            last = min(width, max(first + 1, int((now - start_s) / cell_s) + 1))
            if first >= width or last <= 0:
                continue
            known = columns["environment"][invocation] >= 0
            odd = int(self._lanes.ordinals()[invocation]) & 1
            row[first:last] = (cells.SECOND if odd else cells.COMPUTE) if known else cells.INFERRED
            row[last - 1] = cells.RUNNING_END
        marks = self._marks[lane]
        np.copyto(row, marks, where=marks > 0)
        return row

    # -- strips

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading and a line a lane."""
        palette = self.palette
        run, lanes = self._run, self._lanes
        if run is None or lanes is None:
            return []
        backend, label = run.planned.backend, run.planned.label
        role = role_of(backend, label)
        shown = min(max(0, height - 1), len(lanes))
        digits = max(2, len(str(max(0, len(lanes) - 1))))
        head = digits + 3
        self._ensure(shown, max(1, width - head - 1))
        place = PLACES.get(backend, "environment")
        count = count_text(len(lanes), place)
        if shown < len(lanes):
            count += f" ({shown} shown)"
        title: list[Piece] = [(label, role + "!"), (f" · {count}", role + "!")]
        measure: list[Piece] = [(f"0 – {seconds_text(self._window[1])}", "quiet")]
        strips = [line(palette, heading(title, measure, width), width)]
        running: dict[int, list[int]] = {}
        for row, lane in lanes.running.items():
            running.setdefault(lane, []).append(row)
        styles = self._styles(role)
        ground = palette.style("text")
        quiet = palette.style("quiet")
        for lane in range(self.top, min(self.top + shown, len(lanes))):
            codes = self._row(lane, running.get(lane, []))
            key = codes.tobytes() + palette.name.encode()
            known = self._strips_of.get(lane)
            if known is None or known[0] != key:
                name = f" {self._lane_name(lane)} "
                made = [Segment(name, quiet), *cells.segments(codes, styles), Segment(" ", ground)]
                self._strips_of[lane] = known = (key, Strip(made, len(name) + len(codes) + 1))
            strips.append(known[1])
        return strips

    def _styles(self, accent: str) -> list[Style]:
        roles = {"accent": accent, "second": "@" + accent}
        return [self.palette.style(roles.get(role, role)) for _, role in cells.CODES.values()]
