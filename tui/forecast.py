"""What a plan comes to, before it is started: tasks, runs, and the most that it can cost. Not for the loop: it is slow."""

from __future__ import annotations

import textwrap

import msgspec

from lbench.analysis.words import count_text
from lbench.engine.cost import usd_short
from lbench.engine.machine import Environment
from lbench.engine.plan import Plan, resolve_params
from lbench.engine.pricing import bound_of
from lbench.engine.samples import busy, machine_notices
from lbench.tui.draw.ink import Piece
from lbench.workloads import registry

__all__ = ["Forecast", "busy_notice", "forecast"]


class Forecast(msgspec.Struct, frozen=True):
    """What is told below the form."""

    tasks: int | None = None
    sure: bool = True  # whether it is so many tasks, not only at most
    runs: int = 0
    backends: int = 0
    bounds: list[str] = []  # a line for each backend that AWS would charge for
    left_out: list[str] = []
    problem: str | None = None

    def lines(self, width: int) -> list[list[Piece]]:
        """As pieces, what is long over several lines."""
        if self.problem is not None:
            return [[(f"✘ {self.problem}", "wrong")]]
        most = "" if self.sure else "at most "
        tasks = "tasks: not known before it runs" if self.tasks is None else most + count_text(self.tasks, "task")
        told: list[list[Piece]] = [
            [
                (tasks, "bright!"),
                (f" · {count_text(self.runs, 'run')} on {count_text(self.backends, 'backend')}", "text"),
            ]
        ]
        told += [[(line, "text")] for line in self.bounds]
        if self.bounds:
            out = f"not in it: {'; '.join(self.left_out)}" if self.left_out else ""
            said = f"emulated here: nothing is spent{'. ' + out if out else ''}"
            told += [[(line, "quiet")] for line in textwrap.wrap(said, width)[:3]]
        return told


def forecast(plan: Plan) -> Forecast:
    """Work it out; imports the workload.

    Raises:
        InputError: a parameter or a region that cannot be used.
    """
    params = resolve_params(plan)
    limits = registry.limits(registry.describe(plan.workload), params)
    runs = plan.repeats + plan.warmup
    bounds: list[str] = []
    left_out: list[str] = []
    for choice in plan.backends:
        bound = bound_of(choice, plan, limits)
        if bound is None:
            continue
        left_out += [text for text in bound.left_out if text not in left_out]
        if bound.usd is None:
            bounds.append(f"{choice.label}: no bound on what AWS would charge")
            continue
        each, most = usd_short(bound.usd, up=True), usd_short(bound.usd * runs, up=True)
        bounds.append(f"{choice.label}: AWS would charge at most {each} a run, {most} in all")
    return Forecast(
        tasks=limits.tasks,
        sure=limits.sure,
        runs=runs * len(plan.backends),
        backends=len(plan.backends),
        bounds=bounds,
        left_out=left_out,
    )


def busy_notice() -> str | None:
    """A warning where others use this machine's CPU now; waits for a moment to see."""
    notices = machine_notices(Environment(), busy())
    return next((notice.text for notice in notices if notice.code == "machine_busy"), None)
