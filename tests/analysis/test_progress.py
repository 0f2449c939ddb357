"""Progress while measuring: tasks done, time left, cost so far."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from lbench.analysis.comparison import Bill
from lbench.analysis.progress import Outlook, outlooks
from lbench.engine.journal.events import Answered, Event, RunEnded, RunPlanned
from lbench.engine.session.view import fold

Make = Callable[..., list[Event]]


def outlook(events: list[Event], now_s: dict[str, float], bill: Bill) -> Outlook:
    (one,) = outlooks(fold(events).runs.values(), now_s, bill)
    return one


def test_the_time_left_covers_the_current_run_and_later_ones(make_events: Make, flat_bill: Bill) -> None:
    events = make_events({"emulated": [4.0, 4.0, 4.0]}, invocations=[{}] * 4)
    planned = [event for event in events if isinstance(event, RunPlanned)]
    first_end = next(number for number, event in enumerate(events) if isinstance(event, RunEnded))
    halfway = [*events[:first_end][:-2], *planned[1:]]  # the first run with 3 of 4 tasks, two runs to come
    one = outlook(halfway, {"r1": 3.0}, flat_bill)
    assert (one.state, one.tasks_done, one.tasks) == ("running", 3, 4)
    assert one.left_s == pytest.approx(1.0 + 2 * 4.0)
    assert one.usd == Decimal(1)


def test_a_waiting_backend_has_no_estimate(make_events: Make, flat_bill: Bill) -> None:
    planned = [event for event in make_events({"sequential": [4.0]}) if isinstance(event, RunPlanned)]
    one = outlook(list(planned), {}, flat_bill)
    assert (one.state, one.left_s, one.usd) == ("waiting", None, None)


def test_a_run_is_done_when_its_answer_is_checked(make_events: Make, flat_bill: Bill) -> None:
    events = make_events({"sequential": [4.0]})
    unchecked = [event for event in events if not isinstance(event, Answered)]
    assert outlook(unchecked, {}, flat_bill).state == "checking"
    assert outlook(events, {}, flat_bill).state == "ok"
    assert outlook(make_events({"sequential": [4.0]}, ok=False), {}, flat_bill).state == "failed"


def test_between_runs_whose_answers_are_checked_a_backend_waits_for_its_turn(
    make_events: Make, flat_bill: Bill
) -> None:
    whole = make_events({"sequential": [4.0, 4.0]})
    begun = [event for event in whole if getattr(event, "run", "r1") == "r1" or isinstance(event, RunPlanned)]
    one = outlook(begun, {}, flat_bill)
    assert (one.state, one.runs_done, one.runs) == ("waiting", 1, 2)
    assert outlook([event for event in begun if not isinstance(event, Answered)], {}, flat_bill).state == "checking"


def test_what_was_stopped_or_never_began_is_not_done(make_events: Make, flat_bill: Bill) -> None:
    events = make_events({"sequential": [4.0, 4.0, 4.0]})
    for event in events:
        if isinstance(event, RunEnded) and event.run != "r1":
            event.status = "cancelled"
    one = outlook(events, {}, flat_bill)
    assert (one.state, one.runs_done, one.runs) == ("stopped", 1, 3)


def test_a_job_with_unknown_tasks_has_no_time_left_before_its_first_repeat(make_events: Make, flat_bill: Bill) -> None:
    events = make_events({"processes": [4.0, 4.0]}, invocations=[{}] * 4)
    for event in events:
        if isinstance(event, RunPlanned):
            event.tasks = None
    first_end = next(number for number, event in enumerate(events) if isinstance(event, RunEnded))
    planned = [event for event in events if isinstance(event, RunPlanned)]
    one = outlook([*events[:first_end][:-2], *planned[1:]], {"r1": 3.0}, flat_bill)
    assert (one.tasks, one.total, one.left_s) == (4, None, None)
    again = next(number for number, event in enumerate(events) if isinstance(event, RunEnded) and event.run == "r2")
    one = outlook(events[: again - 2], {"r2": 3.0}, flat_bill)
    assert (one.total, one.left_s) == (4, pytest.approx(1.0))
