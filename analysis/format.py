"""Figures as text: three digits and a unit, the same form in every view."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from lbench.engine.cost.format import ASSUMED, usd_short
from lbench.errors import count_text

if TYPE_CHECKING:
    from lbench.analysis.statistics import Estimate
    from lbench.engine.billing.quote import Quote

__all__ = [
    "SETTING_AXES",
    "assumed_text",
    "basis_text",
    "cores_text",
    "interval_text",
    "interval_title",
    "listed",
    "ms_spread_text",
    "ms_text",
    "percent_text",
    "place_label",
    "place_number",
    "quote_text",
    "ratio_text",
    "seconds_text",
    "spread_text",
    "times_interval_text",
    "times_spread_text",
    "times_text",
    "usd_estimate_text",
    "usd_spread_text",
]

_MINUTES_FROM_S = 99.95
_MS_BELOW_S = 0.9995
_US_BELOW_S = 0.0000995
_MOST_DECIMALS = 9


def _digits(value: float) -> str:
    """Three significant digits; never fewer than those before the decimal point."""
    if value and abs(value) < 0.0005:
        return f"{value:.1g}"
    for limit, decimals in ((0.9995, 3), (9.995, 2), (99.95, 1)):
        if abs(value) < limit:
            return f"{value:.{decimals}f}"
    return f"{value:,.0f}"


def seconds_text(seconds: float) -> str:
    """A wall time: "12.0 µs", "1.20 ms", "83.0 ms", "6.41 s", "12.4 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < _MS_BELOW_S:
        return ms_text(seconds * 1000)
    if seconds < _MINUTES_FROM_S:
        return f"{_digits(seconds)} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes:02d} min"


def ms_text(ms: float) -> str:
    """A duration in milliseconds: "3.10 µs", "0.21 ms", "64.1 ms", "982 ms", "12.4 s"."""
    if ms >= 9999.5:
        return seconds_text(ms / 1000)
    if 0 < ms < _US_BELOW_S * 1000:
        return f"{_digits(ms * 1000)} µs"
    return f"{ms:.2f} ms" if ms < 9.995 else f"{_digits(ms)} ms"


def interval_text(estimate: Estimate, *, unit: bool = False) -> str:
    """The interval of a time, in the unit of its value: "6.37–6.45"; "–" for none. `unit` appends the unit.

    Where the value has minutes, the interval is in seconds, and says so: "278–330 s".
    """
    if estimate.low is None or estimate.high is None:
        return "–"
    scale, name = (1000.0, " ms") if estimate.value < _MS_BELOW_S else (1.0, " s")
    if 0 < estimate.value < _US_BELOW_S:
        scale, name = 1e6, " µs"
    ends = [end * scale for end in estimate.interval or ()]
    two = name == " ms" and ends[1] < 9.995
    texts = [f"{end:.2f}" if two and (end >= 0.005 or not end) else _digits(end) for end in ends]
    return "–".join(texts) + (name if unit or estimate.value >= _MINUTES_FROM_S else "")


def spread_text(estimate: Estimate) -> str:
    """What the interval of a time is, with its unit: "95 %: 6.37–6.45 s", "range of 3: 1 h 02 min–1 h 05 min"; "": none."""
    if estimate.interval is None:
        return ""
    if estimate.value < _MINUTES_FROM_S:
        return f"{_kind_text(estimate)}: {interval_text(estimate, unit=True)}"
    return f"{_kind_text(estimate)}: {'–'.join(map(seconds_text, estimate.interval))}"


def times_interval_text(estimate: Estimate | None) -> str:
    """The interval of a ratio: "1.90–1.97"; "–" for none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "–"
    return "–".join(_apart_from_one(end, estimate) for end in (estimate.low, estimate.high)).replace("×", "")


def times_spread_text(estimate: Estimate) -> str:
    """What the interval of a ratio is: "95 %: 1.90–1.97", "range of 3: 1.90–1.97"; "" for none."""
    return "" if estimate.interval is None else f"{_kind_text(estimate)}: {times_interval_text(estimate)}"


def ms_spread_text(estimate: Estimate) -> str:
    """What the interval of a duration in milliseconds is: "95 %: 60.1–68.0 ms"; "" for none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{_kind_text(estimate)}: {ms_text(estimate.low)}–{ms_text(estimate.high)}"


def usd_estimate_text(estimate: Estimate) -> str:
    """An amount with its interval: "$0.0031 (95 %: $0.0029–0.0034)"; an interval that the digits do not show is left out."""
    spread = usd_spread_text(estimate)
    return f"{usd_short(estimate.value)}{f' ({spread})' if spread else ''}"


def usd_spread_text(estimate: Estimate) -> str:
    """What the interval of an amount is: "95 %: $0.0029–0.0034"; "" for none, or one that the digits do not show."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = map(usd_short, (estimate.low, estimate.high))
    return "" if low == high else f"{_kind_text(estimate)}: {low}–{high.removeprefix('$')}"


def _kind_text(estimate: Estimate) -> str:
    return estimate.kind if estimate.kind == "95 %" else f"range of {estimate.count}"


def interval_title(estimates: Iterable[Estimate | None]) -> str:
    """The title of a column of intervals: "95 %", "RANGE", or "95 % OR RANGE" where it holds both."""
    kinds = {one.kind for one in estimates if one is not None and one.interval is not None}
    return "95 % OR RANGE" if len(kinds) > 1 else "RANGE" if kinds == {"range"} else "95 %"


def times_text(ratio: float) -> str:
    """A ratio: "1.94×", "0.38×", "0.051×", "0.000021×", "31.4×"."""
    if 0 < ratio < 0.0995:
        return f"{Decimal(f'{ratio:.2g}'):f}×"
    return f"{ratio:.2f}×" if ratio < 9.995 else f"{_digits(ratio)}×"


def ratio_text(estimate: Estimate) -> str:
    """The value of a ratio; as many digits as show on which side of 1 it lies, where its interval leaves out 1: "1.002×"."""
    return _apart_from_one(estimate.value, estimate)


def _apart_from_one(ratio: float, estimate: Estimate) -> str:
    """The value, or an end of the interval, of a ratio."""
    text, decimals = times_text(ratio), 2
    if estimate.interval is None or estimate.interval[0] <= 1 <= estimate.interval[1]:
        return text
    while text == f"{1:.{decimals}f}×" and decimals < _MOST_DECIMALS:
        decimals += 1
        text = f"{ratio:.{decimals}f}×"
    return text


def percent_text(share: float) -> str:
    """A share: "0.4 %", "3 %", "120 %"."""
    return f"{share:.1%}".replace("%", " %") if share < 0.00995 else f"{share:,.0%}".replace("%", " %")


SETTING_AXES = ("workers", "memory", "tasks")


def place_number(value: float) -> str:
    """A value of an axis: "128", "1,000,000", "0.25"."""
    return f"{value:,.0f}" if value == int(value) or value >= 999.5 else f"{value:.3g}"


def place_label(axis: str, value: float, number: str | None = None) -> str:
    """A place of an axis: "9 trees", "4 workers", "1,769 MB", "size 2,000"."""
    number = place_number(value) if number is None else number
    if axis == "memory":
        return f"{number} MB"
    noun = axis if axis in SETTING_AXES else axis.removeprefix("n_").replace("_", " ")
    if axis in SETTING_AXES or axis.startswith("n_"):
        return f"{number} {noun[:-1] if value == 1 and noun.endswith('s') else noun}"
    return f"{noun} {number}"


def cores_text(cores: float, kind: str = "") -> str:
    """A number of cores, which a quota may make a fraction: "1 core", "1.5 cores", "1 physical core"."""
    return f"{cores:g} {f'{kind} '.lstrip()}core{'s' * (cores != 1)}"


def listed(names: list[str]) -> str:
    """Names joined: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def quote_text(quote: Quote) -> str:
    """The expected and the highest cost on one backend, of a run and of all runs, as far as their number is fixed."""
    would = "AWS charges" if quote.spends else "AWS would charge"
    whole_of = f"for {count_text(quote.runs, 'run')}" if quote.open else "in all"
    most = most_all = None
    if quote.bound_usd is not None:
        assumed = bool(quote.assumed)
        most = usd_short(quote.bound_usd, up=True, assumed=assumed)
        most_all = usd_short(quote.bound_usd * quote.runs, up=True, assumed=assumed)
    once = quote.runs == 1 and not quote.open
    if quote.expected is None:
        amount = f"{would} at most {most} a run, {most_all} {whole_of}" if most else f"{would} an unlimited amount"
        if once and most:
            amount = f"{would} at most {most}"
        return f"{quote.label}: {amount}; expected: not known yet"
    assumed = bool(quote.expected.assumed)
    each = usd_short(quote.expected.usd, assumed=assumed)
    whole = usd_short(quote.expected.usd * quote.runs, assumed=assumed)
    if once:
        return f"{quote.label}: {would} about {each}, {f'at most {most}' if most else 'there is no bound'}"
    if most is None:
        return f"{quote.label}: {would} about {each} a run, {whole} {whole_of}; there is no bound"
    return f"{quote.label}: {would} about {each} a run, at most {most}; {whole_of} about {whole}, at most {most_all}"


def assumed_text(assumed: Iterable[str]) -> str | None:
    """The note to amounts that are marked as assumed, for items as `RunCost.assumed` has them; None: there are none."""
    items: dict[str, list[str]] = {}
    for text in dict.fromkeys(assumed):
        item, _, why = text.partition(": ")
        why, _, region = why.rpartition(" (")
        items.setdefault(why, []).append(f"{item} ({region}")
    notes = [f"{why}: {', '.join(names)}" for why, names in items.items()]
    return f"{ASSUMED} {'; '.join(notes)}" if notes else None


def basis_text(quote: Quote) -> str | None:
    """The run on which the expected cost is based; None: nothing is expected yet."""
    return None if quote.expected is None else f"{quote.label}: the expected cost is {quote.expected.text}"
