"""A comparison of sessions in words: the effects, what a threshold says of them, and how many repeats would decide."""

from __future__ import annotations

from collections.abc import Sequence

from lbench.analysis.effects import MOST_REPEATS, Effect
from lbench.analysis.format import listed, ratio_text, times_spread_text
from lbench.analysis.session_comparison import Job, SessionComparison
from lbench.errors import count_text

__all__ = [
    "change_text",
    "comparison_sentence",
    "comparison_sentences",
    "cost_text",
    "needed_text",
    "permutation_text",
    "verdict_lines",
]


def comparison_sentence(comparison: SessionComparison) -> str:
    """The answer in one sentence: each row against its base."""
    clauses = []
    compared = [job for job in comparison.jobs if any(row.effect for row in job.rows)]
    for job in compared:
        for row in job.rows:
            if row.effect is not None:
                of = f" on {_job_text(job, compared)}" if len(compared) > 1 else ""
                clauses.append(f"{row.session} {row.name}{of} {effect_text(row.effect)}")
    return "; ".join(clauses) + "." if clauses else "nothing to compare."


def comparison_sentences(comparison: SessionComparison) -> list[str]:
    """The answer with a sentence for each of several jobs, as for the points of a sweep; for one job that of it."""
    compared = [job for job in comparison.jobs if any(row.effect for row in job.rows)]
    if len(compared) < 2:
        return [comparison_sentence(comparison)]
    found = []
    for job in compared:
        clauses = [f"{row.session} {row.name} {effect_text(row.effect)}" for row in job.rows if row.effect is not None]
        found.append(f"{_job_text(job, compared)}: {'; '.join(clauses)}.")
    return found


def _job_text(job: Job, among: Sequence[Job]) -> str:
    """A job by its workload and what of its parameters tells it from the others: "random_forest n_trees=8"."""
    alike = [one for one in among if one.workload == job.workload]
    names = [name for name in job.params if any(one.params.get(name) != job.params[name] for one in alike)]
    parts = [f"{name}={job.params[name]}" for name in names]
    if any(one.seed != job.seed for one in alike):
        parts.append(f"seed={job.seed}")
    return " ".join([job.workload, *parts])


def effect_text(effect: Effect) -> str:
    """An effect: "is 6.1× (95 %: 5.8–6.4) as fast as laptop processes", "against week: unclear (−1 %, 95 %: −4 to +2 %)"."""
    if effect.claim in ("faster", "slower"):
        return f"is {ratio_text(effect.ratio)} ({times_spread_text(effect.ratio)}) as fast as {effect.against}"
    word = "not settled" if effect.claim == "unsettled" else "unclear"
    return f"against {effect.against}: {word} ({change_text(effect)})"


def change_text(effect: Effect, threshold: float = 0.0) -> str:
    """The change of the makespan with its interval: "+3.1 %, 95 %: −1.0 to +7.4 %".

    What the interval leaves out, no change or the threshold, no figure reads as: "+5.04 %" for a threshold of 5 %.
    """
    change = effect.change
    if change.low is None or change.high is None:
        return f"{_signed(change.value)} %, measured once"
    kind = change.kind if change.kind == "95 %" else f"range of {change.count}"
    left_out = [share for share in (0.0, threshold) if not change.low <= share <= change.high]
    value, low, high = (_signed(share, left_out) for share in (change.value, change.low, change.high))
    return f"{value} %, {kind}: {low} to {high} %"


def _signed(share: float, left_out: Sequence[float] = ()) -> str:
    decimals = 1 if abs(share) < 0.0995 else 0
    while decimals < 9 and any(round(share * 100, decimals) == round(other * 100, decimals) for other in left_out):
        decimals += 1
    text = f"{share * 100:+,.{decimals}f}"
    return text.replace("-", "−") if text.strip("+-0.") else text[1:]


def needed_text(effect: Effect) -> str:
    """How many repeats would decide what is open; "" where nothing is. Of a single value no spread is known."""
    if effect.repeats_needed is not None and effect.change.interval is None:
        return f"{count_text(effect.repeats_needed, 'repeat')} of each would give an interval"
    if effect.repeats_needed is not None:
        return f"about {count_text(effect.repeats_needed, 'repeat')} of each would decide"
    open_ = effect.verdict == "unclear" or (effect.verdict is None and effect.claim in ("open", "unsettled"))
    return f"more than {MOST_REPEATS:,} repeats of each would be needed to decide" if open_ else ""


def permutation_text(effect: Effect) -> str | None:
    """The permutation test, with Holm's correction where there are several."""
    if effect.test is None or effect.p_corrected is None:
        return None
    how = "exact" if effect.test.exact else "by random divisions"
    corrected = "" if effect.p_corrected == effect.test.p else f", {_p(effect.p_corrected)} after Holm's correction"
    aside = "" if effect.test.least_p <= 0.05 else "; so few values cannot reach 0.05"
    if effect.p_corrected > 0.05 and effect.claim in ("faster", "slower"):
        aside = "; the claim rests on its interval and the test of docs/statistics.md, not on this one"
    return f"permutation test ({how}): p = {_p(effect.test.p)}{corrected}{aside}"


def cost_text(comparison: SessionComparison) -> str | None:
    """Which dollars a comparison shows; None: there are none."""
    paid = [row for job in comparison.jobs for row in job.rows if row.usd is not None]
    if not paid:
        return None
    others = listed(list(dict.fromkeys(row.label for row in paid if row.origin != "measured")))
    parts = ["what AWS charges for a run"] if any(row.origin == "measured" for row in paid) else []
    parts += [f"of {others} what AWS would charge for it: nothing was spent"] if others else []
    return f"cost: {'; '.join(parts)}"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"


def verdict_lines(comparison: SessionComparison) -> list[str]:
    """What the threshold says of each row."""
    threshold = comparison.threshold
    if threshold is None:
        return []
    lines = []
    for job in comparison.jobs:
        name = _job_text(job, comparison.jobs)
        for row in job.rows:
            if row.effect is not None:
                lines.append(_verdict_line(row.effect, f"{name}, {row.session} {row.name}", threshold))
    return lines


def _verdict_line(effect: Effect, what: str, threshold: float) -> str:
    limit = f"{threshold * 100:g} %"
    figures = f"{change_text(effect, threshold)} against {effect.against}"
    match effect.verdict:
        case "slower":
            return f"✘ {what}: slower by more than {limit} ({figures})"
        case "within":
            return f"✔ {what}: not slower by more than {limit} ({figures})"
        case _:
            return f"? {what}: unclear whether it is slower by more than {limit} ({figures}); {needed_text(effect)}"
