from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from lbench.config.prices import rates, regions
from lbench.engine.billing.bill import lost_deadlines, quantities, run_bill, run_cost_of, s3_usage
from lbench.engine.billing.live_bills import RunningBills
from lbench.engine.billing.pricing import bound_of, pricing_of, rates_of, s3_each
from lbench.engine.cost import charges as cost
from lbench.engine.cost.format import usd_short, usd_text
from lbench.engine.export.document import document, invocations
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Dispatched,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    SessionStarted,
    StageStarted,
)
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.model import ErrorInfo, Pricing, S3Usage
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import BackendChoice, Plan, settings_of
from lbench.engine.session.view import fold
from lbench.workloads.model import Limits

RATES = rates("us-east-1", "x86_64")
ON_LAMBDA = Pricing(rates=RATES, memory_mb=1769, deadline_s=10.0, bound_usd="1")


def view(returned=(), *, dispatched=None, pricing=ON_LAMBDA, ended=None):
    """A session with one run of these returns; row n was dispatched at n seconds."""
    count = len(returned) if dispatched is None else dispatched
    events = [
        SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", JOURNAL_VERSION),
        RunPlanned("r1", "probe", {}, 1, "emulated", "e", "emulated", 0, False, "isolated", 10),
        RunStarted("r1", "2026-11-22T10:00:00Z", 0.5, {}, None, False, "d", None, pricing),
        StageStarted("r1", 0, count, 0.0),
        *(Dispatched("r1", n, 0, n, 0, 0.0, float(n)) for n in range(count)),
        *(Returned("r1", n, returned_s=n + 2.0, **fields) for n, fields in enumerate(returned)),
        *([] if ended is None else [ended]),
    ]
    return fold(events)


def bill(*arguments, now_s=None, **fields):
    return run_bill(view(*arguments, **fields).runs["r1"], now_s)


def invoked(total):
    """What Lambda itself charges, without the log."""
    return cost.total_usd([total.items.requests, total.items.duration, total.items.storage])


def test_a_run_costs_the_sum_of_its_invocations_and_of_its_s3_requests():
    returned = [{"status": "ok", "billed_ms": ms, "s3_put": 1, "s3_get": 3} for ms in (1, 100, 2345, 7)]
    returned.append({"status": "error", "billed_ms": 50})
    session = view(returned, ended=RunEnded("r1", "ok", 9.0, None, s3_put=2))
    run = session.runs["r1"]
    each = [Decimal(invocation.usd) for invocation in invocations(run)]
    total = run_bill(run)
    s3 = 6 * RATES.s3_put_usd + 12 * RATES.s3_get_usd
    assert total.items.s3 == s3
    assert cost.total_usd([*each, s3, total.items.logs, total.items.transfer]) == total.usd
    assert each[2] == cost.invocation_usd(RATES, 2345, 1769).usd
    assert Decimal(run_cost_of(run).usd) == total.usd


def test_a_bill_worked_by_hand():
    """2 calls of 1,000 ms at 1,769 MB: 2 x 0.2 $/million + 2 s x 1769/1024 GB x 0.0000166667 $/GB-s."""
    total = bill([{"status": "ok", "billed_ms": 1000}] * 2)
    assert total.items.requests == Decimal("0.0000004")
    assert total.items.duration == Decimal("2") * Decimal(1769) / 1024 * Decimal("0.0000166667")


def test_a_throttled_call_costs_nothing():
    assert bill([{"status": "throttled"}] * 3).usd == 0


def test_what_never_ran_costs_nothing_and_is_no_estimate():
    refused = {"status": "error", "error": ErrorInfo("ServiceException", "no", True, unrun=True)}
    assert bill([refused] * 3).usd == 0
    assert not any("without AWS's report" in text for text in run_cost_of(view([refused]).runs["r1"]).estimated)


def test_a_mark_in_the_log_is_charged_where_there_is_one():
    plain, marked = (
        bill([{"status": "ok", "billed_ms": 5}] * 10, pricing=Pricing(rates=RATES, memory_mb=128, marked=marked))
        for marked in (False, True)
    )
    assert marked.items.logs > plain.items.logs * Decimal("1.5")


def test_what_was_abandoned_is_estimated_from_its_dispatch_to_its_end():
    cancelled = bill([{"status": "cancelled"}])  # 2 s
    assert invoked(cancelled) == cost.invocation_usd(RATES, 2000, 1769).usd


def test_a_call_that_ran_without_a_report_is_estimated_as_well():
    assert invoked(bill([{"status": "timeout"}])) == cost.invocation_usd(RATES, 2000, 1769).usd


def test_a_running_total_includes_what_is_in_flight_and_never_more_than_the_bound_has_for_it():
    run = view([{"status": "ok", "billed_ms": 10}], dispatched=2).runs["r1"]
    soon, without, at_4, at_5, late = (invoked(run_bill(run, now_s)) for now_s in (1.9, None, 5.0, 6.0, 1e6))
    assert soon == without == cost.invocation_usd(RATES, 10, 1769).usd  # it may be throttled yet
    assert at_4 - without == cost.invocation_usd(RATES, 3000, 1769).usd
    assert at_5 > at_4
    assert late - without == cost.invocation_usd(RATES, cost.worst_ms(10.0), 1769).usd


def test_what_an_engine_that_died_had_under_way_is_counted_to_the_last_that_was_heard_of_it_and_named():
    run = view([{"status": "ok", "billed_ms": 10}], dispatched=3).runs["r1"]
    run.apply(Sampled("r1", MachineSample(5.0)))
    run.interrupted = True
    known = cost.invocation_usd(RATES, 10, 1769).usd
    assert invoked(run_bill(run)) == cost.total_usd(
        [known, *(cost.invocation_usd(RATES, ms, 1769).usd for ms in (4000, 3000))]
    )
    (estimate,) = [text for text in run_cost_of(run).estimated if "when the engine ended" in text]
    more = cost.invocation_usd(RATES, 2 * cost.worst_ms(10.0) - 7000, 1769).duration
    assert (
        estimate.startswith("duration: 2 invocations under way")
        and f"at most {usd_short(more, up=True)} more" in estimate
    )


def test_the_last_moment_of_a_dead_engine_is_that_of_a_dispatch_a_return_or_a_sample():
    def billed_at(session):
        run = session.runs["r1"]
        run.interrupted = True
        return invoked(run_bill(run))

    usd = {ms: cost.invocation_usd(RATES, ms, 1769).usd for ms in (10, 0, 1000)}
    assert billed_at(view([{"status": "ok", "billed_ms": 10}], dispatched=2)) == cost.total_usd([usd[10], usd[1000]])
    assert billed_at(view(dispatched=2)) == cost.total_usd([usd[1000], usd[0]])  # dispatched at 0 and 1 s
    assert billed_at(view(dispatched=1)) == usd[0]


def test_the_document_has_what_s3_is_charged_for():
    returned = [{"status": "ok", "billed_ms": 5, "s3_put": 1, "s3_get": 3, "s3_bytes": 7}]
    session = view(returned, ended=RunEnded("r1", "ok", 3599.2, None, s3_put=2, s3_get=1, s3_bytes=10))
    assert s3_usage(session.runs["r1"]) == S3Usage(3, 4, 17, 1.0)
    cut_off = view(returned, dispatched=1).runs["r1"]
    cut_off.interrupted = True
    assert s3_usage(cut_off) == S3Usage(1, 3, 7, 2 / 3600)
    assert s3_usage(view(returned).runs["r1"]) == S3Usage(1, 3, 7, 2 / 3600)
    assert s3_usage(view().runs["r1"]) == S3Usage(0, 0, 0, 0.0)
    assert s3_usage(view(pricing=Pricing()).runs["r1"]) is None
    planned = view()
    planned.runs["r1"].started = None
    assert s3_usage(planned.runs["r1"]) is None


def estimates(returned, **fields):
    return run_cost_of(view(returned, **fields).runs["r1"]).estimated


@pytest.mark.parametrize(("count", "noun"), [(1, "1 {}invocation"), (2, "2 {}invocations")])
def test_each_estimate_names_its_invocations(count, noun):
    more = cost.invocation_usd(RATES, count * (cost.worst_ms(10.0) - 2000), 1769).duration
    at_most = f"; at most {usd_short(more, up=True)} more"
    assert estimates([{"status": "cancelled"}] * count)[0] == (
        f"duration: {noun.format('abandoned ')} counted up to then; on AWS each runs on to its end, at most to its deadline"
        f"{at_most}"
    )
    assert estimates([{"status": "superseded"}] * count)[0].startswith(f"duration: {noun.format('abandoned ')} counted")
    assert estimates([{"status": "error"}] * count)[0] == (
        f"duration: {noun.format('')} without AWS's report, by this machine's clock{at_most}"
    )
    assert estimates([{"status": "ok", "billed_ms": 5, "billed_source": "estimated"}] * count)[0] == (
        f"duration: {noun.format('')} without AWS's report, by this machine's clock"
    )
    assert not any("duration" in text for text in estimates([{"status": "ok", "billed_ms": 5}] * count))
    assert not any("duration" in text for text in estimates([{"status": "ok", "billed_ms": 0}] * count))
    silent = Pricing(rates=RATES, memory_mb=1769, deadline_s=-10.0, print_limit_bytes=0)
    assert estimates([{"status": "timeout"}] * count, pricing=silent)[0] == (
        f"duration: {noun.format('')} without a reply long after the deadline, counted to the function's timeout of 900 s"
    )


def test_what_two_invocations_printed_uncounted_has_a_plural_and_no_bound_where_there_is_no_limit():
    printed = [{"status": "ok", "billed_ms": 5}] * 2
    assert estimates(printed) == [
        "logs: by the length of AWS's own lines; what 2 invocations printed was not counted",
    ]
    counted = [{"status": "ok", "billed_ms": 5, "printed_bytes": 0}] * 2
    assert estimates(counted) == ["logs: by the length of AWS's own lines"]
    assert estimates([]) == []


def test_the_maximum_further_cost_of_abandoned_attempts_is_reported():
    (estimate,) = [
        text for text in run_cost_of(view([{"status": "cancelled"}]).runs["r1"]).estimated if "abandoned" in text
    ]
    more = cost.invocation_usd(RATES, cost.worst_ms(10.0) - 2000, 1769).duration
    assert estimate.endswith(f"at most {usd_short(more, up=True)} more")


def test_a_local_run_has_only_its_machines_rent_which_is_in_no_sum():
    pricing = Pricing(rent_usd_per_hour="0.36", rent_basis="an equal machine")
    run = view([{"status": "ok"}], pricing=pricing, ended=RunEnded("r1", "ok", 10.0, None)).runs["r1"]
    bill = run_cost_of(run)
    assert bill.items.machine_rent == "0.001" and bill.usd is None and bill.bound_usd is None
    assert bill.machine_rent_basis == "an equal machine"
    assert [invocation.usd for invocation in invocations(run)] == [None]
    assert run_bill(run).usd is None


def test_a_local_run_without_an_end_has_no_rent_to_tell():
    run = view(pricing=Pricing(rent_usd_per_hour="0.36")).runs["r1"]
    assert run_cost_of(run).items.machine_rent is None


def test_the_bound_is_tasks_times_attempts_times_the_worst_call():
    choice = parse_backend("emulated:memory=512,arch=x86_64", {})
    plan = Plan("probe", backends=[choice], retries=2, timeout_s=60.0)
    bound = bound_of(choice, plan, Limits(tasks=10, s3_requests=0))
    assert cost.worst_ms(60.0) == 71_000  # 10 s to start, the deadline, 1 s for the watchdog
    calls = 10 * 3
    s3 = {"put": 61, "get": 90}  # an attempt: 2 PUT, 3 GET; the data set: 1 PUT
    log = calls * (348 + 241 + 4096 + (1 << 18))  # AWS's lines, a traceback, what a task may print
    worst = cost.run_cost(
        RATES,
        calls * 71_000,
        memory_mb=512,
        requests=calls,
        s3_requests=s3,
        transfer_bytes=calls * 6_291_556,
        log_bytes=log,
    )
    assert bound.usd == worst.usd and None not in (worst.items.s3, worst.items.transfer, worst.items.logs)


@pytest.mark.parametrize(
    ("backend", "fields", "limits", "calls", "put", "get"),
    [
        ("emulated:arch=x86_64", {"retries": 1}, Limits(tasks=10, s3_requests=7), 20, 41 + 14, 60 + 14),
        ("lambda:transport=event,arch=x86_64", {"retries": 1}, Limits(tasks=10, s3_requests=7), 20, 61 + 14, 80 + 14),
        ("lambda:arch=x86_64", {"retries": 0, "hedge": 0.9}, Limits(tasks=20, s3_requests=0), 21, 43, 63),
        ("emulated:arch=x86_64", {"retries": 0, "hedge": 0.9}, Limits(tasks=20, s3_requests=0), 20, 41, 60),
    ],
)
def test_the_bound_counts_letters_hedges_and_the_job_s_own_requests(backend, fields, limits, calls, put, get):
    choice = parse_backend(backend, {})
    plan = Plan("probe", backends=[choice], timeout_s=60.0, **fields)
    marked = 170 + 26 if backend.startswith("lambda") else 0
    log = calls * (348 + 241 + 4096 + (1 << 18) + marked)
    worst = cost.run_cost(
        rates_of(settings_of(choice)),
        calls * 71_000,
        memory_mb=1769,
        requests=calls,
        s3_requests={"put": put, "get": get},
        transfer_bytes=calls * 6_291_556,
        log_bytes=log,
    )
    assert bound_of(choice, plan, limits).usd == worst.usd


def test_a_run_on_aws_is_recorded_with_all_that_it_is_priced_by():
    choice = parse_backend("lambda:memory=512,arch=x86_64,region=us-east-1", {})
    plan = Plan("probe", backends=[choice], timeout_s=60.0, max_usd=1.5)
    limits = Limits(tasks=10, s3_requests=0)
    bound = bound_of(choice, plan, limits, 1024)
    assert pricing_of(choice, plan, limits, 1024) == Pricing(
        rates=rates_of(settings_of(choice)),
        memory_mb=512,
        bound_usd=usd_text(bound.usd),
        max_usd="1.5",
        unpriced=list(bound.left_out),
        ephemeral_mb=1024,
        deadline_s=60.0,
        marked=True,
        print_limit_bytes=1 << 18,
    )
    here = parse_backend("emulated", {})
    emulated = pricing_of(here, Plan("probe", backends=[here]), limits)
    assert (emulated.marked, emulated.max_usd, emulated.ephemeral_mb) == (False, None, 512)


def test_the_prices_of_api_gateway_are_named_as_assumed_only_where_they_are_charged():
    assumed = {
        transport: rates_of(settings_of(parse_backend(f"lambda:transport={transport},region=eu-west-1", {}))).assumed
        for transport in ("direct", "http-api")
    }
    listed = rates("eu-west-1", "x86_64").assumed
    assert "http_api_request_usd" in listed
    assert assumed["http-api"] == listed | {"request_usd": listed["http_api_request_usd"]}
    assert assumed["direct"] == {name: text for name, text in listed.items() if name != "http_api_request_usd"}


def test_a_bill_has_its_price_list_and_what_it_counted():
    run = view(
        [{"status": "ok", "billed_ms": 1000}], pricing=msgspec.structs.replace(ON_LAMBDA, ephemeral_mb=612)
    ).runs["r1"]
    bill = run_cost_of(run)
    assert (bill.region, bill.architecture) == ("us-east-1", "x86_64")
    assert (bill.price_date, bill.price_source) == (RATES.price_date, RATES.price_source)
    assert bill.quantities == quantities(run)
    assert (bill.quantities.requests, bill.quantities.billed_ms, bill.quantities.storage_mb) == (1, 1000, 100)


@pytest.mark.parametrize("region", regions())
def test_the_bound_of_every_region_includes_every_item_and_names_those_at_another_regions_price(region):
    choice = parse_backend(f"lambda:region={region}", {})
    made = bound_of(choice, Plan("probe", backends=[choice], max_usd=1.0), Limits(tasks=10, s3_requests=0))
    found = rates(region, "x86_64")
    assert not any("no price" in text for text in made.left_out)
    assert any(text.startswith("s3:") for text in made.assumed) == ("s3_put_usd" in found.assumed)
    assert any(text.startswith("logs:") for text in made.assumed) == ("logs_gb_usd" in found.assumed)
    assert any(text.startswith("transfer:") for text in made.assumed) == ("transfer_gb_usd" in found.assumed)


def test_the_document_names_the_items_at_another_regions_price():
    there = Pricing(rates=rates("eu-west-1", "x86_64"), memory_mb=1769)
    (run,) = document(view([{"status": "ok", "billed_ms": 5, "response_bytes": 10}], pricing=there)).runs
    assert run.cost.items.logs is not None and run.cost.items.transfer is not None and run.cost.unpriced == []
    assert [text.partition(":")[0] for text in run.cost.assumed] == ["transfer", "logs"]
    assert run.pricing.rates.assumed["logs_gb_usd"] == "ap-northeast-1"


def test_what_tasks_printed_is_in_the_bill_by_the_handlers_count():
    quiet, loud = (bill([{"status": "ok", "billed_ms": 5, "printed_bytes": size}] * 2) for size in (0, 1 << 20))
    assert loud.items.logs - quiet.items.logs == 2 * RATES.logs_gb_usd / 1024


def test_what_was_printed_uncounted_is_named_with_the_most_that_it_can_cost():
    there = Pricing(rates=RATES, memory_mb=1769, print_limit_bytes=1 << 20)
    returned = [{"status": "ok", "billed_ms": 5, "printed_bytes": 7}, {"status": "timeout", "billed_ms": 5}]
    (text,) = [one for one in run_cost_of(view(returned, pricing=there).runs["r1"]).estimated if one[:5] == "logs:"]
    assert text.endswith("; what 1 invocation printed was not counted: at most $0.00049 more")


def test_a_lost_deadline_is_noticed_and_counted_to_the_functions_timeout():
    there = Pricing(rates=RATES, memory_mb=1769, deadline_s=0.5, print_limit_bytes=0)
    silent, late = {"status": "timeout"}, {"status": "ok", "billed_ms": 60_000}
    run = view([silent, late], pricing=there).runs["r1"]  # each returned after 2 s: within 10 s of init
    assert lost_deadlines(run) == 1  # AWS billed a minute
    worst = view([{**late, "billed_ms": cost.worst_ms(0.5)}], pricing=there).runs["r1"]
    assert lost_deadlines(worst) == 0
    there = msgspec.structs.replace(there, deadline_s=-10.0)  # as if 1 s were all that an attempt could take
    run = view([silent], pricing=there).runs["r1"]
    assert lost_deadlines(run) == 1
    assert run_bill(run).items.duration == cost.invocation_usd(RATES, 910_000, 1769).duration
    assert any("function's timeout of 900 s" in text for text in run_cost_of(run).estimated)
    (warning,) = [one for one in document(view([late], pricing=there)).warnings if one.code == "deadline_lost"]
    assert "SIGALRM" in warning.text


def test_no_run_within_its_deadlines_costs_more_than_its_bound():
    choice = parse_backend("emulated:arch=x86_64", {})
    plan = Plan("probe", backends=[choice], retries=1, timeout_s=10.0)
    bound = bound_of(choice, plan, Limits(tasks=5))
    worst = [{"status": "timeout", "billed_ms": cost.worst_ms(10.0), "s3_put": 2, "s3_get": 2}] * 10
    assert bill(worst).usd <= bound.usd


def test_without_a_known_number_of_tasks_there_is_no_bound():
    choice = parse_backend("emulated", {})
    assert bound_of(choice, Plan("probe", backends=[choice]), Limits(tasks=None)).usd is None


@pytest.mark.parametrize(
    ("backend", "limits", "each"),
    [
        ("lambda", Limits(tasks=5), {"put": 2, "get": 3}),
        ("lambda", Limits(tasks=5, s3_requests=7), {"put": 9, "get": 10}),
        ("lambda", Limits(tasks=5, s3_requests=7, s3_each=1), {"put": 3, "get": 4}),
        ("lambda:transport=http-api", Limits(tasks=5), {"put": 2, "get": 3}),
        ("lambda:transport=event", Limits(tasks=5), {"put": 2 + 1 + 10 + 31 + 60, "get": 4}),
    ],
)
def test_an_attempt_makes_so_many_s3_requests_at_most(backend, limits, each):
    choice = parse_backend(backend, {})
    assert s3_each(choice, Plan("probe", backends=[choice], timeout_s=30.5), limits) == each


def test_a_request_through_the_http_api_costs_that_of_api_gateway_too():
    front = RATES.http_api_request_usd
    settings = settings_of(parse_backend("lambda:transport=http-api,arch=x86_64,region=us-east-1", {}))
    assert front is not None and rates_of(settings).request_usd == RATES.request_usd + front
    direct = settings_of(parse_backend("lambda:arch=x86_64,region=us-east-1", {}))
    assert rates_of(direct).request_usd == RATES.request_usd


@pytest.mark.parametrize(
    ("backend", "workers", "pricing"),
    [
        ("dask:scheduler=tcp://there:8786", 2, Pricing(unpriced=["no price: usd_per_hour= was not given"])),
        ("executor:factory=a:b", 2, Pricing(unpriced=["no price: usd_per_hour= was not given"])),
        (
            "executor:factory=a:b,usd_per_hour=0.25",
            2,
            Pricing(
                rent_usd_per_hour="0.5",
                worker_usd_per_hour="0.25",
                rent_basis="2 workers at $0.25 an hour each (usd_per_hour=), idle time included",
            ),
        ),
        (
            "executor:factory=a:b,usd_per_hour=0.25,store=s3://bucket",
            2,
            Pricing(
                rent_usd_per_hour="0.5",
                worker_usd_per_hour="0.25",
                rent_basis="2 workers at $0.25 an hour each (usd_per_hour=), idle time included",
                unpriced=["s3: requests and storage of store= have no price here"],
            ),
        ),
        (
            "dask:usd_per_hour=0.25",
            1,
            Pricing(
                rent_usd_per_hour="0.25",
                worker_usd_per_hour="0.25",
                rent_basis="1 worker at $0.25 an hour each (usd_per_hour=), idle time included",
            ),
        ),
        (
            "dask:usd_per_hour=0.25",
            None,
            Pricing(
                rent_usd_per_hour="0",
                worker_usd_per_hour="0.25",
                rent_basis="0 workers at $0.25 an hour each (usd_per_hour=), idle time included",
            ),
        ),
    ],
)
def test_a_cluster_costs_what_was_given_or_has_no_price(backend, workers, pricing):
    choice = parse_backend(backend, {})
    assert pricing_of(choice, Plan("probe", backends=[choice]), Limits(tasks=5), workers=workers) == pricing


def test_a_cluster_of_this_machine_costs_its_rent():
    choice = parse_backend("dask", {})
    found = pricing_of(choice, Plan("probe", backends=[choice]), Limits(tasks=5), workers=2)
    assert found.worker_usd_per_hour is None and Decimal(found.rent_usd_per_hour) > 0


def test_the_workers_of_a_cluster_are_billed_for_all_their_time():
    pricing = Pricing(rent_usd_per_hour="0.72", worker_usd_per_hour="0.36", rent_basis="2 workers")
    ended = RunEnded("r1", "ok", 10.0, None, worker_s=20.0)
    assert run_cost_of(view([{"status": "ok"}], pricing=pricing, ended=ended).runs["r1"]).items.machine_rent == "0.002"


@pytest.mark.parametrize("name", ["sequential", "threads", "processes"])
def test_a_local_backend_has_rent_and_no_bound(name):
    choice = parse_backend(name, {})
    plan = Plan("probe", backends=[choice])
    assert bound_of(choice, plan, Limits(tasks=5)) is None
    pricing = pricing_of(choice, plan, Limits(tasks=5))
    assert pricing.rates is None and Decimal(pricing.rent_usd_per_hour) > 0 and "us-east-1" in pricing.rent_basis


def test_settings_that_are_not_named_are_priced_by_their_defaults():
    choice = BackendChoice("emulated", "e", {})
    pricing = pricing_of(choice, Plan("probe", backends=[choice]), Limits(tasks=5))
    assert (pricing.memory_mb, pricing.rates.region) == (1769, "us-east-1")


def test_a_region_without_a_price_has_null_for_it_and_names_it():
    bare = RATES.__class__(
        **{name: getattr(RATES, name) for name in RATES.__struct_fields__}
        | {"s3_put_usd": None, "s3_get_usd": None, "region": "xx-1"}
    )
    session = view([{"status": "ok", "billed_ms": 5}], pricing=Pricing(rates=bare, memory_mb=128))
    bill = document(session).runs[0].cost
    assert bill.items.s3 is None and bill.usd is not None
    assert any("s3" in text and "xx-1" in text for text in bill.unpriced)


def test_a_larger_tmp_is_charged_and_bounded_once_it_is_known_and_named_before():
    choice = parse_backend("lambda", {})
    plan = Plan("probe", backends=[choice])
    before, known = bound_of(choice, plan, Limits(tasks=5)), bound_of(choice, plan, Limits(tasks=5), 10_240)
    assert before.usd < known.usd
    assert any(text.startswith("storage: /tmp above 512 MB") for text in before.left_out)
    assert not any(text.startswith("storage:") for text in known.left_out)
    pricing = pricing_of(choice, plan, Limits(tasks=5), 10_240)
    assert pricing.ephemeral_mb == 10_240
    run = view([{"status": "ok", "billed_ms": 1000}], pricing=pricing).runs["r1"]
    assert Decimal(run_cost_of(run).items.storage) > 0


@pytest.mark.parametrize(
    ("transport", "named"),
    [("direct", "s3: requests sent again"), ("event", "delivers twice"), ("http-api", "above 512 KB")],
)
def test_what_no_bound_can_hold_is_named_before_a_run(transport, named):
    choice = parse_backend(f"lambda:transport={transport}", {})
    assert any(named in text for text in bound_of(choice, Plan("probe", backends=[choice]), Limits(tasks=5)).left_out)


def test_what_a_user_s_function_prints_is_in_no_bound():
    choice = parse_backend("lambda", {})
    plan = Plan("function", backends=[choice], params={"name": "theirs"})
    assert "logs: what the function prints" in bound_of(choice, plan, Limits(tasks=5)).left_out
    assert pricing_of(choice, plan, Limits(tasks=5)).print_limit_bytes is None
    assert pricing_of(choice, plan, Limits(tasks=5)).marked is False


def test_what_is_shown_of_a_running_run_never_falls_and_ends_as_its_bill():
    """Four calls wait 2 s for an environment: three are throttled, and the other ran for a moment only."""
    run = view(dispatched=4).runs["r1"]
    shown = RunningBills()
    amounts = [shown(run, now_s).usd for now_s in (0.5, 1.5, 4.0)]
    for n, fields in enumerate(({"status": "ok", "billed_ms": 10}, *({"status": "throttled"},) * 3)):
        run.apply(Returned("r1", n, returned_s=4.1, **fields))
        amounts.append(shown(run, 4.1).usd)
    assert run_bill(run, 4.1).usd < amounts[2]  # nothing of the waiting is charged
    assert amounts == sorted(amounts) and amounts[0] == 0 < amounts[1]
    run.apply(RunEnded("r1", "ok", 4.2, None))
    assert shown(run).usd == run_bill(run).usd
    again = view(dispatched=4).runs["r1"]  # a record that is shown from its beginning
    assert RunningBills()(again, 0.5).usd == 0


def test_a_burst_of_throttled_calls_is_not_charged_while_their_answers_are_on_their_way():
    run = view(dispatched=1).runs["r1"]
    amounts = []
    for n in range(1, 1000):
        run.apply(Dispatched("r1", n, 0, n, 0, 0.0, 0.0))
    amounts.append(run_bill(run, 0.3).usd)
    for n in range(1, 1000):
        run.apply(Returned("r1", n, status="throttled", returned_s=0.35))
    amounts.append(run_bill(run, 0.4).usd)
    assert amounts == [0, 0]
