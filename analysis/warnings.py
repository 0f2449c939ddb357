"""Warnings about results: at most one of a kind for each backend, or for the session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from statistics import median

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.causes import MOST_LOAD_SHARE, held_runs, waits_before_retries
from lbench.analysis.comparison import by_label, is_cold, makespans
from lbench.analysis.format import cores_text, listed, percent_text
from lbench.analysis.granularity import grain_of
from lbench.analysis.statistics import (
    FULL_INTERVAL,
    LEAST_TREND,
    Change,
    change_point,
    coefficient_of_variation,
    trend,
)
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.machine.monitor import machine_notices, sample_notices
from lbench.engine.model import Warning_, point_text
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import count_text

__all__ = ["idle_share", "machine_warnings", "order_text", "stability_warnings"]

MOST_CV = 0.10
DRIFT_P = 0.05
DRIFT_SHARE = 0.03  # of the median, from first to last
CHANGE_P = 0.01
CHANGE_SHARE = 0.05
FIRST_SHARE = 0.10  # of the others' median, beyond all of them
LEAST_FIRST = 4  # repeats, from which the first is compared with the others
MOST_LOOP_LAG_MS = 20.0
MOST_DRIVER_SHARE = 0.25
MOST_IDLE_SHARE = 0.25
LEAST_SMALL = 8  # tasks, to be called too small

_WITHOUT_VARIABLES = ("emulated", "lambda")  # no variable of this machine's user reaches a function
_HASH_SEED = "PYTHONHASHSEED"

_Group = list[RunView]
_OK = STATUSES.index("ok")


def stability_warnings(view: SessionView) -> list[Warning_]:
    """All warnings, those about the whole session first."""
    begun = [run for run in view.runs.values() if run.started is not None or run.ended is not None]  # or never will
    points = _points([run for run in begun if run.planned.interaction is None])  # those are no repeats
    held = held_runs(view)
    free = {
        point: {label: [run for run in group if run.id not in held] for label, group in groups.items()}
        for point, groups in points.items()
    }
    warnings = list(machine_warnings(view))
    for code, check in _OF_A_BACKEND.items():
        texts: dict[str, list[str]] = {}  # text: backends that share it
        for label, found in _found(check, free if code == "idle_lanes" else points).items():
            point, text = next(iter(found.items()))
            texts.setdefault(text, []).append(f"{label}{_at(point, len(found) - 1)}")
        warnings += [Warning_(code, f"{listed(labels)}: {text}") for text, labels in texts.items()]
    variables = {} if view.header is None else view.header.environment.variables
    return warnings + [one for groups in points.values() for one in _disagreeing(groups, variables)]


_ON_AWS = ("lambda", "function")


def order_text(view: SessionView) -> str | None:
    """What the order of runs on this machine cannot tell apart; None: they alternated, or one backend ran here."""
    here = [
        run
        for run in view.started_runs
        if run.planned.origin != "simulated" and run.planned.backend not in _ON_AWS and makespans([run])
    ]
    if len({run.planned.label for run in here}) < 2 or all(run.planned.schedule != "isolated" for run in here):
        return None
    return (
        "the backends ran one after the other (--schedule isolated): a machine that became slower or faster meanwhile "
        "would look like a difference between them"
    )


def _points(runs: list[RunView]) -> dict[str, dict[str, _Group]]:
    """The runs of each point of a sweep by backend; without a sweep all are of one point, ""."""
    found: dict[str, list[RunView]] = {}
    for run in runs:
        sweep = run.planned.sweep
        found.setdefault("" if sweep is None else point_text(sweep.point), []).append(run)
    return {point: by_label(group) for point, group in found.items()}


def _found(check: Callable[[_Group], str | None], points: dict[str, dict[str, _Group]]) -> dict[str, dict[str, str]]:
    """By backend the points at which a warning holds, with its text there."""
    found: dict[str, dict[str, str]] = {}
    for point, groups in points.items():
        for label, group in groups.items():
            if text := check(group):
                found.setdefault(label, {})[point] = text
    return found


def _at(point: str, others: int) -> str:
    """Where a warning holds: "", " at n_trees=8", " at n_trees=8 (and 3 other points)"."""
    if not point:
        return ""
    return f" at {point}" + (f" (and {count_text(others, 'other point')})" if others else "")


def machine_warnings(view: SessionView, without: Collection[str] = ()) -> Iterator[Warning_]:
    """Warnings about the machine on which a session was measured; `without`: ids of runs that do not count."""
    started = [run for run in view.started_runs if run.id not in without]
    runs = [run for run in started if run.planned.origin != "simulated"]
    if not runs and (started or without):
        return  # nothing was measured here
    if view.header is not None:
        for notice in machine_notices(view.header.environment):
            yield Warning_(notice.code, notice.text)
        if found := _load(view.header.environment, runs):
            yield Warning_("load", f"{found}; measure again when the machine is idle")
    for notice in sample_notices(chain.from_iterable(run.samples for run in runs)):
        yield Warning_(notice.code, notice.text)


def _load(environment: Environment, runs: list[RunView]) -> str | None:
    """The load average, where the measured work does not explain it."""
    cores, before = environment.usable_cores, environment.load_1m
    if cores is None:
        return None
    if before is not None and before > MOST_LOAD_SHARE * cores:
        text = f"the load average was {before:g} on {cores_text(cores)} when the session started"
        return f"{text}: other work ran in the minute before"
    own = max((run.started.capacity for run in runs if run.started is not None), default=0) + 1  # and the driver
    reached = max((sample.load for run in runs for sample in run.samples if sample.load is not None), default=0.0)
    if reached > max(own, cores) + 1:
        return (
            f"the load average reached {reached:g}, more than the measured work explains: other processes were running"
        )
    return None


def _warm(group: _Group) -> list[float]:
    """Makespans of the repeats that can be compared in time: without cold ones, unless all are cold."""
    return makespans(_repeats(group))


def _repeats(group: _Group) -> _Group:
    """The repeats of `_warm`, in their order."""
    good = [run for run in group if makespans([run])]
    return [run for run in good if not is_cold(run)] or good


_OTHERS_WORKERS = ("dask", "executor")  # whose workers are not lbench's to start anew: no --cold-repeats


def _few_repeats(group: _Group) -> str | None:
    count = len(_warm(group))
    if not 0 < count < FULL_INTERVAL or not group[0].has_answer:  # calls are counted there, not makespans
        return None
    lacking = "no interval" if count == 1 else "a range in place of an interval"
    drift = " and cannot show a drift" if count < LEAST_TREND else ""
    option, kind = "--repeats", "warm repeat" if any(is_cold(run) for run in group) else "repeat"
    # The first of --repeats may have been the cold one.
    wanted = FULL_INTERVAL + sum(
        is_cold(run) is True and not run.planned.cold and not run.planned.warmup for run in group
    )
    if all(is_cold(run) for run in _repeats(group)):
        kind = "cold repeat"
        if group[0].planned.backend not in _OTHERS_WORKERS:
            option, wanted = "--cold-repeats", FULL_INTERVAL
    remedy = f"use {option} {wanted} or more"
    if paused := sum(run.paused and run.status == "ok" and not run.planned.warmup for run in group):
        remedy = f"{count_text(paused, 'other')} {'was' if paused == 1 else 'were'} paused: measure again"
    lost = [run.status for run in group if not run.planned.warmup and run.status not in (None, "running", "ok")]
    if stopped := lost.count("cancelled"):
        remedy = f"{count_text(stopped, 'other')} {'was' if stopped == 1 else 'were'} stopped"
    if wrong := len(lost) - stopped:
        remedy = f"{count_text(wrong, 'other')} gave no right answer"
    return f"{count_text(count, kind)} {'has' if count == 1 else 'have'} {lacking}{drift}; {remedy}"


def _unsteady(group: _Group) -> str | None:
    cv = coefficient_of_variation(_warm(group))
    if cv is None or cv <= MOST_CV:
        return None
    return f"repeats differ by {percent_text(cv)} (CV): use more repeats or a larger job"


def _in_order(group: _Group) -> list[float]:
    """The makespans whose order says something; none of a model, which draws each run by itself, on no machine."""
    return [] if group[0].planned.origin == "simulated" else _warm(group)


def _first_repeat(group: _Group) -> str | None:
    """A first repeat that lies outside the range of the others."""
    times = _in_order(group)
    if len(times) < LEAST_FIRST:
        return None
    first, others = times[0], times[1:]
    margin = FIRST_SHARE * median(others)
    if min(others) - margin <= first <= max(others) + margin:
        return None
    share, run = first / median(others) - 1, _repeats(group)[0]
    kind = "cold repeat" if is_cold(run) else "warm repeat" if any(map(is_cold, group)) else "repeat"
    if share > 0:
        return f"the first {kind} took {percent_text(share)} longer than the others; {_warm_up(group, run)}"
    less = percent_text(-share)
    return f"the first {kind} took {less} less than the others: what slowed those is not known; measure again"


def _warm_up(group: _Group, run: RunView) -> str:
    """The remedy for a run that is slower than those after it: as many warm-up runs as take it in, with those before it."""
    if is_cold(run):
        return "measure again"
    number = [one for one in group if not one.planned.cold].index(run) + 1
    return "add a warm-up run (--warmup 1)" if number == 1 else f"use {number} warm-up runs (--warmup {number})"


def _step(times: list[float]) -> Change | None:
    """A sudden change of level that is sure, large, and explains the times better than a steady drift does."""
    found = change_point(times)
    if found is None or found.p > CHANGE_P or abs(found.change) < CHANGE_SHARE:
        return None
    places = np.arange(len(times))
    straight = np.polyval(np.polyfit(places, times, 1), places)
    steps = np.where(places < found.at, np.mean(times[: found.at]), np.mean(times[found.at :]))
    return found if np.square(times - steps).sum() < np.square(times - straight).sum() else None


def _change_point(group: _Group) -> str | None:
    found = _step(_in_order(group))
    if found is None:
        return None
    way = "slower" if found.change > 0 else "faster"
    number = _repeats(group)[found.at].planned.repeat + 1
    return (
        f"repeats became {way} at once, by {percent_text(abs(found.change))} from repeat {number} on: "
        "the cause is not known; measure again"
    )


def _drift(group: _Group) -> str | None:
    found = trend(_in_order(group))
    if found is None or found.p > DRIFT_P or abs(found.change) < DRIFT_SHARE or _step(_warm(group)) is not None:
        return None
    slower = found.change > 0
    way, remedy = ("slower", "measure again") if slower else ("faster", _warm_up(group, _repeats(group)[0]))
    alternating = all(run.planned.schedule == "alternating" for run in group)
    order = "" if alternating else " or use --schedule alternating"
    return f"repeats became {way}, by {percent_text(abs(found.change))} from first to last; {remedy}{order}"


def _measured(group: _Group) -> _Group:
    """The runs whose times are in figures, or would be: what disturbs a warm-up run disturbs none."""
    return [run for run in group if not run.planned.warmup]


def _loop_lag(group: _Group) -> str | None:
    lags = [
        lag
        for run in _measured(group)
        if not run.paused
        and run.ended is not None
        and run.ended.driver is not None
        and (lag := run.ended.driver.loop_lag_p99_ms) is not None
    ]
    if not lags or max(lags) <= MOST_LOOP_LAG_MS:
        return None
    return (
        f"the driver was up to {max(lags):.0f} ms late in the worst run (its latest 1 % left out): it shares the cores "
        "with the work and with other processes; times of single invocations are uncertain by as much"
    )


def _driver_share(group: _Group) -> str | None:
    shares = [
        run.ended.driver.cpu_s / run.makespan_s
        for run in _measured(group)
        if run.ended is not None and run.ended.driver is not None and run.makespan_s
    ]
    if not shares or max(shares) <= MOST_DRIVER_SHARE:
        return None
    return (
        f"the driver used {percent_text(max(shares))} of the makespan as CPU time: the tasks are too small to "
        "measure the backend; use fewer or larger tasks"
    )


def _idle_lanes(group: _Group) -> str | None:
    """Lanes (workers, environments) without a task although tasks wait; while environments start, that is no fault."""
    shares = [(share, run) for run in _measured(group) if not is_cold(run) and (share := idle_share(run)) is not None]
    worst, run = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    if run is None or worst <= MOST_IDLE_SHARE:
        return None
    otherwise = "" if group[0].planned.origin == "simulated" else ", or measure on an idle machine"
    why = f"they were not handed over in time; use fewer or larger tasks{otherwise}"
    begin, end = waits_before_retries(run)
    if run.started is not None and (end - begin).sum() >= worst / 2 * run.started.capacity * (run.makespan_s or 0.0):
        waits = "waits" if run.failed_attempts == 1 else "each waits"
        why = f"{count_text(run.failed_attempts, 'attempt')} failed, and {waits} before it is tried again"
    text = percent_text(worst)
    return f"workers or environments were idle for {text} of the makespan while tasks waited (worst run): {why}"


def _small_tasks(group: _Group) -> str | None:
    """Tasks that take so little that their hand-over counts, and the batch that mends it."""
    computed, other, tasks, places = [], [], 0, 1
    lanes_s = []  # a run's lane-seconds for each of its tasks
    measured = _measured(group)
    for run in [run for run in measured if not is_cold(run)] or measured:
        columns = run.columns
        if run.status != "ok" or run.started is None or not run.has_answer or (columns["batch"] > 0).any():
            continue
        if not run.stages or not run.makespan_s:  # a job that needs no task
            continue
        warm = (columns["status"] == _OK) & (columns["cold"] != 1) & ~np.isnan(columns["compute_ms"])
        seconds = columns["compute_ms"][warm] / 1000
        computed.append(seconds)
        other.append((columns["returned_s"] - _taken_up_s(run))[warm] - seconds)
        tasks, places = max(stage.tasks for stage in run.stages), run.started.capacity
        lanes_s.append(places * run.makespan_s / max(1, len(seconds)))
    if not computed or len(np.concatenate(computed)) < LEAST_SMALL:
        return None
    overhead_s = float(np.concatenate(other).mean())
    if overhead_s <= 0:  # clocks that do not agree
        return None
    grain = grain_of(float(np.concatenate(computed).mean()), overhead_s, tasks, places)
    saved = min(overhead_s / median(lanes_s), 1 - grain.efficiency) * (1 - 1 / grain.batch)  # of the makespan
    grain = msgspec.structs.replace(grain, gain=1 / (1 - saved))
    return grain.sentence if grain.too_small else None


def _taken_up_s(run: RunView) -> NDArray[np.float64]:
    """When each call could begin in its environment: one that was handed over ahead waited for the one before it."""
    columns = run.columns
    order = np.lexsort((columns["returned_s"], columns["environment"]))
    owner, returned = columns["environment"][order], columns["returned_s"][order]
    before = np.where((owner[1:] == owner[:-1]) & (owner[1:] >= 0), returned[:-1], -np.inf)
    begun = np.empty(len(order))
    begun[order] = np.concatenate([[-np.inf], before]) if len(order) else begun
    taken_up: NDArray[np.float64] = np.fmax(columns["dispatched_s"], begun)
    return taken_up


def idle_share(run: RunView) -> float | None:
    """The share of a run's lane-seconds in which a lane had no task although one waited; None: not measured.

    A lane is busy from a task's start to its end (as the driver knows them: without either, from dispatch to answer).
    """
    if run.started is None or not run.makespan_s:
        return None
    columns, lanes = run.columns, run.started.capacity
    begin = np.where(np.isnan(columns["started_s"]), columns["dispatched_s"], columns["started_s"])
    end = np.where(np.isnan(columns["finished_s"]), columns["returned_s"], columns["finished_s"])
    known = ~(np.isnan(begin) | np.isnan(end) | np.isnan(columns["queued_s"]))
    queued, begin, end = columns["queued_s"][known], begin[known], end[known]
    ones = np.ones(len(queued))
    times = np.concatenate([queued, begin, end])
    order = np.argsort(times, kind="stable")
    waiting = np.cumsum(np.concatenate([ones, -ones, 0 * ones])[order])
    working = np.cumsum(np.concatenate([0 * ones, ones, -ones])[order])
    idle = np.clip(np.minimum(waiting, lanes - working), 0, None)[:-1]
    return float((idle * np.diff(times[order])).sum() / (lanes * run.makespan_s)) if len(times) else None


def _some_cold(group: _Group) -> str | None:
    """Warm repeats with some new environments: their times are neither cold nor warm."""
    mixed = [run for run in _repeats(group) if is_cold(run) is False and run.cold_starts()]
    if not mixed or not group[0].has_answer:
        return None
    return (
        f"{count_text(len(mixed), 'warm repeat')} had cold starts too: "
        f"times lie between cold and warm; use more repeats, or {_warm_up(group, mixed[0])}"
    )


def _overlap(group: _Group) -> str | None:
    others = {other for run in group if run.ended is not None for other in run.ended.overlaps}
    if not others:
        return None
    return (
        f"runs overlapped with {count_text(len(others), 'other run')} on this machine: their times may be "
        "longer than alone"
    )


def _oversubscribed(group: _Group) -> str | None:
    for run in group:
        if run.started is not None and run.started.oversubscribed:
            if run.planned.origin == "measured":
                return "it has more threads than this machine has cores: those that compute wait for each other"
            environments, are = count_text(run.started.capacity, "environment"), _are(run.started.capacity)
            return f"{environments} {are} more than this machine can carry: times are longer than on AWS"
    return None


def _retried(group: _Group) -> str | None:
    count = sum(run.failed_attempts for run in group if makespans([run]) and run.has_answer)
    if not count:
        return None
    were, them = ("was", "it") if count == 1 else ("were", "them")
    return f"{count_text(count, 'attempt')} failed and {were} retried: times include {them}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


_OF_A_BACKEND: dict[str, Callable[[_Group], str | None]] = {
    "few_repeats": _few_repeats,
    "unsteady": _unsteady,
    "first_repeat": _first_repeat,
    "change_point": _change_point,
    "drift": _drift,
    "some_cold": _some_cold,
    "loop_lag": _loop_lag,
    "driver_share": _driver_share,
    "idle_lanes": _idle_lanes,
    "small_tasks": _small_tasks,
    "overlap": _overlap,
    "oversubscribed": _oversubscribed,
    "retried": _retried,
}


def _disagreeing(groups: dict[str, _Group], variables: Mapping[str, str]) -> list[Warning_]:
    """Right answers that are not bit-identical; a wrong answer fails its run.

    `variables`: that results may depend on, as they are set for local workers.
    """
    digests: dict[str, list[str]] = {}
    for label, group in groups.items():
        for run in group:
            if run.answer is not None and run.answer.computed and run.answer.ok is not False:
                labels = digests.setdefault(run.answer.digest, [])
                if label not in labels:
                    labels.append(label)
    if len(digests) < 2:
        return []
    named = [label for labels in digests.values() for label in labels]
    reason = _variables_that_differ([groups[label][0] for label in dict.fromkeys(named)], variables)
    if several := [label for label in groups if named.count(label) > 1]:
        return [
            Warning_(
                "answers_differ",
                f"the answers are not bit-identical, nor are those of {listed(several)} alone{reason}",
            )
        ]
    groups_text = "; ".join(listed(labels) for labels in digests.values())
    return [Warning_("answers_differ", f"the answers are not bit-identical; identical among: {groups_text}{reason}")]


def _variables_that_differ(runs: Sequence[RunView], variables: Mapping[str, str]) -> str:
    """Which variables some of these backends have and others have not; empty: that is not known of any."""
    without = [run.planned.label for run in runs if run.planned.backend in _WITHOUT_VARIABLES]
    if not variables or not without or len(without) == len(runs):
        return ""
    them, are = ("them", "are") if len(variables) > 1 else ("it", "is")
    do = "do" if len(without) > 1 else "does"
    advice = []
    if any(name != _HASH_SEED for name in variables):
        advice.append(f"unset {them} to compare under equal conditions")
    if _HASH_SEED in variables:  # unset, it differs between all processes: no answer becomes equal by that
        advice.append(f"without {_HASH_SEED}, the order of a set of texts differs between all processes: sort it")
    return (
        f" ({listed(list(variables))} {are} set here, and {listed(without)} {do} not have {them}: {'; '.join(advice)})"
    )
