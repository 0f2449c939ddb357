"""Texts and picture of the welcome: what this machine is, and what the first example computes. Slow to load."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lbench.analysis.format import cores_text
from lbench.engine.cost.format import usd_short
from lbench.engine.cost.rent import machine_rent
from lbench.engine.machine.fingerprint import cpu_model, memory_bytes, usable_cores
from lbench.workloads.mandelbrot import MandelbrotParams
from lbench.workloads.mandelbrot.job import WORKLOAD, Rows
from lbench.workloads.mandelbrot.tasks import rows

__all__ = ["example_picture", "machine_texts"]

_POINTS = 240  # in each direction
_ITERATIONS = 200
_GIB = 1024**3


def machine_texts() -> list[str]:
    """This machine, what an equal one costs, and what it cannot show."""
    cores, memory = usable_cores(), memory_bytes()
    what = " · ".join(filter(None, [cpu_model(), cores_text(cores), f"{memory / _GIB:.1f} GiB"]))
    hourly = usd_short(machine_rent(cores, memory).hourly_usd)
    return [
        what,
        f"renting an equal one on EC2 costs {hourly} an hour",
        "environments of emulated Lambda share its cores; AWS gives each its own",
    ]


def example_picture() -> NDArray[np.uint8]:
    """The Mandelbrot set as the preview of its workload shows it: brightness, 255 inside the set."""
    params = MandelbrotParams(size=_POINTS, max_iterations=_ITERATIONS, tasks=1)
    (whole,) = next(WORKLOAD.job(params, None))
    values: NDArray[np.uint8] = Rows(params).add(whole, rows(**whole.arguments))["values"]
    return values
