"""How quickly a picture follows the hand: a pan of a 400x300 Mandelbrot view on warm local processes.

python benchmarks/explore.py [PAIRS]

An engine of its own explores, as the screen has it do. The figure is the 95th percentile of the updates' latencies, from the
command's arrival to the last result decoded, over what the goal allows: 1.5 times the compute time of the update's slowest
task, and 30 ms. A round is as many pans, one after the other; `PAIRS` rounds.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pairs import PairedRatios, figure

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.service.client import Engine, Follower, new_session_folder
from lbench.engine.session.view import RunView, SessionView

__all__ = ["run"]

_PANS = 40
_FACTOR, _ALLOWANCE_S = 1.5, 0.030


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """One figure (see `pairs.figure`): its first side is p95 of the latency, its second what is allowed."""
    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder:
        before = os.environ.get("XDG_DATA_HOME")
        os.environ["XDG_DATA_HOME"] = folder
        try:
            rounds = _rounds(pairs)
        finally:
            if before is None:
                del os.environ["XDG_DATA_HOME"]
            else:
                os.environ["XDG_DATA_HOME"] = before
    ratios = PairedRatios(tuple(p95 for p95, _ in rounds), tuple(allowed for _, allowed in rounds))
    return [
        figure(
            f"p95 of {_PANS} pans of a 400x300 view on processes",
            ratios,
            at_most=1.0,
            of="what it may take: 1.5 x its slowest task + 30 ms",
        )
    ]


def _rounds(count: int) -> list[tuple[float, float]]:
    folder: Path = new_session_folder()
    engine = Engine(folder, on_hangup="stop")
    follower = Follower(folder, engine.socket)
    view = SessionView()
    latencies = []
    try:
        follower.follow()
        generation = 0
        for number in range(count + 1):  # the first warms up
            runs = []
            for pan in range(_PANS):
                generation += 1
                follower.command("explore", plan=msgspec.to_builtins(_plan(pan)), generation=generation)
                runs.append(_ended(follower, view, generation))
            if number:
                latencies.append(_p95(runs))
    finally:
        follower.command("stop")
        follower.close()
        engine.let_go()
        engine.wait(30)
    return latencies


def _plan(pan: int) -> Plan:
    """To the right and back along the seahorse valley."""
    x = -0.85 + 0.025 * min(pan, _PANS - pan) / 8
    params = {"width": 400, "height": 300, "max_iterations": 500, "window": [x, x + 0.2, 0.05, 0.2]}
    return Plan("mandelbrot", params, backends=[parse_backend("processes", {})], preview=True)


def _ended(follower: Follower, view: SessionView, generation: int) -> RunView:
    while True:
        for event in follower.receive(60.0):
            view.apply(event)
        if problems := follower.problems():
            raise RuntimeError(problems[0])
        newest = next(reversed(view.runs.values())) if view.runs else None
        if newest is not None and newest.ended is not None and newest.planned.interaction is not None:
            if newest.ended.status != "ok":
                raise RuntimeError(newest.ended.error or newest.ended.status)
            if newest.planned.interaction.generation == generation:
                return newest


def _p95(runs: list[RunView]) -> tuple[float, float]:
    """The update at the 95th percentile of those over what each may take, and what it may."""
    latencies = np.array([run.makespan_s for run in runs])
    slowest = np.array([run.columns["compute_ms"].max() / 1000 for run in runs])
    allowed = _FACTOR * slowest + _ALLOWANCE_S
    return float(np.quantile(latencies / allowed, 0.95) * np.median(allowed)), float(np.median(allowed))


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=2))
