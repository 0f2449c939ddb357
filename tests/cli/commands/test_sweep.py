"""`lbench sweep` by the real command: points in the document, failures alone, going on where it was, and the limit."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lbench.analysis.next_points import next_points
from lbench.analysis.scaling import scalings
from lbench.cli.documents import load_views
from lbench.cli.sweep_run import Earlier, added_point, done_points, points_left, stopped_sweep
from lbench.engine.billing.bill import run_bill
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.sweep import Axis, SweepPlan
from lbench.engine.session.view import SessionView
from tests.analysis.sweeps import sweep_session
from tests.cli.conftest import Lbench

Started = Callable[..., "subprocess.Popen[str]"]

OWN = """
from lbench import Task
def f(n):
    if n == 2:
        raise ValueError("not two")
    return n
def job(n: int = 1):
    return (yield [Task(f, n=n)])
def reference(n):
    return [n]
"""
ONCE = ("-b", "sequential", "-b", "threads", "--repeats", "1", "--no-predict")


def test_a_failing_point_fails_alone_and_every_run_has_its_point(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(OWN)
    done = lbench("sweep", "./mine.py:job", "--over", "n=1,2,3", *ONCE, "--retries", "0", "-o", "out.json")
    assert done.returncode == 1, done.stderr
    document = json.loads((home / "out.json").read_bytes())
    by_point = [(run["sweep"]["point"]["n"], run["label"], run["status"]) for run in document["runs"]]
    assert {(1, "sequential", "ok"), (3, "threads", "ok"), (2, "sequential", "failed")} <= set(by_point)
    assert len({run["sweep"]["id"] for run in document["runs"]}) == 1
    assert [len(one["runs"]) for one in document["comparisons"]] == [2, 2, 2]
    assert "point 3/3: n=3" in done.stderr
    assert "no right answer at 2" in done.stdout.replace("n 2", "2")
    (curves,) = scalings([load_views(["out.json"])[0]], run_bill)
    assert (curves.axis, curves.places) == ("n", (1.0, 2.0, 3.0))


def test_a_stopped_sweep_goes_on_where_it_was(lbench: Lbench, started: Started, home: Path) -> None:
    command = (
        *("sweep", "probe", "-p", "kind=sleep", "--over", "seconds=0.01,0.02,0.3", "--tasks", "4"),
        *("-b", "threads:concurrency=1", "--repeats", "2", "--no-predict"),
    )
    first = started(*command)
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("point 3/3"):
            break
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    assert "the sweep was stopped, 1 point left: seconds=0.3; the same command goes on there" in first.stderr.read()
    done = lbench(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert "goes on with a stopped sweep: 1 of 3 points is left" in done.stderr
    document = json.loads(done.stdout)
    assert {run["sweep"]["point"]["seconds"] for run in document["runs"]} == {0.01, 0.02, 0.3}
    assert {run["status"] for run in document["runs"]} == {"ok"}  # the runs that were cut off were measured again
    assert len({run["sweep"]["id"] for run in document["runs"]}) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("probe", "--over", "seconds="), "--over seconds: the sweep is empty"),
        (("probe", "--over", "secs=1,2"), "unknown axis 'secs'"),
        (("probe",), "name what to vary"),
        (("probe", "--over", "seconds=1,2", "--more", "many"), "--more must be a whole number, got many"),
        (("./mine.py:f", "--each", "n=1,2", "--over", "tasks=1,2"), "the tasks of mine.py:f are given: choose another"),
        (("nothing", "--over", "n=1,2"), "unknown workload 'nothing'"),
        (("function", "--over", "invocations=1,2"), "it cannot be swept"),
        (("probe", "--over", "seconds=1,2", "-o", "out.txt"), "-o must end in .json or .csv"),
    ],
)
def test_a_sweep_that_cannot_be_measured_is_one_line_and_exit_2(
    lbench: Lbench, home: Path, arguments: tuple[str, ...], why: str
) -> None:
    (home / "mine.py").write_text(OWN)
    done = lbench("sweep", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr and done.stderr.count("\n") == 1


def test_points_are_added_where_curves_cross_and_none_lies_yet() -> None:
    flat = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0]

    def points(*sizes: int) -> list[dict[str, float]]:
        view = sweep_session(
            [({"n": n}, {"processes": [0.1 * n * one for one in flat], "threads": flat}) for n in sizes]
        )
        return list(next_points(scalings([view], run_bill)))

    assert points(1, 4, 16, 64) == [{"n": 10}]
    assert points(1, 4, 10, 16, 64) == []
    assert points(20, 40) == []


def test_a_cancelled_point_is_not_done() -> None:
    view = sweep_session([({"n": 1}, {"processes": [1.0]})])
    assert done_points(view) == []  # without an end of its comparison
    points = [({"n": n}, {"processes": [1.0]}) for n in (1, 2)]
    assert done_points(sweep_session(points, stopped=[{"n": 2}])) == [{"n": 1}]


def test_a_sweep_stopped_in_an_added_point_is_not_whole_and_goes_on_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from lbench.cli import sweep_run

    monkeypatch.setattr(sweep_run, "validate", lambda plan: None)
    sweep = SweepPlan(Plan("probe"), (Axis("threads", (1, 4, 16, 64), True),), "d")
    flat = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0]

    def measured(*sizes: int, stopped: int) -> list[SessionView]:
        points = [({"threads": n}, {"processes": [0.1 * n * one for one in flat], "threads": flat}) for n in sizes]
        return [sweep_session(points, stopped=[{"threads": stopped}])]

    grid = measured(1, 4, 16, 64, stopped=0)
    assert points_left(sweep, grid) == []
    assert added_point(sweep, "d-1", grid, 2) == {"threads": 10}
    assert added_point(sweep, "d-1", grid, 0) is None
    assert added_point(sweep, "d-1", grid, 2, [{"threads": 10}]) is None  # it was chosen, and could not be measured
    begun = measured(1, 4, 16, 64, 10, stopped=10)
    assert points_left(sweep, begun) == [{"threads": 10}]
    whole = measured(1, 4, 16, 64, 10, stopped=0)
    assert points_left(sweep, whole) == [] and added_point(sweep, "d-1", whole, 2) is None
    assert points_left(sweep, [*begun, *whole]) == []
    for views, more, goes_on in ((grid, 2, True), (grid, 0, False), (begun, 0, True), (whole, 2, False)):
        monkeypatch.setattr(sweep_run, "earlier_sessions", lambda sweep, views=views: Earlier("d-1", views))
        assert (stopped_sweep(sweep, more) is not None) == goes_on  # a whole one is measured once more
