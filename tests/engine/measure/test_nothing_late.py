"""Nothing of the driver is imported while a run's clock is going: the first run is charged no start of ours."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, json, sys
from pathlib import Path

from lbench.engine.journal.events import SessionStarted
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.measure.conductor import Conductor
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.runner.runner import Runner
from lbench.engine.session.view import load_folder

workload, params, folder, *backends = sys.argv[1:]
within_the_clock, late = Runner.run, []

async def run(self, job):
    known = set(sys.modules)
    answer = await within_the_clock(self, job)
    late.append(sorted(set(sys.modules) - known))
    return answer

Runner.run = run

async def main():
    choices = [parse_backend(text, {}) for text in backends]
    plan = Plan(workload, json.loads(params), tasks=4, repeats=1, preview=True, backends=choices)
    journal = Journal(Path(folder))
    journal.write(SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", 1))
    await Conductor(Path(folder), journal).carry_out(plan)
    journal.close()
    runs = load_folder(Path(folder)).runs.values()
    print(json.dumps({"late": late, "status": [run.status for run in runs]}))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("workload", "params", "backends"),
    [
        ("mandelbrot", {"size": 40}, ["processes"]),
        pytest.param("mandelbrot", {"size": 40}, ["loop", "threads", "emulated:concurrency=1"], marks=pytest.mark.slow),
        pytest.param("map_reduce", {"rows": 300}, ["processes", "emulated:concurrency=1"], marks=pytest.mark.slow),
        pytest.param(
            "probe",
            {"kind": "carry", "size_bytes": 7_000_000},  # by S3
            [f"emulated:concurrency=1,transport={name}@{name}" for name in ("direct", "http-api", "event")],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["processes", "loop", "store", "transports"],
)
def test_the_driver_imports_nothing_within_the_clock_of_a_first_run(workload, params, backends, tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    command = [sys.executable, "-c", SCRIPT, workload, json.dumps(params), str(folder), *backends]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"late": [[]] * len(backends), "status": ["ok"] * len(backends)}
