"""k-means on processes against scikit-learn's threaded Lloyd, a serial numpy loop and R's; and the driver's share.

python benchmarks/kmeans.py [PAIRS]

The rows are the Census-Income (KDD) file's where $LBENCH_TEST_DATA (or ../shared/data) has it, else blobs of its shape.
Both sides begin at the same start and make the same number of iterations: ours is the whole run with its record and its
last counting stage, scikit-learn's the whole `fit` on rows that are centred already.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from engine_run import EngineRun
from pairs import PairedRatios, Peer, PeerError, alternate, figure, timed

from lbench.engine.machine import fingerprint as machine
from lbench.workloads.kmeans import KMeansParams, lloyd

__all__ = ["run"]

_HERE = Path(__file__).parent
_DATA = Path(os.environ.get("LBENCH_TEST_DATA", _HERE.parent / ".." / "shared" / "data"))
_KDD = _DATA / "census-income.data.zst"
_ROWS, _ITERATIONS = 199_523, 10


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Four figures, five where there is R, a dict each (see `pairs.figure`)."""
    common: dict[str, Any] = {"k": 10, "tolerance": 0.0, "max_iterations": _ITERATIONS}
    path = _KDD if _KDD.is_file() else None
    params = KMeansParams(**common) if path else KMeansParams(n_samples=_ROWS, n_features=50, spread=8.0, **common)
    with EngineRun("kmeans", params, "processes", path=path) as engine:
        what = f"k-means, {engine.data.rows:,} x {engine.data.columns}, k = 10, {_ITERATIONS} iterations"
        figures = [
            _against_sklearn(engine, what, pairs),
            _against_loop(engine, what, max(3, pairs // 3)),
            *_against_r(engine, what, max(3, pairs // 3)),
            _driver(engine, f"{what}: the driver's share of the time", pairs, at_most=0.1),
        ]
    many = KMeansParams(n_samples=10 * _ROWS, n_features=50, spread=8.0, **common)
    with EngineRun("kmeans", many, "processes") as engine:
        what = f"k-means, {engine.data.rows:,} x {engine.data.columns}: the driver's share of the time"
        figures.append(_driver(engine, what, max(6, pairs // 2), at_most=0.03))
    return figures


def _against_sklearn(engine: EngineRun, what: str, pairs: int) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder,
        Peer(Path(sys.executable), _HERE / "peers" / "sklearn_kmeans.py") as peer,
    ):
        np.save(f"{folder}/X.npy", engine.data["X"])
        np.save(f"{folder}/start.npy", engine.data["start"])
        inertias: set[str] = set()

        def ours() -> float:
            seconds, answer = engine.once()
            inertias.add(f"{answer['inertia']:.9g} after {answer['iterations']}")
            return seconds

        def theirs() -> float:
            answer = peer.call(folder=folder, iterations=_ITERATIONS, threads=max(1, int(machine.usable_cores())))
            inertias.add(f"{answer['inertia']:.9g} after {answer['iterations']}")
            return float(answer["seconds"])

        ratios = alternate(theirs, ours, pairs)
    if len(inertias) != 1:
        raise PeerError(f"the answers differ: inertia {', '.join(sorted(inertias))} iterations")
    return figure(f"{what}, on processes", ratios, at_least=0.8, of="scikit-learn's threaded Lloyd's speed")


def _against_loop(engine: EngineRun, what: str, pairs: int) -> dict[str, Any]:
    X, start = engine.data["X"], engine.data["start"]
    loop = timed(functools.partial(lloyd.serial, X, start, 0.0, _ITERATIONS))
    ratios = alternate(loop, lambda: engine.once()[0], pairs)
    return figure(f"{what}, on processes", ratios, at_least=1.0, of="a serial numpy loop's speed")


def _against_r(engine: EngineRun, what: str, pairs: int) -> list[dict[str, Any]]:
    """R's own time; in turns of one run each, for R reads the rows anew. Nothing where there is no R."""
    script = shutil.which("Rscript")
    if script is None:
        print("  no Rscript here: R's kmeans is left out")
        return []
    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder:
        engine.data["X"].astype("<f8").tofile(f"{folder}/X.f64")
        engine.data["start"].astype("<f8").tofile(f"{folder}/start.f64")
        numbers = (*engine.data["X"].shape, engine.params.k, _ITERATIONS, 1)
        command = [script, str(_HERE / "peers" / "r_kmeans.R"), folder, *map(str, numbers)]

        def theirs() -> float:
            return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        ratios = alternate(theirs, lambda: engine.once()[0], pairs)
    return [figure(f"{what}, on processes", ratios, at_least=1.0, of="R's kmeans(algorithm=\"Lloyd\")'s speed")]


def _driver(engine: EngineRun, what: str, runs: int, at_most: float) -> dict[str, Any]:
    """The time of a run when no task computes anywhere: merging, making, encoding and sending tasks, and waking up."""
    idle, whole = [], []
    engine.once()
    for _ in range(runs):
        seconds, _answer = engine.once()
        spans: dict[int, tuple[float, float]] = {}
        stages = {event["n"]: event["stage"] for event in engine.events() if event["event"] == "dispatched"}
        for event in engine.events():
            if event["event"] == "returned":
                first, last = spans.get(stages[event["n"]], (float("inf"), 0.0))
                spans[stages[event["n"]]] = min(first, event["started_s"]), max(last, event["finished_s"])
        idle.append(seconds - sum(last - first for first, last in spans.values()))
        whole.append(seconds)
    return figure(what, PairedRatios(tuple(idle), tuple(whole)), at_most=at_most, of="the makespan")


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=1))
