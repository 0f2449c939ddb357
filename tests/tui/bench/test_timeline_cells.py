from types import ModuleType

import numpy as np
import pytest

from lbench.engine.journal.events import Dispatched, Returned
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView, SessionView, fold
from lbench.tui.bench.lane_rows import LaneRows
from lbench.tui.bench.lanes import Lanes
from lbench.tui.bench.timeline_cells import Canvas
from lbench.tui.draw import lanes as cells
from lbench.tui.draw.lanes import CODES

NOTHING = np.empty(0, dtype=np.int32)


@pytest.fixture
def emulated(making: ModuleType) -> RunView:
    view = fold(event for _, event in making.events((making.EMULATED,), repeats=1))
    return view.runs["r1"]


def _lines(canvas: Canvas, count: int, now_s: float = 9.9) -> list[bytes]:
    return [canvas.line(number, [], now_s, None).tobytes() for number in range(count)]


def test_cells_painted_as_invocations_end_are_those_painted_all_at_once(making: ModuleType) -> None:
    events = [event for _, event in making.events((making.EMULATED,), repeats=1)]
    view = SessionView()
    window = (0.0, 1.7)
    grown: Canvas | None = None
    for event in events:
        view.apply(event)
        if isinstance(event, Dispatched | Returned):
            grown = grown or Canvas(Lanes(view.runs["r1"]))
            ended = grown.lanes.update([event.n])
            grown.frame(list(range(8)), window, 100, ended)
    assert grown is not None
    run = view.runs["r1"]
    lanes = Lanes(run)
    lanes.update(list(range(len(run.columns))))
    whole = Canvas(grown.lanes)
    whole.frame(list(range(8)), window, 100, NOTHING)
    assert _lines(grown, 8) == _lines(whole, 8)


def test_each_kind_of_trouble_has_a_glyph_of_its_own(emulated: RunView) -> None:
    canvas = Canvas(Lanes(emulated))
    canvas.lanes.update(list(range(len(emulated.columns))))
    canvas.frame(list(range(8)), (0.0, 1.7), 400, NOTHING)
    seen = {CODES[code][0] for line in _lines(canvas, 8) for code in line}
    assert {"░", "▒", "▆", "×", "!", "↻", "▂", "⊘"} <= seen


def test_glyphs_differ_so_that_monochrome_tells_as_much() -> None:
    meanings = [cells.COMPUTE, cells.INIT, cells.FETCH, cells.INFERRED, cells.DISCARDED, cells.RUNNING_END]
    meanings += [cells.RETRIED, cells.THROTTLED, cells.ERROR, cells.TIMEOUT, cells.SELECTED]
    assert len({CODES[code][0] for code in meanings}) == len(meanings)


def test_a_running_invocation_is_drawn_up_to_now_and_ends_open(making: ModuleType) -> None:
    events = [event for _, event in making.events((making.PROCESSES,), repeats=1)]
    first = next(place for place, event in enumerate(events) if isinstance(event, Dispatched))
    run = fold(events[: first + 1]).runs["r1"]
    lanes = Lanes(run)
    lanes.update([0])
    canvas = Canvas(lanes)
    canvas.frame([0], (0.0, 1.0), 100, NOTHING)
    line = canvas.line(0, [0], 0.5, None)
    assert line[49] == cells.RUNNING_END
    assert (line[1:49] == cells.COMPUTE).all()
    assert (line[50:] == cells.BLANK).all()


def test_an_error_is_seen_however_many_invocations_share_its_cell(emulated: RunView) -> None:
    canvas = Canvas(Lanes(emulated))
    canvas.lanes.update(list(range(len(emulated.columns))))
    canvas.frame(list(range(8)), (0.0, 1.7), 4, NOTHING)
    drawn = {code for line in _lines(canvas, 8) for code in line}
    assert cells.ERROR in drawn
    assert STATUSES.index("error") in emulated.columns["status"]


@pytest.mark.parametrize("window", [(0.0, 40.0), (3.0, 3.4), (11.05, 30.0), (90.0, 99.0)])
@pytest.mark.parametrize("width", [7, 90])
def test_of_a_large_run_only_what_shows_is_painted_and_looks_the_same(
    making: ModuleType, window: tuple[float, float], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = fold(event for _, event in making.events((making.EMULATED,), repeats=1, tasks=3000))
    run = view.runs["r1"]
    lanes = Lanes(run)
    lanes.update(range(len(run.columns)))
    shown = []
    for at_once in (100_000, 100):
        monkeypatch.setattr("lbench.tui.bench.timeline_cells._AT_ONCE", at_once)
        canvas = Canvas(lanes)
        canvas.frame([5, 0, 3], window, width, NOTHING)
        shown.append(_lines(canvas, 3))
    assert shown[0] == shown[1]


def test_few_of_many_rows_are_painted(making: ModuleType) -> None:
    run = fold(event for _, event in making.events((making.PROCESSES,), repeats=1, tasks=4000)).runs["r1"]
    lanes = Lanes(run)
    lanes.update(range(len(run.columns)))
    sorted_rows = LaneRows(lanes, np.arange(len(run.columns)))
    assert len(sorted_rows.showing([0, 1], (0.0, 200.0), 50)) < 2 * 2 * 50
    assert len(sorted_rows.showing([0], (10.0, 10.5), 50)) < 20
