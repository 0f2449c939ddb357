"""A sweep that an engine of ours measures: a plan for each point, one after the other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from lbench.engine.billing.bill import run_bill
from lbench.engine.journal.events import ComparisonEnded
from lbench.engine.model import Sweep, point_text
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.sweep import SETTING_AXES, Point, SweepPlan, sweep_plan
from lbench.engine.session.view import SessionView
from lbench.errors import InputError
from lbench.workloads import parameters, registry

__all__ = ["SweepRun", "pinned", "proposed_axis", "sweep_of"]

_BUSY = "a plan is running"  # how an engine refuses a plan that comes while it closes the one before
_FACTOR = 2
_DOWN = 8  # times that a proposed range begins below the present value


class SweepRun:
    """Which points are measured, which is under way, and which wait."""

    def __init__(self, sweep: SweepPlan) -> None:
        self.sweep = sweep
        self.id = sweep.new_id()
        self.waiting: list[Point] = list(sweep.points)
        self.point: Point | None = None  # under way
        self.failures: dict[str, str] = {}  # by point: why it could not be measured
        self.over = False
        self._begun = 0
        self._ended_before = 0  # comparisons that had ended when the point was sent

    @property
    def progress(self) -> str:
        """Like "point 3 of 8: n_trees=4"; "" once it is over."""
        if self.over or self.point is None:
            return ""
        return f"point {self._begun} of {self._begun + len(self.waiting)}: {point_text(self.point)}"

    def proceed(self, view: SessionView | None, refusal: str | None, running: bool) -> Plan | None:
        """What to send now: the first plan, or the next once the point under way has ended; None: wait, or it is over."""
        if self.over:
            return None
        if self.point is not None:
            if refusal is not None and refusal.startswith(_BUSY) and not running:
                return self._plan(view)
            ended = [] if view is None else self._ended(view)
            if not ended and (refusal is None or running):
                return None
            if not ended:
                self.failures[point_text(self.point)] = refusal or ""
            self.point = None
            if any(one.ended_by == "cancelled" for one in ended) or (view is not None and self._over_budget(view)):
                self.waiting.clear()
        if not self.waiting:
            self.over = True
            return None
        self.point = self.waiting.pop(0)
        self._begun += 1
        return self._plan(view)

    def add(self, point: Point) -> bool:
        """Measure one more point. Returns whether it is new."""
        if point == self.point or point in self.waiting:
            return False
        self.waiting.append(point)
        self.over = False
        return True

    def _ended(self, view: SessionView) -> list[ComparisonEnded]:
        """Comparisons of the point under way: what ran before in that engine may end, or be cancelled, only now."""
        asked = Sweep(self.id, dict(self.point or {}))
        return [
            one
            for one in view.comparisons[self._ended_before :]
            if any(run in view.runs and view.runs[run].planned.sweep == asked for run in one.runs)
        ]

    def _over_budget(self, view: SessionView) -> bool:
        sweeps = (run.planned.sweep for run in view.runs.values() if run.status == "over_budget")
        return any(one is not None and one.id == self.id for one in sweeps)

    def _plan(self, view: SessionView | None) -> Plan:
        assert self.point is not None
        self._ended_before = 0 if view is None else len(view.comparisons)
        plan = self.sweep.at(self.point, self.id)
        if plan.max_usd is None or view is None:
            return plan
        spent = sum((run_bill(run).usd or Decimal(0) for run in view.started_runs), Decimal(0))
        left = Decimal(str(plan.max_usd)) - spent
        return msgspec.structs.replace(plan, max_usd=max(float(left), 1e-9))


def pinned(plan: Plan) -> Plan:
    """The plan with an own workload as its file stands now, so that all points measure the same. Slow: it is read.

    Raises:
        InputError: the file cannot be used.
    """
    return msgspec.structs.replace(plan, workload=registry.describe(plan.workload).pinned)


def proposed_axis(plan: Plan, name: str | None = None) -> str:
    """An axis around a plan's own value: "n_trees=2..32x2"; of the workload's first whole number, if none is named."""
    fields = {field.name: field for field in parameters.fields(registry.describe(plan.workload).params)}
    if name is None or (name not in fields and name not in ("tasks", "workers", "memory")):
        name = next(
            (one.name for one in fields.values() if one.type == "int" and isinstance(one.default, int)), "tasks"
        )
    field = fields.get(name)
    value: Any = plan.params.get(name, field.default) if field is not None else plan.tasks
    if name == "workers":
        return "workers=1,2"
    if name == "memory":
        return "memory=442,885,1769"
    if not isinstance(value, int | str) or not str(value).isdigit() or int(value) < 1:
        value = 16
    least = 1 if field is None or field.minimum is None else max(1, int(field.minimum))
    low, high = max(least, int(value) // _DOWN), int(value) * _FACTOR
    if field is not None and field.maximum is not None:
        high = min(high, int(field.maximum))
    return f"{name}={low}..{high}x{_FACTOR}"


def sweep_of(plan: Plan, text: str) -> SweepPlan:
    """The sweep of a plan over a typed axis, in place of the plan's own value of it.

    Raises:
        InputError: the axis is invalid, or a backend is paid for.
    """
    if any(choice.name == "lambda" for choice in plan.backends):
        raise InputError("a sweep on lambda is paid at every point: start it with `lbench sweep`, which asks first")
    texts = text.split()
    for one in texts:
        name = one.partition("=")[0].strip()
        plan = msgspec.structs.replace(
            plan,
            params={key: value for key, value in plan.params.items() if key != name},
            tasks=None if name == "tasks" else plan.tasks,
            sweep=None,
        )
        if (setting := SETTING_AXES.get(name)) is not None:
            plan = msgspec.structs.replace(
                plan,
                backends=[
                    msgspec.structs.replace(
                        one, settings={key: value for key, value in one.settings.items() if key != setting}
                    )
                    for one in plan.backends
                ],
            )
    return sweep_plan(plan, texts)
