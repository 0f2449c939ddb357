import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from lbench.analysis.comparison import compare
from lbench.analysis.prediction import Predicted, PredictedLine
from lbench.analysis.statistics import Estimate
from lbench.engine.billing.bill import run_bill
from lbench.engine.cost.charges import total_usd
from lbench.engine.session.view import fold
from lbench.tui.bench.board import EMPTY, Board, answer_pieces
from lbench.tui.bench.board_builder import BoardBuilder
from lbench.tui.bench.prediction import _short, _shortest, predicted_texts

Boards = Callable[..., Board]


@pytest.fixture
def board_of(still: Any) -> Boards:
    def make(at_s: float | None = None, **options: Any) -> Board:
        return BoardBuilder().make(still(at_s, picture=False, **options).frame())

    return make


def _text(board: Board, **options: Any) -> str:
    return "".join(text for text, _ in answer_pieces(board, **options))


def test_before_the_first_run_the_sentence_says_which_keys_start_one() -> None:
    assert "r then enter" in _text(EMPTY)


def test_the_first_backend_is_what_the_others_will_be_compared_with(board_of: Boards) -> None:
    assert "measuring sequential first" in _text(board_of(2.0))
    assert re.search(r"sequential takes 6\.\d\d s \(range of 3: 6\.\d\d–6\.\d\d s\)", _text(board_of(21.5)))
    assert re.search(r"sequential takes 6\.\d\d s \(measured once\)", _text(board_of(8.0)))


def test_a_speedup_that_is_not_final_says_so_far(board_of: Boards) -> None:
    text = _text(board_of(34.2))
    assert "emulated so far 3." in text
    assert "processes is 1.98×" in text


def test_emulated_results_are_always_marked_emulated(board_of: Boards) -> None:
    for short in (False, True):
        for at_s in (34.2, None):
            assert "emulated here" in _text(board_of(at_s), short=short)


@pytest.mark.parametrize("short", [False, True])
def test_an_open_comparison_is_never_called_no_difference(board_of: Boards, short: bool) -> None:
    board = board_of(None)
    assert board.comparison is not None
    index = [row.label for row in board.rows].index("processes")
    summary = board.rows[index].summary
    lines = tuple(msgspec.structs.replace(one, claim="open") for one in summary.lines)
    rows = list(board.rows)
    rows[index] = msgspec.structs.replace(rows[index], summary=msgspec.structs.replace(summary, lines=lines))
    text = _text(msgspec.structs.replace(board, rows=rows), short=short)
    assert ("processes: unclear against sequential, " if short else "cannot be distinguished from sequential, ") in text
    assert "no difference" not in text and "1.94–2.03" in text


@pytest.mark.parametrize(("at_s", "states"), [(2.0, ["stopped"] * 3), (21.5, ["ok", "stopped", "stopped"])])
def test_an_engine_that_has_gone_leaves_nothing_waiting_or_expected(still: Any, at_s: float, states: list[str]) -> None:
    frame = still(at_s, picture=False).frame()
    frame.view.engine_gone()
    board = BoardBuilder().make(msgspec.structs.replace(frame, state="lost", now_s={}))
    assert [row.outlook.state for row in board.rows] == states
    assert board.expected_usd is None and not board.left_s
    assert "measuring" not in _text(board)
    assert ("the runs were stopped before any had ended" in _text(board)) == (states[0] == "stopped")


def test_a_backend_that_failed_is_in_the_sentence(board_of: Boards) -> None:
    assert "processes failed" in _text(board_of(None, failing="processes"))


def test_what_is_expected_is_never_less_than_what_was_spent_nor_more_than_the_bound(board_of: Boards) -> None:
    for at_s in (33.9, 34.2, 34.6, 35.2, 36.2):
        board = board_of(at_s)
        assert board.usd is not None and board.expected_usd is not None and board.bound_usd is not None
        assert board.usd <= board.expected_usd <= board.bound_usd
    assert board_of(None).expected_usd is None


def test_items_add_up_to_what_was_spent(board_of: Boards) -> None:
    board = board_of(None)
    assert total_usd(board.items.values()) == board.usd


def test_time_left_shrinks_and_is_gone_at_the_end(board_of: Boards) -> None:
    lefts = [board_of(at_s).left_s for at_s in (34.2, 34.4, 35.3, 36.5)]
    assert all(left is not None for left in lefts)
    assert lefts[-1] < lefts[0]  # type: ignore[operator]
    assert not board_of(None).left_s


def test_what_is_not_settled_says_so_in_every_form_of_the_sentence(board_of: Boards) -> None:
    board = board_of(None)
    index = [row.label for row in board.rows].index("processes")
    summary = board.rows[index].summary
    lines = tuple(msgspec.structs.replace(one, claim="unsettled", comparisons=3) for one in summary.lines)
    rows = list(board.rows)
    rows[index] = msgspec.structs.replace(rows[index], summary=msgspec.structs.replace(summary, lines=lines))
    board = msgspec.structs.replace(board, rows=rows)
    for short, cost in ((False, True), (True, True), (True, False)):
        clause = _text(board, short=short, cost=cost).partition(";  ")[0]
        assert "not settled" in clause, clause


def test_the_shorter_forms_of_a_prediction_count_its_environments_and_repeats() -> None:
    one = Predicted(Estimate(2.0, 1.0, 3.0, 200), Decimal("0.001"), Decimal("0.001"), Decimal("0.001"))
    line = PredictedLine(
        worked_out_from="sequential",
        environments=1,
        memory_mb=1769,
        region="us-east-1",
        architecture="x86_64",
        cold=one,
        warm=one,
        core_ratio=(1.35, 0.84, 2.2),
        baseline_s=Estimate(20.0, 19.0, 21.0, 2, "range"),
    )
    for text in (_short(line), _shortest(line)):
        assert "10.0× (range of 2: 6.65–20.0; baseline of 2 repeats: not settled) warm" in text
    assert _short(line).endswith("with 1 environment")


def test_a_task_without_room_on_lambda_has_its_reason_in_place_of_a_prediction(make_events: Callable[..., Any]) -> None:
    calls = [{"compute_ms": 500.0, "peak_rss_mb": 4000} for _ in range(4)]
    runs = list(fold(make_events({"sequential": [2.0] * 3}, invocations=calls)).runs.values())
    (text,) = predicted_texts(compare(runs, run_bill), runs)
    assert text.startswith("AWS itself is not predicted: a task used 4,000 MB here, and an environment has 1,769 MB")
