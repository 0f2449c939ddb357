"""The mandelbrot kernels against numba and against each other, and what putting an answer together costs.

python benchmarks/mandelbrot_kernels.py
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from pairs import PairedRatios, Peer, PeerError, alternate, figure, peer_venv, timed

from lbench.workloads.encoding import decode, encode
from lbench.workloads.mandelbrot import MandelbrotParams, plane
from lbench.workloads.mandelbrot.job import WORKLOAD
from lbench.workloads.mandelbrot.kernel import count_numpy, count_python

__all__ = ["run"]

_PEER = Path(__file__).parent / "peers" / "numba_mandelbrot.py"
_SIZE, _ITERATIONS = 1000, 500
_EVERY = 20  # rows for the pairs of both kernels: the python kernel takes too long for 15 whole pictures


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Three figures, a dict each (see `pairs.figure`)."""
    params = MandelbrotParams(size=_SIZE, max_iterations=_ITERATIONS)
    across, down = plane.columns(_SIZE, params.window), plane.rows(_SIZE, params.window)
    some = down[::_EVERY]
    what = f"mandelbrot {_SIZE}x{_SIZE}, {_ITERATIONS} iterations"

    with Peer(peer_venv("numba", ["numba==0.68.1"]), _PEER) as peer:
        expected = int(count_numpy(across, down, _ITERATIONS).sum(dtype=np.uint64))

        def numba() -> float:
            answer = peer.call(size=_SIZE, max_iterations=_ITERATIONS)
            if answer["iterations"] != expected:
                raise PeerError(f"numba counts {answer['iterations']} iterations, lbench {expected}")
            return float(answer["seconds"])

        against_numba = alternate(timed(lambda: count_numpy(across, down, _ITERATIONS)), numba, pairs)

    kernels = alternate(
        timed(lambda: count_python(across, some, _ITERATIONS)),
        timed(lambda: count_numpy(across, some, _ITERATIONS)),
        pairs,
        warmup=0,
    )
    return [
        figure(f"{what}: numpy kernel, one thread", against_numba, at_most=2.5, of="numba's time"),
        figure(
            f"{what}, every {_EVERY}th row: python kernel's time over numpy kernel's",
            kernels,
            at_least=25,
            of="the numpy kernel's time",
        ),
        figure(
            "mandelbrot 5000x5000: decoding and assembling 100 results",
            _assembling(pairs),
            at_most=0.02,
            of="the numpy kernel's time on every 50th row, times 50",
        ),
    ]


def _assembling(pairs: int) -> PairedRatios:
    """The driver's part of a 5000x5000 job, against the kernel's time for it (one row in 50, times 50)."""
    params = MandelbrotParams(size=5000)
    across, down = plane.columns(5000, params.window), plane.rows(5000, params.window)
    counts = count_numpy(across[::10], down[::10], params.max_iterations).repeat(10, 0).repeat(10, 1)

    def assemble() -> float:
        job = WORKLOAD.job(params, None)
        shares = [(task.arguments["first"], task.arguments["step"]) for task in next(job)]
        messages = [encode(counts[first::step]) for first, step in shares]
        start = time.perf_counter()
        try:
            job.send([decode(message) for message in messages])
        except StopIteration as done:
            seconds = time.perf_counter() - start
            assert done.value.shape == (5000, 5000)
            return seconds
        raise AssertionError("the job has one stage")

    def compute() -> float:
        return 50 * timed(lambda: count_numpy(across, down[::50], params.max_iterations))()

    return alternate(assemble, compute, pairs)


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
