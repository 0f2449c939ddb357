"""What sessions cost in these tests, and sessions folded from events written by hand (tests/session_events.py)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.journal.events import Event
from lbench.engine.session.view import RunView, SessionView, fold


def bill(run: RunView, now_s: float | None) -> RunCost:
    """A dollar an emulated run, a cent of rent a local one."""
    if run.planned.origin == "emulated":
        return RunCost(CostItems(duration=Decimal(1)))
    return RunCost(CostItems(machine_rent=Decimal("0.01")))


@pytest.fixture
def make_session(make_events: Callable[..., list[Event]]) -> Callable[..., SessionView]:
    """`make_session({"sequential": [3.0, 3.1], ...}, ...)`: the folded session."""
    return lambda *args, **kwargs: fold(make_events(*args, **kwargs))


@pytest.fixture
def flat_bill() -> Callable[[RunView, float | None], RunCost]:
    """What a run costs in these tests."""
    return bill
