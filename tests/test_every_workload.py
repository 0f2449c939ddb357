"""Every workload on every backend, at its smallest: each answer is checked, and all are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lbench.workloads import registry
from lbench.workloads.own.describe import files_of

BACKENDS = ("sequential", "threads", "processes", "emulated", "lambda")
SMALL: dict[str, tuple[str, ...]] = {
    "mandelbrot": ("mandelbrot", "-p", "size=40"),
    "random_forest": ("random_forest", "-p", "n_trees=2", "-p", "rows=200"),
    "kmeans": ("kmeans", "-p", "n_samples=200", "-p", "k=3"),
    "group_by": ("map_reduce", "-p", "rows=200", "-p", "reducers=2"),
    "word_count": ("map_reduce", "-p", "job=word_count", "-p", "rows=200", "-p", "reducers=2"),
    "sort": ("map_reduce", "-p", "job=sort", "-p", "rows=200", "-p", "reducers=2"),
    "probe": ("probe",),
    "own": (f"{Path(__file__).parent.parent}/examples/parameter_grid.py",),
}


QUICK = ("mandelbrot",)


def test_every_workload_is_listed() -> None:
    assert {line[0] for line in SMALL.values()} >= set(registry.names())


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_a_workload_gives_the_same_right_answer_on_every_backend(aws_lambda: Any, name: str) -> None:
    workload, *params = SMALL[name]
    described = registry.describe(workload)
    if described.code is not None:
        aws_lambda.own = files_of(described.code)
    bucket = aws_lambda.deploy(Workloads=described.packed)
    chosen = [part for backend in BACKENDS for part in ("-b", backend)]
    done = subprocess.run(
        [sys.executable, "-m", "lbench", "run", workload, *params, "--tasks", "2", "--concurrency", "1", *chosen,
         "--repeats", "1", "--json", "--yes", "--quiet"],
        capture_output=True, text=True, timeout=120, cwd=os.environ["XDG_RUNTIME_DIR"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert sorted(run["label"] for run in runs) == sorted(BACKENDS)
    assert {(run["status"], run["answer"]["ok"]) for run in runs} == {("ok", True)}
    assert len({run["answer"]["digest"] for run in runs}) == 1
    assert aws_lambda.keys(bucket) == []
