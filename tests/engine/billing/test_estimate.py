"""What a plan is expected to cost: by runs that were recorded here, with where that comes from."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from lbench.config.folders import sessions_folder
from lbench.config.prices import rates
from lbench.engine.billing import estimate
from lbench.engine.billing.estimate import quotes
from lbench.engine.billing.pricing import bound_of
from lbench.engine.billing.quote import Expectation, Quote, question
from lbench.engine.cost import charges as cost
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Dispatched,
    Phase,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionEnded,
    SessionStarted,
    StageStarted,
    encode_lines,
)
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.measure.stage_replay import find_recording
from lbench.engine.model import Pricing
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan, resolve_params
from lbench.workloads import registry
from lbench.workloads.model import Limits
from lbench.workloads.parameters import settable

EAST = rates("us-east-1", "x86_64")
LIMITS = Limits(tasks=10, s3_requests=0)
LAMBDA = parse_backend("lambda:region=us-east-1,arch=x86_64", {})


def plan(**fields):
    return Plan(**{"workload": "probe", "backends": [LAMBDA], "tasks": 10, "repeats": 2, **fields})


def record(
    name,
    backend,
    made=None,
    *,
    status="ok",
    memory_mb=1769,
    compute_ms=400.0,
    billed_ms=500,
    cold=0,
    digest="d",
    arch="x86_64",
    transport="direct",
    printed=None,
):
    """A session on the shelf with one run of the plan's work."""
    made = made or plan()
    local = backend not in ("lambda", "emulated")
    pricing = Pricing() if local else Pricing(rates=rates("us-east-1", arch), memory_mb=memory_mb)
    rows = range(10)
    events = [
        SessionStarted(name, name, "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", JOURNAL_VERSION),
        RunPlanned(
            "r1",
            registry.describe(made.workload).name,
            settable(resolve_params(made)),
            1,
            backend,
            backend,
            "measured",
            0,
            False,
            "isolated",
            tasks=10,
        ),
        RunStarted(
            "r1", "2026-11-22T00:00:00.000+00:00", 0.5, {}, None if local else transport, False, digest, None, pricing
        ),
        StageStarted("r1", 0, 10, 0.0),
        *(Dispatched("r1", n, 0, n, 0, 0.0, float(n)) for n in rows),
        *(
            Returned(
                "r1",
                n,
                "ok",
                n + 1.0,
                compute_ms=compute_ms,
                billed_ms=None if local else billed_ms,
                cold=None if local else n < cold,
                printed_bytes=printed,
            )
            for n in rows
        ),
        RunEnded("r1", status, 12.0, None),
        SessionEnded(True),
    ]
    folder = sessions_folder() / name
    folder.mkdir()
    (folder / JOURNAL_NAME).write_bytes(encode_lines(events))


def expected(made=None):
    (quote,) = quotes(made or plan(), LIMITS)
    return quote.expected


def usd(total_ms, memory_mb=1769, cold=0):
    bill = cost.run_cost(
        EAST,
        total_ms,
        memory_mb=memory_mb,
        requests=10,
        s3_requests={},
        transfer_bytes=0,
        log_bytes=cost.log_bytes(10, cold, marked=True),
    )
    return bill.usd


def test_nothing_is_expected_where_nothing_was_recorded():
    assert expected() is None
    (quote,) = quotes(plan(), LIMITS)
    assert quote.spends and quote.bound_all_usd == 2 * quote.bound_usd and quote.expected_all_usd is None


def test_what_ran_on_aws_is_expected_to_cost_as_much_again():
    record("20261122-100000-aaaa", "lambda", cold=3)
    expectation = expected()
    assert (expectation.basis, expectation.usd) == ("measured", usd(5000, cold=3))
    assert expectation.text == "as measured on AWS (session 20261122-100000-aaaa)"


def test_past_runs_of_every_workload_are_found_by_their_parameters():
    """Mandelbrot's window is a tuple; a journal holds it as a list."""
    made = plan(workload="mandelbrot", params={"size": 64})
    digest = code_digest(registry.describe("mandelbrot").code) if registry.describe("mandelbrot").code else "d"
    record("20261122-100000-aaaa", "lambda", made, digest=digest)
    assert expected(made).basis == "measured"


def test_a_function_with_less_memory_is_expected_to_take_longer_by_its_share_of_a_vcpu():
    record("20261122-100000-aaaa", "lambda", memory_mb=3538)
    half = parse_backend("lambda:region=us-east-1,arch=x86_64,memory=884", {})
    assert expected(plan(backends=[half])).usd == usd(round(5000 * 1769 / 884), 884)
    assert expected().usd == usd(5000)  # one thread is no faster above a vCPU
    assert "times converted from 3,538 MB to 1,769 MB" in expected().text


def test_a_run_of_the_same_memory_processor_and_transport_counts_before_a_newer_one_of_another():
    record("20261122-100000-aaaa", "lambda", billed_ms=700)
    record("20261122-110000-aaaa", "lambda", billed_ms=600, memory_mb=512)
    record("20261122-120000-aaaa", "lambda", billed_ms=500, arch="arm64")
    record("20261122-130000-aaaa", "lambda", billed_ms=400, transport="event")
    assert expected().usd == usd(7000)
    assert expected().text == "as measured on AWS (session 20261122-100000-aaaa)"


def test_a_run_of_another_processor_or_transport_is_converted_and_the_text_names_it():
    record("20261122-100000-aaaa", "lambda")
    arm = expected(plan(backends=[parse_backend("lambda:region=us-east-1,arch=arm64", {})]))
    assert arm.usd < usd(5000) and "as if arm64 were as fast as x86_64, at its own price" in arm.text
    event = expected(plan(backends=[parse_backend("lambda:region=us-east-1,arch=x86_64,transport=event", {})]))
    assert event.usd - usd(5000) == 10 * (EAST.s3_put_usd + EAST.s3_get_usd)  # a letter each
    assert "requests converted from transport direct to event" in event.text


def test_what_the_tasks_printed_is_expected_again():
    record("20261122-100000-aaaa", "lambda", printed=1 << 20)
    assert expected().usd - usd(5000) == 10 * EAST.logs_gb_usd / 1024


def test_what_computed_here_is_expected_to_compute_as_long_there_and_to_start_cold():
    record("20261122-100000-aaaa", "processes")
    expectation = expected()
    assert (expectation.basis, expectation.usd) == ("estimated", usd(4000 + 10 * 1500, cold=10))
    assert "estimated from processes on this machine, with a cold start of 1.5 s" in expectation.text


def test_the_best_source_counts_not_the_newest():
    record("20261122-100000-aaaa", "lambda", billed_ms=700)
    record("20261122-110000-aaaa", "emulated", billed_ms=600)
    record("20261122-120000-aaaa", "processes")
    assert expected().usd == usd(7000)


def test_of_equal_sources_the_newest_counts():
    record("20261122-100000-aaaa", "emulated", billed_ms=700)
    record("20261122-110000-aaaa", "emulated", billed_ms=600)
    expectation = expected()
    assert (expectation.basis, expectation.usd) == ("emulated", usd(6000))


@pytest.mark.parametrize("status", ["failed", "cancelled", "over_budget"])
def test_a_run_that_did_not_end_well_tells_nothing(status):
    record("20261122-100000-aaaa", "lambda", status=status)
    assert expected() is None


def test_other_parameters_or_another_number_of_tasks_tell_nothing():
    record("20261122-100000-aaaa", "lambda", plan(params={"seconds": 9.0}))
    record("20261122-110000-aaaa", "lambda")
    assert expected(plan(tasks=11)) is None
    assert expected(plan(params={"seconds": 9.0})) is not None


def test_a_run_with_fewer_tasks_than_usual_does_not_tell_what_as_many_as_usual_cost():
    record("20261122-100000-aaaa", "lambda")
    usual = plan(tasks=None)
    assert quotes(usual, Limits(tasks=10, s3_requests=0))[0].expected is not None
    assert quotes(usual, Limits(tasks=100, s3_requests=0))[0].expected is None
    assert quotes(usual, Limits(tasks=100, s3_requests=0, sure=False))[0].expected is not None


def test_a_job_of_one_s_own_is_expected_to_cost_what_it_did_until_it_is_changed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from lbench.workloads.model import Task\n\n\ndef job(n: int = 1):\n    yield []\n    return n\n")
    mine = plan(workload=f"{file}:job", tasks=None)
    record("20261122-100000-aaaa", "lambda", mine, digest=code_digest(registry.describe(mine.workload).code))
    assert expected(mine).basis == "measured"
    file.write_text(file.read_text() + "# changed\n")
    assert expected(mine) is None


def test_a_run_is_found_wherever_its_journal_plans_it(monkeypatch):
    """As the later points of a sweep are."""
    record("past", "processes")
    journal = sessions_folder() / "past" / JOURNAL_NAME
    first, *others = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + encode_lines([Phase("x" * 1000)] * 1000) + b"".join(others))
    assert expected() is not None
    assert find_recording(plan(), LIMITS, 1.0) is not None
    monkeypatch.setattr(estimate, "_JOURNAL_BYTES", 500_000)
    assert expected() is None  # reading it would take too long for an estimate
    assert find_recording(plan(), LIMITS, 1.0) is not None  # a sweep simulates what its own journal holds


def test_a_damaged_session_is_passed_over():
    record("20261122-100000-aaaa", "lambda")
    record("20261122-110000-aaaa", "lambda")
    journal = sessions_folder() / "20261122-110000-aaaa" / JOURNAL_NAME
    journal.write_bytes(journal.read_bytes().replace(b'"n":3', b'"n":7'))
    assert "20261122-100000-aaaa" in expected().text


def test_local_backends_have_no_quote():
    assert quotes(plan(backends=[parse_backend("processes", {})]), LIMITS) == []


def test_each_backend_that_is_charged_has_a_quote_with_its_origin_and_what_is_assumed():
    backends = [parse_backend(text, {}) for text in ("processes", "emulated", "lambda:region=eu-west-1,arch=x86_64")]
    made = plan(backends=backends)
    emulated, there = quotes(made, LIMITS)
    assert [(one.label, one.origin, one.spends) for one in (emulated, there)] == [
        ("emulated", "emulated", False),
        ("lambda", "measured", True),
    ]
    bound = bound_of(backends[2], made, LIMITS)
    assert (there.bound_usd, there.left_out, there.assumed) == (bound.usd, bound.left_out, bound.assumed)
    assert any(text.startswith("logs:") for text in there.assumed)


def quote(bound, about, *, spends=True, runs=1):
    expectation = None if about is None else Expectation(Decimal(about), "measured", "so")
    return Quote("lambda", spends, runs, None if bound is None else Decimal(bound), (), expectation)


@pytest.mark.parametrize(
    ("quotes", "max_usd", "asked"),
    [
        ([quote("9", "0.25")], None, None),
        (
            [quote("9", "0.26")],
            None,
            "lambda is expected to cost $0.26, at most $9.00: more than ask_above_usd = $0.25",
        ),
        ([quote("9", "0.1", runs=3)], None, "$0.30, at most $27.00"),
        ([quote("9", "0.2"), quote("9", "0.2")], None, "lambda is expected to cost $0.40, at most $18.00"),
        ([quote("0.2", None)], None, None),
        (
            [quote("0.3", None)],
            None,
            "this job has not run yet (a local run is enough). It costs at most $0.30, more than",
        ),
        ([quote(None, None)], None, "Its cost has no upper bound"),
        ([quote(None, "0.1")], None, None),
        ([quote(None, None)], 0.2, None),
        ([quote("9", "3")], 0.2, None),
        ([quote(None, None)], 2.0, "at most $2.00"),
        ([quote("9", "8", spends=False)], None, None),
        ([], None, None),
    ],
)
def test_a_person_is_asked_above_the_threshold(quotes, max_usd, asked):
    why = question(quotes, 0.25, max_usd)
    assert (why is None) == (asked is None)
    assert asked is None or asked in why


ASSUMED = Expectation(Decimal("0.3"), "measured", "so", ("logs: assumed",))


@pytest.mark.parametrize(
    ("quotes", "max_usd", "asked"),
    [
        (
            [quote("9", "0.26"), msgspec.structs.replace(quote("9", "0.26"), label="far")],
            None,
            "lambda, far is expected to cost $0.52, at most $18.00: more than ask_above_usd = $0.25",
        ),
        ([quote("9", "3")], 2.0, "lambda is expected to cost $3.00, at most $2.00: more than ask_above_usd = $0.25"),
        ([quote("1", "3")], 2.0, "lambda is expected to cost $3.00, at most $1.00: more than ask_above_usd = $0.25"),
        (
            [quote("0.30001", "0.3")],
            None,
            "lambda is expected to cost $0.30, at most $0.31: more than ask_above_usd = $0.25",
        ),
        (
            [quote(None, "3")],
            None,
            "lambda is expected to cost $3.00, with no upper bound: more than ask_above_usd = $0.25",
        ),
        (
            [quote("9", "3"), quote("9", None)],
            None,
            "cannot estimate the cost on lambda: this job has not run yet (a local run is enough). "
            "It costs at most $18.00, more than ask_above_usd = $0.25",
        ),
        (
            [quote(None, None)],
            None,
            "cannot estimate the cost on lambda: this job has not run yet (a local run is enough). "
            "Its cost has no upper bound, more than ask_above_usd = $0.25",
        ),
        (
            [msgspec.structs.replace(quote("9", "3"), expected=ASSUMED, assumed=("logs: assumed",))],
            None,
            "lambda is expected to cost $0.30*, at most $9.00*: more than ask_above_usd = $0.25",
        ),
        (
            [msgspec.structs.replace(quote("9", "3"), assumed=("logs: assumed",))],
            None,
            "lambda is expected to cost $3.00, at most $9.00*: more than ask_above_usd = $0.25",
        ),
        ([quote("9", "3")], 0.25, None),
    ],
)
def test_the_question_has_the_expected_cost_and_the_bound_rounded_up(quotes, max_usd, asked):
    assert question(quotes, 0.25, max_usd) == asked


def test_a_threshold_of_nothing_asks_always():
    assert question([quote("9", "0.0001")], 0.0, None)
