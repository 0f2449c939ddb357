"""While it is measured: how far, how long still, and how much so far."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from lbench.analysis.comparison import Bill
from lbench.analysis.progress import Outlook, outlooks
from lbench.engine.journal.events import Answered, Event, RunEnded, RunPlanned
from lbench.engine.session.view import fold

Make = Callable[..., list[Event]]


def told(events: list[Event], now_s: dict[str, float], bill: Bill) -> Outlook:
    (one,) = outlooks(fold(events).runs.values(), now_s, bill)
    return one


def test_the_time_left_is_this_runs_rest_and_the_runs_to_come(make_events: Make, flat_bill: Bill) -> None:
    events = make_events({"emulated": [4.0, 4.0, 4.0]}, invocations=[{}] * 4)
    planned = [event for event in events if isinstance(event, RunPlanned)]
    first_end = next(number for number, event in enumerate(events) if isinstance(event, RunEnded))
    halfway = [*events[:first_end][:-2], *planned[1:]]  # the first run with 3 of 4 tasks, two runs to come
    one = told(halfway, {"r1": 3.0}, flat_bill)
    assert (one.state, one.tasks_done, one.tasks) == ("running", 3, 4)
    assert one.left_s == pytest.approx(1.0 + 2 * 4.0)
    assert one.usd == Decimal(1)


def test_a_backend_that_waits_has_nothing_to_go_by(make_events: Make, flat_bill: Bill) -> None:
    planned = [event for event in make_events({"sequential": [4.0]}) if isinstance(event, RunPlanned)]
    one = told(list(planned), {}, flat_bill)
    assert (one.state, one.left_s, one.usd) == ("waiting", None, None)


def test_a_run_is_done_when_its_answer_is_checked(make_events: Make, flat_bill: Bill) -> None:
    events = make_events({"sequential": [4.0]})
    unchecked = [event for event in events if not isinstance(event, Answered)]
    assert told(unchecked, {}, flat_bill).state == "checking"
    assert told(events, {}, flat_bill).state == "ok"
    assert told(make_events({"sequential": [4.0]}, ok=False), {}, flat_bill).state == "failed"


def test_a_job_that_decides_on_the_way_how_many_tasks_it_has_tells_no_time_left_before_a_repeat_has_told(
    make_events: Make, flat_bill: Bill
) -> None:
    events = make_events({"processes": [4.0, 4.0]}, invocations=[{}] * 4)
    for event in events:
        if isinstance(event, RunPlanned):
            event.tasks = None
    first_end = next(number for number, event in enumerate(events) if isinstance(event, RunEnded))
    planned = [event for event in events if isinstance(event, RunPlanned)]
    one = told([*events[:first_end][:-2], *planned[1:]], {"r1": 3.0}, flat_bill)
    assert (one.tasks, one.total, one.left_s) == (4, None, None)
    again = next(number for number, event in enumerate(events) if isinstance(event, RunEnded) and event.run == "r2")
    one = told(events[: again - 2], {"r2": 3.0}, flat_bill)
    assert (one.total, one.left_s) == (4, pytest.approx(1.0))
