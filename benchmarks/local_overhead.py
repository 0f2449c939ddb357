"""What the local backends cost and keep, against the pools that people use.

python benchmarks/local_overhead.py [PAIRS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from engine_run import EngineRun
from pairs import PairedRatios, Peer, PeerError, alternate, figure, peer_venv

from lbench.workloads.probe import ProbeParams
from lbench.workloads.random_forest import RandomForestParams

__all__ = ["run"]

_PEERS = Path(__file__).parent / "peers"
_NOOPS, _SPINS, _SPIN_S, _TREES = 1000, 32, 0.25, 64
_FEW, _MANY = 25_000, 100_000
_SMALL, _SMALL_S = 400, 0.002
_JOBLIB, _LITHOPS = "joblib==1.6.0", "lithops==3.8.0"
_QUIET = {"AWS_EC2_METADATA_DISABLED": "true"}


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Eleven figures, a dict each (see `pairs.figure`); the longest, Lithops, is the last."""
    return [
        _noops(pairs, "process_pool.py", 0.6, "ProcessPoolExecutor.map(chunksize=1)'s time"),
        _noops(pairs, "multiprocessing_pool.py", 3, "multiprocessing.Pool.imap_unordered(chunksize=1)'s time"),
        *_many(pairs),
        _small(pairs, "sequential", "plain_loop.py", "a plain loop's time"),
        _small(pairs, "processes", "process_pool.py", "ProcessPoolExecutor.map(chunksize=1)'s time"),
        _spins(pairs),
        _forest(pairs),
        _lithops(pairs),
    ]


def _seconds(engine: EngineRun) -> Callable[[], float]:
    """One run of ours, its answer checked against what is known beforehand."""
    expected = engine.workload.reference(engine.params, engine.data)

    def once() -> float:
        seconds, answer = engine.once()
        if not engine.workload.check(engine.params, answer, expected).ok:
            raise RuntimeError("lbench's answer is wrong: a time without a right answer means nothing")
        return seconds

    return once


def _noops(pairs: int, peer_file: str, at_most: float, of: str) -> dict[str, Any]:
    with (
        EngineRun("probe", ProbeParams(tasks=_NOOPS), "processes") as engine,
        Peer(Path(sys.executable), _PEERS / peer_file) as peer,
    ):
        ratios = alternate(_seconds(engine), lambda: float(peer.call(tasks=_NOOPS)["seconds"]), pairs)
    return figure(f"{_NOOPS:,} no-op tasks on warm processes, with full records", ratios, at_most=at_most, of=of)


def _many(pairs: int) -> list[dict[str, Any]]:
    """The engine's CPU time and memory for many tasks, and whether the time grows in proportion; each in a new process."""
    few, many = [], []
    for _ in range(pairs):
        few.append(_driver(_FEW))
        many.append(_driver(_MANY))
    each_us = [one["cpu_s"] / _MANY * 1e6 for one in many]
    few_us = [one["cpu_s"] / _FEW * 1e6 for one in few]
    limit = (1.0,) * pairs
    text = f"{_MANY:,} no-op tasks on processes"
    return [
        figure(f"{text}: CPU time of the engine each, us", PairedRatios(tuple(each_us), limit), at_most=60, of="us"),
        figure(
            f"the same, over that of one among {_FEW:,}",
            PairedRatios(tuple(each_us), tuple(few_us)),
            at_most=1.1,
            of="",
        ),
        figure(
            f"{text}: memory of the engine, MB",
            PairedRatios(tuple(one["peak_mb"] for one in many), limit),
            at_most=150,
            of="MB",
        ),
    ]


def _driver(tasks: int) -> dict[str, float]:
    script = f"""
import json, resource, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from engine_run import EngineRun
from lbench.workloads.probe import ProbeParams
with EngineRun("probe", ProbeParams(tasks={tasks}), "processes") as engine:
    cpu_s = time.process_time()
    engine.once()
    cpu_s = time.process_time() - cpu_s
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps({{"cpu_s": cpu_s, "peak_mb": peak if sys.platform == "linux" else peak / 1000}}))
"""
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | _QUIET, check=True, capture_output=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _small(pairs: int, backend: str, peer_file: str, of: str) -> dict[str, Any]:
    params = ProbeParams(kind="spin", seconds=_SMALL_S, tasks=_SMALL)
    with EngineRun("probe", params, backend) as engine, Peer(Path(sys.executable), _PEERS / peer_file) as peer:
        ratios = alternate(_seconds(engine), lambda: float(peer.call(tasks=_SMALL, seconds=_SMALL_S)["seconds"]), pairs)
    return figure(f"{_SMALL} tasks of {_SMALL_S * 1000:g} ms on {backend}", ratios, at_most=1.1, of=of)


def _spins(pairs: int) -> dict[str, Any]:
    params = ProbeParams(kind="spin", seconds=_SPIN_S, tasks=_SPINS)
    with (
        EngineRun("probe", params, "processes") as engine,
        Peer(peer_venv("joblib", [_JOBLIB]), _PEERS / "joblib_spin.py") as peer,
    ):
        ratios = alternate(lambda: float(peer.call(tasks=_SPINS, seconds=_SPIN_S)["seconds"]), _seconds(engine), pairs)
    return figure(
        f"{_SPINS} tasks of {_SPIN_S:g} s of CPU time on all cores",
        ratios,
        at_least=0.97,
        of="joblib's throughput",
    )


def _forest(pairs: int) -> dict[str, Any]:
    params = RandomForestParams(n_trees=_TREES)
    versions = [f"scikit-learn=={sklearn.__version__}", f"numpy=={np.__version__}"]
    with (
        tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder,
        EngineRun("random_forest", params, "processes") as engine,
        Peer(peer_venv("scikit-learn", versions), _PEERS / "sklearn_forest.py") as peer,
    ):
        data = Path(folder) / "data.npz"
        np.savez(data, X=engine.data["X"], y=engine.data["y"])
        accuracies = set()

        def ours() -> float:
            seconds, answer = engine.once()
            accuracies.add(answer["accuracy"])
            return seconds

        def theirs() -> float:
            answer = peer.call(
                data=str(data),
                trees=params.n_trees,
                max_depth=params.max_depth,
                max_features=min(params.max_features, engine.data.columns),
                seed=params.seed,
            )
            accuracies.add(answer["accuracy"])
            return float(answer["seconds"])

        ratios = alternate(theirs, ours, pairs)
        if len(accuracies) != 1:
            raise PeerError(f"the forests differ: out-of-bag accuracies {sorted(accuracies)}")
    return figure(
        f"a forest of {_TREES} trees with its out-of-bag score, {engine.data.rows:,} rows, on processes",
        ratios,
        at_least=0.95,
        of="RandomForestClassifier(n_jobs=-1)'s speed",
    )


def _lithops(pairs: int) -> dict[str, Any]:
    python = peer_venv("lithops", [_LITHOPS])
    with (
        tempfile.TemporaryDirectory(prefix="lbench-benchmark-", ignore_cleanup_errors=True) as folder,
        EngineRun("probe", ProbeParams(tasks=_NOOPS), "processes") as engine,
        Peer(
            python,
            _PEERS / "lithops_localhost.py",
            # Its files and what it remembers go with the folder; nothing can ask anybody for credentials.
            env={"TMPDIR": folder, "HOME": folder, **_QUIET},
        ) as peer,
    ):
        ratios = alternate(lambda: float(peer.call(tasks=_NOOPS)["seconds"]), _seconds(engine), pairs)
    return figure(
        f"{_NOOPS:,} no-op tasks: Lithops' localhost v1 time over lbench's",
        ratios,
        at_least=30,
        of="lbench's time",
    )


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=2))
