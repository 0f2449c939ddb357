"""One line on a failed task: which call of the user's code failed, and where in it."""

from __future__ import annotations

import errno

from lbench.engine.backends.base import Failure
from lbench.workloads.model import Task
from lbench.workloads.own.importer import is_pinned
from lbench.workloads.own.tracebacks import RECORDED, call_text, missing_hint, place_in
from lbench.workloads.whole.tasks import WHOLE_TASK

__all__ = ["failure_line", "failures_line", "user_call"]

_SEMAPHORES = (
    ": Lambda has no semaphores, which pools of processes and multiprocessing's locks and queues need: use threads there, "
    "or multiprocessing.Process with a Pipe"
)


def user_call(task: Task) -> str | None:
    """The call of a user's own function, "simulate(seed=3)"; None for tasks of built-in workloads."""
    named = ":" in task.function or task.function == RECORDED
    return call_text(task.function, task.arguments) if named else None


def failure_line(task: Task, index: int, tries: str, failure: Failure) -> str:
    """One line: "task 3, simulate(seed=3), failed: ValueError: too small (mine.py, line 12 in simulate)"."""
    call = user_call(task)
    what = f"task {index}, {call}, failed{tries}" if call else f"task {index} failed{tries}"
    if call is None and not (task.function == WHOLE_TASK and is_pinned(task.arguments["workload"])):
        return f"{what}: {failure.type}: {failure.message}"
    place = place_in(failure.log_tail)
    where = f" ({place})" if place else ""
    no_system_call = failure.type == "OSError" and failure.message.startswith(f"[Errno {errno.ENOSYS}]")
    hint = _SEMAPHORES if no_system_call else missing_hint(failure.type, failure.message)
    return f"{what}: {failure.type}: {failure.message}{where}{hint}"


def failures_line(failed: list[str], tasks: int) -> str:
    """One line on a stage some tasks of which failed; `failed` has the line of each."""
    first = f": {failed[0]}" if len(failed) == 1 else f"; the first to fail: {failed[0]}"
    return f"{len(failed):,} of {tasks:,} tasks failed{first}"
