"""The message about an engine that died during its runs: how its process ended, and whose code may have ended it."""

from __future__ import annotations

from lbench.engine.processes.child import describe_exit
from lbench.engine.session.view import SessionView

__all__ = ["cause_of_death", "death_text"]

_ENDS_IT = "os._exit, a signal or a crash there ends it"


def death_text(code: int | None) -> str:
    """How the engine's process ended; `code` is its exit code, None: not known."""
    return "the engine has died" if code is None else f"the engine has died: it {describe_exit(code)}"


def cause_of_death(view: SessionView) -> str | None:
    """The user's own code that ran in the engine's process when it died, and the way out; None: there was none."""
    for run in view.runs.values():
        if run.started is None or run.ended is not None:
            continue
        planned = run.planned
        if planned.backend == "executor":
            return (
                f"{planned.label}: if its factory gives threads, its tasks run in the engine's process, and {_ENDS_IT}: "
                "give a pool of processes, or run them with -b threads"
            )
        if ".py:" in planned.workload and "each" not in planned.params:
            return f"{planned.workload} runs in the engine's process, and {_ENDS_IT}: do such things in a task"
    return None
