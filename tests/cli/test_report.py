"""The result table fits the terminal and keeps what answers the question."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from lbench.analysis.comparison import Comparison, Line, Summary, summarise
from lbench.analysis.prediction import Predicted, PredictedLine
from lbench.analysis.statistics import Estimate
from lbench.cli.documents import document_of
from lbench.cli.progress import PlainProgress
from lbench.cli.report import print_report, result_columns, runs_mark
from lbench.cli.tables import table_lines
from lbench.cli.warning_lines import warning_lines
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.export.document import document
from lbench.engine.journal.events import ComparisonEnded, RunEnded, RunPlanned, Warned
from lbench.engine.model import Warning_
from lbench.engine.session.view import RunView, SessionView, fold


def summary(label: str, origin: Any, temperatures: tuple[Any, ...], count: int) -> Summary:
    run = RunView(RunPlanned("r1", "w", {}, 1, label, label, origin, 0, False, "isolated"))
    found = summarise([run], lambda run, now_s: RunCost(CostItems()))
    kind: Any = "range" if count < 6 else "95 %"
    line = msgspec.structs.replace(
        found.lines[0],
        makespan_s=Estimate(12.41, 12.31, 12.55, count, kind),
        speedup=Estimate(0.94, 0.91, 0.97, count, kind),
        cold_starts=8,
        init_p50_ms=467.0,
        usd=Decimal("0.00079"),
    )
    return msgspec.structs.replace(
        found,
        lines=tuple(msgspec.structs.replace(line, temperature=one) for one in temperatures),
        duration_p50_ms=124.2,
        duration_p99_ms=141.9,
        duration_cv=0.034,
        answer="same",
    )


def comparison(count: int = 6) -> Comparison:
    backends = [
        summary("sequential", "measured", (None,), count),
        summary("emulated", "emulated", ("cold", "warm"), count),
    ]
    return Comparison(backends, "sequential")


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("count", [3, 6])
def test_the_table_fits_and_keeps_what_matters(width: int, count: int) -> None:
    lines = [line.plain for line in table_lines(result_columns(comparison(count)), width)]
    assert max(map(len, lines)) <= width
    for title in ("BACKEND", "RUNS", "MAKESPAN", "SPEEDUP", "COST", "ANSWER"):
        assert title in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["▌sequential", "▌emulated", "▌emulated"]


def test_cold_and_warm_are_two_rows_and_warm_quantiles_stand_with_warm() -> None:
    _, _, cold, warm = (line.plain for line in table_lines(result_columns(comparison()), 200))
    assert "emulated cold" in cold and "124 ms" not in cold
    assert "emulated warm" in warm and "124 ms" in warm


@pytest.mark.parametrize(("count", "title"), [(3, "RANGE"), (6, "95 %")])
def test_at_80_columns_the_spread_and_cold_starts_are_there(count: int, title: str) -> None:
    head = table_lines(result_columns(comparison(count)), 80)[0].plain
    assert title in head and "COLD" in head


def predicted() -> PredictedLine:
    one = Predicted(Estimate(0.8, 0.7, 1.9, 400), Decimal("0.001"), Decimal("0.0009"), Decimal("0.002"))
    return PredictedLine(
        worked_out_from="sequential", environments=100, memory_mb=1769, region="us-east-1", architecture="x86_64",
        cold=one, warm=one, core_ratio=(1.4, 0.8, 2.2), baseline_s=Estimate(12.41, 12.31, 12.55, 3, "range"),
    )  # fmt: skip


def test_a_predicted_interval_has_its_share_in_the_title() -> None:
    assert "95 % OR RANGE" in table_lines(result_columns(comparison(3), predicted()), 250)[0].plain
    assert "RANGE" not in table_lines(result_columns(comparison(6)), 250)[0].plain


@pytest.fixture
def printed(
    make_events: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    def report(*args: Any, **kwargs: Any) -> str:
        monkeypatch.setenv("COLUMNS", "250")
        view = fold(make_events(*args, **kwargs))
        print_report(view, document(view), "saved", predict=False)
        return capsys.readouterr().out

    return report


@pytest.mark.parametrize(("tasks", "text"), [(1, "after 1 of 1 task"), (3, "after 3 of 3 tasks")])
def test_a_run_that_was_stopped_is_named_with_its_tasks(printed: Callable[..., str], tasks: int, text: str) -> None:
    ended = {"status": "over_budget", "makespan_s": None}
    lines = printed({"processes": [1.0]}, invocations=[{}] * tasks, ended=ended).splitlines()
    assert f"■ processes 1/1: over budget {text}" in lines


@pytest.mark.parametrize(
    ("ended_by", "shown"), [("time", True), ("precision", True), ("failed", True), ("count", False)]
)
def test_what_ended_automatic_repeats_is_in_the_report(
    make_events: Callable[..., Any], capsys: pytest.CaptureFixture[str], ended_by: Any, shown: bool
) -> None:
    events = make_events({"sequential": [4.0] * 6})
    events.insert(-1, ComparisonEnded("c1", ["r1"], ended_by, 6, "6 rounds, and why"))
    view = fold(events)
    print_report(view, document(view), "saved", predict=False)
    assert ("\nrepeats: 6 rounds, and why\n" in capsys.readouterr().out) is shown


def test_progress_has_no_line_for_a_run_that_never_began(
    make_events: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    events = make_events({"sequential": [4.0, 4.0]}, ended={"status": "over_budget", "makespan_s": None})
    never = [event for event in events if isinstance(event, RunPlanned)][1].run
    cancelled = RunEnded(never, "cancelled", None, None)
    view, progress = SessionView(), PlainProgress()
    for event in [event for event in events if getattr(event, "run", "") != never or isinstance(event, RunPlanned)]:
        view.apply(event)
        progress.event(event, view)
    view.apply(cancelled)
    progress.event(cancelled, view)
    ends = [line for line in capsys.readouterr().err.splitlines() if "over budget" in line]
    assert ends == ["sequential 1/1: ■ over budget"]


def test_only_what_was_compared_by_rounds_is_called_so(printed: Callable[..., str]) -> None:
    times = {"sequential": [4.0] * 7, "processes": [2.0] * 7, "emulated": [9.0, *[2.0] * 6]}
    cold = {"emulated": [True, *[False] * 6]}
    text = printed(times, schedule="alternating", cold=cold)
    assert "\nspeedups of processes and emulated warm are medians of ratios within a round" in text
    assert "\nspeedups are medians of ratios within a round" in printed(
        {"sequential": [4.0] * 6, "processes": [2.0] * 6}, schedule="alternating"
    )
    assert "medians of ratios" not in printed({"sequential": [4.0] * 6, "processes": [2.0] * 6})


def test_a_correction_is_named_where_something_is_called_faster_or_slower(printed: Callable[..., str]) -> None:
    base, fast = [4.0 + 0.01 * number for number in range(7)], [2.0 + 0.01 * number for number in range(7)]
    text = "what is called faster or slower stays so after Holm's correction for 2 comparisons"
    assert text in printed({"sequential": base, "a": fast, "b": base}, schedule="alternating")
    assert "Holm" not in printed({"sequential": base, "a": base, "b": base}, schedule="alternating")
    assert "Holm" not in printed({"sequential": base, "a": fast}, schedule="alternating")


def test_what_a_pause_held_back_is_not_explained_by_the_backend(
    make_events: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    events = make_events({"processes": [4.0] * 6}, invocations=[{}, {}])
    for paused in (False, True):
        if paused:
            events[-1:-1] = [Warned("paused", "processes was paused", f"r{number}") for number in range(1, 7)]
        view = fold(events)
        print_report(view, document_of(view), "saved", predict=False)
        assert ("processes spends " in capsys.readouterr().out) is not paused
        assert bool(document_of(view).explanations) is not paused


@pytest.mark.parametrize(
    ("ok", "paused", "stopped", "mark"),
    [(3, 0, 0, "✔"), (2, 1, 0, "‖"), (1, 1, 0, "✘"), (2, 0, 0, "✘"), (2, 0, 1, "■"), (0, 0, 3, "■"), (1, 0, 1, "✘")],
)
def test_the_number_of_runs_tells_paused_and_stopped_ones_from_failed_ones(
    ok: int, paused: int, stopped: int, mark: str
) -> None:
    line = Line(
        temperature=None,
        repeats=3,
        repeats_ok=ok,
        paused=paused,
        stopped=stopped,
        makespan_s=None,
        cold_starts=None,
        init_p50_ms=None,
        usd=None,
        rent_usd=None,
    )
    assert runs_mark(line)[0] == mark


def test_warnings_of_several_backends_that_differ_in_one_figure_are_one_line() -> None:
    texts = [
        "sequential: workers were idle for 46 % of the makespan",
        "processes: workers were idle for 9 % of the makespan",
        "loop: workers were idle for 1,046 % of the makespan",
        "sequential: 3 of 4 runs are cold",
        "processes: 2 of 5 runs are cold",
        "the load average was 3.5",
        "threads: no interval",
        "emulated: no interval",
    ]
    assert warning_lines([Warning_("x", text) for text in texts]) == [
        "! sequential: workers were idle for 46 % (processes: 9 %, loop: 1,046 %) of the makespan",
        "! sequential: 3 of 4 runs are cold",
        "! processes: 2 of 5 runs are cold",
        "! the load average was 3.5",
        "! threads and emulated: no interval",
    ]


def test_the_loads_of_a_resumed_sweeps_sessions_are_one_line() -> None:
    loads = [f"the load average was {load} on 2 cores at the start: measure again" for load in ("10.6", "9", "11.3")]
    labels = [f"processes{number}: workers were idle" for number in (4, 8)]
    assert warning_lines([Warning_("x", text) for text in (*loads, *labels)]) == [
        "! the load average was 10.6, 9 and 11.3 on 2 cores at the start: measure again",
        "! processes4 and processes8: workers were idle",
    ]


@pytest.mark.parametrize(("status", "line"), [("cancelled", "■ cancelled"), ("failed", "✘ failed: why")])
def test_a_stopped_run_has_no_cross(
    make_events: Callable[..., Any], capsys: pytest.CaptureFixture[str], status: str, line: str
) -> None:
    ended = {"status": status, "makespan_s": None, "error": "why" if status == "failed" else None}
    events = make_events({"processes": [4.0]}, ended=ended)
    view = fold(events)
    progress = PlainProgress()
    for event in events:
        progress.event(event, view)
    print_report(view, document_of(view), "saved", predict=False)
    out, err = capsys.readouterr()
    assert f"processes 1/1: {line}\n" in err
    assert ("✘" in out + err) is (status == "failed")


def test_a_session_whose_runs_were_all_paused_still_has_a_table(
    make_events: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    events = make_events({"processes": [4.0]})
    view = fold([*events, Warned("paused", "processes was paused while its clock ran", "r1")])
    print_report(view, document_of(view), "saved", predict=False)
    out = capsys.readouterr().out
    assert "‖ 0/1" in out and "nothing to compare: all runs with a right answer were paused." in out
    assert "! processes was paused while its clock ran" in out


def test_an_isolated_order_says_what_it_cannot_tell_apart(printed: Callable[..., str]) -> None:
    text = "a machine that became slower or faster meanwhile would look like a difference between them"
    both = {"sequential": [4.0] * 6, "processes": [2.0] * 6}
    assert text in printed(both, schedule="isolated")
    assert text not in printed(both, schedule="alternating")
    assert text not in printed({"processes": [2.0] * 6}, schedule="isolated")
    assert text not in printed({"processes": [2.0] * 6, "lambda": [2.0] * 6}, schedule="isolated")


def test_a_range_is_explained_wherever_it_stands(printed: Callable[..., str]) -> None:
    text = "range: least to greatest; fewer than 6 repeats have no 95 % interval"
    assert text in printed({"sequential": [4.0] * 3, "processes": [2.0] * 6})
    assert text not in printed({"sequential": [4.0] * 6, "processes": [2.0] * 6})


def test_a_warning_of_many_runs_is_one_line_with_their_number() -> None:
    why = "the answer of threads could not be checked: out of memory"
    of_runs = [Warning_("unchecked", why, f"r{number}") for number in range(32)]
    others = [Warning_("steal", "2 % stolen"), Warning_("failed", "named elsewhere", "r1")]
    assert warning_lines([*of_runs[:20], *others, *of_runs[20:]]) == [f"! {why} (32 runs)", "! 2 % stolen"]
