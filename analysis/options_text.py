"""The options in words: which is first, what the dollars say, and what the answer depends on."""

from __future__ import annotations

import msgspec

from lbench.analysis.format import (
    listed,
    percent_text,
    ratio_text,
    seconds_text,
    spread_text,
    times_spread_text,
    times_text,
)
from lbench.analysis.option_types import Option, Options, Sensitivity
from lbench.analysis.prediction import independent_ratio
from lbench.analysis.statistics import LEAST_CLAIM, Estimate
from lbench.config.limits import limits
from lbench.engine.cost.format import usd_short
from lbench.engine.sampling.model import Sample
from lbench.errors import count_text

__all__ = [
    "break_even_sentence",
    "busy_line",
    "first_sentence",
    "free_tier_line",
    "limit_line",
    "recorded_lines",
    "sensitivity_line",
    "usage_lines",
    "usd_cell",
    "usd_spread_cell",
]

_NAMED = 2  # options that may be first too
_BUSY = 0.1  # of the tasks' time


def usd_cell(option: Option) -> str:
    """A run's dollars; a price that is not fixed has both ends."""
    if option.usd is None:
        return "–" if option.priced else "no price"
    if option.usd_high is None:
        return usd_short(option.usd)
    return f"{usd_short(option.usd)}–{usd_short(option.usd_high).lstrip('$')}"


def usd_spread_cell(option: Option) -> str:
    """The interval of a run's dollars; "–": nothing is charged, or the amount is fixed."""
    if option.usd_interval is None:
        return "–"
    low, high = map(usd_short, option.usd_interval)
    return "–" if low == high else f"{low.lstrip('$')}–{high.lstrip('$')}"


def first_sentence(options: Options) -> str:
    """Which option has the answer first, start-up included, against this machine."""
    here, first, aws = options.here, options.fastest, options.on_lambda
    if first.kind == "local":
        there = f"{aws.name} is predicted to take {_time(aws)}, {_cost(aws)}"
        if not options.fits_lambda:
            there = f"Lambda would end a task after {limits().timeout_max_s} s"
        return f"{_capital(here.name)} is first: {_time(here)}, and nothing is charged; {there}{_doubt(options, here)}."
    start = f", {seconds_text(first.start_s)} of it to start" if first.start_s else ""
    return (
        f"{_capital(first.name)} is first: {seconds_text(first.whole_s)}{start} ({_spread(first)}), {_cost(first)}: "
        f"{_gain(first, here)} as fast as {here.name} with {_time(here)}{_doubt(options, first)}."
    )


def _gain(first: Option, here: Option) -> str:
    """How many times as fast: with its interval, or why it is not settled."""
    whole = _whole(first)
    gain = independent_ratio(here.makespan_s, whole)
    if gain is None:
        return times_text(here.makespan_s.value / whole.value)
    aside = times_spread_text(gain)
    if whole.interval is None:
        aside = "measured once: not settled"
    elif first.basis == "measured" and whole.count < LEAST_CLAIM:
        aside += f"; {count_text(whole.count, 'run')}: not settled"
    return f"{ratio_text(gain)} ({aside})"


def _doubt(options: Options, first: Option) -> str:
    """The other options that may be first too; of a time without an interval nothing is claimed."""
    ends = _whole(first).interval
    if ends is None:
        return ""
    rivals = []
    for row in options.rows:
        if row.kind == first.kind in ("local", "lambda") or row is first:
            continue
        if row.kind == "lambda" and (row is not options.on_lambda or not options.fits_lambda):
            continue
        whole = _whole(row)
        if (whole.value if whole.low is None else whole.low) <= ends[1]:
            rivals.append(row)
    if not rivals:
        return ""
    rivals.sort(key=lambda row: row.whole_s)
    names = [f"{row.name}{'' if row.makespan_s.interval else ' (measured once)'}" for row in rivals]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return f"; the intervals overlap: {listed([*names[:_NAMED], *more])} may be first too"


def break_even_sentence(options: Options) -> str:
    """How many runs a day make a rented machine that is always on the cheaper one."""
    found = options.break_even
    if not options.fits_lambda:
        return f"Lambda has no price for it: its longest task does not end within {limits().timeout_max_s} s there."
    if found is None:
        return "There is no price for this region to compare rented machines with."
    aws = f"Lambda {options.on_lambda.memory_mb:,} MB"
    if found.runs == 0:
        perhaps = f" (95 %: 0–{found.high:,} runs cost less)" if found.high else ""
        return (
            f"One run on {aws} costs more than a day of an {found.machine} ({usd_short(found.usd_day)})"
            f"{perhaps}: rent machines for as long as it takes."
        )
    if found.runs is None:
        perhaps = "" if found.low_beyond else f" (95 %: from {count_text(found.low, 'run')} a day on it may not)"
        return (
            f"{aws} costs less than an {found.machine} that is always on ({usd_short(found.usd_day)} a day) for as many "
            f"runs as that could do in a day{perhaps}."
        )
    spread = "" if found.low == found.high else f" (95 %: {found.low:,}–{found.high:,})"
    return (
        f"Up to {count_text(found.runs, 'run')} a day{spread} {aws} costs less than an {found.machine} that is always on "
        f"({usd_short(found.usd_day)} a day); beyond that rent one."
    )


def limit_line(options: Options) -> str | None:
    """Why Lambda cannot run it, or may not, by its longest task; None: that fits."""
    if options.longest_high_s <= limits().timeout_max_s:
        return None
    takes = f"takes about {seconds_text(options.longest_s)}"
    if options.fits_lambda:
        takes = f"may take up to {seconds_text(options.longest_high_s)}"
    return (
        f"a task {takes} on a vCPU, and Lambda ends it after {limits().timeout_max_s} s: cut it smaller (lbench check)"
    )


def free_tier_line(options: Options) -> str:
    """What AWS's free tier would cover; no amount counts it."""
    runs = count_text(options.free_runs_month, "such run")
    return (
        f"AWS's free tier (400,000 GB-s and 1,000,000 requests a month) covers {runs} a month; no amount here counts it"
    )


def sensitivity_line(one: Sensitivity) -> str:
    """One assumption, and Lambda's makespan and dollars at its ends."""
    times = f"{seconds_text(one.low_s)} to {seconds_text(one.high_s)}"
    return f"{one.text}: {times}, {usd_short(one.usd_low)} to {usd_short(one.usd_high)}"


def recorded_lines(options: Options) -> list[str]:
    """What the rows of clusters rest on: each the runs of one session, on that day's cluster."""
    return [
        f"{row.name}: {count_text(row.makespan_s.count, 'recorded run')} of this job (session {row.session})"
        for row in options.rows
        if row.kind == "cluster"
    ]


def usage_lines(stage: int | None, wait: float, threads: float) -> list[str]:
    """What the tasks of a stage (None: the only one) do with their time, where they do not compute with one thread."""
    whose = "tasks" if stage is None else f"tasks of stage {stage}"
    lines = []
    if wait:
        lines.append(f"{whose} wait {percent_text(wait)} of their time, which no faster core shortens")
    if threads > 1:
        lines.append(f"{whose} keep {threads:.2g} threads busy: as many vCPUs make them faster")
    return lines


def busy_line(sample: Sample) -> str | None:
    """What other processes did to the sample; None: nothing much."""
    shares = [stage.ready for stage in sample.stages if stage.compute_s]
    if max(shares, default=0.0) < _BUSY:
        return None
    return (
        f"other processes had the cores in {percent_text(max(shares))} of the tasks' time: times here are too long by as "
        "much; when the machine is idle, --fresh measures again"
    )


def _cost(option: Option) -> str:
    """A run's dollars in a sentence."""
    if option.usd is not None:
        return f"for {_usd(option)} a run"
    return "and nothing is charged" if option.priced else "at no known price (usd_per_hour= gives it)"


def _time(option: Option) -> str:
    return f"{seconds_text(option.makespan_s.value)} ({_spread(option)})"


def _usd(option: Option) -> str:
    spread = usd_spread_cell(option)
    return usd_cell(option) if spread == "–" else f"{usd_cell(option)} (95 %: {spread})"


def _spread(option: Option) -> str:
    """The interval of the whole time, start-up included."""
    return spread_text(_whole(option)) or "one run"


def _whole(option: Option) -> Estimate:
    """From the decision to the answer, with its interval."""
    one, start_s = option.makespan_s, option.start_s
    low, high = (None if end is None else end + start_s for end in (one.low, one.high))
    return msgspec.structs.replace(one, value=one.value + start_s, low=low, high=high)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
