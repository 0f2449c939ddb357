"""The options of a job side by side, from made-up samples: what must hold whatever the machine is."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.analysis.format import spread_text
from lbench.analysis.job_model import Job, job_of, what_if
from lbench.analysis.lambda_options import OnLambda
from lbench.analysis.option_types import Options, Runs, parse_runs
from lbench.analysis.options import options_of
from lbench.analysis.options_text import (
    break_even_sentence,
    busy_line,
    first_sentence,
    limit_line,
    recorded_lines,
    usage_lines,
    usd_cell,
    usd_spread_cell,
)
from lbench.analysis.prediction import CONFIDENCE
from lbench.analysis.statistics import Estimate
from lbench.config.rented_machines import _file, rented
from lbench.engine.sampling.model import Sample, SampledStage
from lbench.engine.session.clusters import ClusterRuns
from lbench.engine.simulation.environments import cold_share
from lbench.engine.simulation.parameters import LambdaModel, lambda_model, with_values
from lbench.errors import InputError

ONCE = Runs(None, once=True)


def sample(tasks: int = 100, seconds: float = 1.0, *, measured: int | None = None, **more: Any) -> Sample:
    count = tasks if measured is None else measured
    stage = SampledStage(
        tasks=tasks,
        indices=list(range(count)),
        compute_s=[seconds] * count,
        request_bytes=[100] * count,
        response_bytes=[100] * count,
        peak_mb=[40] * count,
    )
    made = Sample(
        workload="mine.py:job",
        params={},
        stages=[stage],
        complete=measured is None,
        before_s=0.0,
        init_s=0.1,
        data_bytes=0,
        overhead_s=1e-4,
        workers=4,
        contention=1.0,
        limit_s=6.0,
    )
    return msgspec.structs.replace(made, **more)


def job(tasks: int = 100, seconds: float = 1.0, **more: Any) -> Job:
    return job_of(sample(tasks, seconds, **more))


def by_name(options: Options) -> dict[str, Any]:
    return {row.name: row for row in options.rows}


def test_each_kind_of_option_is_there_with_its_basis() -> None:
    found = options_of(job(), ONCE)
    assert [row.name for row in found.rows if row.kind == "local"] == [
        "this machine, 1 worker",
        "this machine, 2 workers",
        "this machine, 4 workers",
    ]
    assert {row.basis for row in found.rows if row.kind == "lambda"} == {"predicted"}
    assert {row.basis for row in found.rows if row.kind == "rented"} == {"model"}
    names = [row.name for row in found.rows if row.kind == "rented"]
    assert any("Spot" in name for name in names)
    assert any(name.startswith("Fargate") for name in names)
    for row in found.rows:
        low, high = row.makespan_s.interval
        assert low <= row.makespan_s.value <= high


def test_this_machine_takes_the_work_over_the_workers() -> None:
    rows = by_name(options_of(job(100, 1.0), ONCE))
    assert rows["this machine, 1 worker"].makespan_s.value == pytest.approx(100, rel=0.02)
    assert rows["this machine, 4 workers"].makespan_s.value == pytest.approx(25, rel=0.02)


def test_busy_neighbours_slow_the_tasks_by_the_measured_contention() -> None:
    rows = by_name(options_of(job(100, 1.0, contention=2.0), ONCE))
    assert rows["this machine, 1 worker"].makespan_s.value == pytest.approx(100, rel=0.02)
    assert rows["this machine, 4 workers"].makespan_s.value == pytest.approx(50, rel=0.02)


def test_rented_machines_are_charged_their_minimum_and_their_start() -> None:
    rows = by_name(options_of(job(4, 0.001), ONCE))
    assert rows["EC2 c7i.xlarge"].usd == pytest.approx(Decimal("0.1785") / 60, rel=Decimal("0.001"))
    long = by_name(options_of(job(400, 60.0), ONCE))["EC2 c7i.xlarge"]
    assert float(long.usd) == pytest.approx(0.1785 * (long.makespan_s.value + 23) / 3600, rel=0.001)


def test_a_spot_price_has_two_ends() -> None:
    row = by_name(options_of(job(), ONCE))["EC2 Spot c7i.12xlarge"]
    on_demand = by_name(options_of(job(), ONCE))["EC2 c7i.12xlarge"]
    assert row.usd < row.usd_high < on_demand.usd


def test_how_often_it_runs_decides_cold_or_warm() -> None:
    def temperature(text: str) -> set[str]:
        rows = options_of(job(), parse_runs(text)).rows
        return {row.temperature for row in rows if row.kind == "lambda"}

    assert temperature("1") == temperature("10/day") == {"cold"}
    assert temperature("1000/day") == temperature("always") == {"warm"}
    assert temperature("200/day") == {"50 of 100 warm"}


def test_managed_instances_stand_beside_runs_all_day_only() -> None:
    assert not any("Managed" in row.name for row in options_of(job(), parse_runs("10/day")).rows)
    assert any("Managed" in row.name for row in options_of(job(), parse_runs("always")).rows)


@pytest.mark.parametrize("text", ["", "2", "0/day", "-1/day", "x/day", "1/week", "nan/day", "1e9/day"])
def test_other_words_for_how_often_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--runs must be 1, N/day"):
        parse_runs(text)


def test_up_to_the_break_even_lambda_costs_less() -> None:
    model = lambda_model()
    found = options_of(job(100, 10.0), ONCE, model=model)
    assert found.break_even is not None
    runs, day_usd = found.break_even.runs, found.break_even.usd_day
    assert found.break_even.machine == "EC2 c7i.xlarge"
    assert day_usd == Decimal("0.1785") * 24
    assert runs is not None
    assert 1 <= found.break_even.low <= runs <= found.break_even.high
    warm = options_of(job(100, 10.0), parse_runs("1000/day"), model=model).on_lambda.usd
    assert runs <= float(day_usd) / float(warm) + 1
    assert f"Up to {runs:,} run" in break_even_sentence(found)


@pytest.mark.parametrize("seconds", [2.0, 10.0])
def test_the_break_even_is_the_last_number_of_runs_whose_price_is_below_the_machine_s(seconds: float) -> None:
    """Of so many runs a day some find no warm environment, and cost as much as a cold one."""
    model = lambda_model()
    there = OnLambda(job(100, seconds), model, "us-east-1", "x86_64", CONFIDENCE)
    found = options_of(job(100, seconds), ONCE, model=model)
    even, memory_mb = found.break_even, found.on_lambda.memory_mb
    assert even is not None and even.runs is not None and memory_mb is not None
    cold, warm = (float(there.predict(memory_mb, count).usd) for count in (0, there.places))

    def day_usd(runs: int) -> float:
        share = cold_share(there.places, runs, model.idle_halving_s.median)
        return runs * (cold * share + warm * (1 - share))

    assert cold > 1.01 * warm
    assert day_usd(even.runs) <= float(even.usd_day) < day_usd(even.runs + 1)


def test_where_the_break_even_lies_beyond_what_the_machine_can_do_its_interval_may_not() -> None:
    def sentence(low: int, *, low_beyond: bool) -> str:
        found = options_of(job(100, 10.0), ONCE)
        assert found.break_even is not None
        even = msgspec.structs.replace(found.break_even, runs=None, low=low, low_beyond=low_beyond)
        return break_even_sentence(msgspec.structs.replace(found, break_even=even))

    assert sentence(900, low_beyond=True).endswith("for as many runs as that could do in a day.")
    assert sentence(90, low_beyond=False).endswith("in a day (95 %: from 90 runs a day on it may not).")
    slow = options_of(job(100, 100.0), ONCE, model=with_values(lambda_model(), {"core_ratio": 0.05})).break_even
    assert slow is not None and slow.low_beyond == (slow.runs is None)


def test_of_many_tasks_each_simulated_one_stands_for_several() -> None:
    exact = options_of(job(1_000, 1.0), ONCE).on_lambda
    coarse = options_of(job(4_000, 1.0, measured=50), ONCE).on_lambda
    assert float(coarse.usd) == pytest.approx(4 * float(exact.usd), rel=0.15)
    three_more_s = 3 * lambda_model().core_ratio.median  # on the 1,000 environments there are
    assert coarse.makespan_s.value == pytest.approx(exact.makespan_s.value + three_more_s, rel=0.25)


def test_a_memory_size_must_hold_the_tasks() -> None:
    large = sample()
    stage = msgspec.structs.replace(large.stages[0], peak_mb=[2_000] * 100)
    rows = options_of(job_of(msgspec.structs.replace(large, stages=[stage])), ONCE).rows
    assert min(row.memory_mb for row in rows if row.kind == "lambda") >= 2_500
    stage = msgspec.structs.replace(stage, peak_mb=[20_000] * 100)
    with pytest.raises(InputError, match="Lambda has 10,240 MB at most"):
        options_of(job_of(msgspec.structs.replace(large, stages=[stage])), ONCE)


def test_a_task_that_lambda_would_end_is_never_first_there() -> None:
    found = options_of(job(100, 2_000.0), ONCE)
    assert not found.fits_lambda
    assert "Lambda ends it after 900 s" in (limit_line(found) or "")
    few = first_sentence(options_of(job(4, 900.0), ONCE))
    assert "nothing is charged; Lambda would end a task after 900 s" in few and "predicted" not in few
    assert break_even_sentence(found) == "Lambda has no price for it: its longest task does not end within 900 s there."
    assert found.fastest.kind != "lambda"


def test_a_task_that_lambda_may_end_is_named_by_the_high_end_of_what_a_core_is_worth() -> None:
    found = options_of(job(100, 600.0), ONCE)
    assert found.fits_lambda and found.longest_s < 900 < found.longest_high_s
    assert re.match(
        r"a task may take up to \d+ min \d\d s on a vCPU, and Lambda ends it after 900 s", limit_line(found) or ""
    )
    assert limit_line(options_of(job(100, 300.0), ONCE)) is None


def test_memory_that_tasks_use_is_never_more_than_the_function_has() -> None:
    def sizes(peak_mb: int, memory_mb: int | None = None) -> list[int | None]:
        base = sample()
        stage = msgspec.structs.replace(base.stages[0], peak_mb=[peak_mb] * 100)
        rows = options_of(job_of(msgspec.structs.replace(base, stages=[stage])), ONCE, memory_mb=memory_mb).rows
        return [row.memory_mb for row in rows if row.kind == "lambda"]

    assert sizes(9_000) == sizes(10_240) == [10_240]
    assert sizes(200, 200) == [200]
    with pytest.raises(InputError, match="--memory must be at least 201 MB, which a task uses here, got 200"):
        sizes(201, 200)
    with pytest.raises(InputError, match="a task uses 10,241 MB here, and Lambda has 10,240 MB at most"):
        sizes(10_241)


def test_the_first_sentence_names_who_is_first() -> None:
    assert first_sentence(options_of(job(4, 0.001), ONCE)).startswith("This machine, ")
    assert first_sentence(options_of(job(1000, 1.0), ONCE)).startswith("Lambda 1,769 MB cold is first: ")


def cluster(*makespans_s: float, usd: str | None = None, **more: Any) -> ClusterRuns:
    made = ClusterRuns(
        session="20261128-1",
        created="2026-11-28T10:00:00+00:00",
        label="dask",
        workers=40,
        cold=None,
        setup_s=0.5,
        makespans_s=list(makespans_s),
        usd=None if usd is None else [Decimal(usd)] * len(makespans_s),
        unpriced=[] if usd is not None else ["no price: usd_per_hour= was not given"],
    )
    return msgspec.structs.replace(made, **more)


def test_a_recorded_cluster_is_an_option_with_its_day_its_range_and_its_price() -> None:
    found = options_of(job(), parse_runs("10/day"), clusters=[cluster(0.5, 0.7, 0.6, usd="0.01")])
    row = by_name(found)["dask, 40 workers, 2026-11-28"]
    assert (row.kind, row.basis, row.measured, row.session) == ("cluster", "measured", "2026-11-28", "20261128-1")
    assert (row.makespan_s.value, row.makespan_s.interval, row.makespan_s.kind) == (0.6, (0.5, 0.7), "range")
    assert (row.usd, row.usd_day, row.start_s) == (Decimal("0.01"), Decimal("0.1"), 0.5)
    assert usd_cell(row) == "$0.01"
    both = [cluster(2.0, cold=True), cluster(1.0, usd="0.02", cold=False)]
    rows = [one for one in options_of(job(), ONCE, clusters=both).rows if one.kind == "cluster"]
    assert [one.name for one in rows] == ["dask, 40 workers cold, 2026-11-28", "dask, 40 workers warm, 2026-11-28"]
    assert [one.temperature for one in rows] == ["cold", "warm"]
    assert recorded_lines(found) == ["dask, 40 workers, 2026-11-28: 3 recorded runs of this job (session 20261128-1)"]


def test_a_cluster_without_a_price_says_so_and_one_run_has_no_interval() -> None:
    found = options_of(job(1_000, 1.0), ONCE, clusters=[cluster(0.1)])
    row = by_name(found)["dask, 40 workers, 2026-11-28"]
    assert (usd_cell(row), row.usd_day, row.makespan_s.interval) == ("no price", None, None)
    sentence = first_sentence(found)
    assert sentence.startswith("Dask, 40 workers, 2026-11-28 is first: 600 ms, 500 ms of it to start (one run), ")
    assert "at no known price (usd_per_hour= gives it)" in sentence
    assert "× (measured once: not settled) as fast as this machine, 4 workers with " in sentence
    assert "overlap" not in sentence
    here = options_of(job(1_000, 1.0), ONCE, clusters=[cluster(0.1, unpriced=[])])
    assert "and nothing is charged" in first_sentence(here)


def test_how_many_times_as_fast_has_an_interval_of_the_kind_of_its_runs() -> None:
    def gain(*makespans_s: float) -> str:
        sentence = first_sentence(options_of(job(100, 1.0), ONCE, clusters=[cluster(*makespans_s)]))
        return sentence[sentence.index("× (") + 2 : sentence.index(" as fast as")]

    assert re.fullmatch(r"\(range of 2: [\d.]+–[\d.]+; 2 runs: not settled\)", gain(0.1, 0.11))
    assert re.fullmatch(r"\(range of 3: [\d.]+–[\d.]+\)", gain(0.1, 0.11, 0.12))
    assert re.fullmatch(r"\(95 %: [\d.]+–[\d.]+\)", gain(*[0.1] * 6))


def test_overlapping_intervals_are_named_also_where_this_machine_is_first() -> None:
    assert "overlap" not in first_sentence(options_of(job(4, 0.001), ONCE))
    seconds = next(s for s in (0.02 * 1.15**k for k in range(60)) if _close(options_of(job(8, s), ONCE)))
    doubt = "; the intervals overlap: Lambda 1,769 MB cold may be first too."
    assert first_sentence(options_of(job(8, seconds), ONCE)).endswith(doubt)


def _close(found: Options) -> bool:
    """Whether this machine is first, and Lambda's interval reaches below its time."""
    away = found.on_lambda.makespan_s
    return found.fastest.kind == "local" and away.low is not None and away.low < found.here.makespan_s.value


def test_the_three_assumptions_that_matter_most_are_in_order() -> None:
    found = options_of(job(), ONCE).sensitivity
    assert len(found) == 3
    assert [one.factor for one in found] == sorted((one.factor for one in found), reverse=True)
    assert found[0].name == "core_ratio" or found[0].name == "concurrency"


def test_what_if_changes_the_model_and_the_job() -> None:
    base, model = job(100, 1.0), lambda_model()
    slower = what_if(base, model, {"core_ratio": 4.0})
    assert options_of(slower[0], ONCE, model=slower[1]).on_lambda.makespan_s.value > 3
    more, _ = what_if(base, model, {"tasks": 50, "task_s": 2.0})
    assert more.calls == 50
    assert by_name(options_of(more, ONCE))["this machine, 1 worker"].makespan_s.value == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize(
    "changes",
    [{"nothing": 1.0}, {"core_ratio": 0.0}, {"tasks": 0.5}, {"tasks": 1e12}, {"task_s": 0.0}, {"concurrency": 0.4}],
)
def test_impossible_what_ifs_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="--what-if"):
        what_if(job(), lambda_model(), changes)


def test_a_small_sample_of_unequal_tasks_widens_the_intervals() -> None:
    times = [0.5 + 0.1 * (number % 20) for number in range(400)]

    def spread(count: int) -> float:
        base = sample(400, measured=count)
        stage = msgspec.structs.replace(base.stages[0], compute_s=times[:count])
        row = by_name(options_of(job_of(msgspec.structs.replace(base, stages=[stage])), ONCE))["this machine, 1 worker"]
        low, high = row.makespan_s.interval
        return (high - low) / row.makespan_s.value

    assert spread(20) > 1.5 * spread(400)
    assert spread(400) == pytest.approx(
        2 * 1.96 * 0.03 * 2**0.5, rel=0.05
    )  # the sample's run and that one, drawn evenly


def using(wait: float = 0.0, threads: float = 1.0) -> Job:
    base = sample(10, 2.0)
    return job_of(
        msgspec.structs.replace(base, stages=[msgspec.structs.replace(base.stages[0], wait=wait, threads=threads)])
    )


def test_what_tasks_wait_for_no_core_and_no_memory_shortens() -> None:
    waiting, computing = (by_name(options_of(one, ONCE)) for one in (using(wait=0.95), using()))
    for size in ("885", "3,008"):
        assert waiting[f"Lambda {size} MB cold"].makespan_s.value == pytest.approx(3.2, abs=0.5)
    assert computing["Lambda 885 MB cold"].makespan_s.value > 5
    low, high = waiting["EC2 c7i.12xlarge"].makespan_s.interval
    assert high / low < 1.3
    assert waiting["this machine, 1 worker"].makespan_s.value == computing["this machine, 1 worker"].makespan_s.value
    assert options_of(using(wait=0.95), ONCE).longest_s == pytest.approx(2.0, rel=0.05)


def test_tasks_with_several_threads_want_as_many_vcpus() -> None:
    four = options_of(using(threads=4.0), ONCE)
    sizes = [row.memory_mb for row in four.rows if row.kind == "lambda"]
    assert sizes == [5307, 10_240]
    one = by_name(options_of(using(threads=4.0), ONCE, memory_mb=1769))["Lambda 1,769 MB cold"].makespan_s.value
    assert one > 2.5 * by_name(four)["Lambda 10,240 MB cold"].makespan_s.value
    assert by_name(four)["EC2 c7i.xlarge"].places == 1
    assert usage_lines(None, 0.0, 4.0) == ["tasks keep 4 threads busy: as many vCPUs make them faster"]
    assert usage_lines(2, 0.5, 1.0) == ["tasks of stage 2 wait 50 % of their time, which no faster core shortens"]


def test_a_sample_on_a_busy_machine_says_so() -> None:
    (quiet,) = sample().stages
    assert busy_line(sample()) is busy_line(sample(stages=[msgspec.structs.replace(quiet, ready=0.09)])) is None
    line = busy_line(sample(stages=[quiet, msgspec.structs.replace(quiet, ready=0.8)]))
    assert line is not None and line.startswith("other processes had the cores in 80 % of the tasks' time")


def test_a_further_task_is_longer_than_all_sampled_ones_as_often_as_it_must_be() -> None:
    rng = np.random.default_rng(4)
    longer, shorter = [], []
    for _ in range(40):
        times = np.exp(rng.normal(size=20)).tolist()
        base = sample(120, measured=20)
        stage = msgspec.structs.replace(base.stages[0], compute_s=times)
        (found,) = job_of(msgspec.structs.replace(base, stages=[stage])).stages
        others = np.stack(found.work_s)[:, 20:]
        longer.append(float(np.mean(others > max(times))))
        shorter.append(float(np.mean(others < min(times))))
    for share in (longer, shorter):
        assert np.mean(share) == pytest.approx(1 / 21, rel=0.1)  # whatever the distribution is


def test_a_sum_of_many_tasks_keeps_its_mean_and_gets_narrower() -> None:
    base = sample(200_000, measured=400)
    times = [0.5 + 0.1 * (number % 11) for number in range(400)]
    stage = msgspec.structs.replace(base.stages[0], compute_s=times)
    (found,) = job_of(msgspec.structs.replace(base, stages=[stage])).stages
    assert found.calls == 200_000 and found.each == 200
    sums = sum(float(one.sum()) for one in found.work_s) / len(found.work_s)
    assert sums == pytest.approx(200_000 * sum(times) / 400, rel=0.02)
    assert float(found.work_s[0].std() / found.work_s[0].mean()) < 0.1


def test_the_dollars_have_an_interval_as_the_makespan() -> None:
    for row in options_of(job(400, 10.0), ONCE).rows:
        if row.kind == "local":
            assert row.usd_interval is None and usd_spread_cell(row) == "–"
        else:
            low, high = row.usd_interval
            assert low < row.usd < high and "–" in usd_spread_cell(row)
    fixed = by_name(options_of(job(4, 0.001), ONCE))["EC2 c7i.xlarge"]
    assert fixed.usd_interval == (fixed.usd, fixed.usd) and usd_spread_cell(fixed) == "–"


def test_a_first_place_that_the_intervals_leave_open_is_no_claim() -> None:
    near = first_sentence(options_of(job(12, 1.0), ONCE))
    assert near.endswith("; the intervals overlap: this machine, 4 workers may be first too.")
    rented_first = options_of(job(400, 30.0), ONCE, model=with_values(lambda_model(), {"concurrency": 2}))
    sentence = first_sentence(rented_first)
    first = rented_first.fastest
    assert first.kind == "rented" and first.start_s > 0
    low, high = first.makespan_s.interval
    whole = Estimate(first.whole_s, low + first.start_s, high + first.start_s, 200)
    assert f"({spread_text(whole)})" in sentence  # the start is in the interval as it is in the time


def test_every_option_that_may_be_first_too_is_named_with_how_it_is_known() -> None:
    many = job(1_000, 1.0)
    _, high_s = options_of(many, ONCE).on_lambda.makespan_s.interval
    sentence = first_sentence(options_of(many, ONCE, clusters=[cluster(high_s - 0.51)]))  # and half a second to start
    assert sentence.startswith("Lambda ")
    assert sentence.endswith("; the intervals overlap: dask, 40 workers, 2026-11-28 (measured once) may be first too.")


def test_a_sample_in_which_no_task_ended_is_refused() -> None:
    with pytest.raises(InputError, match="no task ended within 6 s"):
        job(3, measured=0)


def test_with_a_perfect_model_lambda_takes_what_the_arithmetic_says() -> None:
    fixed = {
        "rtt_s": 0.0,
        "invoke_overhead_s": 0.0,
        "start_delay_s": 0.0,
        "allocation_s": 0.0,
        "driver_dispatch_s": 0.0,
    }
    spreads = {"environment_sigma": 0.0, "task_sigma": 0.0, "driver_decode_s_per_mb": 0.0}
    model: LambdaModel = with_values(lambda_model(), {**fixed, **spreads})
    import dataclasses

    from lbench.engine.simulation.distributions import Constant

    model = dataclasses.replace(model, core_ratio=Constant(1.0))
    rows = options_of(job(100, 1.0), parse_runs("always"), model=model, memory_mb=1769).rows
    (row,) = [row for row in rows if row.kind == "lambda"]
    assert row.makespan_s.value == pytest.approx(1.0, rel=0.01)
    assert float(row.usd) == pytest.approx(100 * (1769 / 1024 * 0.0000166667 + 0.0000002), rel=0.2)  # logs and transfer


def test_every_figure_of_a_rented_machine_has_a_source_and_a_date() -> None:
    assert len(rented()) >= 5
    for profile in rented():
        parts = (
            profile.usd_per_hour,
            profile.core_ratio,
            profile.start_s,
            profile.minimum_s,
            profile.share,
            profile.always,
        )
        for part in filter(None, parts):
            assert len(_file().sources[part.source]) > 20
            assert date(2018, 1, 1) < part.date <= date(2026, 12, 31)
