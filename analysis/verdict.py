"""The answer in one sentence: how much faster, with its interval, its cost, and where it was measured."""

from __future__ import annotations

from lbench.analysis.comparison import Comparison, Summary
from lbench.analysis.format import count_text, interval_text, listed, seconds_text, times_text
from lbench.analysis.statistics import Estimate
from lbench.engine.cost.format import usd_short

__all__ = ["answer_sentence", "cost_clause", "name_of", "speedup_clause"]


def answer_sentence(comparison: Comparison) -> str:
    """The results so far in words; figures that are emulated or simulated say so."""
    timed = [summary for summary in comparison.summaries if summary.makespan_s is not None]
    clauses: list[str] = []
    if comparison.baseline is None:
        clauses.append("nothing to compare: no run has a right answer")
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
    failed = [s.label for s in comparison.summaries if s.error is not None and s.label not in timed_labels]
    if failed:
        clauses.append(f"failed: {listed(failed)}")
    return "; ".join(clauses) + "."


def name_of(summary: Summary) -> str:
    """The name of a backend in a sentence: "processes", "emulated Lambda with 2 environments"."""
    if summary.origin == "measured" and summary.backend != "lambda":
        return summary.label
    places = "" if summary.capacity is None else f" with {count_text(summary.capacity, 'environment')}"
    kind = "Lambda" if summary.origin == "measured" else f"{summary.origin} Lambda"
    return f"{kind}{places}" if summary.label == summary.backend else f"{summary.label} ({kind}{places})"


def speedup_clause(speedup: Estimate) -> str:
    """A speedup with its interval: "1.94× (95 %: 1.90–1.97)"."""
    if speedup.low is None or speedup.high is None:
        return times_text(speedup.value)
    ends = f"{times_text(speedup.low)}–{times_text(speedup.high)}".replace("×", "")
    return f"{times_text(speedup.value)} (95 %: {ends})"


def cost_clause(summary: Summary) -> str | None:
    """The cost of a run with its origin: "would cost $0.0008 a run on AWS (emulated here; ...)"."""
    conditions = _conditions(summary)
    aside = f" ({'; '.join(conditions)})" if conditions else ""
    if summary.usd is None:
        return None
    if summary.origin == "measured":
        return f"costs {usd_short(summary.usd, assumed=bool(summary.assumed))} a run"
    return f"would cost {usd_short(summary.usd, assumed=bool(summary.assumed))} a run on AWS{aside}"


def _conditions(summary: Summary) -> list[str]:
    if summary.origin == "measured":
        return []
    conditions = ["emulated here" if summary.origin == "emulated" else "simulated"]
    if summary.origin == "emulated" and summary.cpu_share_method == "none":
        conditions.append("CPU share not enforced")
    if summary.oversubscribed:
        conditions.append("oversubscribed")
    return conditions


def _against(other: Summary, base: Summary, *, first: bool) -> str:
    assert other.speedup is not None
    ratio = other.speedup
    if ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high:
        clause = f"{name_of(other)} cannot be distinguished from {name_of(base)}: {speedup_clause(ratio)} as fast"
    else:
        clause = f"{name_of(other)} is {speedup_clause(ratio)} as fast{f' as {name_of(base)}' if first else ''}"
    cost = cost_clause(other)
    return clause if cost is None else f"{clause}, and {cost}"


def _alone(base: Summary) -> str:
    assert base.makespan_s is not None
    spread = "" if base.makespan_s.low is None else f" (95 %: {interval_text(base.makespan_s, unit=True)})"
    runs = f", the median of {base.makespan_s.count} runs" if base.makespan_s.count > 1 else ""
    clause = f"{name_of(base)} takes {seconds_text(base.makespan_s.value)}{spread}{runs}"
    cost = cost_clause(base)
    return clause if cost is None else f"{clause}, and {cost}"
