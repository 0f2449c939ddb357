"""The Bench screen, which opens first: backends, live timelines, the growing picture, histograms, cost."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding

from lbench.engine.backends import catalog
from lbench.engine.plan.plan import resolve_params
from lbench.errors import LbenchError
from lbench.tui.bench.board import EMPTY, Board, answer_pieces
from lbench.tui.bench.layout import COMPACT, Arrangement, Wanted, arrange
from lbench.tui.draw.ink import Piece, fits, width_of
from lbench.tui.feeds.feed import Frame, disk_trouble, is_engine, is_record
from lbench.tui.host import LbenchScreen
from lbench.tui.widgets.cost import Cost
from lbench.tui.widgets.histograms import Histograms
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.replay import ReplayBar
from lbench.tui.widgets.table import BackendTable, Waiting, other_lines
from lbench.tui.widgets.title import Answer, Keys, Title, TooSmall, clock_text, described, left_text
from lbench.tui.widgets.weaknesses import Weaknesses
from lbench.tui.widgets.welcome import BESIDE, Welcome
from lbench.workloads import registry
from lbench.workloads.parameters import settable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lbench.analysis.comparison import Comparison
    from lbench.engine.session.view import RunView
    from lbench.tui.bench.board_builder import Figures
    from lbench.tui.screens.bench_panels import BenchPanels
    from lbench.tui.widgets.timeline import Timeline

__all__ = ["BenchScreen"]

_CANCELLING = "cancelling"
_LEFT = 13  # cells of " · 10 s left": what is before it stands still when a digit goes


class BenchScreen(LbenchScreen[None]):
    """The backends of a comparison, side by side."""

    BINDINGS = [
        Binding("r", "app.set_up", "run"),
        Binding("p", "app.pause", "pause"),
        Binding("c", "app.cancel", "cancel", tooltip="cancel the runs, once asked"),
        Binding("enter", "inspect", "inspect", key_display="↵"),
        Binding("s", "app.sweep", "sweep", tooltip="measure it along a parameter"),
        Binding("w", "app.set_up('workload')", "workload"),
        Binding("b", "app.set_up('backends')", "backends"),
        Binding("x", "app.export", "export"),
        Binding("y", "copy", "copy", tooltip="copy the sentence, the table or the command"),
        Binding("v", "picture", "picture"),
        Binding("left_parenthesis", "repeat(-1)", "repeat", key_display="( )", tooltip="another repeat"),
        Binding("right_parenthesis", "repeat(1)", "repeat", key_display="( )", tooltip="another repeat"),
        Binding("tab", "app.focus_next", "part", tooltip="to the next part"),
        Binding("exclamation_mark", "weaknesses", "weak", key_display="!", tooltip="what makes this weak"),
    ]

    def __init__(self) -> None:
        super().__init__(name="bench")
        self._frames = 0
        self._epoch = -1
        self._arranged_for: object = None
        self._only_picture = False
        self._repeat_changed = False
        self._offered: tuple[bool, ...] = ()  # which keys depend on what there is, and do something
        self._predicted_for: object = None  # the comparison that a prediction was begun for
        self._predicted: tuple[str, ...] = ()
        self._worked_out: object = None  # whose figures a thread computes, or has computed
        self._example_due = False  # its picture may be computed, and was not yet
        self.measured: BenchPanels | None = None  # since there is something to measure
        self.arrangement = Arrangement({}, ())

    @property
    def _waiting(self) -> list[Waiting]:
        """The plan's backends, for the table before the first run."""
        return [Waiting(one.name, one.label, catalog.summary(one.name)) for one in self.host.plan.backends]

    @property
    def board(self) -> Board:
        return EMPTY if self.measured is None else self.measured.board

    @property
    def shown_runs(self) -> list[RunView]:
        """The runs of the comparison on the screen."""
        return [run for row in self.board.rows for run in row.runs]

    def compose(self) -> ComposeResult:
        """The panels, in the order of the focus. `arrange` places them."""
        yield Title()
        yield Answer()
        yield BackendTable()
        yield Weaknesses()
        yield Welcome()
        yield Histograms("cold starts", "none yet", "cold")
        yield Histograms("warm durations", "none yet", "warm")
        yield Cost()
        yield ReplayBar()
        yield TooSmall()
        yield Keys()

    def on_mount(self) -> None:
        table = self.query_one(BackendTable)
        table.show(EMPTY, self._waiting)
        table.focus()
        self._arrange()

    def furnish(self) -> BenchPanels:
        """Mount the panels that need a run."""
        if self.measured is None:
            from lbench.tui.screens.bench_panels import BenchPanels

            self.measured = BenchPanels()
            self.mount_all(self.measured.parts, after=self.query_one(BackendTable))
            self._arranged_for = None
        return self.measured

    def show_last(self, pieces: list[Piece]) -> None:
        """Show the last result, while nothing has run."""
        for welcome in self.query(Welcome):
            welcome.show_last(pieces)

    def show_machine(self, texts: list[str]) -> None:
        """Show what this machine is, while nothing has run; what is slow to load may be loaded from now on."""
        for welcome in self.query(Welcome):
            welcome.show_machine(texts)
        self._example_due = True
        self._show_example()

    def _show_example(self) -> None:
        """Have the first example's picture computed, once, where there is room for it."""
        if self._example_due and self.measured is None and self.size.width >= BESIDE:
            self._example_due = False
            self._compute_example()

    @work(thread=True, group="example", exit_on_error=False)
    def _compute_example(self) -> None:
        from lbench.tui.bench.welcome import example_picture

        levels = example_picture()
        with contextlib.suppress(RuntimeError):  # left meanwhile
            self.app.call_from_thread(self._show_levels, levels)

    def _show_levels(self, levels: NDArray[np.uint8]) -> None:
        for welcome in self.query(Welcome):  # gone where a run has begun meanwhile
            welcome.show_example(levels)

    def on_screen_resume(self) -> None:
        """The keys of the examples go by the workload that the set-up offers, which may be another one now."""
        for welcome in self.query(Welcome):
            welcome.redraw()

    def on_resize(self) -> None:
        """Lay out again; the next frame's texts fit the size."""
        self._frames = -1
        self._arrange()
        self._show_example()

    # -- places

    def _arrange(self) -> None:
        """Place every panel, if anything moved."""
        had = self.measured
        wanted = Wanted(
            backends=sum(1 + len(other_lines(row)) for row in self.board.rows) or len(self.host.plan.backends),
            lanes=() if had is None else had.lanes,
            picture=had is not None and had.preview is not None,
            cold=any(row.summary.region is not None for row in self.board.rows),
            favourite=0 if had is None else had.favourite,
            only_picture=self._only_picture,
            fresh=self.measured is None and not is_engine(self.host.feed),
            warnings=len(self.board.warnings),
            replay=is_record(self.host.feed),
        )
        key = (self.size, wanted)
        if key == self._arranged_for:
            return
        self._arranged_for = key
        arrangement = self.arrangement = arrange(*self.size, wanted)
        for part in self.query(Lines):
            place = arrangement.places.get(part.id or "")
            part.display = place is not None
            if place is not None:
                part.styles.offset = (place.x, place.y)
                part.styles.width = place.width
                part.styles.height = place.height

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "picture":  # a key only where the picture and the timeline share a place
            return self.size.width < COMPACT and self.measured is not None and self.measured.preview is not None
        if action == "inspect":
            return self.measured is not None and self.measured.inspected() is not None
        if action == "weaknesses":
            return bool(self.board.warnings)
        if action == "copy":
            return bool(self.board.rows)
        if action == "repeat":
            return self.measured is not None and len(self.measured.repeats) > 1
        return True

    # -- frames

    def show_frame(self, frame: Frame) -> None:
        if self.focused is None:  # the part that had it was hidden, on a terminal that was too small
            self.query_one(BackendTable).focus()
        self._frames += 1
        anew = frame.epoch != self._epoch
        self._epoch = frame.epoch
        measured = self.measured if frame.view is None else self.furnish()
        changed = frame.changed and frame.read_share is None  # while a record is read, something changes in every frame
        slow = anew or changed or self._repeat_changed or self._frames % self.host.reading_every == 0
        if slow:
            self._repeat_changed = False
            self._show_slow(frame)
        elif frame.pictured and measured is not None:
            measured.show_picture(frame)
        if measured is not None:
            measured.show_timelines(frame, self.arrangement.timelines, anew=anew)
            if slow:
                measured.show_inspect()  # it names lanes, which the timelines know
        self.query_one(ReplayBar).show(frame)

    def keep_up(self, frame: Frame) -> None:
        """Follow while another screen lies above: a frame reports each change once, and a card walks the timelines."""
        if self.measured is not None and frame.epoch == self._epoch:
            self.measured.show_timelines(frame, self.arrangement.timelines, anew=False)

    def _show_slow(self, frame: Frame) -> None:
        host = self.host
        board = EMPTY if self.measured is None else self.measured.take(frame)
        self._arrange()
        self.query_one(BackendTable).show(board, self._waiting)
        self.query_one(Title).show(*self._title(frame))
        problem = frame.problem or host.problem
        answer = self._answer(frame) if not problem else [(problem, "wrong")]
        if problem and frame.view is not None and problem == disk_trouble(frame.view):
            why = problem.partition("(")[2].partition(")")[0] or problem
            answer = self._answer(frame, [(f"{why}: kept in memory, x exports it · ", "wrong")])
        self.query_one(Answer).show(answer)
        if frame.read_share is None:
            for histograms in self.query(Histograms):
                repeat = None if self.measured is None else self.measured.repeat
                histograms.show(frame.runs, repeat, changed=frame.changed)
            self._work_out(frame)
            self._predict(frame)
        self.query_one(Cost).show(board, self._predicted)
        self.query_one(Weaknesses).show(board.warnings)
        offered = tuple(
            bool(self.check_action(action, ())) for action in ("picture", "inspect", "weaknesses", "repeat")
        )
        offered += tuple(bool(host.check_action(action, ())) for action in ("pause", "export"))
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    # -- figures of a large session

    def _work_out(self, frame: Frame) -> None:
        """Have the figures computed that would keep keys waiting."""
        wanted = None if self.measured is None else self.measured.maker.open_figures
        if wanted is not None and wanted != self._worked_out:
            self._worked_out = wanted
            self._work_out_aside(wanted, frame)

    @work(thread=True, group="figures", exclusive=True, exit_on_error=False)
    def _work_out_aside(self, wanted: object, frame: Frame) -> None:
        from lbench.tui.bench.board_builder import figures_of

        figures = figures_of(frame)
        with contextlib.suppress(RuntimeError):  # left meanwhile
            self.app.call_from_thread(self._take_figures, wanted, figures)

    def _take_figures(self, wanted: object, figures: Figures) -> None:
        if self.measured is not None:
            self.measured.maker.take_figures(wanted, figures)
            self._frames = -1
            self._repeat_changed = True
            self.host.tick_if_taken()

    # -- what AWS itself would do

    def _predict(self, frame: Frame) -> None:
        """Begin the prediction, once, when every run of a comparison has ended."""
        comparison, runs = self.board.comparison, self.shown_runs
        ended = comparison is not None and bool(runs) and all(run.ended is not None for run in runs)
        key = (frame.epoch, *(run.id for run in runs)) if ended and not self.board.partial else None
        if key == self._predicted_for:
            return
        self._predicted_for, self._predicted = key, ()
        if comparison is not None and key is not None:
            self._predict_aside(key, comparison, runs)

    @work(thread=True, group="predicted", exclusive=True, exit_on_error=False)
    def _predict_aside(self, key: object, comparison: Comparison, runs: list[RunView]) -> None:
        from lbench.tui.bench.prediction import predicted_texts

        texts = tuple(predicted_texts(comparison, runs))
        with contextlib.suppress(RuntimeError):  # left meanwhile
            self.app.call_from_thread(self._take_prediction, key, texts)

    def _take_prediction(self, key: object, texts: tuple[str, ...]) -> None:
        if key == self._predicted_for:
            self._predicted = texts
            for panel in self.query(Cost):
                panel.show(self.board, texts)

    def _title(self, frame: Frame) -> tuple[list[Piece], list[Piece]]:
        board, width = self.board, self.size.width - 12
        if board.workload is None:
            plan = self.host.plan
            own = plan.workload not in registry.all_names()  # its defaults would have to be read from its file
            params = plan.params if own else settable(resolve_params(plan))
            data = Path(plan.data).name if plan.data else ""
            return [(described(registry.without_folder(plan.workload), params, plan.tasks, width, data), "text")], []
        right: list[Piece] = []
        if is_record(self.host.feed):
            right.append(("RECORD  " if frame.speed is None else "REPLAY  ", "key!"))
        elif frame.state == "paused":
            right.append(("paused  ", "key!"))
        right.append((f"seed {board.seed}", "quiet"))
        if board.elapsed_s is not None:
            right.append((f" · {clock_text(board.elapsed_s)}", "quiet"))
        if board.left_s and frame.now_s:
            right.append((f" · {left_text(board.left_s)} left".rjust(_LEFT), "text"))
        text = described(board.workload, board.params, board.tasks, width - width_of(right), board.data)
        return [(text, "text")], right

    def _answer(self, frame: Frame, before: list[Piece] | None = None) -> list[Piece]:
        """The sentence of line 2, in the longest form that fits behind `before`."""
        before = before or []
        if frame.awaited_s is not None:
            begun = "" if frame.view is None else frame.view.phase or ""
            phase = "starting the engine" if frame.state == "starting" else begun or "preparing"
            phase = _CANCELLING if frame.cancelling else phase
            plan = self.host.plan
            what = registry.without_folder(plan.workload) + (f" on {Path(plan.data).name}" if plan.data else "")
            return [*before, (f"{phase} · ", "quiet"), (what, "text"), (f" · {frame.awaited_s:.0f} s", "quiet")]
        if frame.state == "starting":
            return [*before, ("starting the engine", "quiet")]
        if frame.read_share is not None:
            return [*before, ("reading the record: ", "quiet"), (f"{frame.read_share:.0%}".replace("%", " %"), "text")]
        rows = max(1, self.query_one(Answer).size.height)
        whole, short, shortest = (
            [*before, *answer_pieces(self.board, short=short, cost=cost)]
            for short, cost in ((False, True), (True, True), (True, False))
        )
        pieces = next((form for form in (whole, short) if fits(form, self.size.width - 2, rows)), shortest)
        doing = _CANCELLING if frame.cancelling else None if frame.view is None else frame.view.phase
        if doing and (frame.cancelling or frame.state == "live"):
            pieces = [*pieces, (f" · {doing}", "quiet")]
        return pieces

    # -- keys

    def on_backend_table_selected(self, message: BackendTable.Selected) -> None:
        """Bring its timeline forward, and show it in the panels."""
        if self.measured is not None:
            self.measured.chosen_label = message.label
            self._arrange()

    def on_timeline_selected(self, message: Timeline.Selected) -> None:
        """Show the invocation that was selected in a timeline."""
        if self.measured is not None:
            self.measured.selected = None if message.row is None else (message.run, message.row)
            self.measured.show_inspect()

    def action_inspect(self) -> None:
        """Open the card of the selected invocation, else of the slowest."""
        card = None if self.measured is None else self.measured.card()
        if card is not None:
            self.app.push_screen(card)

    def action_repeat(self, by: int) -> None:
        """Show another repeat in the timelines and histograms."""
        if self.measured is not None:
            self.measured.change_repeat(by)
            self._frames = -1
            self._repeat_changed = True

    def action_weaknesses(self) -> None:
        from lbench.tui.screens.weaknesses import WeaknessesScreen

        self.app.push_screen(WeaknessesScreen(self.board.warnings))

    def action_copy(self) -> None:
        from lbench.tui.screens.prompts import AskCopy

        def answered(what: str | None) -> None:
            if what is not None:
                self._copy(what)

        self.app.push_screen(AskCopy(), answered)

    @work(thread=True, group="copy", exit_on_error=False)
    def _copy(self, what: str) -> None:
        """Copy it. The command of an own workload is made from its file, which is read in a process of its own."""
        try:
            text = self._copied(what)
        except LbenchError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error")
            return
        if text:
            self.app.call_from_thread(self.host.copy_out, text, what)

    def _copied(self, what: str) -> str:
        from lbench.analysis.verdict import answer_sentence
        from lbench.tui.bench.clipboard import command_line, markdown_table
        from lbench.tui.bench.session_plan import offered_plan

        comparison = self.board.comparison
        if comparison is None:
            return ""
        if what == "sentence":
            return answer_sentence(comparison)
        if what == "table":
            return markdown_table(comparison)
        plan = offered_plan(self.shown_runs, self.host.plan)
        return command_line(plan or self.host.plan)

    def action_picture(self) -> None:
        """Swap picture and timeline where there is room for one."""
        self._only_picture = not self._only_picture
        self._arrange()
