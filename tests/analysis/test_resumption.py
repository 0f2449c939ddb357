"""A sweep or a tuning in several sessions: what was measured counts once, and what was cut off not at all."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from lbench.analysis.resumption import joined
from lbench.analysis.scaling import scalings
from lbench.analysis.scaling_text import scaling_sentence
from lbench.analysis.session_comparison import compare_sessions
from lbench.analysis.tuning import LEAST_RUNS, MOST_TRIALS, Candidate, tuned
from lbench.cli import documents, tune_run
from lbench.cli.documents import document_of, load_document, load_views
from lbench.cli.html.write import report_page
from lbench.cli.tune_run import TunePlan, next_trial, tried
from lbench.config.folders import sessions_place
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.export.document import encode_document
from lbench.engine.journal.events import Warned, encode_lines
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.sweep import SweepPlan
from lbench.engine.session.view import RunView, SessionView
from lbench.tui.compare.loader import compare_folders
from lbench.tui.export import export
from tests.analysis.sweeps import Times, sweep_events, sweep_session

STEADY = (1.0, 1.01, 0.99, 1.0, 1.02, 0.98)


def times(n: int, count: int = 6) -> Times:
    return {"processes": [0.1 * n * k for k in STEADY[:count]], "threads": [0.3 * k for k in STEADY[:count]]}


def stopped_and_resumed() -> list[SessionView]:
    """Stopped in n=4, where its threads had a bad time; resumed there."""
    first = sweep_session(
        [({"n": 1}, times(1)), ({"n": 4}, {"processes": [9.0, 9.5], "threads": [0.3]})],
        stopped=[{"n": 4}],
        identity="a",
        settings={"concurrency": 2},
    )
    cut = [run.id for run in first.runs.values() if run.planned.params["n"] == 4]
    first.apply(Warned("odd", "a warning of a run that was measured again", cut[0]))
    first.apply(Warned("odd", "a warning of a run that counts", next(iter(first.runs))))
    first.apply(Warned("failed", "a point had no room on the disk"))
    rest = [({"n": n}, times(n)) for n in (4, 8)]
    return [first, sweep_session(rest, stopped=[{"n": 0}], identity="b", settings={"concurrency": 2})]


def test_a_resumed_sweep_has_neither_the_runs_that_were_replaced_nor_their_warnings() -> None:
    views = stopped_and_resumed()
    made = document_of(joined(views), predict=False)
    assert [run.id for run in made.runs[:2]] == ["a/a1", "a/a2"]
    points = [run.sweep.point["n"] for run in made.runs if run.sweep is not None]
    assert {n: points.count(n) for n in points} == {1: 12, 4: 12, 8: 12}
    assert [len(one.runs) for one in made.comparisons or []] == [12, 12, 12]
    texts = [warning.text for warning in made.warnings]
    assert "a warning of a run that counts" in texts
    assert not [text for text in texts if "measured again" in text or "disk" in text or "repeats differ" in text]
    whole = sweep_session([({"n": n}, times(n)) for n in (1, 4, 8)])
    sentences = [
        scaling_sentence(scalings([view], lambda run, now_s: RunCost(CostItems()))[0])
        for view in (joined(views), whole)
    ]
    assert sentences[0] == sentences[1]
    assert document_of(views[0], predict=False).runs[-1].id == "a15"  # its own session keeps them


def test_a_point_that_was_cut_off_after_its_cold_repeat_makes_no_cold_curve_the_main_one() -> None:
    whole = {"processes": STEADY, "emulated cold": [9.0], "emulated warm": [0.5 * k for k in STEADY]}
    cut = {"processes": [4.0], "emulated cold": [9.0]}
    (found,) = scalings(
        [sweep_session([({"n": 1}, whole), ({"n": 2}, whole), ({"n": 4}, cut)], stopped=[{"n": 4}])],
        lambda run, now_s: RunCost(CostItems()),
    )
    assert {one.name for one in found.series if one.main} == {"processes", "emulated warm"}
    assert "emulated Lambda" in scaling_sentence(found) and "cold" not in scaling_sentence(found).split(";")[0]


def test_a_resumed_sweep_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    made = document_of(joined(stopped_and_resumed()), predict=False)
    (tmp_path / "a.json").write_bytes(encode_document(made))
    assert document_of(load_views([str(tmp_path / "a.json")])[0], predict=False) == load_document(
        str(tmp_path / "a.json")
    )


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sessions of a sweep over 1, 2, 4 that was stopped in 2 and resumed, and one of another sweep."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    parts: list[tuple[tuple[int, ...], str]] = [((1, 2), "w1"), ((2, 4), "w1"), ((1, 2, 4), "w2")]
    names = [f"20260101-00000{number}-aaaa" for number in range(3)]
    for name, (sizes, sweep) in zip(names, parts, strict=True):
        events = sweep_events(
            [({"n": n}, times(n)) for n in sizes],
            identity=name,
            sweep_id=sweep,
            stopped=[{"n": 2} if name == names[0] else {"n": 0}],
        )
        sessions_place().joinpath(name).mkdir(parents=True)
        (sessions_place() / name / JOURNAL_NAME).write_bytes(encode_lines(events))
    return names


def places(view: SessionView) -> dict[int, int]:
    """The runs at each point."""
    return dict(Counter(run.planned.params["n"] for run in view.runs.values()))


def test_every_command_takes_a_resumed_sweep_as_one(recorded: list[str], tmp_path: Path) -> None:
    first, last, other = recorded
    whole = {1: 12, 2: 12, 4: 12}
    assert places(load_views([last])[0]) == places(load_views([str(sessions_place() / last)])[0]) == whole
    assert places(load_views([first])[0]) == {1: 12, 2: 12}
    assert places(load_views([other])[0]) == whole
    page, _ = report_page([last])
    assert f"of its 36 runs, 12 of {first}, 24 of the last session" in page
    exported = tmp_path / "a.json"
    assert "36 runs" in export(sessions_place() / last, str(exported))
    assert places(load_views([str(exported)])[0]) == whole
    assert len(load_document(last).runs) == 36
    compared = compare_sessions(list(zip("ab", load_views([other, last]), strict=True)), documents.run_bill)
    assert len(compared.jobs) == 3
    assert len(compare_folders([sessions_place() / other, sessions_place() / last]).jobs) == 3


def test_a_part_that_is_named_itself_is_in_no_other(recorded: list[str]) -> None:
    first, last, _ = recorded
    assert [*map(places, load_views([first, last]))] == [{1: 12, 2: 12}, {2: 12, 4: 12}]


def test_points_that_were_only_cut_off_stay() -> None:
    first, _ = stopped_and_resumed()
    assert joined([first]) is first
    other = sweep_session([({"n": 8}, times(8))], stopped=[{"n": 0}], identity="b")
    assert sum(run.planned.params["n"] == 4 for run in joined([first, other]).runs.values()) == 3


# A tuning


SIZES = (512, 885, 1769)
TASKS = (8, 16)


def seconds(candidate: Candidate) -> float:
    tasks = candidate.tasks or 1
    return 0.2 + 8.0 / min(tasks, 4) / (candidate.memory_mb / 1769) + 0.01 * tasks


def bill(run: RunView, now_s: float | None = None) -> RunCost:
    sweep = run.planned.sweep
    assert sweep is not None
    return RunCost(CostItems(duration=Decimal(f"{sweep.point['memory'] * (run.makespan_s or 0) / 1e6:.9f}")))


@pytest.fixture
def tune(monkeypatch: pytest.MonkeyPatch) -> TunePlan:
    monkeypatch.setattr(tune_run, "run_bill", bill)
    monkeypatch.setattr(documents, "run_bill", bill)
    candidates = tuple((Candidate(memory, tasks), tasks) for tasks in TASKS for memory in reversed(SIZES))
    return TunePlan(SweepPlan(Plan("probe"), (), "tune-x"), candidates)


def session(name: str, *parts: tuple[Candidate, int], stopped: Candidate | None = None) -> SessionView:
    """Each candidate with so many runs, which take turns between a slow and a fast time."""
    points = [
        (place(one), {"lambda": [seconds(one) * (1 + 0.1 * (n % 2)) for n in range(count)]}) for one, count in parts
    ]
    cut = [{"memory": 0}] if stopped is None else [place(stopped)]
    return sweep_session(points, sweep_id="tune-x-1", identity=name, stopped=cut)


def place(candidate: Candidate) -> dict[str, int | None]:
    return {"memory": candidate.memory_mb, "tasks": candidate.tasks}


def course(tune: TunePlan, views: list[SessionView]) -> list[Candidate]:
    """The candidates of a tuning from here on, to its end."""
    found = []
    while (chosen := next_trial(tune, views, tried(views))) is not None:
        found.append(chosen)
        views = [*views, session(f"v{len(views)}", (chosen, LEAST_RUNS))]
    return found


def test_a_stopped_tuning_goes_on_with_what_is_left_and_measures_nothing_again(tune: TunePlan) -> None:
    whole = course(tune, [])
    assert 3 <= len(whole) <= MOST_TRIALS // LEAST_RUNS
    for count in (1, len(whole) - 1):
        done = [(one, LEAST_RUNS) for one in whole[:count]]
        cut = whole[count]
        stopped = [session("first", *done), session("second", (cut, 2), stopped=cut)]
        assert tried(stopped) == whole[:count]
        assert course(tune, stopped) == whole[count:]
    assert next_trial(tune, [session("all", *((one, LEAST_RUNS) for one in whole))], whole) is None


def test_a_candidate_that_was_cut_off_is_in_no_pick(tune: TunePlan) -> None:
    fast, slow = Candidate(1769, 16), Candidate(512, 8)
    stopped = session("first", (slow, LEAST_RUNS), (fast, 1), stopped=fast)
    assert [one.candidate for one in tuned(stopped, bill)] == [slow]
    again = session("again", (slow, 2), stopped=slow)  # a second measurement
    both = session("first", (slow, LEAST_RUNS))
    both.runs |= again.runs
    both.comparisons += again.comparisons
    assert [(one.candidate, one.runs) for one in tuned(both, bill)] == [(slow, LEAST_RUNS)]
    alone = session("first", (fast, 1), stopped=fast)
    assert [one.candidate for one in tuned(alone, bill)] == [fast]  # there is nothing else to tell


def test_the_report_of_a_tuning_has_its_candidates_its_front_and_its_picks(
    tune: TunePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="the extra lbench[report] is not installed")
    from lbench.cli.html import tuning

    monkeypatch.setattr(tuning, "run_bill", bill)
    fast, cheap, beaten = Candidate(1769, 16), Candidate(512, 8), Candidate(885, 16)
    view = session("first", *((one, LEAST_RUNS) for one in (beaten, cheap, fast)))
    section = tuning.tuning_section(view, "t")
    assert section is not None
    rows = {(int(row[0].value), int(row[1].value)): row for row in section.rows}
    assert float(rows[1769, 16][3].value) == pytest.approx(1.05 * seconds(fast))
    assert float(rows[512, 8][6].value) == pytest.approx(512 * 1.05 * seconds(cheap) / 1e6, rel=1e-4)
    marks = {key: row[-1].text for key, row in rows.items()}
    assert "fastest" in marks[1769, 16] and set(marks.values()) <= {
        "fastest, cheapest, balanced",
        "fastest",
        "cheapest",
        "–",
        "on it",
        "fastest, balanced",
        "cheapest, balanced",
    }
    assert "1,769 MB × 16" in section.figures[0].svg and section.sentences[0].startswith("fastest")
    assert tuning.tuning_section(stopped_and_resumed()[0], "t") is None
