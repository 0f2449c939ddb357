"""The Bench screen: backends, live timelines, the growing picture, histograms, cost. It is the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen

from lbench.engine.session import RunView
from lbench.tui.arrangement import COMPACT, Arrangement, Wanted, arrange
from lbench.tui.board import EMPTY, Board, BoardMaker, Row, answer_pieces
from lbench.tui.draw.ink import Piece
from lbench.tui.feed import Frame
from lbench.tui.previews import Curve, Gatherer, Picture
from lbench.tui.recorded import RecordedFeed
from lbench.tui.screens.card import CardScreen
from lbench.tui.theme import role_of
from lbench.tui.widgets.cost import Cost
from lbench.tui.widgets.histograms import Histograms, cold_starts, warm_durations
from lbench.tui.widgets.inspect import Inspect, slowest
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.preview import Preview
from lbench.tui.widgets.replay import ReplayBar
from lbench.tui.widgets.table import BackendTable
from lbench.tui.widgets.timeline import Timeline, lanes_wanted
from lbench.tui.widgets.title import Answer, Keys, Title, TooSmall, clock_text, described, left_text

if TYPE_CHECKING:
    from lbench.tui.app import LbenchApp

__all__ = ["BenchScreen"]

_SLOW = 4  # every so many frames: what a person reads, as against what moves


class BenchScreen(Screen[None]):
    """What runs, side by side."""

    BINDINGS = [
        Binding("r", "app.set_up", "run"),
        Binding("p", "app.pause", "pause"),
        Binding("c", "app.cancel", "cancel"),
        Binding("enter", "inspect", "inspect", key_display="↵"),
        Binding("w", "app.set_up('workload')", "workload"),
        Binding("b", "app.set_up('backends')", "backends"),
        Binding("x", "app.export", "export"),
        Binding("v", "picture", "picture"),
    ]

    def __init__(self) -> None:
        super().__init__(id="bench")
        self._maker = BoardMaker()
        self.board: Board = EMPTY
        self._frames = 0
        self._epoch = -1
        self._timelines = [Timeline(id=f"timeline{number}") for number in range(4)]
        self._arranged_for: object = None
        self._chosen_label: str | None = None  # the backend that was chosen in the table
        self._only_picture = False
        self._selected: tuple[RunView, int] | None = None
        self.preview: Picture | Curve | None = None
        self._gatherer: Gatherer | None = None
        self.arrangement = Arrangement({}, ())

    @property
    def lbench(self) -> LbenchApp:
        """The app."""
        return cast("LbenchApp", self.app)

    def compose(self) -> ComposeResult:
        """The parts; `arrange` says where each goes. Their order is that of the focus."""
        yield Title()
        yield Answer()
        yield BackendTable()
        yield from self._timelines
        yield Preview()
        yield Inspect()
        yield Histograms("cold starts", "none yet", cold_starts, id="cold")
        yield Histograms("warm durations", "none yet", warm_durations, id="warm")
        yield Cost()
        yield ReplayBar()
        yield TooSmall()
        yield Keys()

    def on_mount(self) -> None:
        """The table has the focus at first."""
        self.query_one(BackendTable).focus()
        self._arrange()

    def on_resize(self) -> None:
        """Another size, another arrangement."""
        self._arrange()

    # -- places

    def _arrange(self) -> None:
        """Put every part in its place, if that is another than before."""
        runs = self._timed_runs()
        wanted = Wanted(
            backends=len(self.board.rows) or len(self.lbench.waiting),
            lanes=tuple(lanes_wanted(run, 0) for run in runs),
            picture=self.preview is not None,
            cold=any(row.summary.region is not None for row in self.board.rows),
            favourite=self._favourite(runs),
            only_picture=self._only_picture,
            replay=isinstance(self.lbench.feed, RecordedFeed),
        )
        key = (self.size, wanted)
        if key == self._arranged_for:
            return
        self._arranged_for = key
        told = self.arrangement = arrange(*self.size, wanted)
        for part in self.query(Lines):
            place = told.places.get(part.id or "")
            part.display = place is not None
            if place is not None:
                part.styles.offset = (place.x, place.y)
                part.styles.width = place.width
                part.styles.height = place.height

    def _timed_runs(self) -> list[RunView]:
        """The newest run of each backend that has begun, in the table's order."""
        return [row.run for row in self.board.rows if row.run is not None]

    def _favourite(self, runs: list[RunView]) -> int:
        """Which of them is shown where there is room for one: the chosen backend's, else what runs, else the last."""
        chosen = self._chosen_label
        for number, run in enumerate(runs):
            if run.planned.label == chosen:
                return number
        for number, run in enumerate(runs):
            if run.status == "running":
                return number
        return max(0, len(runs) - 1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`picture` is a key only where the picture and the timeline share a place."""
        if action == "picture":
            return self.size.width < COMPACT and self.preview is not None
        return True

    # -- frames

    def show_frame(self, frame: Frame) -> None:
        """Draw what changed since the last frame."""
        self._frames += 1
        anew = frame.epoch != self._epoch
        self._epoch = frame.epoch
        if anew or frame.changed or self._frames % _SLOW == 0:
            self._show_slow(frame)
        self._show_timelines(frame, anew)
        self.query_one(ReplayBar).show(frame)

    def _show_slow(self, frame: Frame) -> None:
        board = self.board = self._maker.make(frame)
        self._gather(frame)
        self._arrange()
        app = self.lbench
        self.query_one(BackendTable).show(board, app.waiting)
        self.query_one(Title).show(*self._title(frame))
        problem = frame.problem or app.problem
        self.query_one(Answer).show([(problem, "wrong")] if problem else self._answer(frame))
        self.query_one("#cold", Histograms).show(frame.runs)
        self.query_one("#warm", Histograms).show(frame.runs)
        self.query_one(Cost).show(board)
        self._show_inspect()

    def _title(self, frame: Frame) -> tuple[list[Piece], list[Piece]]:
        board = self.board
        if board.workload is None:
            plan = self.lbench.plan
            return [(described(plan.workload, self.lbench.plan_params(), plan.tasks), "text")], []
        left: list[Piece] = [(described(board.workload, board.params, board.tasks), "text")]
        right: list[Piece] = []
        if frame.state == "paused":
            right.append(("paused  ", "key!"))
        right.append((f"seed {board.seed}", "quiet"))
        if board.elapsed_s is not None:
            right.append((f" · {clock_text(board.elapsed_s)}", "quiet"))
        if board.left_s and frame.now_s:
            right.append((f" · {left_text(board.left_s)} left", "text"))
        return left, right

    def _answer(self, frame: Frame) -> list[Piece]:
        if frame.state == "starting":
            return [("starting the engine", "quiet")]
        pieces = answer_pieces(self.board, short=self.size.width < 100)
        if frame.view.phase and frame.state == "live":
            pieces = [*pieces, (f" · {frame.view.phase}", "quiet")]
        return pieces

    def _gather(self, frame: Frame) -> None:
        """The newest picture there is: of the run under way once it has begun one, else of the last that has."""
        runs = [run for run in frame.runs if run.previews]
        if not runs:
            self.preview, self._gatherer = None, None
            return
        run = next((run for run in runs if run.status == "running"), runs[-1])
        if self._gatherer is None or self._gatherer.run is not run:
            self._gatherer = Gatherer(frame.folder, run)
        had, self.preview = self.preview, self._gatherer.update()
        if (had is None) != (self.preview is None):
            self.refresh_bindings()
        tasks = run.known_tasks
        done = f"{run.finished_tasks:,} of {tasks:,} tasks" if run.status == "running" else run.planned.label
        role = role_of(run.planned.backend, run.planned.label)
        self.query_one(Preview).show(self.preview, done, role)

    def _inspected(self) -> tuple[RunView, int] | None:
        """The invocation that the panel tells of: the selected, else the slowest of the run that is looked at."""
        if self._selected is not None and self._selected[0] in self._timed_runs():
            return self._selected
        run = self._looked_at()
        row = None if run is None else slowest(run)
        return None if run is None or row is None else (run, row)

    def _show_inspect(self) -> None:
        panel = self.query_one(Inspect)
        failed = self._failed()
        chosen = self._inspected()
        if failed is not None and self._selected is None:
            panel.show_failure(failed.label, failed.summary.backend, str(failed.summary.error))
        elif chosen is None:
            panel.show(None, None, "", selected=False)
        else:
            panel.show(*chosen, self.place_of(*chosen), selected=self._selected is not None)

    def _failed(self) -> Row | None:
        """A backend that failed, if the person has chosen none or this one."""
        failed = [row for row in self.board.rows if row.outlook.state == "failed" and row.summary.error is not None]
        chosen = [row for row in failed if row.label == self._chosen_label]
        shown = failed if self._chosen_label is None else chosen
        return shown[-1] if shown else None

    def place_of(self, run: RunView, row: int) -> str:
        """The name of the lane that an invocation is in."""
        for timeline in self._timelines:
            if (name := timeline.name_of(run, row)) is not None:
                return name
        return ""

    def _looked_at(self) -> RunView | None:
        """The run that the panel tells about: the chosen backend's, else what is under way, else the last."""
        with_runs = [row for row in self.board.rows if row.run is not None]
        chosen = [row for row in with_runs if row.label == self._chosen_label]
        running = [row for row in with_runs if row.outlook.state == "running"]
        rows = chosen or running or with_runs
        return rows[-1].run if rows else None

    def _show_timelines(self, frame: Frame, anew: bool) -> None:
        runs = self._timed_runs()
        told = self.arrangement.timelines
        for number, timeline in enumerate(self._timelines):
            if number >= len(told) or told[number] >= len(runs):
                timeline.show(None, None, None, frame.epoch)
                continue
            run = runs[told[number]]
            fresh = anew or timeline.run is not run
            rows = None if fresh else list(frame.touched.get(run.id, ()))
            timeline.show(run, rows, frame.now_s.get(run.id), frame.epoch)

    # -- keys

    def on_backend_table_selected(self, message: BackendTable.Selected) -> None:
        """Its timeline comes forward, and the panels tell of it."""
        self._chosen_label = message.label
        self._arrange()

    def on_timeline_selected(self, message: Timeline.Selected) -> None:
        """An invocation was chosen in a timeline: the panel tells of it."""
        self._selected = None if message.row is None else (message.run, message.row)
        self._show_inspect()

    def action_inspect(self) -> None:
        """Open the card of the invocation that is selected, else of the slowest."""
        chosen = self._inspected()
        if chosen is None:
            self.notify("no invocation has returned yet")
            return
        run, row = chosen
        timeline = next((one for one in self._timelines if one.run is run), None)
        self.app.push_screen(CardScreen(run, row, _stepper(timeline, run, row)))

    def action_picture(self) -> None:
        """Where there is room for one: the picture instead of the timeline, and back."""
        self._only_picture = not self._only_picture
        self._arrange()


def _stepper(timeline: Timeline | None, run: RunView, row: int) -> Callable[[int], int | None]:
    """Walks from invocation to invocation through the timeline, so that its selection goes along."""
    if timeline is None:
        return lambda by: None
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
