"""The analysis of a session of 1,000,000 invocations: seconds once it is loaded, and the memory of the whole process.

python benchmarks/analysis_million.py [REPETITIONS]

Three backends, ten repeats each, on four lanes. Measured is what the report asks for: comparison, quantiles, warnings, why
each backend is as fast as it is, and the parts of the variance. The session is made in memory, in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from large_session import BACKENDS, LANES, REPEATS, planned

__all__ = ["run"]

INVOCATIONS = 1_000_000
MOST_S, MOST_GB = 3.0, 1.5


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Two figures: the time of each repetition against the goal, and the largest memory."""
    count = max(3, pairs // 3)
    output = subprocess.run(
        [sys.executable, __file__, "--measure", str(count)], capture_output=True, text=True, check=True
    ).stdout
    measured = json.loads(output)
    times = sorted(measured["seconds"])
    middle, gigabytes = times[len(times) // 2], measured["gigabytes"]
    return [
        {
            "figure": "analysis of 1,000,000 invocations, seconds",
            "ratio": middle,
            "low": times[0],
            "high": times[-1],
            "goal": f"<= {MOST_S:g}",
            "met": middle <= MOST_S,
            "pairs": count,
        },
        {
            "figure": "memory of the process with them, GB",
            "ratio": gigabytes,
            "low": gigabytes,
            "high": gigabytes,
            "goal": f"<= {MOST_GB:g}",
            "met": gigabytes <= MOST_GB,
            "pairs": 1,
        },
    ]


def _session() -> Any:
    """A session whose columns are filled at once: an event for each invocation would only measure the loading."""
    import numpy as np

    from lbench.engine.journal.events import (
        Answered,
        RunEnded,
        RunStarted,
        SessionStarted,
        StageEnded,
        StageStarted,
    )
    from lbench.engine.machine.fingerprint import fingerprint
    from lbench.engine.model import Answer, Driver, Pricing
    from lbench.engine.session.columns import Columns
    from lbench.engine.session.view import fold

    generator = np.random.default_rng(1)
    each = INVOCATIONS // (len(BACKENDS) * REPEATS)
    header = SessionStarted("s", "s", "2026-01-01T00:00:00+00:00", "0", fingerprint())
    view = fold([header])
    number = 0
    for backend in BACKENDS:
        for repeat in range(REPEATS):
            number += 1
            name = f"r{number}"
            lanes = 1 if backend == "sequential" else LANES
            compute_ms = generator.lognormal(1.0, 0.3, each)
            busy = compute_ms + generator.exponential(0.2, each)
            lane = np.arange(each) % lanes
            ends = np.zeros(each)
            for one in range(lanes):
                ends[lane == one] = np.cumsum(busy[lane == one])
            makespan_s = float(ends.max() / 1000) + 0.01
            run = planned(name, backend, repeat, each)
            started = RunStarted(name, header.created, None, {}, None, False, "d", None, Pricing(), capacity=lanes)
            driver = Driver(0.1, 0.1, 0.1, 0.0, 1.0, 2.0)
            fold([run, started, StageStarted(name, 0, each, 0.0), StageEnded(name, 0, makespan_s)], view)
            columns = Columns()
            columns._reach(each - 1)
            filled: dict[str, Any] = {
                "stage": 0,
                "task": np.arange(each),
                "attempt": 0,
                "environment": lane,
                "status": 0,
                "cold": np.arange(each) < lanes if backend == "emulated" and not repeat else 0,
                "queued_s": 0.0,
                "dispatched_s": (ends - busy) / 1000,
                "started_s": (ends - busy) / 1000,
                "finished_s": ends / 1000,
                "returned_s": ends / 1000,
                "compute_ms": compute_ms,
            }
            for column, values in filled.items():
                columns[column][:] = values
            for one in range(lanes):
                columns.environment_code(f"e{one}")
            view.runs[name].columns = columns
            view.runs[name].finished_tasks = each
            fold([RunEnded(name, "ok", makespan_s, driver), Answered(name, Answer(True, "equal", "same"))], view)
    return view


def _measure(count: int) -> None:
    from lbench.analysis.causes import explanations
    from lbench.analysis.comparison import by_label, compare, warm_quantiles
    from lbench.analysis.variance import variance_parts
    from lbench.analysis.verdict import answer_sentence
    from lbench.analysis.warnings import stability_warnings
    from lbench.engine.billing.bill import run_bill

    view = _session()
    seconds = []
    for _ in range(count):
        begin_s = time.perf_counter()
        groups = by_label(view.runs.values())
        answer_sentence(compare(view.runs.values(), run_bill))
        for group in groups.values():
            warm_quantiles(group, (0.5, 0.99, 0.999))
        stability_warnings(view)
        explanations(groups, view.header.environment)
        for label, group in groups.items():
            variance_parts(label, group)
        seconds.append(time.perf_counter() - begin_s)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    json.dump({"seconds": seconds, "gigabytes": peak_kb / 1e6}, sys.stdout)


if __name__ == "__main__":
    if "--measure" in sys.argv:
        _measure(int(sys.argv[-1]))
    else:
        sys.path.insert(0, str(Path(__file__).parent))
        for one in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
            print(one)
