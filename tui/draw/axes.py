"""The axes of a chart: linear or logarithmic, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from lbench.tui.draw.scale import nice_range, nice_step

__all__ = ["Axis", "axis_of", "number_text"]

_DIGITS = ((1, 2, 5), (1, 3), (1,))  # of the ticks of a decade, until they fit
_MARGIN = 1.08  # around the values of a logarithmic axis


class Axis(msgspec.Struct, frozen=True):
    """A range of values over the length of an axis."""

    low: float
    high: float
    log: bool

    def share(self, value: float) -> float | None:
        """Where a value lies, from 0 to 1 on the axis; None: nowhere, as 0 on a logarithmic one."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[float]:
        """Round numbers on the axis, at most so many."""
        most = max(1, most)
        if self.log:
            found = self._decades(most)
            if len(found) > 1 or self.high / self.low > 10:
                return found
        return _round_numbers(self.low, self.high, most)

    def _decades(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in _DIGITS:
            found = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
            found = [value for value in found if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]
            if len(found) <= most:
                return found
        return found[:: math.ceil(len(found) / most)]


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """Multiples of a round step."""
    count = most
    while True:
        step = nice_step(high - low, count)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most or count <= 1:
            return [number * step for number in range(first, last + 1)][: max(most, 1)]
        count -= 1


def axis_of(values: Iterable[float], *, log: bool, tight: bool = False) -> Axis:
    """An axis over all values; a logarithmic one leaves out what is not above 0. `tight`: from the first to the last."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    if not known:
        return Axis(1.0, 10.0, True) if log else Axis(0.0, 1.0, False)
    low, high = min(known), max(known)
    if low == high:
        return Axis(low / 2, high * 2, True) if log else Axis(min(0.0, low), max(0.0, high) or 1.0, False)
    if tight:
        return Axis(low, high, log)
    if log:
        return Axis(low / _MARGIN, high * _MARGIN, True)
    return Axis(*nice_range(min(0.0, low), high, 5), False)


def number_text(value: float) -> str:
    """A tick's number as other texts write it: "1,000", "0.05", "0.0000005"."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e9 or size < 1e-8:
        return f"{value:.3g}"
    if size >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 1e-4 else f"{value:.10f}".rstrip("0")
