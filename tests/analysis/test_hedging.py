"""Hedging: tasks duplicated, time saved, cost."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from lbench.analysis.hedging import Hedges, hedges_of, hedges_sentence, hedging_lines
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


def test_runs_without_hedging_have_no_summary():
    assert hedges_of([run(*PLAIN)]) is None


def test_the_time_saved_is_the_later_end_of_the_first_attempt():
    hedges = hedges_of([run(*PLAIN, (18, None, 0.0, "superseded", 9.0, 9000), (18, 18, 2.0, "ok", 3.0, 1000))])
    assert (hedges.tasks, hedges.won, hedges.compared, hedges.saved_s) == (1, 1, 1, pytest.approx(6.0))
    assert (
        hedges.usd == cost.invocation_usd(EAST, 9000, 1769).usd
    )  # what lost; the answer itself had to be paid for anyhow


def test_an_abandoned_first_attempt_counts_as_no_time_saved():
    hedges = hedges_of([run(*PLAIN, (18, None, 0.0, "superseded", 3.0, None), (18, 18, 2.0, "ok", 3.0, 1000))])
    assert (hedges.won, hedges.compared, hedges.saved_s, hedges.running) == (1, 0, 0.0, 1)
    assert hedges.usd == cost.invocation_usd(EAST, 3000, 1769).usd


def test_a_losing_duplicate_saves_nothing_and_costs_something():
    hedges = hedges_of([run(*PLAIN, (18, None, 0.0, "ok", 3.0, 3000), (18, 18, 2.0, "superseded", 3.0, None))])
    assert (hedges.tasks, hedges.won, hedges.saved_s) == (1, 0, 0.0)
    assert hedges.usd == cost.invocation_usd(EAST, 1000, 1769).usd


def test_what_a_warm_up_run_duplicated_is_in_no_sentence():
    warmup, measured = (
        run(*PLAIN, (18, None, 0.0, "superseded", 9.0, 9000), (18, 18, 2.0, "ok", 3.0, 1000)) for _ in range(2)
    )
    warmup.planned = msgspec.structs.replace(warmup.planned, warmup=True)
    assert hedging_lines([warmup]) == []
    (line,) = hedging_lines([warmup, measured])
    assert [line] == hedging_lines([measured]) and "1 of 20 tasks duplicated" in line


def test_the_sentence_has_counts_time_and_cost():
    text = hedges_sentence("lambda", Hedges(5, 3, 2, 4.25, Decimal("0.00123")), 100)
    assert hedges_sentence("lambda", Hedges(5, 3, 2, 4.25, Decimal("0.00123"), running=1), 100) == f"{text} so far"
    assert text == (
        "hedging on lambda: 5 of 100 tasks duplicated, 3 duplicates answered first; "
        "they saved 4.25 s of waiting for 2 tasks; "
        "time saved by 1 of them is unknown: its first attempt was abandoned; the losing attempts cost $0.0012"
    )


@pytest.mark.parametrize(
    ("won", "compared", "text"),
    [
        (1, 1, "1 duplicate answered first; it saved 4.25 s of waiting for 1 task"),
        (1, 0, "1 duplicate answered first; time saved by it is unknown: its first attempt was abandoned"),
        (3, 0, "3 duplicates answered first; time saved by them is unknown: their first attempts were abandoned"),
        (
            5,
            3,
            "5 duplicates answered first; they saved 4.25 s of waiting for 3 tasks; "
            "time saved by 2 of them is unknown: their first attempts were abandoned",
        ),
        (0, 0, "0 duplicates answered first"),
    ],
)
def test_one_duplicate_is_one(won, compared, text):
    sentence = hedges_sentence("lambda", Hedges(5, won, compared, 4.25, None), 100)
    assert sentence == f"hedging on lambda: 5 of 100 tasks duplicated, {text}"
