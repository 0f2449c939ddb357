"""lbench: is this parallel job better on AWS Lambda than on the machine you have?

For a workload of your own (docs/workloads.md):

    from lbench import Task

    def simulate(seed: int, points: int) -> float: ...

    def job(n: int = 10, points: int = 100_000):
        results = yield [Task(simulate, seed=i, points=points) for i in range(n)]
        return sum(results) / n

Importing the package loads nothing heavy: each of these names is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lbench._version import __version__

if TYPE_CHECKING:
    from msgspec import Meta

    from lbench.errors import EncodingError, WorkloadError
    from lbench.workloads.dataset import Dataset
    from lbench.workloads.model import Check, Task
    from lbench.workloads.own.run_here import run_here
    from lbench.workloads.recorded.session import record

__all__ = ["Check", "Dataset", "EncodingError", "Meta", "Task", "WorkloadError", "__version__", "record", "run_here"]

_PLACES = {
    "Check": "lbench.workloads.model",
    "Dataset": "lbench.workloads.dataset",
    "EncodingError": "lbench.errors",
    "Meta": "msgspec",
    "Task": "lbench.workloads.model",
    "WorkloadError": "lbench.errors",
    "record": "lbench.workloads.recorded.session",
    "run_here": "lbench.workloads.own.run_here",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'lbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
