"""A run with a spending limit: what it asks of its purse, when it waits for it, and what it says. In virtual time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from lbench.config.prices import rates
from lbench.engine.backends.base import OVER_BUDGET, Outcome
from lbench.engine.billing.budget import Budget, OverBudget, Purse, attempt_usd, worst_attempt_usd
from lbench.engine.journal.events import Dispatched, Returned, Warned
from lbench.engine.model import Pricing
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.engine.virtual_time import run_virtual

PRICING = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769, deadline_s=30.0)
EACH = {"put": 2, "get": 3}
WORST = worst_attempt_usd(PRICING, EACH)
POLICY = Policy(timeout_s=30.0, backoff_base_s=0.0)


@pytest.fixture
def sink(fakes: Any) -> Any:
    return fakes.Sink()


def billed(fakes: Any, call: Any, ms: int = 1000) -> Outcome:
    return Outcome(result=fakes.ok(call).result, billed_ms=ms, billed_source="report")


def drive(backend: Any, sink: Any, job: Any, budget: Budget, policy: Policy = POLICY, during: Any = None) -> Any:
    async def main() -> Any:
        runner = Runner("r1", backend, sink, policy, purse=Purse(budget, PRICING, EACH))
        beside = None if during is None else asyncio.ensure_future(during(runner))
        try:
            return await runner.run(job)
        finally:
            assert not budget._waiting
            if beside is not None:
                await beside

    return run_virtual(main())


def test_the_cost_of_each_attempt_replaces_its_worst_case(fakes: Any, sink: Any) -> None:
    budget, seen = Budget(Decimal(1)), []

    def deed(call: Any) -> Any:
        seen.append((budget.in_flight, budget.kept_usd, budget.spent_usd))
        return 1.0, billed(fakes, call)

    drive(fakes.Backend(deed, capacity=1), sink, fakes.one_stage(3), budget)
    known = attempt_usd(PRICING, Outcome(result=b"", billed_ms=1000, billed_source="report"))
    assert known is not None
    assert seen == [(1, WORST, known * number) for number in range(3)]
    assert (budget.in_flight, budget.kept_usd, budget.spent_usd) == (0, 0, 3 * known)


def test_with_a_limit_the_next_attempt_waits_for_the_last_one_s_bill(fakes: Any, sink: Any) -> None:
    drive(fakes.Backend(capacity=1), sink, fakes.one_stage(2), Budget(Decimal(1)))
    order = [(type(event).__name__, event.n) for event in sink.events if isinstance(event, Dispatched | Returned)]
    assert order == [("Dispatched", 0), ("Returned", 0), ("Dispatched", 1), ("Returned", 1)]


def test_an_attempt_that_was_abandoned_stays_at_its_worst_case(fakes: Any, sink: Any) -> None:
    budget = Budget(Decimal(1))

    async def during(runner: Runner) -> None:
        await asyncio.sleep(0.5)
        runner.cancel()

    with pytest.raises(RunCancelled):
        drive(fakes.Backend(capacity=2), sink, fakes.one_stage(5), budget, during=during)
    assert (budget.in_flight, budget.kept_usd, budget.spent_usd) == (0, 0, 2 * WORST)


def test_attempts_that_never_began_cost_nothing(fakes: Any, sink: Any) -> None:
    """A cancel comes with the note that the limit holds tasks back: three are to be sent, and none has been."""
    budget = Budget(3 * WORST + Decimal("0.0005"))
    write = sink.write

    async def main() -> None:
        runner = Runner("r1", fakes.Backend(capacity=8), sink, POLICY, purse=Purse(budget, PRICING, EACH))

        def cancel(event: Any) -> None:
            write(event)
            if isinstance(event, Warned):
                assert budget.in_flight == 3
                runner.cancel()

        sink.write = cancel
        await runner.run(fakes.one_stage(12))

    with pytest.raises(RunCancelled):
        run_virtual(main())
    assert (budget.in_flight, budget.kept_usd, budget.spent_usd) == (0, 0, 0)
    assert sink.of(Dispatched) == []


def test_a_limit_that_leaves_fewer_at_once_is_noted_once_and_each_waits_for_money(fakes: Any, sink: Any) -> None:
    backend = fakes.Backend(lambda call: (1.0, billed(fakes, call, 10)), capacity=8)
    assert drive(backend, sink, fakes.one_stage(12), Budget(3 * WORST + Decimal("0.0005"))) == list(range(12))
    assert backend.most == 3
    (note,) = sink.of(Warned)
    assert (note.code, note.run) == ("budget", "r1")
    assert note.text.endswith(
        "limits concurrency: 3 of 8 at once, as each may cost $0.0018 at worst; a shorter --timeout or less --memory "
        "lets more run"
    )
    assert [event.dispatched_s for event in sink.of(Dispatched)] == [float(n // 3) for n in range(12)]


def test_a_run_whose_next_attempt_costs_too_much_ends_when_nothing_is_in_flight(fakes: Any, sink: Any) -> None:
    budget = Budget(2 * WORST)
    backend = fakes.Backend(lambda call: (1.0 + call.index, Outcome(result=b"\xc0")), capacity=4)  # no bill
    with pytest.raises(OverBudget, match=r"^stopped by --max-usd \$0.0034: \$0.0034 is spent and"):
        drive(backend, sink, fakes.one_stage(9), budget)
    assert [(event.n, event.status, event.returned_s) for event in sink.of(Returned)] == [
        (0, "ok", 1.0),
        (1, "ok", 2.0),
    ]


def test_a_result_too_dear_to_fetch_ends_the_run_with_its_task(fakes: Any, sink: Any) -> None:
    asked = []

    def deed(call: Any) -> Any:
        asked.append(call.may_fetch(10**12))
        return 1.0, fakes.failed(type_=OVER_BUDGET)

    with pytest.raises(OverBudget) as caught:
        drive(fakes.Backend(deed, capacity=1), sink, fakes.one_stage(3), Budget(Decimal(1)))
    assert asked == [False]
    assert str(caught.value) == "stopped by --max-usd: task 0: it went error"


def test_a_duplicate_that_the_limit_does_not_allow_is_not_sent(fakes: Any, sink: Any) -> None:
    def deed(call: Any) -> Any:
        return (20.0 if call.index == 7 else 1.0), billed(fakes, call, 10)

    policy = Policy(timeout_s=30.0, hedge=0.95)
    enough = fakes.Sink()
    drive(fakes.Backend(deed, capacity=20), enough, fakes.one_stage(20), Budget(20 * WORST), policy)
    assert [event.task for event in enough.of(Dispatched) if event.hedge_of is not None] == [7]

    def dear(call: Any) -> Any:
        return (20.0 if call.index == 7 else 1.0), Outcome(result=fakes.ok(call).result)  # no bill: the worst case

    drive(fakes.Backend(dear, capacity=20), sink, fakes.one_stage(20), Budget(20 * WORST), policy)
    assert [event.hedge_of for event in sink.of(Dispatched)] == [None] * 20


def test_a_throttled_task_takes_no_money_while_it_waits(fakes: Any, sink: Any) -> None:
    budget = Budget(Decimal(1))

    async def during(runner: Runner) -> None:
        await asyncio.sleep(5)
        assert (budget.in_flight, budget.kept_usd) == (0, 0)

    backend = fakes.Backend({0: [(0.5, fakes.throttled(after=15.0))]})
    drive(backend, sink, fakes.one_stage(1), budget, during=during)


def test_a_bug_of_the_backend_leaves_nothing_kept_back(fakes: Any, sink: Any) -> None:
    budget = Budget(Decimal(1))
    with pytest.raises(RunFailed, match=r"^KeyError"):
        drive(fakes.Backend({0: [(1.0, KeyError("a"))]}), sink, fakes.one_stage(1), budget)
    assert (budget.in_flight, budget.kept_usd, budget.spent_usd) == (0, 0, WORST)
