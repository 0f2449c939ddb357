"""Calls of a deployed function: cold and warm calls, errors, discarded samples."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lbench.analysis.comparison import compare
from lbench.analysis.function_calls import calls_of
from lbench.analysis.progress import outlooks
from lbench.cli.function_report import call_lines
from lbench.engine.billing.bill import run_bill
from lbench.engine.journal.events import Dispatched, Returned, RunEnded, RunPlanned, RunStarted
from lbench.engine.model import ErrorInfo, Pricing
from lbench.engine.session.view import RunView


def run_of(*calls: dict[str, Any], params: dict[str, Any] | None = None) -> RunView:
    planned = RunPlanned(
        run="r1",
        workload="function",
        params=params or {},
        seed=1,
        backend="lambda",
        label="lambda",
        origin="measured",
        repeat=0,
        warmup=False,
        schedule="isolated",
    )
    view = RunView(planned)
    view.apply(
        RunStarted(
            run="r1",
            started="2026-11-22T10:00:00+00:00",
            setup_s=None,
            settings={},
            transport="direct",
            oversubscribed=False,
            code_digest="",
            package_digest=None,
            pricing=Pricing(),
        )
    )
    for n, call in enumerate(calls):
        view.apply(Dispatched(run="r1", n=n, stage=0, task=n, attempt=0, queued_s=0.0, dispatched_s=0.0))
        view.apply(Returned(**({"run": "r1", "n": n, "status": "ok", "returned_s": 0.1, "memory_mb": 512} | call)))
    return view


COLD = {"cold": True, "init_ms": 200.0, "compute_ms": 10.0, "billed_ms": 210, "max_memory_mb": 90}
WARM = {"cold": False, "compute_ms": 4.0, "billed_ms": 4, "max_memory_mb": 80}
ERROR = WARM | {"status": "error", "error": ErrorInfo("ValueError", "x", False)}


def test_cold_and_warm_calls_are_separate_and_errors_are_samples() -> None:
    calls = calls_of([run_of(COLD, WARM, WARM | {"compute_ms": 6.0}, ERROR)])
    assert (calls.cold.count, calls.warm.count, calls.unknown) == (1, 3, 0)
    assert (calls.cold.init_p50_ms, calls.cold.duration_p50_ms, calls.warm.init_p50_ms) == (200.0, 10.0, None)
    assert calls.warm.duration_p50_ms == 4.0 and calls.errors == {"ValueError": 1}
    assert calls.warm.duration_p99_ms is None and calls.cold.init_p99_ms is None  # it would be the longest
    assert (calls.billed_ms, calls.memory_mb, calls.max_memory_mb) == (222, 512, 90)


def test_calls_of_warm_up_runs_and_of_runs_that_never_began_are_in_no_figure() -> None:
    warmup, planned = run_of(COLD | {"billed_ms": 9_000}, ERROR), run_of()
    warmup.planned = msgspec.structs.replace(warmup.planned, warmup=True)
    planned.started = None
    assert calls_of([warmup, planned, run_of(WARM)]) == calls_of([run_of(WARM)])
    assert calls_of([warmup, planned]) == calls_of([])


def test_calls_have_the_median_of_their_round_trips_and_of_what_was_billed() -> None:
    warm = [WARM | {"returned_s": 0.1 * n, "billed_ms": n} for n in (1, 2, 4)]
    calls = calls_of([run_of(COLD | {"returned_s": 1.0}, *warm, WARM | {"returned_s": 0.2, "billed_ms": None})])
    assert calls.cold.round_trip_p50_ms == pytest.approx(1000) and calls.cold.billed_p50_ms == 210
    assert calls.warm.round_trip_p50_ms == pytest.approx(200) and calls.warm.billed_p50_ms == 2
    assert calls.billed_ms == 217


@pytest.mark.parametrize(("count", "p99"), [(299, None), (300, pytest.approx(296.01))])
def test_a_p99_needs_300_calls(count: int, p99: Any) -> None:
    warm = [WARM | {"compute_ms": float(n)} for n in range(count)]
    assert calls_of([run_of(*warm)]).warm.duration_p99_ms == p99
    cold = [COLD | {"init_ms": float(n)} for n in range(count)]
    assert calls_of([run_of(*cold)]).cold.init_p99_ms == p99


def test_discarded_and_throttled_calls_are_counted_but_no_samples() -> None:
    throttle = {"status": "throttled", "memory_mb": None, "error": ErrorInfo("TooManyRequestsException", "x", True)}
    calls = calls_of([run_of(COLD, WARM | {"status": "superseded"}, throttle, {"compute_ms": None})])
    assert (calls.cold.count, calls.warm.count, calls.unknown) == (1, 0, 1)
    assert (calls.discarded, calls.throttled, calls.errors) == (1, 1, {})
    assert calls.billed_ms == 214  # what was discarded is billed all the same


def test_missing_samples_of_a_complete_run_are_counted() -> None:
    view = run_of(COLD, WARM | {"status": "superseded"}, params={"invocations": 3})
    assert calls_of([view]).missing == 0  # it is still running
    view.apply(RunEnded(run="r1", status="ok", makespan_s=1.0, driver=None, error=None))
    assert calls_of([view]).missing == 2
    assert "2 samples missing: too many calls were warm" in call_lines([view])[0]


def test_no_calls_have_no_figures() -> None:
    calls = calls_of([])
    assert (calls.cold.count, calls.warm.count, calls.billed_ms, calls.memory_mb) == (0, 0, 0, None)


def test_a_run_without_an_answer_is_complete_once_it_has_ended() -> None:
    view = run_of(COLD, ERROR)
    assert view.finished_tasks == 2 and view.failed_attempts == 1
    view.apply(RunEnded(run="r1", status="ok", makespan_s=1.0, driver=None, error=None))
    assert compare([view], run_bill).summaries[0].answer == "none"
    assert [one.state for one in outlooks([view], {}, run_bill)] == ["ok"]
