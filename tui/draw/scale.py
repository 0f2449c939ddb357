"""Round numbers for axes and windows, so that they step instead of creeping."""

from __future__ import annotations

import math

__all__ = ["nice_ceiling", "nice_range", "nice_step", "tick_text", "ticks", "window_s"]

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_WINDOWS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)


def _least(value: float, steps: tuple[float, ...]) -> float:
    if value <= 0 or not math.isfinite(value):
        return steps[0]
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in steps if step * power >= value * (1 - 1e-9)), steps[-1] * power)


def nice_step(span: float, most: int) -> float:
    """The least round step that divides a span into at most so many parts."""
    return _least(span / max(1, most), _STEPS)


def nice_ceiling(value: float) -> float:
    """The least round number that is not less."""
    return _least(value, _WINDOWS)


def nice_range(low: float, high: float, most: int = 8) -> tuple[float, float]:
    """A round range around another."""
    if not high > low:
        high = low + max(abs(low) * 0.1, 1e-3)
    step = nice_step(high - low, most)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def window_s(now_s: float) -> float:
    """How long a timeline's window is while a run is under way: it steps ahead of the present, and never creeps."""
    return nice_ceiling(max(now_s * 1.1, 0.1))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in a range, at most so many (and one)."""
    step = nice_step(high - low, most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """A tick's number with as many decimals as its step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    if step > 0 and decimals < 6 and abs(round(step, decimals) - step) > 1e-9 * step:
        decimals += 1  # a step of 2.5
    return f"{value:,.{decimals}f}"
