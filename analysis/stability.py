"""Warnings about results: at most one of a kind for each backend, or for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from lbench.analysis.comparison import by_label, makespans
from lbench.analysis.format import count_text, listed, percent_text
from lbench.analysis.statistics import coefficient_of_variation, trend
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.machine.monitor import machine_notices, sample_notices
from lbench.engine.model import Warning_
from lbench.engine.session.view import RunView, SessionView

__all__ = ["stability_warnings"]

FEWEST_REPEATS = 3
MOST_CV = 0.10
DRIFT_P = 0.05
DRIFT_SHARE = 0.03
MOST_LOOP_LAG_MS = 20.0
MOST_DRIVER_SHARE = 0.25
MOST_LOAD_SHARE = 0.5  # of the usable cores, before anything was measured

_Group = list[RunView]


def stability_warnings(view: SessionView) -> list[Warning_]:
    """All warnings, those about the whole session first."""
    groups = by_label([run for run in view.started_runs if run.planned.interaction is None])  # those are no repeats
    warnings = list(_machine(view))
    for code, check in _OF_A_BACKEND.items():
        texts: dict[str, list[str]] = {}  # text: backends that share it
        for label, group in groups.items():
            if text := check(group):
                texts.setdefault(text, []).append(label)
        warnings += [Warning_(code, f"{listed(labels)}: {text}") for text, labels in texts.items()]
    return warnings + _disagreeing(groups)


def _machine(view: SessionView) -> Iterator[Warning_]:
    runs = view.started_runs
    if view.header is not None:
        for notice in machine_notices(view.header.environment):
            yield Warning_(notice.code, notice.text)
        if found := _load(view.header.environment, runs):
            yield Warning_("load", f"{found}: another process was running; measure again when the machine is idle")
    for notice in sample_notices(chain.from_iterable(run.samples for run in runs)):
        yield Warning_(notice.code, notice.text)


def _load(environment: Environment, runs: list[RunView]) -> str | None:
    """The load average, where the measured work does not explain it."""
    cores, before = environment.usable_cores, environment.load_1m
    if cores is None:
        return None
    if before is not None and before > MOST_LOAD_SHARE * cores:
        return f"the load average was {before:g} on {cores:g} cores when the session started"
    own = max((run.started.capacity for run in runs if run.started is not None), default=0) + 1  # and the driver
    reached = max((sample.load for run in runs for sample in run.samples if sample.load is not None), default=0.0)
    if reached > max(own, cores) + 1:
        return f"the load average reached {reached:g}, more than the measured work explains"
    return None


def _few_repeats(group: _Group) -> str | None:
    count = len(makespans(group))
    if not 0 < count < FEWEST_REPEATS or not group[0].has_answer:  # calls are counted there, not makespans
        return None
    return (
        f"{count_text(count, 'repeat')} say{'s' if count == 1 else ''} little about the spread; "
        f"use --repeats {FEWEST_REPEATS} or more"
    )


def _unsteady(group: _Group) -> str | None:
    cv = coefficient_of_variation(makespans(group))
    if cv is None or cv <= MOST_CV:
        return None
    return f"its repeats differ by {percent_text(cv)} (CV): use more repeats or a larger job"


def _drift(group: _Group) -> str | None:
    found = trend(makespans(group))
    if found is None or found.p > DRIFT_P or abs(found.change) < DRIFT_SHARE:
        return None
    way = "slower" if found.change > 0 else "faster"
    return (
        f"its repeats became {way}, by {percent_text(abs(found.change))} from first to last; "
        "add a warm-up run (--warmup 1) or use --schedule alternating"
    )


def _loop_lag(group: _Group) -> str | None:
    lags = [
        lag
        for run in group
        if run.ended is not None
        and run.ended.driver is not None
        and (lag := run.ended.driver.loop_lag_p99_ms) is not None
    ]
    if not lags or max(lags) <= MOST_LOOP_LAG_MS:
        return None
    return (
        f"the driver was up to {max(lags):.0f} ms late (p99 of the worst run) because it shares the cores with the "
        "work; times of single invocations are uncertain by as much"
    )


def _driver_share(group: _Group) -> str | None:
    shares = [
        run.ended.driver.cpu_s / run.makespan_s
        for run in group
        if run.ended is not None and run.ended.driver is not None and run.makespan_s
    ]
    if not shares or max(shares) <= MOST_DRIVER_SHARE:
        return None
    return (
        f"the driver used {percent_text(max(shares))} of the makespan as CPU time: the tasks are too small to "
        "measure the backend; use fewer or larger tasks"
    )


def _overlap(group: _Group) -> str | None:
    others = {other for run in group if run.ended is not None for other in run.ended.overlaps}
    if not others:
        return None
    return (
        f"its runs overlapped with {count_text(len(others), 'other run')} on this machine: their times are "
        "longer than alone"
    )


def _oversubscribed(group: _Group) -> str | None:
    for run in group:
        if run.started is not None and run.started.oversubscribed:
            return (
                f"{count_text(run.started.capacity, 'environment')} are too many for this machine: "
                "times are longer than on AWS"
            )
    return None


def _retried(group: _Group) -> str | None:
    count = sum(run.failed_attempts for run in group if run.status == "ok" and run.has_answer)
    if not count:
        return None
    return f"{count_text(count, 'attempt')} failed and were retried: its times include them"


_OF_A_BACKEND: dict[str, Callable[[_Group], str | None]] = {
    "few_repeats": _few_repeats,
    "unsteady": _unsteady,
    "drift": _drift,
    "loop_lag": _loop_lag,
    "driver_share": _driver_share,
    "overlap": _overlap,
    "oversubscribed": _oversubscribed,
    "retried": _retried,
}


def _disagreeing(groups: dict[str, _Group]) -> list[Warning_]:
    """Right answers that are not bit-identical; a wrong answer fails its run."""
    digests: dict[str, list[str]] = {}
    for label, group in groups.items():
        for run in group:
            if run.answer is not None and run.answer.ok is not False:
                labels = digests.setdefault(run.answer.digest, [])
                if label not in labels:
                    labels.append(label)
    if len(digests) < 2:
        return []
    groups_text = "; ".join(listed(labels) for labels in digests.values())
    return [Warning_("answers_differ", f"the answers are not bit-identical; identical among: {groups_text}")]
