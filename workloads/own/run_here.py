"""A job in this process, one task after the other: for a test, or for a debugger."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from typing import Any

from lbench.errors import WorkloadError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Task
from lbench.workloads.signatures import parameters_of

__all__ = ["run_here"]


def run_here(job: Generator[list[Task], list[Any], Any], *, data: Any = None) -> Any:
    """The answer of `job(n=10)`, say; arguments and results go through the encoding, as everywhere.

    `data` goes to tasks with a parameter of that name, unless their Task gives one. A task's exception is raised as it is.

    Raises:
        EncodingError: an argument or a result cannot be sent.
        WorkloadError: the job yields something else than lists of tasks.
    """
    results: list[Any] | None = None
    while True:
        try:
            stage = next(job) if results is None else job.send(results)
        except StopIteration as end:
            return decode(encode(end.value))
        if not isinstance(stage, list | tuple) or not all(isinstance(task, Task) for task in stage):
            raise WorkloadError("the job must yield lists of tasks, as in results = yield [Task(...)]")
        results = [_run(task, data) for task in stage]


def _run(task: Task, data: Any) -> Any:
    module, _, name = task.function.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    arguments = decode(encode(task.arguments))
    if data is not None and "data" in parameters_of(found):
        arguments.setdefault("data", data)
    return decode(encode(found(**arguments)))
