"""`lbench tune` measured: candidates one after the other by one engine, each chosen by the model of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import msgspec
from rich.text import Text

from lbench.analysis.format import interval_text, interval_title, listed, percent_text, seconds_text, usd_estimate_text
from lbench.analysis.resumption import joined, whole_comparisons
from lbench.analysis.tuning import (
    LEAST_RUNS,
    MOST_CV,
    MOST_TRIALS,
    Candidate,
    Tuned,
    candidate_at,
    caveats,
    fit_model,
    front,
    memory_text,
    next_candidate,
    picks_of,
    tuned,
    tuned_text,
)
from lbench.cli.confirm import ask_about
from lbench.cli.console import BRIGHT, QUIET, RIGHT, WARN, WRONG, accent, console
from lbench.cli.documents import TUNE
from lbench.cli.plan_options import Output
from lbench.cli.progress import Progress
from lbench.cli.sweep_end import measure_points
from lbench.cli.sweep_run import Earlier, PointsMeasurement, done_points, earlier_sessions, refuse_unreplayable
from lbench.cli.tables import Column, print_line, print_table
from lbench.config.limits import limits as lambda_limits
from lbench.engine.backends.lambda_.emulated import supported_environments
from lbench.engine.backends.settings import EmulatedSettings, LambdaSettings, SimulatedSettings
from lbench.engine.billing.bill import run_bill
from lbench.engine.billing.estimate import quotes
from lbench.engine.cost.format import usd_short
from lbench.engine.machine.fingerprint import memory_bytes, usable_cores
from lbench.engine.model import Document, point_text
from lbench.engine.plan.plan import Plan, resolve_params, settings_of
from lbench.engine.plan.sweep import Axis, Point, SweepPlan, definition, own_setting, parse_axis
from lbench.engine.plan.validate import validate
from lbench.engine.session.view import SessionView
from lbench.errors import InputError, count_text
from lbench.workloads import registry

__all__ = ["TunePlan", "ask_for_tuning", "measure_tuning", "next_trial", "stopped_tuning", "tried", "tune_plan"]

_MEMORY_MB = (512, 885, 1769, 3538)


class TunePlan(msgspec.Struct, frozen=True):
    """The plan that all candidates share, and the candidates with their numbers of tasks; 0: not known before a run."""

    sweep: SweepPlan
    candidates: tuple[tuple[Candidate, int], ...]
    environments: int | None = None  # of each candidate, where the emulator would give small sizes more of them
    unrecorded: tuple[int | None, ...] = ()  # numbers of tasks that `simulated` has no run of


def _point(candidate: Candidate) -> Point:
    tasks = {} if candidate.tasks is None else {"tasks": candidate.tasks}
    return {"memory": candidate.memory_mb, **tasks}


def tune_plan(base: Plan, over: Sequence[str]) -> TunePlan:
    """The candidates of a plan with one Lambda-like backend.

    Raises:
        InputError: another backend, an unknown axis, or no candidate that can be measured.
    """
    if len(base.backends) != 1 or not isinstance(settings_of(base.backends[0]), LambdaSettings):
        labels = ", ".join(choice.label for choice in base.backends)
        raise InputError(
            f"tune measures one Lambda-like backend: choose -b emulated, simulated or lambda, got {labels}"
        )
    if not registry.has_answer(base.workload):
        raise InputError(f"{base.workload} has no tasks to tune: measure its memory sizes with `lbench run`")
    axes = _axes(base, over)
    plan = msgspec.structs.replace(base, repeats=LEAST_RUNS, warmup=0, cold_repeats=0)
    usual = _tasks(plan)
    given = own_setting(base.backends[0], "memory")
    sizes = _MEMORY_MB if given is None else (int(given),)
    memory = axes.get("memory", Axis("memory", sizes, False)).values
    if "tasks" in axes:
        tasks: list[int | None] = [int(value) for value in axes["tasks"].values]
    elif plan.tasks is not None or usual is None:
        tasks = [plan.tasks]
    else:
        tasks = list(dict.fromkeys(max(1, round(usual * factor)) for factor in (1, 0.5, 0.25, 2)))
    tasks, unrecorded = _replayable(plan, tasks, named="tasks" in axes)
    sweep = SweepPlan(plan, (), "")  # validates candidates; the environments follow from those that are valid
    found: dict[tuple[int, int], Candidate] = {}
    why: InputError | None = None
    for count in tasks:
        for size in sorted(memory, key=lambda mb: abs(mb - lambda_limits().memory_mb_per_vcpu)):
            candidate = Candidate(int(size), count)
            try:
                point = sweep.at(_point(candidate), "")
                validate(point)
            except InputError as error:
                if axes:  # a person named it
                    raise
                why = why or error
                continue
            found.setdefault((int(size), _tasks(point) or count or 0), candidate)
    if not found:
        raise why or InputError("no candidate can be measured")
    candidates = tuple((candidate, count) for (_, count), candidate in found.items())
    environments = _environments(plan, max(candidate.memory_mb for candidate, _ in candidates))
    if environments is not None:
        choice = plan.backends[0]
        alike = msgspec.structs.replace(choice, settings=choice.settings | {"concurrency": environments})
        plan = msgspec.structs.replace(plan, backends=[alike])
    return TunePlan(SweepPlan(plan, (), f"{TUNE}{definition(plan, candidates)}"), candidates, environments, unrecorded)


def _replayable(
    plan: Plan, tasks: Sequence[int | None], *, named: bool
) -> tuple[list[int | None], tuple[int | None, ...]]:
    """The numbers of tasks that can be measured, and those that `simulated` has no recorded run of.

    Raises:
        InputError: a `named` one has none, or all have none.
    """
    missing: dict[int | None, InputError] = {}
    for count in tasks:
        try:
            refuse_unreplayable([msgspec.structs.replace(plan, tasks=count)])
        except InputError as error:
            missing[count] = error
    if missing and (named or len(missing) == len(tasks)):
        raise next(iter(missing.values()))
    return [count for count in tasks if count not in missing], tuple(missing)


def _environments(plan: Plan, memory_mb: int) -> int | None:
    """How many environments of this size the machine carries at once, where that would depend on the size.

    The emulator runs as many as the cores allow, of a small size more than of a large one: together they would have the
    same CPU, and no size would be faster than another. On AWS each task has an environment of its own.
    """
    settings = settings_of(plan.backends[0])
    if not isinstance(settings, EmulatedSettings) or settings.concurrency is not None:
        return None
    return max(1, supported_environments(memory_mb, usable_cores(), memory_bytes()))


def _axes(base: Plan, over: Sequence[str]) -> dict[str, Axis]:
    axes: dict[str, Axis] = {}
    for axis in (parse_axis(text, least=1) for text in over):
        if axis.name not in ("memory", "tasks"):
            raise InputError(f"--over {axis.name}: tune varies memory and tasks")
        if axis.name in axes:
            raise InputError(f"--over {axis.name} is given twice: put its values into one")
        if bad := [value for value in axis.values if not isinstance(value, int) or value < 1]:
            raise InputError(f"--over {axis.name}: the values must be whole numbers from 1 on, got {bad[0]:g}")
        axes[axis.name] = axis
    if "memory" in axes and own_setting(base.backends[0], "memory") is not None:
        raise InputError("--over memory and a memory of the backend's own cannot be used together: leave that out")
    if "tasks" in axes and base.tasks is not None:
        raise InputError("--over tasks and --tasks cannot be used together: leave --tasks out")
    return axes


def _tasks(plan: Plan) -> int | None:
    return registry.limits(registry.describe(plan.workload), resolve_params(plan)).tasks


def ask_for_tuning(tune: TunePlan, ask_above_usd: float, *, yes: bool) -> None:
    """Return if the dearest candidates that can be measured are free or cheap together, or if the user confirms.

    Raises:
        InputError: the user declines, or no terminal can ask.
    """
    dearest = sorted(tune.candidates, key=lambda one: -one[0].memory_mb)[: MOST_TRIALS // LEAST_RUNS]
    ask_about([tune.sweep.at(_point(one), "") for one, _ in dearest], ask_above_usd, yes=yes)


def stopped_tuning(tune: TunePlan) -> Earlier | None:
    """The newest tuning of the same definition, if it was stopped before its last candidate.

    Raises:
        InputError: it is running now.
    """
    earlier = earlier_sessions(tune.sweep)
    return None if earlier is None or next_trial(tune, earlier.views, tried(earlier.views)) is None else earlier


def tried(views: Sequence[SessionView]) -> list[Candidate]:
    """The candidates that were measured to their end, one as often as it was."""
    return [candidate_at(point) for view in views for point in done_points(view) if "memory" in point]


def next_trial(tune: TunePlan, views: Sequence[SessionView], before: Sequence[Candidate]) -> Candidate | None:
    """The next candidate; a pick whose repeats differ is measured again; None: more would tell nothing new.

    Args:
        tune: the plan.
        views: the sessions so far.
        before: the candidates that were tried, also those that could not be measured.
    """
    runs = chain.from_iterable(chain.from_iterable(map(whole_comparisons, views)))
    if sum(run.started is not None for run in runs) + LEAST_RUNS > MOST_TRIALS:
        return None
    found = tuned(joined(views), run_bill) if views else []
    return _first(tune, before) or _better(tune, found, before) or _unsteady(found, before)


def _first(tune: TunePlan, before: Sequence[Candidate]) -> Candidate | None:
    """The usual candidate, one of another size, one of another number of tasks."""
    usual = tune.candidates[0]
    others = [
        next((one for one, tasks in tune.candidates if one.memory_mb < usual[0].memory_mb), None),
        next((one for one, tasks in tune.candidates if tasks != usual[1]), None),
    ]
    wanted = [usual[0], *(one for one in others if one is not None)]
    return next((one for one in wanted if one not in before), None)


def _better(tune: TunePlan, found: Sequence[Tuned], before: Sequence[Candidate]) -> Candidate | None:
    waiting = _with_tasks(tune.candidates, found)
    best = next_candidate(found, [pair for pair in waiting if pair[0] not in before])
    return None if best is None else best[0]


def _with_tasks(candidates: Sequence[tuple[Candidate, int]], found: Sequence[Tuned]) -> list[tuple[Candidate, int]]:
    """The candidates with their numbers of tasks: that of a job which has one of its own is known once it has run."""
    measured = max((one.tasks for one in found), default=0)
    return [(candidate, tasks or measured) for candidate, tasks in candidates]


def _unsteady(found: Sequence[Tuned], before: Sequence[Candidate]) -> Candidate | None:
    picks = picks_of(found)
    if picks is None:
        return None
    return next((one.candidate for _, one in picks.named if not one.steady and before.count(one.candidate) < 2), None)


class _TuneMeasurement(PointsMeasurement):
    """At most `MOST_TRIALS` runs: three candidates that show the model's parameters, then those that it chooses."""

    def __init__(
        self, folder: Path, on_hangup: str, progress: Progress, tune: TunePlan, identity: str, earlier: Earlier | None
    ) -> None:
        views = [] if earlier is None else earlier.views
        self._tune = tune
        self._tried = tried(views)
        super().__init__(folder, on_hangup, progress, tune.sweep, identity, [], views, len(self._tried))

    @property
    def results(self) -> list[Tuned]:
        """The candidates measured so far."""
        return tuned(joined(self.views), run_bill)

    def choose(self) -> Point | None:
        candidate = next_trial(self._tune, self.views, self._tried)
        if candidate is None:
            return None
        self._tried.append(candidate)
        return _point(candidate)

    def left_text(self) -> str | None:
        """The candidate that is the next one; None: more would tell nothing new."""
        candidate = next_trial(self._tune, self.views, tried(self.views))
        if candidate is None:
            return None
        return f"the next candidate is {self._name(candidate)}"

    def _tasks(self, candidate: Candidate) -> int:
        """Its number of tasks; 0: not known."""
        return dict(_with_tasks(self._tune.candidates, self.results))[candidate]

    def _name(self, candidate: Candidate) -> str:
        tasks = self._tasks(candidate)
        return f"{candidate.memory_mb:,} MB" + (f" × {count_text(tasks, 'task')}" if tasks else "")

    def plan_at(self, point: Point) -> Plan:
        """The candidate's plan; measured again on `simulated` with another seed: the same one would repeat its runs."""
        plan = super().plan_at(point)
        settings = settings_of(plan.backends[0])
        again = self._tried.count(candidate_at(point)) - 1
        if again < 1 or not isinstance(settings, SimulatedSettings):
            return plan
        seed = (plan.seed if settings.seed is None else settings.seed) + again
        choice = msgspec.structs.replace(plan.backends[0], settings=plan.backends[0].settings | {"seed": seed})
        return msgspec.structs.replace(plan, backends=[choice])

    def announce(self, point: Point, number: int, count: int) -> str:
        """The candidate with what it is expected to take and cost."""
        candidate = self._tried[-1]
        what = f"{self._name(candidate)}, {LEAST_RUNS} runs"
        model = fit_model(self.results)
        if model is not None:
            seconds, usd = model.expected(candidate, self._tasks(candidate))
            each, whole = usd_short(usd), usd_short(usd * LEAST_RUNS)
            expected = f"{seconds_text(seconds)} and {each} a run, {whole} in all"
            return f"candidate {number}: {what}; expected by the model: {expected}"
        plan = self._tune.sweep.at(point, "")
        quote = quotes(plan, registry.limits(registry.describe(plan.workload), resolve_params(plan)))[0]
        begin = f"candidate {number}: {what}"
        if quote.expected is not None:
            each, whole = usd_short(quote.expected.usd), usd_short(quote.expected.usd * LEAST_RUNS)
            return f"{begin}; expected: {each} a run, {whole} in all"
        if quote.bound_usd is None:
            return f"{begin}; its cost is not known before it has run once"
        return f"{begin}; at most {usd_short(quote.bound_usd, up=True)} a run (better known after its first run)"


def measure_tuning(tune: TunePlan, on_hangup: str, output: Output, *, fresh: bool) -> int:
    """Measure the candidates; returns the exit code.

    Raises:
        InputError: no candidate could be measured.
    """
    earlier = None if fresh else stopped_tuning(tune)
    identity = tune.sweep.new_id() if earlier is None else earlier.id
    label = tune.sweep.base.backends[0].label
    head = (
        f"tune {tune.sweep.base.workload} on {label}: at most {MOST_TRIALS} runs, {LEAST_RUNS} of each of "
        f"{count_text(len(tune.candidates), 'candidate')} that is tried, until picks differ by {percent_text(MOST_CV)} (CV)"
    )
    lines = [head]
    if tune.environments is not None:
        largest = max(candidate.memory_mb for candidate, _ in tune.candidates)
        lines.append(
            f"each candidate has {count_text(tune.environments, 'environment')}: what this machine carries of {largest:,} MB"
            f" (-b {label}:concurrency=N sets another number)"
        )
    if tune.unrecorded:
        counts = listed([f"{count:,}" for count in sorted(filter(None, tune.unrecorded))])
        lines.append(
            f"left out, as {label} has no recorded run of so many to replay: tasks {counts} (--answers compute needs none)"
        )
    if earlier is not None:
        known = len(tried(earlier.views))
        kept = f"{count_text(known, 'measurement')} {'is' if known == 1 else 'are'} kept"
        lines.append(f"goes on with a stopped tuning: {kept} (--fresh starts over)")
    return measure_points(
        lambda folder, progress: _TuneMeasurement(folder, on_hangup, progress, tune, identity, earlier),
        lines,
        _print,
        output,
        what="tuning",
        point="candidate",
    )


def _print(measurement: _TuneMeasurement, view: SessionView, document: Document, saved: str) -> None:
    out = console()
    found = tuned(view, run_bill)
    picks = picks_of(found)
    if picks is not None:
        out.print()
        print_table(out, _columns(found))
        out.print()
        for name, one in picks.named:
            label = view.started_runs[0].planned.label
            print_line(out, f"{name}: {tuned_text(one)}, {usd_estimate_text(one.usd)} a run on {label}", BRIGHT)
        for text in caveats(found):
            print_line(out, f"! {text}", WARN)
        print_line(out, memory_text(found), QUIET)
        trials = len(view.started_runs)
        print_line(
            out,
            f"{count_text(trials, 'run')} of at most {MOST_TRIALS}; a candidate off the front is never the answer",
            QUIET,
        )
        origin = view.started_runs[0].planned.origin
        if origin != "measured":
            print_line(out, f"{origin} here: dollars are what AWS would charge, times are not AWS's", QUIET)
    for point, why in (measurement.failures | _failures(view, found)).items():
        print_line(out, f"✘ {point}: {why}", WRONG)
    for warning in document.warnings:
        if warning.code not in ("failed", "few_repeats", "unsteady"):
            print_line(out, f"! {warning.text}", WARN)
    out.print(Text(saved, style=QUIET), soft_wrap=True)


def _failures(view: SessionView, found: Sequence[Tuned]) -> dict[str, str]:
    """The candidates that were run without a right answer, and why."""
    good = {one.candidate for one in found}
    failed: dict[str, str] = {}
    for run in view.runs.values():
        sweep = run.planned.sweep
        if run.status in ("failed", "wrong_answer") and sweep is not None and candidate_at(sweep.point) not in good:
            error = None if run.ended is None else run.ended.error
            failed.setdefault(point_text(sweep.point), error or "its answer is wrong")
    return failed


def _columns(found: Sequence[Tuned]) -> list[Column]:
    ends = front(found)
    picks = picks_of(found)
    assert picks is not None
    columns = {
        "memory": Column("MEMORY", justify="right"),
        "tasks": Column("TASKS", justify="right"),
        "runs": Column("RUNS", rank=3, justify="right"),
        "time": Column("MAKESPAN", justify="right"),
        "interval": Column(interval_title(one.makespan_s for one in found), rank=2, justify="right"),
        "cold": Column("COLD", rank=4, justify="right"),
        "cv": Column("CV", rank=1, justify="right"),
        "cost": Column("COST", justify="right"),
        "front": Column("FRONT"),
    }
    for one in sorted(found, key=lambda one: one.makespan_s.value):
        names = [name for name, pick in picks.named if pick is one]
        mark = ", ".join(names) if names else "on it" if one in ends else ""
        cells: dict[str, str | Text] = {
            "memory": f"{one.candidate.memory_mb:,} MB",
            "tasks": f"{one.tasks:,}",
            "runs": str(one.runs),
            "time": Text(seconds_text(one.makespan_s.value), style=BRIGHT),
            "interval": Text(interval_text(one.makespan_s), style=QUIET),
            "cold": "–" if one.cold_s is None else seconds_text(one.cold_s),
            "cv": Text("–" if one.cv is None else percent_text(one.cv), style=RIGHT if one.steady else WARN),
            "cost": Text(usd_short(one.usd.value), style=accent("lambda")),
            "front": Text(mark, style=RIGHT),
        }
        for name, cell in cells.items():
            columns[name].add(cell)
    return list(columns.values())
