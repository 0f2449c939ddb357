"""The answer in one sentence: how much faster, with its interval, its cost, and where it was measured."""

from __future__ import annotations

from lbench.analysis.comparison import Comparison, Line, Summary
from lbench.analysis.format import listed, ratio_text, seconds_text, spread_text, times_spread_text
from lbench.analysis.statistics import LEAST_CLAIM, Estimate
from lbench.engine.cost.format import usd_short
from lbench.errors import count_text

__all__ = ["answer_sentence", "cost_clause", "doubt_text", "name_of", "speedup_clause"]


def answer_sentence(comparison: Comparison) -> str:
    """The results so far in words; figures that are emulated or simulated say so."""
    timed = [summary for summary in comparison.summaries if summary.makespan_s is not None]
    clauses: list[str] = []
    paused = [s.label for s in comparison.summaries if s.makespan_s is None and any(line.paused for line in s.lines)]
    if comparison.baseline is None:
        why = "all runs with a right answer were paused" if paused else "no run has a right answer"
        clauses.append(f"nothing to compare: {why}")
    else:
        base = comparison[comparison.baseline]
        others = [summary for summary in timed if summary.label != base.label]
        if not others:
            clauses.append(_alone(base))
        for number, other in enumerate(others):
            clauses.append(_against(other, base, first=number == 0))
    wrong = [summary.label for summary in comparison.summaries if summary.answer == "wrong"]
    if wrong:
        clauses.append(f"wrong answers: {listed(wrong)}")
    if any(summary.answer == "differ" for summary in comparison.summaries):
        clauses.append("the answers differ, and there is no reference to check them against")
    timed_labels = {summary.label for summary in timed}
    failed = [
        f"{s.label} ({s.repeats_ok} of {count_text(s.repeats - sum(line.stopped for line in s.lines), 'run')} ended well)"
        if s.label in timed_labels
        else s.label
        for s in comparison.summaries
        if s.error is not None
    ]
    if failed:
        clauses.append(f"failed: {listed(failed)}")
    if paused and comparison.baseline is not None:
        clauses.append(f"paused: {listed(paused)}")
    return "; ".join(clauses) + "."


def name_of(summary: Summary) -> str:
    """The name of a backend in a sentence: "processes", "emulated Lambda with 2 environments"."""
    if summary.origin == "measured" and summary.backend != "lambda":
        return summary.label
    places = "" if summary.capacity is None else f" with {count_text(summary.capacity, 'environment')}"
    kind = "Lambda" if summary.origin == "measured" else f"{summary.origin} Lambda"
    return f"{kind}{places}" if summary.label == summary.backend else f"{summary.label} ({kind}{places})"


def speedup_clause(speedup: Estimate, doubt: str = "") -> str:
    """A speedup with its interval and a doubt: "1.94× (95 %: 1.90–1.97)", "0.93× (once each: not settled)"."""
    aside = "; ".join(filter(None, [times_spread_text(speedup), doubt]))
    return f"{ratio_text(speedup)} ({aside})" if aside else ratio_text(speedup)


def doubt_text(line: Line, against: Line) -> str:
    """Why a speedup is not settled; "" where it is, or where the interval says so."""
    if line.claim != "unsettled" or line.makespan_s is None or against.makespan_s is None:
        return ""
    own, other = line.makespan_s.count, against.makespan_s.count
    if own == other == 1:
        return "once each: not settled"
    if 1 in (own, other):
        return f"{'measured' if own == 1 else 'baseline measured'} once: not settled"
    count = line.speedup.count if line.speedup is not None else 0
    if count < LEAST_CLAIM or line.comparisons < 2:
        return f"{count_text(count, 'repeat')}: not settled"
    return f"not settled with {count_text(count, 'repeat')} and {line.comparisons} comparisons"


def cost_clause(summary: Summary, line: Line | None = None) -> str | None:
    """The cost of a run with its origin: "would cost $0.0008 a run on AWS (emulated here; ...)"."""
    usd = (line or summary.main).usd
    if usd is None:
        return None
    if summary.origin == "measured":
        return f"costs {usd_short(usd, assumed=bool(summary.assumed))} a run"
    conditions = _conditions(summary)
    return f"would cost {usd_short(usd, assumed=bool(summary.assumed))} a run on AWS ({'; '.join(conditions)})"


def _conditions(summary: Summary) -> list[str]:
    conditions = ["emulated here" if summary.origin == "emulated" else "simulated"]
    if summary.origin == "emulated" and summary.cpu_share_method == "none":
        conditions.append("CPU share not enforced")
    if summary.crowded:
        conditions.append("oversubscribed")
    return conditions


def _shown(summary: Summary) -> list[Line]:
    """The lines with a makespan, the main one first."""
    main = summary.main
    return [main, *(line for line in summary.lines if line is not main and line.makespan_s is not None)]


def _named(summary: Summary, line: Line) -> str:
    return name_of(summary) if line.temperature is None else f"{name_of(summary)}, {_when(summary, line)},"


def _when(summary: Summary, line: Line) -> str:
    places = "environments" if summary.region is not None or summary.origin != "measured" else "workers"
    return f"cold (all {places} new)" if line.temperature == "cold" else "warm"


def _against(other: Summary, base: Summary, *, first: bool) -> str:
    clauses: list[str] = []
    for line in _shown(other):
        if line.speedup is None:
            clauses.append(f"{_named(other, line).removesuffix(',')} cannot be compared: a makespan is 0")
            continue
        ratio = speedup_clause(line.speedup, doubt_text(line, base.main))
        if clauses:
            clause = f"{_when(other, line)} it is {ratio} as fast"
        elif line.claim == "open":
            base_name = _named(base, base.main).removesuffix(",")
            clause = f"{_named(other, line)} cannot be distinguished from {base_name}: {ratio} as fast"
        else:
            against = f" as {_named(base, base.main).removesuffix(',')}" if first else ""
            clause = f"{_named(other, line)} is {ratio} as fast{against}"
        if clauses and line.claim == "open":
            clause += ", which cannot be distinguished"
        clauses.append(_with_cost(clause, other, line, short=bool(clauses)))
    return "; ".join(clauses)


def _alone(base: Summary) -> str:
    clauses: list[str] = []
    for line in _shown(base):
        assert line.makespan_s is not None
        spread = spread_text(line.makespan_s) or "measured once"
        runs = f", the median of {count_text(line.makespan_s.count, 'run')}" if line.makespan_s.count > 1 else ""
        subject = f"{_when(base, line)} it takes" if clauses else f"{_named(base, line)} takes"
        clause = f"{subject} {seconds_text(line.makespan_s.value)} ({spread}){runs}"
        clauses.append(_with_cost(clause, base, line, short=bool(clauses)))
    return "; ".join(clauses)


def _with_cost(clause: str, summary: Summary, line: Line, *, short: bool) -> str:
    if short and line.usd is not None:
        return f"{clause}, for {usd_short(line.usd, assumed=bool(summary.assumed))} a run"
    cost = cost_clause(summary, line)
    return clause if cost is None else f"{clause}, and {cost}"
