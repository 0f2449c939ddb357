"""The line "lambda (predicted)": worked out from what was measured, marked, and hanging on a stated assumption."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.analysis.comparison import compare
from lbench.analysis.prediction import (
    predict_comparison,
    predict_lambda,
    predicted_sentence,
    predictions,
    quantile_ends,
    unpredicted_text,
)
from lbench.analysis.statistics import Estimate
from lbench.config.prices import rates
from lbench.engine.billing.bill import run_bill
from lbench.engine.machine.processor_time import Usage
from lbench.engine.model import EXCHANGES, DataInfo, Pricing
from lbench.engine.session.view import RunView, fold
from lbench.engine.simulation.parameters import lambda_model, with_values


@pytest.fixture
def runs(make_events: Callable[..., list[Any]]) -> Callable[..., list[RunView]]:
    """Runs of `tasks` tasks of `task_s` each."""

    def make(tasks: int = 40, task_s: float = 0.5, backends: tuple[str, ...] = ("sequential",)) -> list[RunView]:
        calls = [{"compute_ms": task_s * 1000, "request_bytes": 200, "response_bytes": 4000} for _ in range(tasks)]
        makespans = {name: [tasks * task_s] * 3 for name in backends}
        return list(fold(make_events(makespans, invocations=calls)).runs.values())

    return make


def test_as_many_environments_as_tasks_shorten_a_job_to_little_more_than_its_longest_task(
    runs: Callable[..., list[RunView]],
) -> None:
    line = predict_lambda(runs(task_s=5))
    assert line is not None
    assert line.environments == 40
    assert line.warm.makespan_s.value == pytest.approx(5 * 1.35, rel=0.15)
    assert line.warm.makespan_s.value < line.cold.makespan_s.value
    for one in (line.cold, line.warm):
        assert one.makespan_s.low is not None and one.makespan_s.high is not None
        assert one.makespan_s.low < one.makespan_s.value < one.makespan_s.high


def test_few_replications_have_a_wider_interval() -> None:
    """One more value falls between the ends with their confidence: of 39, 95 % are between the least and the greatest."""
    values = np.arange(1.0, 40.0)
    found = quantile_ends(values, 0.95)
    assert (found.low, found.value, found.high) == (pytest.approx(1), 20, pytest.approx(39))
    narrow = quantile_ends(values, 0.5)
    assert (narrow.low, narrow.high) == (10, 30)


def test_the_cost_is_that_of_the_billed_time(runs: Callable[..., list[RunView]]) -> None:
    line = predict_lambda(runs(), model=with_values(lambda_model(), {"core_ratio": 1.0}))
    assert line is not None
    seconds = float(line.warm.usd) / (0.0000166667 * 1769 / 1024)
    assert seconds == pytest.approx(40 * 0.5, rel=0.2)
    assert line.warm.low_usd <= line.warm.usd <= line.warm.high_usd
    assert line.cold.usd > line.warm.usd > Decimal(0)


def test_requests_to_s3_are_in_the_cost(make_events: Callable[..., list[Any]]) -> None:
    def usd(data: DataInfo | None, response_bytes: int = 100) -> tuple[Decimal, Decimal]:
        calls = [{"compute_ms": 500.0, "request_bytes": 200, "response_bytes": response_bytes} for _ in range(40)]
        view = fold(make_events({"sequential": [20.0] * 3}, invocations=calls, started={"data": data}))
        line = predict_lambda(view.runs.values(), model=with_values(lambda_model(), {"s3_get_s": 1e-6}))
        assert line is not None
        return line.cold.usd, line.warm.usd

    put, get = Decimal("0.000005"), Decimal("0.0000004")
    cold, warm = usd(None)
    with_data = usd(DataInfo(source="generated", digest="d", rows=1, columns=1, bytes=1))
    assert with_data == (pytest.approx(cold + put + 40 * get, rel=Decimal("1e-4")), warm)
    inline, through_s3 = usd(None, 4_498_000), usd(None, 4_499_000)
    assert through_s3[1] - inline[1] > 40 * (put + get)
    assert through_s3[1] - inline[1] < Decimal("1.2") * 40 * (put + get)


def test_more_tasks_than_the_account_allows_run_in_waves(runs: Callable[..., list[RunView]]) -> None:
    few = predict_lambda(runs(task_s=5), environments=10)
    many = predict_lambda(runs(task_s=5))
    assert few is not None and many is not None
    assert few.environments == 10
    assert few.warm.makespan_s.value > 3 * many.warm.makespan_s.value


def test_half_a_vcpu_takes_twice_as_long(runs: Callable[..., list[RunView]]) -> None:
    whole = predict_lambda(runs(task_s=10))
    half = predict_lambda(runs(task_s=10), memory_mb=885)
    assert whole is not None and half is not None
    assert half.warm.makespan_s.value / whole.warm.makespan_s.value == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("usage", "warm_s", "text", "depends_on"),
    [
        (None, 13.5, "; all time of the tasks is taken for computing, with one thread", "one core here"),
        (Usage(), 13.5, "; the tasks compute all the time, with one thread", "one core here"),
        (Usage(wait=0.98), 10.07, "; the tasks wait 98 % of their time, there too", "the 98 % of their time that"),
        (Usage(threads=2.0), 27.0, "; the tasks keep 2 threads busy", "one core here"),
        (Usage(0.2, 2.0), 23.6, "; the tasks keep 2 threads busy and wait 20 % of their time, there too", "one core"),
    ],
)
def test_waiting_takes_as_long_there_and_busy_threads_share_a_vcpu(
    make_events: Callable[..., list[Any]], usage: Usage | None, warm_s: float, text: str, depends_on: str
) -> None:
    calls = [{"compute_ms": 10_000.0} for _ in range(10)]
    view = fold(make_events({"sequential": [100.0] * 3}, invocations=calls, ended={"usage": usage}))
    line = predict_lambda(view.runs.values())
    assert line is not None
    assert line.warm.makespan_s.value == pytest.approx(warm_s, rel=0.08)
    assert line.conditions.endswith(text)
    assert depends_on in predicted_sentence(line, None)


def test_the_same_session_gives_the_same_prediction(runs: Callable[..., list[RunView]]) -> None:
    assert predict_lambda(runs()) == predict_lambda(runs())


def test_nothing_is_predicted_without_a_local_run_that_ended_well(make_events: Callable[..., list[Any]]) -> None:
    view = fold(make_events({"sequential": [1.0]}, ok=False))
    assert predict_lambda(view.runs.values()) is None
    emulated = fold(make_events({"emulated": [1.0]}))
    assert predict_lambda(emulated.runs.values()) is None


def test_a_missing_prediction_has_its_reason_where_one_would_look_for_it(make_events: Callable[..., list[Any]]) -> None:
    def reason(*backends: str, ok: bool = True) -> str | None:
        return unpredicted_text(
            compare(fold(make_events({name: [1.0] for name in backends}, ok=ok)).runs.values(), run_bill)
        )

    assert "add -b sequential" in (reason("emulated") or "")
    assert reason("emulated", "sequential") is None
    assert reason("simulated") is None
    assert reason("emulated", ok=False) is None


@pytest.mark.parametrize(
    ("backends", "memory", "peak", "why"),
    [
        (
            ("sequential",),
            None,
            1770,
            "a task used 1,770 MB here, and an environment has 1,769 MB: `lbench estimate` takes a size that fits",
        ),
        (("sequential",), None, 1769, None),
        (("sequential", "emulated"), 512, 830, "used 830 MB here, and an environment has 512 MB"),
        (("sequential", "emulated"), 1024, 830, None),
        (("threads",), None, 4000, None),  # of several tasks in one process
    ],
)
def test_tasks_that_have_no_room_in_an_environment_have_no_prediction(
    make_events: Callable[..., list[Any]], backends: tuple[str, ...], memory: int | None, peak: int, why: str | None
) -> None:
    pricing = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=memory) if memory else Pricing()
    calls = [{"compute_ms": 500.0, "peak_rss_mb": peak} for _ in range(4)]
    events = make_events({name: [2.0] * 3 for name in backends}, invocations=calls, started={"pricing": pricing})
    own = list(fold(events).runs.values())
    comparison = compare(own, run_bill)
    assert (predict_comparison(comparison, own) is None) == (why is not None)
    assert (why or "") in (unpredicted_text(comparison) or "") and (unpredicted_text(comparison) is None) == (
        why is None
    )


def test_tasks_that_ran_beside_each_other_are_named_as_such(runs: Callable[..., list[RunView]]) -> None:
    alone, beside = predict_lambda(runs()), predict_lambda(runs(backends=("processes",)))
    assert alone is not None and beside is not None
    assert alone.at_once == 1 and "at once" not in alone.conditions
    assert "; 2 of them ran at once here" in beside.conditions
    waiting = msgspec.structs.replace(beside, usage=Usage(wait=0.9))
    assert "at once" not in waiting.conditions


def test_the_sentence_names_what_it_depends_on_and_never_claims_a_measurement(
    runs: Callable[..., list[RunView]],
) -> None:
    made = runs(backends=("sequential", "processes"))
    comparison = compare(made, run_bill)
    line = predict_comparison(comparison, made)
    assert line is not None
    sentence = predicted_sentence(line, comparison.baseline)
    assert sentence.startswith("AWS Lambda with 40 environments of its own is predicted, warm, to be ")
    assert "as fast as sequential, for $" in sentence and "; cold, " in sentence  # the baseline has a warm line, too
    assert sentence.endswith("It depends on: one core here = 1.4 (95 %: 0.84–2.2) Lambda vCPUs.")
    assert line.worked_out_from == "sequential"


def test_it_is_predicted_for_the_lambda_that_was_measured(runs: Callable[..., list[RunView]]) -> None:
    made = runs()
    comparison = compare(made, run_bill)
    like = msgspec.structs.replace(comparison.summaries[0], region="eu-west-1", architecture="arm64", memory_mb=512)
    line = predict_comparison(msgspec.structs.replace(comparison, summaries=[*comparison.summaries, like]), made)
    assert line is not None and "environments of 512 MB in eu-west-1 (arm64)" in line.conditions


def test_a_speedup_whose_interval_holds_1_is_no_claim_and_the_baseline_has_its_share(
    runs: Callable[..., list[RunView]],
) -> None:
    line = predict_lambda(runs())
    assert line is not None
    same = line.warm.makespan_s
    exact = msgspec.structs.replace(line, baseline_s=Estimate(same.value, same.value, same.value, 6))
    wide = msgspec.structs.replace(line, baseline_s=Estimate(same.value, same.value / 2, same.value * 2, 6))
    narrow_ratio, wide_ratio = exact.speedup(line.warm), wide.speedup(line.warm)
    assert narrow_ratio is not None and narrow_ratio.interval is not None
    assert wide_ratio is not None and wide_ratio.interval is not None
    assert narrow_ratio.interval[0] == pytest.approx(same.value / same.interval[1])  # type: ignore[index]
    assert wide_ratio.interval[0] < narrow_ratio.interval[0] and wide_ratio.interval[1] > narrow_ratio.interval[1]
    assert "1.00× (95 %: " in predicted_sentence(exact, "sequential")
    assert ", so either may be faster) as fast as sequential, for" in predicted_sentence(exact, "sequential")
    far = msgspec.structs.replace(line, baseline_s=Estimate(*[same.value * 50] * 3, 6))
    assert "either may be faster" not in predicted_sentence(far, "sequential")


def test_a_speedup_claims_no_more_than_its_baseline(runs: Callable[..., list[RunView]]) -> None:
    line = predict_lambda(runs())
    assert line is not None
    few = msgspec.structs.replace(line, baseline_s=Estimate(20.0, 19.0, 21.0, 3, "range"))
    assert "(range of 3: " in predicted_sentence(few, "sequential")
    assert "not settled" not in predicted_sentence(few, "sequential")
    two = msgspec.structs.replace(line, baseline_s=Estimate(20.0, 19.0, 21.0, 2, "range"))
    assert predicted_sentence(two, "sequential").count("; baseline of 2 repeats: not settled) as fast") == 2
    once = msgspec.structs.replace(line, baseline_s=Estimate(20.0, count=1))
    ratio = once.speedup(once.warm)
    assert ratio is not None and ratio.interval is None
    sentence = predicted_sentence(once, "sequential")
    assert sentence.count("× (baseline measured once: not settled) as fast") == 2
    alone = predicted_sentence(once, None)
    assert "to take " in alone and "s (95 %: " in alone


def test_objects_that_tasks_exchange_are_named_as_missing(make_events: Callable[..., list[Any]]) -> None:
    view = fold(make_events({"sequential": [2.0] * 3}, started={"notes": [EXCHANGES]}))
    line = predict_lambda(view.runs.values())
    assert line is not None
    assert line.conditions.endswith("; objects that they exchange through S3 are in neither its time nor its cost")
    assert predicted_sentence(line, None).endswith(
        " Objects that its tasks exchange through S3 are in neither its time nor its cost."
    )
    assert all(one.parameters["exchanges"] is True for one in predictions(line, "c1"))


def test_a_document_holds_cold_and_warm_with_their_parameters(runs: Callable[..., list[RunView]]) -> None:
    line = predict_lambda(runs())
    assert line is not None
    cold, warm = predictions(line, "c1")
    assert (cold.label, warm.label) == ("lambda (predicted) cold", "lambda (predicted) warm")
    assert cold.comparison == "c1"
    assert cold.low_s is not None and cold.makespan_s is not None and cold.low_s < cold.makespan_s
    assert cold.parameters["memory_mb"] == 1769
