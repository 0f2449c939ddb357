"""A run's timeline: one lane per environment over a fixed window of time that moves in steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from lbench.engine.session.view import RunView
from lbench.tui.bench.lane_labels import LEGEND, LONGEST_FIRST, head_width, lane_name, lanes_text, span_text
from lbench.tui.bench.lanes import Lanes
from lbench.tui.bench.navigation import Navigator
from lbench.tui.bench.time_window import Window
from lbench.tui.bench.timeline_cells import Canvas
from lbench.tui.draw import lanes as cells
from lbench.tui.draw.ink import HEADING_CELLS, Piece, heading, line, width_of
from lbench.tui.theme import role_of
from lbench.tui.widgets.lines import Lines

__all__ = ["Timeline"]


class Timeline(Lines, can_focus=True):
    """One backend's newest run."""

    BINDINGS = [
        Binding("up", "lane(-1)", "lane", key_display="↑↓"),
        Binding("down", "lane(1)", "lane", key_display="↑↓"),
        Binding("left", "step(-1)", "task", key_display="←→"),
        Binding("right", "step(1)", "task", key_display="←→"),
        Binding("pageup", "lane(-10)", "lanes", show=False),
        Binding("pagedown", "lane(10)", "lanes", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "zoom", key_display="+-"),
        Binding("minus", "zoom(2)", "zoom", key_display="+-"),
        Binding("less_than_sign,comma", "pan(-0.5)", "pan", key_display="<>"),
        Binding("greater_than_sign,full_stop", "pan(0.5)", "pan", key_display="<>"),
        Binding("f", "follow", "follow"),
        Binding("s", "sort", "sort"),
        Binding("m", "slowest", "slowest"),
        Binding("n", "trouble", "next error"),
    ]

    class Selected(Message):
        """Another invocation was selected (`row` None: none)."""

        def __init__(self, run: RunView, row: int | None) -> None:
            self.run = run
            self.row = row
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._run: RunView | None = None
        self._epoch = -1
        self._now_s = 0.0
        self._strips_of: dict[int, tuple[bytes, Strip]] = {}
        self._ended: Any = np.empty(0, dtype=np.int32)
        self.window = Window()
        self.selected: int | None = None
        self.by_duration = False
        self._top = 0

    @property
    def run(self) -> RunView | None:
        return self._run

    # -- what is shown

    def show(self, run: RunView | None, rows: Sequence[int] | None, now_s: float | None, epoch: int) -> None:
        """Show a run. `rows`: those that changed (None: any may have). `now_s`: the age of a running run."""
        if run is None:
            self._run = None
            return
        if run is not self._run or epoch != self._epoch or rows is None:
            if self._run is None or run.planned.label != self._run.planned.label or epoch != self._epoch:
                self._top = 0
            self._run, self._epoch = run, epoch
            self._lanes = Lanes(run)
            self._canvas = Canvas(self._lanes)
            self._walk = Navigator(self._lanes)
            self._strips_of.clear()
            self.selected = None
            self._move(Window())
            rows = range(len(run.columns))
        was_over = run.ended is not None and self.window.follow and self.window.end_s == self.whole_s
        if was_over and not rows:
            return  # nothing moves
        self._now_s = now_s if now_s is not None else self.whole_s
        ended = self._lanes.update(rows)
        self._ended = ended if not len(self._ended) else np.concatenate([self._ended, ended])
        self.redraw()

    @property
    def whole_s(self) -> float:
        run = self._run
        if run is None:
            return 1.0
        if run.ended is None and not run.interrupted:
            return max(self._now_s, 1e-3)
        if run.ended is not None and run.ended.makespan_s is not None:
            return max(run.ended.makespan_s, 1e-3)
        returned = run.columns["returned_s"]
        return float(np.nanmax(returned)) if len(returned) and not np.isnan(returned).all() else 0.1

    def name_of(self, run: RunView, row: int) -> str | None:
        """The name of an invocation's lane, if its run is drawn here."""
        if run is not self._run or row >= len(self._lanes.of_rows()):
            return None
        lane = int(self._lanes.of_rows()[row])
        return None if lane < 0 else self._lane_name(lane)  # it is known, but not placed yet

    def _lane_name(self, lane: int) -> str:
        assert self._run is not None
        return lane_name(self._run.planned.backend, lane, len(self._lanes))

    # -- keys

    def _place_order(self) -> list[int]:
        """Lanes in the order in which they are shown."""
        return self._walk.order(by_duration=self.by_duration)

    def _move(self, window: Window) -> None:
        """Set the window. Panning keys are offered only while part of the run is hidden."""
        had, self.window = self.window, window
        if had.follow != window.follow:
            self.refresh_bindings()

    def choose(self, row: int | None) -> None:
        """Select an invocation and bring it into view."""
        run = self._run
        if run is None:
            return
        self.selected = row
        if row is not None:
            begun, end = self._canvas.extent(row, self._now_s)
            self._move(self.window.around(begun, end, self.whole_s))
            order = self._place_order()
            lane = int(self._lanes.of_rows()[row])
            if lane in order:
                self._bring(order.index(lane))
        self.post_message(self.Selected(run, row))
        self.redraw()

    def _bring(self, place: int) -> None:
        shown = max(1, self.size.height - 1)
        self._top = max(0, min(max(place - shown + 1, min(self._top, place)), max(0, len(self._lanes) - shown)))

    def action_lane(self, by: int) -> None:
        """Select the invocation at about the same time in another lane."""
        if self._run is None or not len(self._lanes):
            return
        order = self._place_order()
        if self.selected is None:
            place, at_s = self._top, self.window.start_s
        else:
            lane = int(self._lanes.of_rows()[self.selected])
            place = max(0, min(len(order) - 1, order.index(lane) + by)) if lane in order else self._top
            at_s = sum(self._canvas.extent(self.selected, self._now_s)) / 2
        self._go(self._walk.at(order[place], at_s))

    def _go(self, row: int | None) -> None:
        if row is not None:
            self.choose(row)

    def action_step(self, by: int) -> None:
        """Select the next or previous invocation of the lane."""
        if self._run is None or self.selected is None:
            self.action_lane(0)
        else:
            self._go(self._walk.beside(self.selected, by))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Pan and follow do something only while part of the run is hidden."""
        return not (action in ("pan", "follow") and self.window.follow)

    def action_zoom(self, factor: float) -> None:
        """Zoom about the selected invocation, else about the middle."""
        if self._run is None:
            return
        about = sum(self.window.span) / 2
        if self.selected is not None:
            about = sum(self._canvas.extent(self.selected, self._now_s)) / 2
        self._move(self.window.zoomed(factor, about, self.whole_s))
        self.redraw()

    def action_pan(self, share: float) -> None:
        if self._run is not None and not self.window.follow:
            self._move(self.window.panned(share, self.whole_s))
            self.redraw()

    def action_follow(self) -> None:
        """Show all of the run again."""
        self._move(Window())
        self.redraw()

    def action_sort(self) -> None:
        """Sort by environment, or by the longest invocation."""
        self.by_duration = not self.by_duration
        if self._run is not None:
            self._walk.forget_order()
        self._top = 0
        self.redraw()

    def action_slowest(self) -> None:
        if self._run is not None:
            self._go(self._walk.slowest())

    def action_trouble(self) -> None:
        """Select the next failed invocation in time; after the last, the first."""
        if self._run is None:
            return
        row = self._walk.trouble(self.selected)
        if row is None:
            self.app.notify("nothing went wrong in this run")
        else:
            self.choose(row)

    def on_click(self, event: events.Click) -> None:
        if self._run is None or event.y < 1:
            return
        order = self._place_order()
        place = self._top + event.y - 1
        head = self._head
        if place >= len(order) or event.x < head:
            return
        start_s, end_s = self.window.span
        at_s = start_s + (event.x - head + 0.5) * (end_s - start_s) / max(1, self.size.width - head - 1)
        self._go(self._walk.at(order[place], at_s))

    # -- strips

    @property
    def _head(self) -> int:
        return head_width(len(self._lanes))

    def draw(self, width: int, height: int) -> list[Strip]:
        palette = self.palette
        run = self._run
        if run is None:
            return []
        role = role_of(run.planned.backend, run.planned.label)
        lanes = self._lanes
        over = run.ended is not None or run.interrupted
        self.window = self.window.at(self.whole_s, over)
        shown = min(max(0, height - 1), len(lanes))
        self._top = max(0, min(self._top, len(lanes) - shown))
        visible = self._place_order()[self._top : self._top + shown]
        self._canvas.frame(visible, self.window.span, max(1, width - self._head - 1), self._ended)
        self._ended = np.empty(0, dtype=np.int32)
        strips = [line(palette, self._heading(role, shown, width), width)]
        running: dict[int, list[int]] = {}
        for row, lane in lanes.running.items():
            running.setdefault(lane, []).append(row)
        chosen = -1 if self.selected is None else int(lanes.of_rows()[self.selected])
        styles = self._styles(role)
        ground, quiet, bright = palette.style("text"), palette.style("quiet"), palette.style("bright")
        for number, lane in enumerate(visible):
            selected = self.selected if lane == chosen else None
            codes = self._canvas.line(number, running.get(lane, []), self._now_s, selected)
            key = b"%d|%d|" % (selected is not None, len(lanes)) + palette.name.encode() + codes.tobytes()
            known = self._strips_of.get(lane)
            if known is None or known[0] != key:
                name = Segment(f" {self._lane_name(lane)} ", quiet if selected is None else bright)
                made = [name, *cells.segments(codes, styles), Segment(" ", ground)]
                self._strips_of[lane] = known = (key, Strip(made, len(name.text) + len(codes) + 1))
            strips.append(known[1])
        return strips

    def _heading(self, role: str, shown: int, width: int) -> list[Piece]:
        assert self._run is not None
        planned = self._run.planned
        lanes = lanes_text(planned.backend, len(self._lanes), (self._top, shown))
        repeat = "warm-up" if planned.warmup else f"repeat {planned.repeat + 1}"
        seen = f" · {self._top + 1}–{self._top + shown} of {len(self._lanes):,}" if shown < len(self._lanes) else ""
        titles = [f"{repeat} · {lanes}", repeat + seen, repeat]
        if self.by_duration:
            titles = [f"{titles[0]}, {LONGEST_FIRST}", f"{repeat}{seen}, {LONGEST_FIRST}", LONGEST_FIRST]
        mark = "▸ " if self.has_focus else ""
        measure: list[Piece] = [(span_text(*self.window.span), "quiet")]
        for text in titles:  # the stretch of time is what must be seen
            title: list[Piece] = [(f"{mark}{planned.label}", role + "!"), (f" · {text}", role)]
            if width_of(title) + width_of(measure) + HEADING_CELLS <= width:
                break
        if self.has_focus and width - width_of(title) - width_of(measure) - len(LEGEND) > 12:
            measure = [(LEGEND + "   ", "quiet"), *measure]
        return heading(title, measure, width)

    def _styles(self, accent: str) -> list[Style]:
        roles = {"accent": accent, "second": "@" + accent}
        return [self.palette.style(roles.get(role, role)) for _, role in cells.CODES.values()]
