"""Warnings about results: each kind once, none about a steady session."""

from collections.abc import Callable

import pytest

from lbench.analysis.stability import stability_warnings
from lbench.engine.journal.events import RunStarted, Sampled
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.model import Driver
from lbench.engine.session.view import SessionView, fold

Make = Callable[..., SessionView]
STEADY = [4.0, 4.01, 3.99, 4.0, 4.01]


def codes(view: SessionView) -> list[str]:
    return [warning.code for warning in stability_warnings(view)]


def test_a_steady_session_has_no_warnings(make_session: Make) -> None:
    assert codes(make_session({"sequential": STEADY, "processes": STEADY})) == []


@pytest.mark.parametrize(
    ("times", "code"),
    [
        ([4.0, 4.0], "few_repeats"),
        ([4.0, 5.0, 3.0], "unsteady"),
        ([4.0, 4.1, 4.2, 4.3, 4.4, 4.5], "drift"),
    ],
)
def test_unreliable_times_are_warned_about(make_session: Make, times: list[float], code: str) -> None:
    assert codes(make_session({"sequential": times})) == [code]


def test_two_backends_share_one_warning(make_session: Make) -> None:
    warnings = stability_warnings(make_session({"sequential": [4.0], "processes": [2.0]}))
    assert [warning.text.partition(":")[0] for warning in warnings] == ["sequential and processes"]


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ({"driver": Driver(0.1, 0, 0, 0, 25.0, 30.0)}, "loop_lag"),
        ({"driver": Driver(2.0, 0, 0, 0, 1.0, 2.0)}, "driver_share"),
        ({"overlaps": ["r9"]}, "overlap"),
    ],
)
def test_a_busy_driver_is_warned_about(make_session: Make, ended: dict[str, object], code: str) -> None:
    assert codes(make_session({"sequential": STEADY}, ended=ended)) == [code]


def test_more_environments_than_cores_are_warned_about(make_session: Make) -> None:
    assert codes(make_session({"emulated": STEADY}, started={"oversubscribed": True})) == ["oversubscribed"]


def test_retried_attempts_are_warned_about(make_session: Make) -> None:
    rows = [{"status": "error"}, {}]
    assert codes(make_session({"sequential": STEADY}, invocations=rows)) == ["retried"]


def test_right_answers_that_differ_are_warned_about(make_session: Make) -> None:
    view = make_session({"sequential": STEADY, "processes": STEADY}, digests={"processes": "other"})
    assert codes(view) == ["answers_differ"]


def test_a_machine_in_use_by_others_is_warned_about(make_session: Make) -> None:
    view = make_session({"sequential": STEADY}, environment=Environment(usable_cores=2.0, load_1m=3.0))
    assert codes(view) == ["load"]


def test_heat_steal_and_load_during_a_run_are_warned_about(make_events: Callable[..., list[object]]) -> None:
    events = make_events({"sequential": STEADY})
    at = next(number for number, event in enumerate(events) if isinstance(event, RunStarted))
    sample = MachineSample(1.0, load=9.0, steal=0.2, temperature_c=97.0)
    events.insert(at + 1, Sampled("r1", sample))
    assert codes(fold(events)) == ["load", "steal", "temperature"]  # type: ignore[arg-type]
