"""What must hold for every value of the parameters: closed forms, monotony, the eviction law."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.engine.simulation.compute import Work, fit_work, speed
from lbench.engine.simulation.distributions import Constant, Lognormal, Quantiles
from lbench.engine.simulation.environments import cold_share, ramp_wait_s, warm_after
from lbench.engine.simulation.fan_out import Stage, simulate_stage
from lbench.engine.simulation.network import transfer_s
from lbench.engine.simulation.parameters import (
    LambdaModel,
    lambda_model,
    load_model,
    old_parameters,
    with_rows,
    with_values,
)
from lbench.engine.simulation.platform import Host, Platform
from lbench.errors import InputError


def still(**values: float) -> LambdaModel:
    """The model without any spread."""
    fixed = {
        field.name: Constant(getattr(lambda_model(), field.name).median)
        for field in dataclasses.fields(LambdaModel)
        if field.name != "init_s"
    }
    init = {"x86_64": {"3.13": Constant(0.1)}}
    fixed |= {"environment_sigma": Constant(0.0), "task_sigma": Constant(0.0)}
    return dataclasses.replace(lambda_model(), init_s=init, **fixed | {n: Constant(v) for n, v in values.items()})


@settings(max_examples=60, deadline=None)
@given(
    tasks=st.integers(1, 40),
    work_s=st.floats(0.001, 100),
    memory_mb=st.integers(128, 10_240),
    cold=st.booleans(),
    threads=st.integers(1, 6),
)
def test_without_spread_the_makespan_is_the_closed_form(
    tasks: int, work_s: float, memory_mb: int, cold: bool, threads: int
) -> None:
    model = still(driver_dispatch_s=0.001)
    stage = Stage(work_s=np.full(tasks, work_s), threads=threads)
    run = simulate_stage(
        model, stage, memory_mb=memory_mb, environments=tasks, warm=0 if cold else tasks, rng=np.random.default_rng(0),
        replications=2, together=True,
    )  # fmt: skip
    expected = (
        (tasks - 1) * 0.001 + model.rtt_s.median + model.start_delay_s.median + work_s / speed(memory_mb, threads)
    )
    expected += (model.allocation_s.median + 0.1) if cold else 0.0
    assert run.makespan_s == pytest.approx([expected] * 2, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(tasks=st.integers(2, 60), lanes=st.integers(1, 60), seed=st.integers(0, 99))
def test_no_environment_runs_two_tasks_at_once(tasks: int, lanes: int, seed: int) -> None:
    stage = Stage(work_s=np.random.default_rng(seed).uniform(0.1, 2.0, tasks))
    run = simulate_stage(
        lambda_model(),
        stage,
        memory_mb=1769,
        environments=lanes,
        warm=lanes,
        rng=np.random.default_rng(seed),
        replications=3,
    )
    for starts, ends in zip(run.started_s, run.ended_s, strict=True):
        assert max(int(((starts <= at) & (ends > at)).sum()) for at in starts) <= lanes


@given(st.floats(128, 10_240), st.floats(1, 6))
def test_memory_buys_speed_until_a_task_s_threads_are_served(memory_mb: float, threads: float) -> None:
    assert speed(memory_mb, threads) == pytest.approx(min(memory_mb / 1769, threads))
    assert speed(10_240, 1) == 1


@given(st.floats(0.01, 50), st.floats(0, 50), st.integers(1, 4))
def test_fitted_work_explains_the_sizes_it_was_fitted_on(cpu_s: float, wait_s: float, threads: int) -> None:
    work = Work(cpu_s=cpu_s, wait_s=wait_s, threads=threads)
    fitted = fit_work({size: work.seconds(size) for size in (256, 512, 1024)}, threads)
    assert fitted.seconds(2048) == pytest.approx(work.seconds(2048), rel=1e-6)


def test_work_needs_positive_durations() -> None:
    with pytest.raises(InputError, match="positive duration"):
        fit_work({512: 0.0})


@pytest.mark.parametrize(
    ("environments", "left"), [(2, [1, 0, 0]), (5, [3, 2, 1, 0]), (8, [4, 2, 1, 0]), (9, [5, 3, 2, 1, 0])]
)
def test_idle_environments_halve_every_380_seconds(environments: int, left: list[int]) -> None:
    assert warm_after(environments, 379) == environments
    assert [warm_after(environments, 380 * periods) for periods in range(1, len(left) + 1)] == left


def test_a_job_that_runs_often_stays_warm_and_a_rare_one_starts_cold() -> None:
    assert cold_share(100, 86_400 / 300) == 0
    assert cold_share(100, 1) == 1
    assert 0 < cold_share(100, 86_400 / 800) < 1


def test_a_thousand_environments_come_at_once_and_the_rest_with_the_ramp() -> None:
    waits = ramp_wait_s(3000)
    assert waits[999] == 0
    assert waits[-1] == pytest.approx(20)


def test_megabytes_above_the_bucket_come_at_the_baseline() -> None:
    model = lambda_model()
    assert transfer_s(model, 230) == pytest.approx(0.1)
    assert transfer_s(model, 300 + 75) == pytest.approx(300 / 2300 + 1)


@given(st.floats(0.001, 0.999))
def test_drawn_quantiles_are_those_of_the_table(probability: float) -> None:
    table = Quantiles((0.0, 0.5, 1.0), (1.0, 2.0, 8.0))
    assert table.median == pytest.approx(2)
    assert 1 <= float(table.at(np.array([probability]))[0]) <= 8


def test_a_lognormal_has_its_median_and_its_quantiles() -> None:
    spread = Lognormal(2.0, 0.5)
    draws = spread.draw(np.random.default_rng(1), 20_000)
    assert float(np.median(draws)) == pytest.approx(2.0, rel=0.02)
    assert float(np.quantile(draws, 0.9)) == pytest.approx(spread.quantile(0.9), rel=0.03)


def test_every_parameter_has_a_source_and_old_ones_are_named() -> None:
    assert "allocation_s (2020-08-20)" in old_parameters(lambda_model(), date(2026, 11, 28))
    assert not [name for name in old_parameters(lambda_model(), date(2026, 11, 28)) if name.startswith("init_s")]


def test_a_parameter_that_is_not_there_or_impossible_is_refused() -> None:
    with pytest.raises(InputError, match="no parameter 'speed'"):
        with_values(lambda_model(), {"speed": 1.0})
    with pytest.raises(InputError, match="must be above 0, got -1"):
        with_values(lambda_model(), {"core_ratio": -1.0})
    assert with_values(lambda_model(), {"core_ratio": 2.0}).core_ratio.median == 2.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[speed]\nvalue = 1", "speed is not a parameter of the model"),
        ("[init_s]\nmedian = -1\nsigma = 0.1", "init_s must have a positive value"),
        ("[mb_per_vcpu]\nvalue = 0", "mb_per_vcpu must have a positive value"),
        ("[s3_get_s]\nprobabilities = [0, 1]\nvalues = [1]", "s3_get_s must have a positive value"),
        ("[core_ratio]\nmedian = 1\nsigma = 100", "core_ratio must have a positive value, .* sigma .at most 10"),
        ("[task_sigma]\nvalue = 1e7", "task_sigma must have a positive value"),
        ("rtt_s = ", "is not a file of parameters"),
    ],
)
def test_a_file_of_impossible_parameters_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "model.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_model(str(path))


def test_a_device_is_not_read_for_parameters() -> None:
    with pytest.raises(InputError, match="cannot be read: not a regular file"):
        load_model("/dev/null")


def test_a_file_replaces_the_parameters_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text("[init_s]\nmedian = 0.5\nsigma = 0.1\n[rtt_s]\nvalue = 0.002\n")
    model = load_model(str(path))
    assert model.init_of("arm64", "3.14").median == 0.5
    assert model.rtt_s.median == 0.002
    assert model.allocation_s == lambda_model().allocation_s


@pytest.mark.parametrize("value", [0.0, 1e-6, 1e7])
def test_an_extreme_value_of_any_parameter_is_refused_or_gives_finite_times(value: float) -> None:
    stage = Stage(work_s=np.full(20, 1.0), request_mb=0.5, response_mb=0.5, fetch_mb=400.0, import_s=0.1)
    for field in dataclasses.fields(lambda_model()):
        try:
            model = with_values(lambda_model(), {field.name: value})
        except InputError:
            continue
        run = simulate_stage(
            model, stage, memory_mb=1769, environments=5, warm=0, rng=np.random.default_rng(1), replications=3
        )
        assert np.isfinite(run.makespan_s).all() and np.isfinite(run.billed_s).all(), field.name
        platform = Platform(model, memory_mb=1769, arch="x86_64", python="3.13", concurrency=5, seed=1)
        Host(model, 0.03).send(0.0, 1.0)
        platform.rest(10.0, 10.0)


@pytest.mark.parametrize("name", ["uplink_mb_per_s", "network_mb_per_s", "idle_halving_s", "ramp_period_s"])
def test_what_is_divided_by_is_never_zero(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be above 0, got 0"):
        with_values(lambda_model(), {name: 0.0})
    with pytest.raises(InputError, match=name):
        with_rows(lambda_model(), {name: {"value": 0}}, "mine.toml")
