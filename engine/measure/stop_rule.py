"""Ends `--repeats auto` once every speedup is known well enough, or at the time limit. Arithmetic only, no clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lbench.engine.model import ComparisonEnd
from lbench.engine.plan.plan import LEAST_ROUNDS, BackendChoice

__all__ = ["PRECISION", "SeriesEnd", "StopRule", "baselines", "order_interval"]

PRECISION = 0.05  # width of an interval as a share of its median
_CONFIDENCE = 0.95
_LIMIT = "when the time limit (--for) ended them"
_MOST_ROUNDS = 2 * LEAST_ROUNDS  # after the time limit, for a backend whose runs are cold each time, or wrong


def order_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median by order statistics; None below `LEAST_ROUNDS` values, which cannot hold it so often.

    Exact for any continuous distribution: Hahn & Meeker, Statistical Intervals (1991), section 5.2.
    """
    count = len(values)
    if count < LEAST_ROUNDS:
        return None
    cut, outside = 0, 2 / 2**count
    while (more := outside + 2 * math.comb(count, cut + 1) / 2**count) <= 1 - _CONFIDENCE:
        cut, outside = cut + 1, more
    ranked = sorted(values)
    return ranked[cut], ranked[-1 - cut]


@dataclass(slots=True, frozen=True)
class SeriesEnd:
    """What ended the rounds of backends that were compared, and how well their speedups are known."""

    ended_by: ComparisonEnd
    rounds: int
    elapsed_s: float
    widths: Mapping[str, float | None]  # as `StopRule.widths` returns them
    labels: tuple[str, ...]  # that were to be compared
    failed: tuple[str, ...] = ()  # of these, with a failed run: their intervals ended nothing
    least: bool = False  # whether fewer rounds are never made

    @property
    def text(self) -> str:
        count = f"{self.rounds} {'round' if self.rounds == 1 else 'rounds'}"
        without = f", without {', '.join(self.failed)}, which failed" if self.failed else ""
        match self.ended_by:
            case "precision":
                end = f"{count} until {self._interval} was narrower than {100 * PRECISION:.0f} %"
            case "time":
                ended = "the least that are made: the time limit (--for) had passed" if self.least else _LIMIT
                end = f"{count} in {self.elapsed_s:.0f} s, {ended}"
            case "count":
                return f"{count}, as planned"
            case "cancelled":
                return f"cancelled after {count}"
            case "failed":
                return f"{count}, until no backend was left"
        return f"{end}{without}{self._how_well}"

    @property
    def _alone(self) -> bool:
        """Whether there is no speedup: the interval is that of a makespan."""
        return len(self.labels) - len(self.failed) == 1

    @property
    def _interval(self) -> str:
        if self._alone:
            return "the interval of its makespan"
        return f"the interval of {'every' if len(self.widths) > 1 else 'the'} speedup"

    @property
    def _how_well(self) -> str:
        known = {label: width for label, width in self.widths.items() if width is not None}
        widest = max(known, key=lambda label: known[label], default=None)
        if widest is None:
            return ""
        which = "it" if len(self.widths) == 1 else f"the widest, of {widest},"
        if self.ended_by == "time":
            which = self._interval if len(self.widths) == 1 else f"the widest interval, of {widest},"
        return f": {which} spans {100 * known[widest]:.1f} %"


def baselines(choices: Sequence[BackendChoice]) -> list[BackendChoice]:
    """The backends in the order in which they may serve as the baseline of speedups."""
    ranks = {"loop": 0, "sequential": 1}
    return sorted(choices, key=lambda choice: ranks.get(choice.name, len(ranks)))


class StopRule:
    """The makespans of the rounds so far. A cold run is no pair of a warm one, and a wrong answer has none: not added."""

    def __init__(self, baselines: Sequence[str], limit_s: float) -> None:
        """`baselines`: labels in the order of preference; speedups are against the first that has makespans."""
        self._baselines = baselines
        self._limit_s = limit_s
        self._times: dict[str, dict[int, float]] = {}

    def add(self, label: str, round_: int, makespan_s: float) -> None:
        """Add a warm run with a right answer, or one that was not checked."""
        self._times.setdefault(label, {})[round_] = makespan_s

    def ended_by(self, labels: Iterable[str], elapsed_s: float, rounds: int) -> ComparisonEnd | None:
        """What ends the repeats of these backends now, after so many rounds; None: another round is needed."""
        widths = list(self.widths(labels).values())
        if widths and all(width is not None and width < PRECISION for width in widths):
            return "precision"
        enough = rounds >= _MOST_ROUNDS or (widths and None not in widths)
        return "time" if enough and elapsed_s >= self._limit_s else None

    def widths(self, labels: Iterable[str]) -> dict[str, float | None]:
        """The width of each speedup's interval as a share of the speedup; None: too few pairs.

        Of a single backend it is that of its makespan.
        """
        chosen = list(labels)
        baseline = next((label for label in self._baselines if label in chosen and label in self._times), None)
        if baseline is None:
            return dict.fromkeys(chosen)
        base = self._times[baseline]
        if chosen == [baseline]:
            return {baseline: _width(list(base.values()))}
        return {label: _width(_ratios(base, self._times.get(label, {}))) for label in chosen if label != baseline}


def _ratios(over: Mapping[int, float], under: Mapping[int, float]) -> list[float]:
    return [over[key] / under[key] for key in over.keys() & under.keys() if under[key] > 0]


def _width(values: Sequence[float]) -> float | None:
    found = order_interval(values)
    return None if found is None else (found[1] - found[0]) / median(values)
