"""`lbench tune` by the real command."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.conftest import Lbench


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


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("mandelbrot", "-b", "processes"), "one Lambda-like backend"),
        (("mandelbrot", "--repeats", "3"), "--repeats does not apply to tune"),
        (("mandelbrot", "--over", "size=1,2"), "tune varies memory and tasks"),
        (("function",), "no tasks to tune"),
    ],
)
def test_what_cannot_be_tuned_is_one_line_and_exit_2(lbench: Lbench, arguments: tuple[str, ...], why: str) -> None:
    done = lbench("tune", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr and done.stderr.count("\n") == 1
