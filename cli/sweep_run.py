"""A sweep measured by one engine: one plan per point, further points where curves cross, and what a stopped one has left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from statistics import median

import msgspec

from lbench.analysis.comparison import by_label, makespans
from lbench.analysis.format import seconds_text
from lbench.analysis.next_points import next_points
from lbench.analysis.resumption import whole_comparisons
from lbench.analysis.scaling import scalings
from lbench.cli.follow import Measurement
from lbench.cli.progress import Progress
from lbench.engine.billing.bill import run_bill
from lbench.engine.journal.events import ComparisonEnded, Event, Warned
from lbench.engine.journal.lock import is_live
from lbench.engine.measure.simulated_job import refuse_unknown
from lbench.engine.model import point_text
from lbench.engine.plan.plan import Plan, resolve_params
from lbench.engine.plan.sweep import Point, SweepPlan
from lbench.engine.plan.validate import validate
from lbench.engine.service.client import Follower
from lbench.engine.session.sweeps import recent_sweeps
from lbench.engine.session.view import SessionView, load_folder
from lbench.errors import InputError, LbenchError, count_text
from lbench.workloads import registry

__all__ = [
    "Earlier",
    "PointsMeasurement",
    "SweepMeasurement",
    "added_point",
    "done_points",
    "earlier_sessions",
    "points_left",
    "refuse_unreplayable",
    "stopped_sweep",
]

_BUSY_S = 0.02  # before a plan is sent again to an engine that has not quite ended the last one
_NAMED = 4  # points that are left, by name


class Earlier(msgspec.Struct, frozen=True):
    """What an earlier sweep of the same definition has left: its id and its sessions, the oldest first."""

    id: str
    views: list[SessionView]


def earlier_sessions(sweep: SweepPlan) -> Earlier | None:
    """The newest sweep or tuning of the same definition.

    Raises:
        InputError: it is running now.
    """
    found: dict[str, list[Path]] = {}
    for folder, identity in recent_sweeps():
        if identity.startswith(f"{sweep.definition}-"):
            if is_live(folder):
                raise InputError(f"the same command is running: `lbench attach {folder.name}` shows it")
            found.setdefault(identity, []).append(folder)
    if not found:
        return None
    identity, folders = next(iter(found.items()))
    return Earlier(identity, [load_folder(folder) for folder in reversed(folders)])


def stopped_sweep(sweep: SweepPlan, more: int) -> Earlier | None:
    """The newest sweep of the same definition, if it was stopped before its last point. `more`: points that may be added.

    Raises:
        InputError: it is running now.
    """
    earlier = earlier_sessions(sweep)
    if earlier is None or points_left(sweep, earlier.views):
        return earlier
    if added_point(sweep, earlier.id, earlier.views, more) is None:
        return None  # it is whole: the same command measures it once more
    return earlier


def refuse_unreplayable(plans: Sequence[Plan]) -> None:
    """Refuse points for none of which `simulated` has a run to replay; where it has some, the others fail alone.

    Raises:
        InputError: why the first of them cannot be replayed.
    """
    first: InputError | None = None
    for plan in plans:
        try:
            refuse_unknown(plan, registry.limits(registry.describe(plan.workload), resolve_params(plan)))
            return
        except InputError as error:
            first = first or error
    if first is not None:
        raise first


def done_points(view: SessionView) -> list[Point]:
    """The points whose runs have all ended, well or not, and were not stopped."""
    return [runs[0].planned.sweep.point for runs in whole_comparisons(view) if runs[0].planned.sweep is not None]


def points_left(sweep: SweepPlan, views: Sequence[SessionView]) -> list[Point]:
    """The points of a sweep that were not measured to their end; added ones that were begun are the last."""
    done = list(chain.from_iterable(map(done_points, views)))
    return [point for point in [*sweep.points, *_added(sweep, views)] if point not in done]


def added_point(
    sweep: SweepPlan, identity: str, views: Sequence[SessionView], more: int, besides: Sequence[Point] = ()
) -> Point | None:
    """The next point between the others, where curves cross; None: `more` were added, or no other would tell anything.

    `besides`: points that were chosen before, also those that could not be measured.
    """
    added = _added(sweep, views)
    added += [point for point in besides if point not in added]
    if len(added) >= more:
        return None
    try:
        found = scalings(views, run_bill)
    except InputError:
        return None
    for point in next_points(found):
        if point in added:
            continue
        try:
            validate(sweep.at(point, identity))
        except LbenchError:  # not every value between two others is one of the parameter's
            continue
        return point
    return None


def _added(sweep: SweepPlan, views: Sequence[SessionView]) -> list[Point]:
    """The points outside the sweep's grid that were begun."""
    begun = [run.planned.sweep.point for view in views for run in view.runs.values() if run.planned.sweep is not None]
    found: list[Point] = []
    for point in begun:
        if point not in sweep.points and point not in found:
            found.append(point)
    return found


class PointsMeasurement(Measurement):
    """An engine that measures one point after the other; a point that cannot be measured fails alone."""

    def __init__(
        self,
        folder: Path,
        on_hangup: str,
        progress: Progress,
        sweep: SweepPlan,
        identity: str,
        points: Sequence[Point],
        earlier: Sequence[SessionView] = (),
        measured: int = 0,
    ) -> None:
        """`points` are measured first; `measured` others were in the `earlier` sessions."""
        super().__init__(folder, on_hangup, progress, sweep.base)
        self.failures: dict[str, str] = {}  # point: why it could not be measured
        self.over_budget = False
        self._sweep = sweep
        self._identity = identity
        self._earlier = list(earlier)
        self._waiting = list(points)
        self._measured = measured
        self._point: Point | None = None
        self._ended = False  # the plan that was sent last
        self._send_s = 0.0
        self._finished = False

    @property
    def views(self) -> list[SessionView]:
        """The sessions of the sweep, the one under way last."""
        return [*self._earlier, self.view]

    def choose(self) -> Point | None:
        """The next point, once the given ones are measured; None: that is all."""
        return None

    def left_text(self) -> str | None:
        """What is left to measure, and where it goes on; None: nothing, it is whole."""
        return None

    def plan_at(self, point: Point) -> Plan:
        """The plan of a point that begins."""
        return self._sweep.at(point, self._identity)

    def announce(self, point: Point, number: int, count: int) -> str:
        """The line that a point begins with."""
        return f"point {number}/{count}: {point_text(point)}"

    def begin(self, follower: Follower) -> None:
        self._next(follower)

    def take(self, event: Event) -> None:
        """Take an event, and see whether the point has ended."""
        super().take(event)
        if isinstance(event, ComparisonEnded):
            self._ended = True
        elif isinstance(event, Warned) and event.code == "failed" and self._point is not None and not self._ended:
            self._fail(event.text)

    def proceed(self, follower: Follower) -> None:
        """Send the next point, or the last one again that came too early."""
        if self._ended and not self._finished:
            self._report()
            self._next(follower)
        elif self._send_s and time.monotonic() >= self._send_s:
            self._send(follower)

    def refused(self, follower: Follower, problem: str) -> None:
        """A plan that came while the last one was being closed is sent again; another fails alone."""
        if problem.startswith("a plan is running"):
            self._send_s = time.monotonic() + _BUSY_S
        else:
            self._fail(problem)

    def stopping(self, follower: Follower) -> None:
        """Cancel the point under way; no other follows."""
        super().stopping(follower)
        follower.command("end")

    def _fail(self, why: str) -> None:
        assert self._point is not None
        self.failures[point_text(self._point)] = why
        self._progress.note(f"{point_text(self._point)}: ✘ {why}")
        self._ended = True

    def _next(self, follower: Follower) -> None:
        spent_out = self._spent_out()
        if not self._waiting and not spent_out and (chosen := self.choose()) is not None:
            self._waiting.append(chosen)
        if not self._waiting or spent_out:
            self._finished = True
            follower.command("end")
            return
        self._point = self._waiting.pop(0)
        self._measured += 1
        self._progress.note(self.announce(self._point, self._measured, self._measured + len(self._waiting)))
        self._send(follower)

    def _send(self, follower: Follower) -> None:
        assert self._point is not None
        self._send_s, self._ended = 0.0, False
        plan = self.plan_at(self._point)
        if plan.max_usd is not None:
            plan = msgspec.structs.replace(plan, max_usd=float(Decimal(str(plan.max_usd)) - self._spent()))
        follower.start(plan, last=False)

    def _spent(self) -> Decimal:
        runs = chain.from_iterable(view.started_runs for view in self.views)
        return sum((run_bill(run).usd or Decimal(0) for run in runs), Decimal(0))

    def _spent_out(self) -> bool:
        """Whether the budget of all points is used up."""
        limit = self._sweep.base.max_usd
        self.over_budget = self.view.over_budget or (limit is not None and self._spent() >= Decimal(str(limit)))
        return self.over_budget

    def _report(self) -> None:
        """The medians of the point that has ended."""
        if self._point is None:
            return
        runs = [
            run
            for run in self.view.runs.values()
            if run.planned.sweep is not None and run.planned.sweep.point == self._point
        ]
        parts = []
        for label, group in by_label(runs).items():
            times = makespans(group)
            missing = "■" if all(run.stopped for run in group) else "✘"
            parts.append(f"{label} {seconds_text(median(times)) if times else missing}")
        if parts:
            self._progress.note(f"{point_text(self._point)}: {', '.join(parts)}")
        self._point = None


class SweepMeasurement(PointsMeasurement):
    """The points of a sweep that are left, then up to `more` points where curves cross."""

    def __init__(
        self,
        folder: Path,
        on_hangup: str,
        progress: Progress,
        sweep: SweepPlan,
        identity: str,
        earlier: Earlier | None,
        more: int,
    ) -> None:
        views = [] if earlier is None else earlier.views
        left = points_left(sweep, views)
        begun = len(sweep.points) + len(_added(sweep, views))
        super().__init__(folder, on_hangup, progress, sweep, identity, left, views, begun - len(left))
        self._more = more
        self._chosen: list[Point] = []  # added ones: one that the engine refuses has no runs

    def left_text(self) -> str | None:
        left = points_left(self._sweep, self.views)
        if left:
            names = ", ".join(map(point_text, left[:_NAMED])) + (", ..." if len(left) > _NAMED else "")
            added = " (added)" if left[0] not in self._sweep.points else ""
            return f"{count_text(len(left), 'point')} left: {names}{added}"
        if (point := added_point(self._sweep, self._identity, self.views, self._more)) is not None:
            return f"a point to be added is left: {point_text(point)}"
        return None

    def choose(self) -> Point | None:
        """A point between the others, if curves cross there."""
        point = added_point(self._sweep, self._identity, self.views, self._more, self._chosen)
        if point is not None:
            self._chosen.append(point)
        return point
