"""The emulator and the model on this machine: the same tasks, the same makespan, once the model is calibrated."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from lbench.engine.machine.monitor import busy

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]

ENVIRONMENTS = 2
MOST_BUSY = 0.25  # of the CPU, by others: more would take the tasks' time


def makespan_s(lbench: Lbench, *args: str) -> float:
    """The median of the warm runs."""
    result = lbench("run", "probe", *args, "--repeats", "5", "--json", "--quiet")
    assert result.returncode == 0, result.stderr
    runs: list[dict[str, Any]] = json.loads(result.stdout)["runs"]
    return statistics.median(run["makespan_s"] for run in runs if run["cold"] is not True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sleep", "spin"])
def test_makespans_of_1_to_64_tasks_agree_within_15_percent(lbench: Lbench, kind: str) -> None:
    if kind == "spin" and (busy() or 0.0) > MOST_BUSY:
        pytest.skip("other processes use this machine's CPU")
    work = ("-p", f"kind={kind}", "-p", "seconds=0.25")
    emulated = f"emulated:concurrency={ENVIRONMENTS}"
    recorded = lbench("run", "probe", "-b", emulated, *work, "--tasks", "12", "--cold-repeats", "3", "--repeats", "4")
    assert recorded.returncode == 0, recorded.stderr
    fitted = lbench("calibrate", "last", "--backend", "emulated", "-o", "here.toml")
    assert fitted.returncode == 0, fitted.stderr
    simulated = f"simulated:concurrency={ENVIRONMENTS},model=here.toml"
    for tasks in (1, 2, 4, 8, 16, 32, 64):
        here = makespan_s(lbench, "-b", emulated, *work, "--tasks", str(tasks))
        model = makespan_s(lbench, "-b", simulated, *work, "--tasks", str(tasks))
        assert model == pytest.approx(here, rel=0.15), tasks
