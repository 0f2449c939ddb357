"""The Bench screen's panels that need a run: timelines, the picture, one invocation.

Loaded with the first session, not with the first frame: importing numpy takes as long as drawing an empty screen.
"""

from __future__ import annotations

from collections.abc import Callable

from lbench.engine.session.view import RunView
from lbench.tui.bench.board import EMPTY, Board, Row
from lbench.tui.bench.board_builder import BoardBuilder
from lbench.tui.bench.lane_labels import lanes_wanted
from lbench.tui.feeds.feed import Frame
from lbench.tui.feeds.previews import Drawn, PreviewReader
from lbench.tui.screens.card import CardScreen
from lbench.tui.theme import role_of
from lbench.tui.widgets.inspect import Inspect, slowest
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.preview import Preview
from lbench.tui.widgets.timeline import Timeline

__all__ = ["BenchPanels"]

_MOST = 4  # timelines at once


class BenchPanels:
    """The panels that need a run, and what is selected in them."""

    def __init__(self) -> None:
        self.timelines = [Timeline(id=f"timeline{number}") for number in range(_MOST)]
        self.picture = Preview()
        self.inspect = Inspect()
        self.board: Board = EMPTY
        self.chosen_label: str | None = None  # the backend that was chosen in the table
        self.repeat: int | None = None  # the repeat shown of each backend; None: the newest
        self.selected: tuple[RunView, int] | None = None  # the invocation that was chosen in a timeline
        self.maker = BoardBuilder()
        self._reader: PreviewReader | None = None

    @property
    def parts(self) -> list[Lines]:
        """In the order of the focus."""
        return [*self.timelines, self.picture, self.inspect]

    @property
    def runs(self) -> list[RunView]:
        """The run shown of each backend that has begun, in the table's order."""
        return [run for row in self.board.rows if (run := self._run_of(row)) is not None]

    def _run_of(self, row: Row) -> RunView | None:
        """The chosen repeat of a backend, else its newest run."""
        chosen = (run for run in row.runs if run.planned.repeat == self.repeat and not run.planned.warmup)
        return next((run for run in chosen if run.started is not None), row.run)

    @property
    def repeats(self) -> list[int]:
        runs = [run for row in self.board.rows for run in row.runs if run.started is not None]
        return sorted({run.planned.repeat for run in runs if not run.planned.warmup})

    def change_repeat(self, by: int) -> None:
        """Show another repeat; beyond the ends, the newest of each backend."""
        choices = [None, *self.repeats]
        at = choices.index(self.repeat) if self.repeat in choices else 0
        self.repeat = choices[(at + by) % len(choices)]

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes that each timeline wants."""
        return tuple(lanes_wanted(run, 0) for run in self.runs)

    @property
    def favourite(self) -> int:
        """The timeline to show where there is room for one: the chosen backend's, else the running one, else the last."""
        runs = self.runs
        for number, run in enumerate(runs):
            if run.planned.label == self.chosen_label:
                return number
        for number, run in enumerate(runs):
            if run.status == "running":
                return number
        return max(0, len(runs) - 1)

    # -- frames

    def take(self, frame: Frame) -> Board:
        """Update what a person reads, as opposed to what moves."""
        self.board = self.maker.make(frame)
        self.show_picture(frame)
        return self.board

    def show_picture(self, frame: Frame) -> None:
        """Show the newest picture: of the running run if it has one, else of the last that has."""
        runs = [run for run in frame.runs if run.previews]
        if not runs:
            self._reader = None
            return
        run = next((run for run in runs if run.status == "running"), runs[-1])
        if self._reader is None or self._reader.run is not run:
            self._reader = PreviewReader(frame.folder, run)
        self._reader.update()
        tasks = run.known_tasks
        done = f"{run.finished_tasks:,} of {tasks:,} tasks" if run.status == "running" else run.planned.label
        self.picture.show(self._reader.drawn, done, role_of(run.planned.backend, run.planned.label))

    @property
    def preview(self) -> Drawn | None:
        """The picture to draw, if any."""
        return None if self._reader is None else self._reader.drawn

    def show_timelines(self, frame: Frame, places: tuple[int, ...], *, anew: bool) -> None:
        """Draw what moves. `places`: the runs that have a place on the screen."""
        runs = self.runs
        for number, timeline in enumerate(self.timelines):
            if number >= len(places) or places[number] >= len(runs):
                timeline.show(None, None, None, frame.epoch)
                continue
            run = runs[places[number]]
            fresh = anew or timeline.run is not run
            rows = None if fresh else list(frame.touched.get(run.id, ()))
            timeline.show(run, rows, frame.now_s.get(run.id), frame.epoch)

    # -- the invocation that is looked at

    def inspected(self) -> tuple[RunView, int] | None:
        """The selected invocation, else the slowest of the run shown."""
        if self._still_selected is not None:
            return self._still_selected
        run = self._looked_at()
        row = None if run is None else slowest(run)
        return None if run is None or row is None else (run, row)

    @property
    def _still_selected(self) -> tuple[RunView, int] | None:
        """The selected invocation while its run is shown."""
        return self.selected if self.selected is not None and self.selected[0] in self.runs else None

    def show_inspect(self) -> None:
        """Show the inspected invocation, or a backend that failed."""
        failed = self._failed()
        chosen = self.inspected()
        if failed is not None and self._still_selected is None:
            self.inspect.show_failure(failed.label, failed.summary.backend, str(failed.summary.error))
        elif chosen is None:
            self.inspect.show(None, None, "", selected=False)
        else:
            several = len(self.repeats) > 1 and not chosen[0].planned.warmup
            place = self.place_of(*chosen) + (f" · repeat {chosen[0].planned.repeat + 1}" if several else "")
            self.inspect.show(*chosen, place, selected=self._still_selected is not None)

    def _failed(self) -> Row | None:
        """A failed backend, if none or this one is chosen."""
        failed = [row for row in self.board.rows if row.outlook.state == "failed" and row.summary.error is not None]
        chosen = [row for row in failed if row.label == self.chosen_label]
        shown = failed if self.chosen_label is None else chosen
        return shown[-1] if shown else None

    def _looked_at(self) -> RunView | None:
        """The run shown in the panel: the chosen backend's, else the running one, else the last."""
        with_runs = [row for row in self.board.rows if row.run is not None]
        chosen = [row for row in with_runs if row.label == self.chosen_label]
        running = [row for row in with_runs if row.outlook.state == "running"]
        rows = chosen or running or with_runs
        return self._run_of(rows[-1]) if rows else None

    def place_of(self, run: RunView, row: int) -> str:
        """The name of the lane that an invocation is in."""
        for timeline in self.timelines:
            if (name := timeline.name_of(run, row)) is not None:
                return name
        return ""

    def card(self) -> CardScreen | None:
        """The card of the inspected invocation; None: nothing has returned yet."""
        chosen = self.inspected()
        if chosen is None:
            return None
        run, row = chosen
        timeline = next((one for one in self.timelines if one.run is run), None)
        return CardScreen(run, row, None if timeline is None else _stepper(timeline, run, row))


def _stepper(timeline: Timeline, run: RunView, row: int) -> Callable[[int], int | None]:
    """A function that steps through the timeline's invocations and moves its selection along."""
    timeline.choose(row)

    def step(by: int) -> int | None:
        if timeline.run is not run:
            return None
        if by:
            timeline.action_step(by)
        else:
            timeline.action_trouble()
        return timeline.selected

    return step
