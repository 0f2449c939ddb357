"""What it costs a run that other backends' environments stand by, frozen or idle: alternating against isolated.

python benchmarks/alternating.py [PAIRS]

A pair is two sessions of the same backends, one in either order; a figure is the ratio of a backend's median makespans.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pairs import PairedRatios, figure

__all__ = ["run"]

_BACKENDS = ("sequential", "threads", "processes", "emulated")
_JOB = ("-p", "kind=spin", "-p", "seconds=0.02", "--tasks", "24", "--repeats", "6", "--quiet", "--no-predict")


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """A figure for each backend."""
    alternating: list[dict[str, float]] = []
    isolated: list[dict[str, float]] = []
    for pair in range(pairs):
        sides = [("alternating", alternating), ("isolated", isolated)]
        for schedule, makespans in sides if pair % 2 == 0 else reversed(sides):
            makespans.append(_session(schedule))
    return [
        figure(
            f"24 tasks of 20 ms on {name}, alternating with {len(_BACKENDS) - 1} others",
            PairedRatios(tuple(one[name] for one in alternating), tuple(one[name] for one in isolated)),
            at_most=1.03,
            of="the makespan isolated",
        )
        for name in _BACKENDS
    ]


def _session(schedule: str) -> dict[str, float]:
    """The median makespan (s) of each backend in one session."""
    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder:
        output = Path(folder) / "session.json"
        environment = os.environ | {f"XDG_{name}_HOME": f"{folder}/{name}" for name in ("DATA", "CACHE", "CONFIG")}
        backends = [word for name in _BACKENDS for word in ("-b", name)]
        command = [sys.executable, "-m", "lbench", "run", "probe", *_JOB, *backends, "--schedule", schedule]
        subprocess.run([*command, "-o", str(output)], env=environment, check=True, capture_output=True, cwd=folder)
        runs = json.loads(output.read_text())["runs"]
    return {
        name: statistics.median(
            one["makespan_s"] for one in runs if one["backend"] == name and not one["warmup"] and not one["cold"]
        )
        for name in _BACKENDS
    }


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=2))
