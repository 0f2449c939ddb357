"""`lbench run -b simulated`: a whole session of the model, twice the same, marked as what it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.validate import validate
from lbench.errors import InputError

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]


def document(lbench: Lbench, *args: str) -> dict[str, Any]:
    result = lbench("run", *args, "--repeats", "2", "--quiet", "--json")
    assert result.returncode == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def without_ids_and_dates(parsed: dict[str, Any]) -> str:
    for key in ("id", "name", "created"):
        del parsed[key]
    for run in parsed["runs"]:
        del run["started"]
    return json.dumps(parsed)


def test_the_same_seed_gives_the_same_session_to_the_byte(lbench: Lbench) -> None:
    args = ("probe", "-b", "simulated:fail_rate=0.05", "-p", "kind=spin", "-p", "seconds=1", "--tasks", "300")
    first, second = document(lbench, *args), document(lbench, *args)
    runs = first["runs"]
    assert {run["origin"] for run in runs} == {"simulated"}
    assert {one["billed_source"] for run in runs for one in run["invocations"]} <= {"model", None}
    assert all(run["answer"]["ok"] is None and "not computed" in run["answer"]["check"] for run in runs)
    assert without_ids_and_dates(first) == without_ids_and_dates(second)


def test_a_job_that_was_never_recorded_is_refused_and_one_that_was_is_replayed(lbench: Lbench) -> None:
    job = ("mandelbrot", "-p", "size=64", "--tasks", "6")
    refused = lbench("run", *job, "-b", "simulated")
    assert refused.returncode == 2
    assert "simulated has no recorded run of mandelbrot" in refused.stderr
    beside = document(lbench, *job, "-b", "sequential", "-b", "simulated")
    replayed = [run for run in beside["runs"] if run["origin"] == "simulated"]
    assert all(run["status"] == "ok" and len(run["invocations"]) == 6 for run in replayed)
    assert any("replayed: times of run" in note for note in replayed[0]["notes"])
    alone = document(lbench, *job, "-b", "simulated:concurrency=3")
    assert alone["runs"][0]["answer"]["check"] == "not computed: replayed"


def test_batches_are_replayed_as_they_were_recorded(lbench: Lbench) -> None:
    job = ("mandelbrot", "-p", "size=64", "--tasks", "6", "--batch", "3")
    beside = document(lbench, *job, "-b", "sequential", "-b", "simulated")
    assert [len(run["invocations"]) for run in beside["runs"] if run["origin"] == "simulated"] == [2, 2]


@pytest.mark.parametrize("work", [("mandelbrot", "-p", "size=64"), ("map_reduce", "-p", "rows=2000")])
def test_computed_answers_are_checked_and_kept(lbench: Lbench, work: tuple[str, ...]) -> None:
    job = (*work, "--tasks", "6", "-b", "simulated", "--answers", "compute")
    first, second = document(lbench, *job), document(lbench, *job)
    assert all(run["answer"]["ok"] for run in first["runs"] + second["runs"])
    assert first["runs"][1]["makespan_s"] == second["runs"][1]["makespan_s"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simulated:account=new,memory=5000", "memory must be at most 3,008 MB in a new account, got 5,000"),
        ("simulated:model=nowhere.toml", "nowhere.toml cannot be read"),
        ("simulated:spread=-1", "spread"),
        ("simulated:transport=event", "transport"),
    ],
)
def test_impossible_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(Plan(workload="probe", backends=[parse_backend(text, {})]))
