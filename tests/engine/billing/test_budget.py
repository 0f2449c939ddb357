"""`--max-usd` in virtual time: whatever goes wrong, the computed bill never passes the limit."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.config.prices import rates
from lbench.engine.backends.base import OVER_BUDGET, Failure, Outcome
from lbench.engine.billing.bill import run_bill
from lbench.engine.billing.budget import Budget, OverBudget, Purse, attempt_usd, worst_attempt_usd
from lbench.engine.cost import charges as cost
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Dispatched,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionStarted,
    Warned,
)
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import Pricing
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.engine.session.view import fold
from lbench.engine.virtual_time import run_virtual

PRICING = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769, deadline_s=30.0)
EACH = {"put": 2, "get": 3}
WORST = worst_attempt_usd(PRICING, EACH)


def view(*sinks):
    """The session whose runs wrote to these sinks."""
    events = [SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", JOURNAL_VERSION)]
    for number, sink in enumerate(sinks, 1):
        run = f"r{number}"
        events.append(RunPlanned(run, "probe", {}, 1, "lambda", run, "measured", 0, False, "isolated", 10))
        events.append(RunStarted(run, "2026-11-22T10:00:00Z", 0.5, {}, None, False, "d", None, PRICING))
        events += sink.events
        events.append(RunEnded(run, "over_budget", None, None))
    return fold(events)


def bill_of(*sinks):
    """What these runs cost together."""
    return cost.total_usd([Decimal(0), *(run_bill(run).usd for run in view(*sinks).runs.values())])


def drive(runs, policy=None, during=None):
    """Run (backend, sink, job, purse) at the same time in virtual time; returns what came of each."""

    async def main():
        runners = [
            Runner(f"r{number}", backend, sink, policy or Policy(timeout_s=30.0), purse=purse)
            for number, (backend, sink, _, purse) in enumerate(runs, 1)
        ]
        beside = None if during is None else asyncio.ensure_future(during(runners))
        work = [runner.run(job) for runner, (_, _, job, _) in zip(runners, runs, strict=True)]
        try:
            return await asyncio.gather(*work, return_exceptions=True)
        finally:
            if beside is not None:
                await beside

    return run_virtual(main())


def purse_of(limit):
    return Purse(Budget(Decimal(limit)), PRICING, EACH)


def billed(fakes, call, ms=1000, **fields):
    return Outcome(result=fakes.ok(call).result, billed_ms=ms, billed_source="report", **fields)


def test_a_run_within_its_budget_is_as_without(fakes):
    sink, backend = fakes.Sink(), fakes.Backend(lambda call: (1.0, billed(fakes, call)), capacity=5)
    (answer,) = drive([(backend, sink, fakes.one_stage(20), purse_of(1))])
    assert answer == list(range(20)) and backend.most == 5
    assert not sink.of(Warned)


def test_dispatch_stops_before_the_limit_and_says_what_was_spent_and_what_to_do(fakes):
    sink, backend = fakes.Sink(), fakes.Backend(lambda call: (1.0, billed(fakes, call, 30_000)), capacity=2)
    (ending,) = drive([(backend, sink, fakes.one_stage(1000), purse_of("0.02"))])
    assert isinstance(ending, OverBudget)
    assert str(ending).startswith("stopped by --max-usd $0.02: $0.019 is spent") and "lower --timeout" in str(ending)
    bill = run_bill(view(sink).runs["r1"]).usd
    assert Decimal("0.02") - WORST < bill <= Decimal("0.02")
    sink.assert_whole()


def test_what_is_in_flight_counts_at_its_worst_so_the_limit_limits_concurrency_and_one_warning_says_so(fakes):
    sink, backend = fakes.Sink(), fakes.Backend(lambda call: (1.0, billed(fakes, call)), capacity=10)
    (answer,) = drive([(backend, sink, fakes.one_stage(50), purse_of(3 * WORST + 50 * Decimal("0.00004")))])
    assert answer == list(range(50))
    assert 3 <= backend.most < 10
    notes = [event.text for event in sink.of(Warned)]
    assert len(notes) == 1 and "of 10 at once" in notes[0] and "--max-usd" in notes[0]


def test_a_limit_below_one_attempt_starts_nothing(fakes):
    sink, backend = fakes.Sink(), fakes.Backend()
    purse = purse_of(WORST / 2)
    assert not purse.affords_one
    (ending,) = drive([(backend, sink, fakes.one_stage(3), purse)])
    assert isinstance(ending, OverBudget) and not sink.of(Dispatched)


def test_runs_at_the_same_time_share_the_budget_and_one_goes_on_with_what_another_gives_back(fakes):
    budget = Budget(WORST + Decimal("0.001"))
    runs = []
    for _ in range(3):
        backend = fakes.Backend(lambda call: (1.0, billed(fakes, call)), capacity=4)
        runs.append((backend, fakes.Sink(), fakes.one_stage(5), Purse(budget, PRICING, EACH)))
    answers = drive(runs)
    assert answers == [list(range(5))] * 3
    assert sum(backend.most for backend, *_ in runs) >= 3
    assert budget.in_flight == 0 and budget.kept_usd == 0
    assert bill_of(*(sink for _, sink, _, _ in runs)) == budget.spent_usd


def test_a_task_waiting_for_its_next_attempt_takes_no_money_from_others(fakes):
    backend = fakes.Backend({0: [(0.1, fakes.throttled(after=15.0))]}, capacity=4)
    sink = fakes.Sink()
    (answer,) = drive([(backend, sink, fakes.one_stage(6), purse_of(6 * WORST + Decimal("0.001")))])
    assert answer == list(range(6))


def test_an_attempt_cancelled_before_its_first_step_gives_its_money_back(fakes):
    budget = Budget(Decimal(1))

    async def during(runners):
        runners[0].cancel()

    (ending,) = drive(
        [(fakes.Backend(), fakes.Sink(), fakes.one_stage(5), Purse(budget, PRICING, EACH))], during=during
    )
    assert isinstance(ending, RunCancelled)
    assert budget.in_flight == 0 and budget.kept_usd == 0


def test_a_result_that_is_too_dear_to_fetch_is_left_and_the_run_is_over_budget(fakes):
    asked = []

    def deed(call):
        size = 10**9 * (1 + call.index)
        asked.append(call.may_fetch(size))
        if asked[-1]:
            return 1.0, billed(fakes, call, response_bytes=size)
        return 1.0, fakes.failed(type_=OVER_BUDGET, retriable=False)

    sink = fakes.Sink()
    (ending,) = drive([(fakes.Backend(deed, capacity=1), sink, fakes.one_stage(5), purse_of("0.3"))])
    assert isinstance(ending, OverBudget) and asked == [True, True, False]
    assert run_bill(view(sink).runs["r1"]).usd <= Decimal("0.3")


def test_a_hedge_is_paid_for_from_the_same_purse(fakes):
    sink = fakes.Sink()
    budget = Budget(Decimal(1))
    backend = fakes.Backend(
        lambda call: (20.0 if call.index == 7 and call.attempt == 0 else 1.0, billed(fakes, call)), capacity=20
    )
    run = (backend, sink, fakes.one_stage(20), Purse(budget, PRICING, EACH))
    (answer,) = drive([run], Policy(timeout_s=30.0, hedge=0.95))
    assert answer == list(range(20))
    known = [attempt_usd(PRICING, billed(fakes, backend.calls[0][1]))] * 20
    assert budget.spent_usd == cost.total_usd([*known, WORST])  # the loser was abandoned: it may cost that
    assert run_bill(view(sink).runs["r1"]).usd < budget.spent_usd


def test_each_attempts_cost_is_what_it_adds_to_the_bill(fakes):
    outcomes = [
        Outcome(result=b"\xc0", billed_ms=1234, cold=True, response_bytes=10**6, s3_requests={"put": 1, "get": 2}),
        Outcome(failure=fakes.failed().failure, billed_ms=17),
        Outcome(failure=fakes.throttled().failure, s3_requests={"put": 1}),
    ]
    outcomes[1].failure.log_tail = "a line\n" * 50
    sink = fakes.Sink()
    script = {0: [(1.0, outcomes[1]), (1.0, outcomes[2]), (1.0, outcomes[0])]}
    drive([(fakes.Backend(script), sink, fakes.one_stage(1), None)])
    each = [attempt_usd(PRICING, outcome) for outcome in outcomes]
    assert run_bill(view(sink).runs["r1"]).usd == cost.total_usd(each)


@st.composite
def worlds(draw):
    return (
        draw(st.integers(1, 60)),  # tasks
        draw(st.integers(1, 20)),  # places
        draw(st.integers(0, 2**32)),  # of what goes wrong
        draw(st.sampled_from([None, 0.5, 0.95])),  # hedging
        draw(st.floats(0.0005, 0.2)),  # limit
        draw(st.integers(1, 3)),  # runs at once
        draw(st.one_of(st.none(), st.floats(0.1, 60))),  # cancelled at
    )


@settings(max_examples=80, deadline=None)
@given(world=worlds())
def test_the_bill_never_passes_the_limit_whatever_goes_wrong(fakes, world):
    count, capacity, seed, hedge, limit, together, cancelled_s = world
    rng = random.Random(seed)
    budget = Budget(Decimal(str(limit)))
    rates_of = {
        kind: rng.random() ** 2
        for kind in ("late", "error", "throttled", "lost", "large", "dead", "unrun", "estimated")
    }
    hidden = []  # what each attempt without a report costs more than it tells

    def deed(call):
        seconds = rng.uniform(0.1, 3)
        if rng.random() < rates_of["late"]:
            seconds = rng.uniform(3, 45)  # also beyond the deadline
        ms = min(int(seconds * 1000) + rng.randint(0, 10_000), cost.worst_ms(30.0))
        requests = {"put": rng.randint(0, 2), "get": rng.randint(0, 3)}
        if rng.random() < rates_of["throttled"] * 0.5:
            return 0.1, fakes.throttled()
        if rng.random() < rates_of["unrun"] * 0.5:
            outcome = fakes.failed(unrun=True)
            outcome.s3_requests = requests
            return seconds, outcome
        if rng.random() < rates_of["error"]:
            outcome = fakes.failed()
            outcome.billed_ms, outcome.s3_requests, outcome.cold = ms, requests, True
            outcome.failure.log_tail = "x" * rng.randint(0, 4096)
            return seconds, outcome
        if rng.random() < rates_of["lost"]:
            return seconds, fakes.failed("timeout")  # nobody knows what it cost
        if rng.random() < rates_of["dead"] * 0.01:
            return seconds, KeyError("a bug")
        received = rng.randint(0, 6_291_456)
        if rng.random() < rates_of["large"]:
            size = rng.randint(1, 10**9)
            if not call.may_fetch(size):
                return seconds, fakes.failed(type_=OVER_BUDGET, retriable=False)
            received = min(received, 1000) + size
        cold = rng.random() < 0.5
        outcome = billed(fakes, call, ms, cold=cold, s3_requests=requests, response_bytes=received)
        if rng.random() < rates_of["estimated"]:  # no report: the estimate of the billed time is too low
            true_ms = min(int(seconds * 1000), cost.worst_ms(30.0))
            outcome.billed_source, outcome.billed_ms = "estimated", rng.randint(0, true_ms)
            outcome.request_id = str(len(hidden))
            hidden.append(attempt_usd(PRICING, outcome, true_ms) - attempt_usd(PRICING, outcome))
        return seconds, outcome

    runs = [
        (fakes.Backend(deed, capacity=capacity), fakes.Sink(), fakes.one_stage(count), Purse(budget, PRICING, EACH))
        for _ in range(together)
    ]

    async def during(runners):
        if cancelled_s is not None:
            await asyncio.sleep(cancelled_s)
            for runner in runners:
                runner.cancel()

    endings = drive(runs, Policy(timeout_s=30.0, retries=3, hedge=hedge), during)
    for one in endings:
        assert one == list(range(count)) or isinstance(one, OverBudget | RunFailed | RunCancelled), one
    for _, sink, _, _ in runs:
        sink.assert_whole()
    bill = bill_of(*(sink for _, sink, _, _ in runs))
    requests = [
        event.request_id for _, sink, _, _ in runs for event in sink.of(Returned) if event.request_id is not None
    ]
    beyond = cost.total_usd([Decimal(0), *(hidden[int(number)] for number in requests)])
    assert cost.total_usd([bill, beyond]) <= budget.spent_usd <= budget.limit_usd
    assert budget.in_flight == 0 and budget.kept_usd == 0


def test_without_a_report_an_attempt_counts_with_all_the_time_it_took(fakes):
    def deed(call):
        return 2.0, Outcome(result=fakes.ok(call).result, billed_ms=100, billed_source="estimated")

    budget = Budget(Decimal(1))
    drive([(fakes.Backend(deed), fakes.Sink(), fakes.one_stage(1), Purse(budget, PRICING, EACH))])
    took = Outcome(result=b"\xc0", billed_ms=2000, billed_source="report")
    assert budget.spent_usd == attempt_usd(PRICING, took)


def test_time_after_the_reply_is_no_part_of_an_attempt(fakes):
    def deed(call):
        began_s = asyncio.get_running_loop().time()
        reply = Outcome(
            result=fakes.ok(call).result, billed_ms=100, billed_source="estimated", returned_s=began_s + 1.5
        )
        return 2.0, reply

    budget = Budget(Decimal(1))
    drive([(fakes.Backend(deed), fakes.Sink(), fakes.one_stage(1), Purse(budget, PRICING, EACH))])
    took = Outcome(result=b"\xc0", billed_ms=1500, billed_source="report")
    assert budget.spent_usd == attempt_usd(PRICING, took)


def test_what_never_ran_costs_nothing_but_its_requests_to_s3_and_gives_its_money_back(fakes):
    refused = fakes.failed(unrun=True)
    refused.s3_requests = {"put": 1}
    sink, budget = fakes.Sink(), Budget(Decimal(1))
    backend = fakes.Backend({0: [(5.0, refused)]}, seconds=0.0)
    backend_run = (backend, sink, fakes.one_stage(1), Purse(budget, PRICING, EACH))
    drive([backend_run])
    (first, _) = sink.of(Returned)
    assert first.error.unrun and attempt_usd(PRICING, refused) == PRICING.rates.s3_put_usd
    assert run_bill(view(sink).runs["r1"]).items.requests == PRICING.rates.request_usd  # of the second attempt


@pytest.mark.parametrize("memory", [128, 1769, 10_240])
def test_the_worst_attempt_is_worse_than_any(fakes, memory):
    pricing = Pricing(rates=PRICING.rates, memory_mb=memory, deadline_s=30.0, print_limit_bytes=10_000)
    outcome = Outcome(
        failure=fakes.failed().failure,
        billed_ms=cost.worst_ms(30.0),
        cold=True,
        response_bytes=6_291_556,
        s3_requests=EACH,
        printed_bytes=10_000,
    )
    outcome.failure.log_tail = "x" * 4096
    assert attempt_usd(pricing, outcome) == worst_attempt_usd(pricing, EACH)


def test_printed_bytes_are_charged_and_uncounted_ones_at_the_print_limit():
    pricing = msgspec.structs.replace(PRICING, print_limit_bytes=1 << 20)
    usd = {
        printed: attempt_usd(pricing, Outcome(result=b"", billed_ms=5, billed_source="report", printed_bytes=printed))
        for printed in (None, 0, 1 << 20)
    }
    assert usd[1 << 20] - usd[0] == PRICING.rates.logs_gb_usd / 1024
    assert usd[None] == usd[1 << 20]


def test_an_attempt_without_a_reply_long_after_its_deadline_counts_up_to_the_functions_timeout(fakes):
    pricing = msgspec.structs.replace(PRICING, print_limit_bytes=0)
    spent = {}
    for seconds in (40.0, 55.0):  # a deadline of 30 s is over after 41 s at the latest
        budget = Budget(Decimal(1))
        silent = Outcome(failure=Failure("timeout", "ReadTimeout", "no reply", retriable=False))
        backend = fakes.Backend({0: [(seconds, silent)]})
        drive(
            [(backend, fakes.Sink(), fakes.one_stage(1), Purse(budget, pricing, EACH))],
            Policy(timeout_s=100.0, retries=0),
        )
        spent[seconds] = budget.spent_usd
    more_ms = (10 + 900) * 1000 - cost.worst_ms(30.0)
    assert spent[40.0] == worst_attempt_usd(pricing, EACH)
    assert spent[55.0] - spent[40.0] == cost.invocation_usd(pricing.rates, more_ms, 1769).duration


def test_requests_beside_the_attempts_are_spent_as_they_are_made(fakes):
    budget = Budget(Decimal("0.004"))
    purse = Purse(budget, PRICING, EACH)
    own = {"put": 1}
    purse.watch(own)

    def deed(call):
        own["put"] = own.get("put", 0) + 100  # listings: $0.0005
        return 1.0, billed(fakes, call, 10)

    (ending,) = drive([(fakes.Backend(deed, capacity=1), fakes.Sink(), fakes.one_stage(50), purse)])
    purse.count_own()
    assert isinstance(ending, OverBudget)
    assert own["put"] * PRICING.rates.s3_put_usd <= budget.spent_usd <= budget.limit_usd
