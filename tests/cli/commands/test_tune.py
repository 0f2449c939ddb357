"""`lbench tune` by the real command."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Lbench

Started = Callable[..., "subprocess.Popen[str]"]


@pytest.mark.slow
def test_at_most_20_runs_of_at_least_4_each_and_three_picks(lbench: Lbench) -> None:
    command = ("tune", "mandelbrot", "-p", "size=100", "--over", "memory=885,1769,3538", "--over", "tasks=2,4,8")
    done = lbench(*command, "-o", "out.json")
    assert done.returncode == 0, done.stderr
    for pick in ("fastest: ", "cheapest: ", "balanced: "):
        assert pick in done.stdout
    assert "pays only for tasks that are parallel inside" in done.stdout
    assert "candidate 1: 1,769 MB × 2 tasks, 4 runs; at most $" in done.stderr
    assert "expected by the model" in done.stderr
    runs = json.loads(Path("out.json").read_bytes())["runs"]
    counts = Counter(json.dumps(run["sweep"]["point"]) for run in runs)
    assert 4 <= len(runs) <= 20 and set(counts.values()) <= {4, 8}


def test_a_stopped_tuning_goes_on_where_it_was(lbench: Lbench, started: Started) -> None:
    command = (
        *("tune", "probe", "-p", "kind=spin", "-p", "seconds=0.002", "-b", "simulated:answers=compute"),
        *("--over", "memory=885,1769", "--over", "tasks=2", "--yes"),
    )
    first = started(*command)
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("candidate 2"):
            break
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    assert "the tuning was stopped, the next candidate is " in first.stderr.read()
    done = lbench(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert "goes on with a stopped tuning: " in done.stderr and "candidate 1:" not in done.stderr
    document = json.loads(done.stdout)
    runs = [(run["sweep"]["point"]["memory"], run["status"], "/" in run["id"]) for run in document["runs"]]
    assert runs[:4] == [(1769, "ok", True)] * 4  # of the first session
    assert {status for _, status, _ in runs} == {"ok"} and len(runs) <= 20
    seeds: dict[int, list[int]] = {}
    for run in document["runs"]:
        seeds.setdefault(run["sweep"]["point"]["memory"], []).append(run["backend_settings"]["seed"])
    # What is measured again has another seed: with the same one the model would give the same times once more.
    assert all(set(Counter(own).values()) == {4} for own in seeds.values())
    assert {one["memory_mb"]: one["runs"] % 4 for one in document["tuning"]["candidates"]} == {885: 0, 1769: 0}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("mandelbrot", "-b", "processes"), "one Lambda-like backend"),
        (("mandelbrot", "--repeats", "3"), "--repeats does not apply to tune"),
        (("mandelbrot", "--for", "3"), "--for does not apply to tune"),
        (("mandelbrot", "--schedule", "isolated"), "--schedule does not apply to tune"),
        (("mandelbrot", "--over", "size=1,2"), "tune varies memory and tasks"),
        (("function",), "no tasks to tune"),
    ],
)
def test_what_cannot_be_tuned_is_one_line_and_exit_2(lbench: Lbench, arguments: tuple[str, ...], why: str) -> None:
    done = lbench("tune", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [("tune",), ("sweep", "--over", "tasks=2,4")])
def test_what_simulated_has_no_run_of_is_said_once_before_anything_is_tried(
    lbench: Lbench, command: tuple[str, ...]
) -> None:
    done = lbench(*command, "mandelbrot", "-p", "size=20", "-b", "simulated")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "-b sequential" in done.stderr and "--answers compute" in done.stderr
    assert json.loads(lbench("sessions", "--json").stdout) == []


def test_a_tuning_leaves_out_the_numbers_of_tasks_that_simulated_has_no_run_of(lbench: Lbench) -> None:
    job = ("mandelbrot", "-p", "size=20")
    assert lbench("run", *job, "--tasks", "10", "-b", "sequential", "--repeats", "1").returncode == 0
    tune = ("tune", *job, "-b", "simulated", "--over", "memory=885,1769", "--json")
    refused = lbench(*tune, "--over", "tasks=3,10")
    assert refused.returncode == 2 and "in 3 tasks" in refused.stderr and refused.stderr.count("\n") == 1
    done = lbench(*tune)
    assert done.returncode == 0 and "✘" not in done.stderr
    assert "left out, as simulated has no recorded run of so many to replay: tasks 5, 20 and 40 (" in done.stderr
    assert {run["tasks"] for run in json.loads(done.stdout)["runs"]} == {10}


def test_a_candidate_that_fails_is_named_and_its_tasks_are_not_guessed(lbench: Lbench) -> None:
    Path("mine.py").write_text(
        "from lbench import Task\n\ndef boom(i: int) -> int:\n    raise ValueError('no')\n\n"
        "def job(n: int = 2):\n    return (yield [Task(boom, i=i) for i in range(n)])\n"
    )
    done = lbench("tune", "./mine.py:job", "-b", "emulated", "--over", "memory=1769", "--retries", "0")
    assert done.returncode == 1
    assert "candidate 1: 1,769 MB, 4 runs" in done.stderr
    assert re.search(r"^✘ memory=1769: .*ValueError: no", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [("tune",), ("sweep", "--over", "size=20,30")])
def test_a_budget_that_ends_all_before_the_first_run_is_said_and_is_exit_3(
    lbench: Lbench, command: tuple[str, ...]
) -> None:
    params = ("-p", "size=20") if command == ("tune",) else ()
    done = lbench(*command, "mandelbrot", *params, "-b", "emulated", "--max-usd", "0.0000001", "--quiet")
    assert done.returncode == 3 and done.stdout == ""
    assert "nothing was measured: --max-usd stopped the " in done.stderr and done.stderr.count("\n") == 1
