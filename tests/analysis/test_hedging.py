"""What the summary says of hedging."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lbench.analysis.hedging import Hedges, hedges_of, hedges_sentence
from lbench.config.prices import rates
from lbench.engine.cost import charges as cost
from lbench.engine.journal.events import Dispatched, Returned, RunPlanned, RunStarted, StageStarted
from lbench.engine.model import Pricing
from lbench.engine.session.view import RunView

EAST = rates("us-east-1", "x86_64")


def run(*attempts, pricing=None):
    """Attempts as (task, hedge of, dispatched, status, returned, billed ms)."""
    planned = RunPlanned("r1", "probe", {}, 1, "lambda", "lambda", "measured", 0, False, "isolated")
    view = RunView(planned)
    pricing = pricing or Pricing(rates=EAST, memory_mb=1769, deadline_s=30.0)
    view.apply(RunStarted("r1", "now", 0.5, {}, None, False, "d", None, pricing))
    view.apply(StageStarted("r1", 0, 20, 0.0))
    for n, (task, of, dispatched_s, *_) in enumerate(attempts):
        view.apply(Dispatched("r1", n, 0, task, int(of is not None), 0.0, dispatched_s, hedge_of=of))
    for n, (_, _, _, status, returned_s, billed_ms) in enumerate(attempts):
        view.apply(Returned("r1", n, status, returned_s, billed_ms=billed_ms))
    return view


PLAIN = [(task, None, 0.0, "ok", 1.0, 1000) for task in range(18)]


def test_without_hedging_there_is_nothing_to_tell():
    assert hedges_of([run(*PLAIN)]) is None


def test_what_the_slower_attempt_would_have_taken_is_what_was_saved():
    told = hedges_of([run(*PLAIN, (18, None, 0.0, "superseded", 9.0, 9000), (18, 18, 2.0, "ok", 3.0, 1000))])
    assert (told.tasks, told.won, told.compared, told.saved_s) == (1, 1, 1, pytest.approx(6.0))
    assert (
        told.usd == cost.invocation_usd(EAST, 9000, 1769).usd
    )  # what lost; the answer itself had to be paid for anyhow


def test_of_a_slower_attempt_that_was_given_up_nothing_is_claimed():
    told = hedges_of([run(*PLAIN, (18, None, 0.0, "superseded", 3.0, None), (18, 18, 2.0, "ok", 3.0, 1000))])
    assert (told.won, told.compared, told.saved_s, told.running) == (1, 0, 0.0, 1)
    assert told.usd == cost.invocation_usd(EAST, 3000, 1769).usd


def test_a_double_that_lost_gained_nothing_and_cost_something():
    told = hedges_of([run(*PLAIN, (18, None, 0.0, "ok", 3.0, 3000), (18, 18, 2.0, "superseded", 3.0, None))])
    assert (told.tasks, told.won, told.saved_s) == (1, 0, 0.0)
    assert told.usd == cost.invocation_usd(EAST, 1000, 1769).usd


def test_the_sentence_says_all_of_it():
    told = hedges_sentence("lambda", Hedges(5, 3, 2, 4.25, Decimal("0.00123")), 100)
    assert hedges_sentence("lambda", Hedges(5, 3, 2, 4.25, Decimal("0.00123"), running=1), 100) == f"{told} so far"
    assert told == (
        "hedging on lambda: 5 of 100 tasks issued once more, 3 answered first; 4.25 s less to wait for 2 of them; "
        "how long the other 1 would have taken is not known: they were given up; the attempts that lost cost $0.0012"
    )
