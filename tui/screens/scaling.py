"""The Scaling screen: makespan and dollars along a sweep, where the fastest backend changes, and each point's numbers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.worker import Worker, get_current_worker

from lbench.analysis.next_points import next_points
from lbench.analysis.scaling import Scaling
from lbench.analysis.scaling_text import axis_text, scaling_notes, scaling_sentence
from lbench.engine.session.view import SessionView
from lbench.errors import LbenchError, count_text
from lbench.tui.draw.ink import Piece, fits, heading, wrapped
from lbench.tui.feeds.feed import Frame, is_engine, is_record
from lbench.tui.host import ReadingScreen, keys_of
from lbench.tui.scaling.board import LEGEND_KEYS, Measure, curves_of, key_of, point_lines, table_lines, title_of
from lbench.tui.scaling.front import by_time, candidate_lines, front_curves, name_of
from lbench.tui.scaling.loader import Swept, load_sweep
from lbench.tui.theme import role_of
from lbench.tui.widgets.chart import Chart, Rows
from lbench.tui.widgets.title import Answer, Keys, Title

__all__ = ["ScalingScreen"]

_BESIDE = 110  # columns from which both charts have room
_ANSWER_ROWS = 3  # of the sentence, which is always visible; more where it needs them
_ANSWER_SHARE = 6  # it takes at most a sixth of a tall screen
_TABLE_NOTES = 12  # rows that notes take below a table
_AROUND = 22  # cells of the title's line besides the title and the seed
_MEASURES: dict[Measure, str] = {"time": "makespan, s", "usd": "dollars a run"}


class ScalingScreen(ReadingScreen[None]):
    """A sweep, as far as it is measured."""

    BINDINGS = [
        Binding("left", "point(-1)", "point", key_display="←→", tooltip="another point"),
        Binding("right", "point(1)", "point", key_display="←→", tooltip="another point"),
        Binding("up", "series(-1)", "series", key_display="↑↓", tooltip="another series"),
        Binding("down", "series(1)", "series", key_display="↑↓", tooltip="another series"),
        Binding("space", "hide", "hide", tooltip="hide the series, or show it; so does the letter beside it"),
        Binding("l", "scale", "log", tooltip="logarithmic axes, or linear ones"),
        Binding("m", "measure", "money", tooltip="dollars in place of seconds, or both"),
        Binding("d", "table", "table", tooltip="the same data as a table"),
        Binding("plus,equals_sign", "more", "more points", key_display="+", tooltip="measure where curves cross"),
        Binding("c", "app.cancel", "cancel", tooltip="stop the sweep"),
        Binding("left_square_bracket", "beside(-1)", "second axis", key_display="[ ]"),
        Binding("right_square_bracket", "beside(1)", "second axis", key_display="[ ]"),
        Binding("pageup", "page(-1)", "a page of the table up", show=False),
        Binding("pagedown", "page(1)", "a page of the table down", show=False),
        Binding("x", "export", "export", tooltip="write the session to a file"),
        Binding("y", "copy", "copy", tooltip="copy the sentence"),
        *(
            Binding(
                key, f"legend('{key}')", "hide", show=False, key_display="letter", tooltip="hide its series, or show it"
            )
            for key in LEGEND_KEYS
        ),
        Binding("escape", "app.go('bench')", "back", key_display="esc"),
    ]
    AUTO_FOCUS = ""
    KEPT = keys_of(BINDINGS)

    def __init__(self) -> None:
        super().__init__("scaling")
        self.swept: Swept | None = None
        self._problem: str | None = None
        self._place = 0
        self._selected = 0
        self._hidden: frozenset[str] = frozenset()
        self._log = True
        self._table = False
        self._chosen: Measure | None = None  # None: both where there is room, else seconds
        self._beside = 0
        self._ended: object = None  # what the shown sweep was made of
        self._reading = self._again = False
        self._shown_progress = ""
        self._wanted: str | None = None  # the id of the sweep of the comparison on the screen

    def compose(self) -> ComposeResult:
        """Title, answer, two charts or a table, the point, keys."""
        yield Title()
        yield Answer()
        yield Chart(id="chart-time")
        yield Chart(id="chart-usd")
        yield Rows(id="table")
        yield Rows(id="point")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(Title).show([("scaling", "text")], [])
        self.query_one(Answer).show([("reading the sweep", "quiet")])
        self._load()

    def on_resize(self) -> None:
        self._show()

    # -- what is read

    @property
    def _shown_path(self) -> Path | None:
        feed = self.host.feed
        return feed.source if is_record(feed) else feed.folder if is_engine(feed) else None

    def show_frame(self, frame: Frame) -> None:
        """Read the sweep again once another point of it has ended: reading takes time that is measured elsewhere."""
        if frame.view is not None:
            feed = self.host.feed
            sweep = frame.runs[0].planned.sweep if frame.runs else None
            wanted = None if sweep is None else sweep.id
            ended = (frame.epoch, len(frame.view.comparisons), is_engine(feed) and feed.running, wanted)
            if ended != self._ended:
                self._ended, first = ended, self._ended is None
                self._wanted = wanted
                if not first or _has_another_sweep(frame.view, wanted):
                    self._load()
        if self._progress != self._shown_progress:
            self._shown_progress = self._progress
            self._show()
            self.refresh_bindings()

    def _load(self) -> None:
        """Read, or read again once the reading under way is over."""
        self._again = self._reading
        if self._reading:
            return
        self._reading = True
        feed = self.host.feed
        running = is_engine(feed) and feed.running
        self._read(self._shown_path, running, bool(self._progress), self._wanted)

    @work(thread=True, exclusive=True, group="sweep", exit_on_error=False)
    def _read(self, path: Path | None, running: bool, measuring: bool, wanted: str | None) -> None:
        worker = get_current_worker()
        try:
            swept: Swept | LbenchError = load_sweep(path, predict=False, measuring=measuring, wanted=wanted)
            self.app.call_from_thread(self._take, worker, swept)
            if not running and isinstance(swept, Swept) and swept.scalings:
                swept = load_sweep(path, predict=True, wanted=wanted)
        except LbenchError as error:
            swept = error
        self.app.call_from_thread(self._take, worker, swept, last=True)

    def _take(self, worker: Worker[None], swept: Swept | LbenchError, last: bool = False) -> None:
        if worker.is_cancelled or not self.is_attached:
            return
        self._reading = self._reading and not last
        if isinstance(swept, LbenchError):
            self._problem = str(swept)
            if self.swept is None:
                self.swept = Swept([])
        else:
            self._problem, self.swept = None, swept
        self._show()
        self.refresh_bindings()
        if last and self._again:
            self._load()
        self.hand_back()

    @property
    def reads_first(self) -> bool:
        return self.swept is None

    @property
    def scaling(self) -> Scaling | None:
        """The sweep at the chosen value of a second axis."""
        if self.swept is None or not self.swept.scalings:
            return None
        return self.swept.scalings[min(self._beside, len(self.swept.scalings) - 1)]

    # -- what is shown

    def _show(self) -> None:
        self._arrange()
        swept, scaling = self.swept, self.scaling
        if swept is None:
            return
        if scaling is None:
            waits = self._progress or "the first point is being measured"
            self.query_one(Answer).show([(self._problem or waits, "wrong" if self._problem else "quiet")])
            for panel in self.query("Chart, Rows"):
                panel.display = False
            return
        if swept.tuned:
            self._show_tuned(swept, scaling)
            return
        self._place = min(self._place, len(scaling.places) - 1)
        self._selected = min(self._selected, len(scaling.series) - 1)
        place, selected = scaling.places[self._place], scaling.series[self._selected].name
        seed = f"{self._progress} · seed {swept.seed}" if self._progress else f"seed {swept.seed}"
        title = title_of(scaling, swept.repeats, self.size.width - len(seed) - _AROUND)
        self.query_one(Title).show([("scaling · ", "quiet"), (title, "text")], [(seed, "quiet")])
        measured = any(point.makespan_s for one in scaling.series for point in one.points)
        begins = not measured and bool(self._progress)  # nothing was compared yet, and something will be
        sentence: list[Piece] = [("the first point is being measured", "quiet")]
        if not begins:
            sentence = [(scaling_sentence(scaling), "text")]
        if failures := self.host.sweep.failures if self.host.sweep is not None else {}:
            sentence += [(f" ✘ {point}: {why}", "wrong") for point, why in failures.items()]
        self.query_one(Answer).show([(self._problem, "wrong")] if self._problem else sentence)
        for one, title in _MEASURES.items():
            curves = curves_of(scaling, one, self._hidden, selected)
            some = any(curve.spots for curve in curves.curves)
            none = "nothing is charged" if measured else "no point is measured yet"
            self.query_one(f"#chart-{one}", Chart).show(
                title if some else f"{title}: {none}",
                curves if some else None,
                log=self._log,
                cursor=place,
            )

        measure = self._measure

        def table(width: int) -> list[list[Piece]]:
            rows = table_lines(scaling, measure, self._hidden, place, selected, width)
            other = table_lines(scaling, "usd", self._hidden, place, selected, width)
            if self._chosen is None and 2 * len(rows) + _TABLE_NOTES <= self.query_one("#table").size.height:
                rows += [[], heading([(_MEASURES["usd"], "text!")], [], width), *other]
            answer = scaling_sentence(scaling)
            whole = [] if fits([(answer, "text")], width - 2, self._answer_rows) else [answer]
            for note in (*whole, *swept.laws, *scaling_notes(scaling)):
                lines = wrapped([(note, "quiet")], width - 5, 12)
                rows += [[], *([("  ", "text"), *line] for line in lines)]
            return rows

        self.query_one("#table", Rows).show(_MEASURES[measure], "", table)
        self.query_one("#point", Rows).show(
            f"at {axis_text(scaling, place)}",
            f"point {self._place + 1} of {len(scaling.places)}",
            lambda width: point_lines(scaling, place, self._hidden, selected, width, measuring=bool(self._progress)),
        )

    def _show_tuned(self, swept: Swept, scaling: Scaling) -> None:
        """The candidates of a tuned function: the front of time against dollars, and a line each."""
        found = swept.tuned
        self._place = min(self._place, len(found) - 1)
        chosen, role = by_time(found)[self._place], role_of(scaling.series[0].backend, swept.label)
        what = f"{scaling.workload} · memory × tasks · {count_text(len(found), 'candidate')}"
        self.query_one(Title).show([("tuning · ", "quiet"), (what, "text")], [(f"seed {swept.seed}", "quiet")])
        self.query_one(Answer).show([(self._problem, "wrong") if self._problem else (swept.picks, "text")])
        self.query_one("#chart-usd", Chart).show(
            "dollars a run against seconds", front_curves(found, role), log=self._log, cursor=chosen.makespan_s.value
        )

        def lines(width: int, notes: tuple[str, ...]) -> list[list[Piece]]:
            return candidate_lines(found, self._place, role, width, notes)

        whole = () if fits([(swept.picks, "text")], self.size.width - 2, self._answer_rows) else (swept.picks,)
        title = "candidates, the fastest first"
        self.query_one("#table", Rows).show(title, "", lambda width: lines(width, (*whole, *swept.caveats)))
        place = f"{name_of(chosen)}: {self._place + 1} of {len(found)}"
        self.query_one("#point", Rows).show(title, place, lambda width: lines(width, ()))

    @property
    def _tuned(self) -> int:
        """Candidates of a tuned function; 0: it is a sweep."""
        return 0 if self.swept is None else len(self.swept.tuned)

    @property
    def _progress(self) -> str:
        sweep = self.host.sweep
        return sweep.progress if sweep is not None else ""

    @property
    def _answer_rows(self) -> int:
        """As few as the sentence needs."""
        width, height = self.size
        text = "" if self.scaling is None or self.swept is None else self.swept.picks or scaling_sentence(self.scaling)
        most = max(_ANSWER_ROWS, height // _ANSWER_SHARE)
        return next((rows for rows in range(_ANSWER_ROWS, most) if fits([(text, "text")], width - 2, rows)), most)

    def _arrange(self) -> None:
        width, height = self.size
        count = self._tuned or (len(self.scaling.series) if self.scaling is not None else 0)
        point = min(count + 1, max(2, (height - 6) // 3))
        answer = self._answer_rows
        top, rows = 1 + answer, height - 2 - answer - point
        beside = self._both
        half = width * 3 // 5 if beside else width
        places: dict[str, tuple[int, int, int, int]] = {
            "title": (0, 0, width, 1),
            "answer": (0, 1, width, answer),
            "point": (0, height - 1 - point, width, point),
            "keys": (0, height - 1, width, 1),
        }
        if self._tuned and self._table:
            places["table"] = (0, top, width, rows + point)
            del places["point"]
        elif self._tuned:
            places["chart-usd"] = (0, top, width, rows)
        elif self._table:
            places["table"] = (0, top, width, rows)
        elif beside:
            places["chart-time"] = (0, top, half, rows)
            places["chart-usd"] = (half + 1, top, width - half - 1, rows)
        else:
            places[f"chart-{self._measure}"] = (0, top, width, rows)
        for part in self.query("Screen > Lines"):
            place = places.get(part.id or "")
            part.display = place is not None
            if place is not None:
                x, y, across, down = place
                part.styles.offset = (x, y)
                part.styles.width, part.styles.height = across, max(1, down)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        scaling = self.scaling
        if action in ("point", "series", "hide", "scale", "measure", "table", "export", "copy", "legend"):
            if scaling is None:
                return False
            if self._tuned and action in ("series", "hide", "measure", "legend"):
                return False
            if action == "series":
                return len(scaling.series) > 1
            if action == "point":
                return (self._tuned or len(scaling.places)) > 1
        if action == "more":
            return scaling is not None and not self._tuned and self.host.can_add_points
        if action == "beside":
            return self.swept is not None and not self._tuned and len(self.swept.scalings) > 1
        return True

    def action_point(self, by: int) -> None:
        if self.scaling is not None:
            self._place = (self._place + by) % (self._tuned or len(self.scaling.places))
            if self._tuned:
                self.query_one("#point", Rows).show_row(self._place)
            self._show()

    def action_series(self, by: int) -> None:
        if self.scaling is not None:
            self._selected = (self._selected + by) % len(self.scaling.series)
            self.query_one("#point", Rows).top = max(0, self._selected - self.query_one("#point").size.height + 2)
            self._show()

    def action_hide(self) -> None:
        """Hide the selected series, or show it again."""
        if self.scaling is not None:
            self._hide(self.scaling.series[self._selected].name)

    def action_legend(self, key: str) -> None:
        """Hide the series with this key, or show it again."""
        if self.scaling is not None:
            for one in self.scaling.series:
                if key_of(self.scaling, one) == key:
                    self._hide(one.name)

    def _hide(self, name: str) -> None:
        self._hidden ^= {name}
        self._show()

    def action_scale(self) -> None:
        """Change the axes; from the table, show them."""
        self._log = not self._log
        self._table = False
        self._show()

    def action_measure(self) -> None:
        roomy = self.size.width >= _BESIDE and not self._table
        after: dict[Measure | None, Measure | None] = {"time": "usd", "usd": None if roomy else "time", None: "time"}
        self._chosen = after[self._chosen] if roomy else after[self._measure]
        self._show()

    @property
    def _both(self) -> bool:
        return self._chosen is None and not self._table and self.size.width >= _BESIDE

    @property
    def _measure(self) -> Measure:
        """What a single chart or the table shows."""
        return self._chosen or "time"

    def action_table(self) -> None:
        self._table = not self._table
        self._show()
        self.refresh_bindings()

    def action_page(self, by: int) -> None:
        rows = self.query_one("#table", Rows)
        rows.scroll_by(by * max(1, rows.size.height - 2))

    def action_beside(self, by: int) -> None:
        """Another value of the second axis."""
        if self.swept is not None and self.swept.scalings:
            self._beside = (self._beside + by) % len(self.swept.scalings)
            self._show()

    def action_more(self) -> None:
        """Measure where curves cross; where none do, between the points that are furthest apart."""
        swept, scaling = self.swept, self.scaling
        if swept is None or scaling is None:
            return
        points = list(next_points(swept.scalings)) or [point for point in [_between(scaling)] if point is not None]
        if not points or not self.host.more_points(points[:1]):
            self._say("no point between these would tell more", "quiet")

    def action_copy(self) -> None:
        if self.swept is not None and self.swept.tuned:
            self.host.copy_out(self.swept.picks, "sentence")
        elif self.scaling is not None:
            self.host.copy_out(scaling_sentence(self.scaling), "sentence")

    def action_export(self) -> None:
        """Write the newest session of the sweep to a file."""
        if self.swept is not None and self.swept.source is not None:
            self.host.export(self.swept.source, self._say)

    def _say(self, text: str, role: str) -> None:
        self.notify(text, severity="error" if role == "wrong" else "information")


def _between(scaling: Scaling) -> dict[str, float] | None:
    """The point in the middle of the widest gap, by ratio."""
    places = [place for place in scaling.places if place > 0]
    gaps = sorted(pairwise(places), key=lambda ends: ends[1] / ends[0], reverse=True)
    for low, high in gaps:
        middle = (low * high) ** 0.5
        place = round(middle) if scaling.whole else float(f"{middle:.3g}")
        if low < place < high:
            return {scaling.axis: place, **scaling.beside}
    return None


def _has_another_sweep(view: SessionView, wanted: str | None) -> bool:
    sweeps = (run.planned.sweep for run in view.runs.values())
    return wanted is not None and any(one is not None and one.id != wanted for one in sweeps)
