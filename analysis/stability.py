"""What makes a result weaker than it looks: at most one warning of a kind for each backend, or for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from lbench.analysis.comparison import by_label, makespans
from lbench.analysis.statistics import coefficient_of_variation, trend
from lbench.analysis.words import count_text, listed, percent_text
from lbench.engine.model import Warning_
from lbench.engine.samples import machine_notices, sample_notices
from lbench.engine.session import RunView, SessionView

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
    """All of them, those of the whole session first."""
    groups = by_label(view.started_runs)
    told = list(_machine(view))
    for label, group in groups.items():
        for check in _OF_A_BACKEND:
            warning = check(label, group)
            if warning is not None:
                told.append(warning)
    told += _disagreeing(groups)
    return told


def _machine(view: SessionView) -> Iterator[Warning_]:
    header = view.header
    cores = None if header is None else header.environment.usable_cores
    if header is not None:
        for notice in machine_notices(header.environment):
            yield Warning_(notice.code, notice.text)
        load = header.environment.load_1m
        if load is not None and cores is not None and load > MOST_LOAD_SHARE * cores:
            yield Warning_(
                "load",
                f"the load was {load:g} on {cores:g} cores when the session began: something else was running; "
                "repeat when the machine is quiet",
            )
    runs = view.started_runs
    for notice in sample_notices(chain.from_iterable(run.samples for run in runs)):
        yield Warning_(notice.code, notice.text)
    own = max((run.started.capacity for run in runs if run.started is not None), default=0) + 1  # and the driver
    loads = [sample.load for run in runs for sample in run.samples if sample.load is not None]
    if loads and cores is not None and max(loads) > max(own, cores) + 1:
        yield Warning_(
            "load",
            f"the load reached {max(loads):g}, more than the measured work explains: something else was running; "
            "repeat when the machine is quiet",
        )


def _few_repeats(label: str, group: _Group) -> Warning_ | None:
    count = len(makespans(group))
    if not 0 < count < FEWEST_REPEATS:
        return None
    return Warning_(
        "few_repeats",
        f"{label}: {count_text(count, 'repeat')} tell{'s' if count == 1 else ''} little about spread; "
        f"take at least --repeats {FEWEST_REPEATS}",
    )


def _unsteady(label: str, group: _Group) -> Warning_ | None:
    cv = coefficient_of_variation(makespans(group))
    if cv is None or cv <= MOST_CV:
        return None
    return Warning_(
        "unsteady", f"{label}: its repeats differ by {percent_text(cv)} (CV): take more repeats, or a larger job"
    )


def _drift(label: str, group: _Group) -> Warning_ | None:
    found = trend(makespans(group))
    if found is None or found.p > DRIFT_P or abs(found.change) < DRIFT_SHARE:
        return None
    way = "slower" if found.change > 0 else "faster"
    return Warning_(
        "drift",
        f"{label}: its repeats became {way}, by {percent_text(abs(found.change))} from first to last; "
        "add a warm-up run (--warmup 1) or use --schedule alternating",
    )


def _loop_lag(label: str, group: _Group) -> Warning_ | None:
    lags = [
        lag
        for run in group
        if run.ended is not None
        and run.ended.driver is not None
        and (lag := run.ended.driver.loop_lag_p99_ms) is not None
    ]
    if not lags or max(lags) <= MOST_LOOP_LAG_MS:
        return None
    return Warning_(
        "loop_lag",
        f"{label}: the driver was late by {max(lags):.0f} ms (p99 of its worst run): it shares the cores with the "
        "work; times of single invocations are that uncertain",
    )


def _driver_share(label: str, group: _Group) -> Warning_ | None:
    shares = [
        run.ended.driver.cpu_s / run.makespan_s
        for run in group
        if run.ended is not None and run.ended.driver is not None and run.makespan_s
    ]
    if not shares or max(shares) <= MOST_DRIVER_SHARE:
        return None
    return Warning_(
        "driver_share",
        f"{label}: the driver's own CPU time was {percent_text(max(shares))} of the makespan: the tasks are too small "
        "to measure anything else; take fewer or larger ones",
    )


def _overlap(label: str, group: _Group) -> Warning_ | None:
    others = {other for run in group if run.ended is not None for other in run.ended.overlaps}
    if not others:
        return None
    return Warning_(
        "overlap",
        f"{label}: its runs overlapped with {count_text(len(others), 'other')} on this machine: their times are not "
        "those that they would have alone",
    )


def _oversubscribed(label: str, group: _Group) -> Warning_ | None:
    for run in group:
        if run.started is not None and run.started.oversubscribed:
            return Warning_(
                "oversubscribed",
                f"{label}: {count_text(run.started.capacity, 'environment')} are more than this machine can carry: "
                "its times are longer than AWS's would be",
            )
    return None


def _retried(label: str, group: _Group) -> Warning_ | None:
    count = sum(run.failed_attempts for run in group if run.status == "ok")
    if not count:
        return None
    return Warning_(
        "retried", f"{label}: {count_text(count, 'attempt')} failed and were made again: its times include them"
    )


_OF_A_BACKEND: tuple[Callable[[str, _Group], Warning_ | None], ...] = (
    _few_repeats,
    _unsteady,
    _drift,
    _loop_lag,
    _driver_share,
    _overlap,
    _oversubscribed,
    _retried,
)


def _disagreeing(groups: dict[str, _Group]) -> list[Warning_]:
    """Answers that are right, but not equal to the bit; a wrong one is told with its run."""
    digests: dict[str, list[str]] = {}
    for label, group in groups.items():
        for run in group:
            if run.answer is not None and run.answer.ok is not False:
                told = digests.setdefault(run.answer.digest, [])
                if label not in told:
                    told.append(label)
    if len(digests) < 2:
        return []
    kinds = "; ".join(listed(labels) for labels in digests.values())
    return [Warning_("answers_differ", f"the answers are not equal to the bit; the same ones: {kinds}")]
