"""Line 2 of the Explore screen: what the scripted sequence has shown, in one sentence with its numbers."""

from __future__ import annotations

from lbench.analysis.format import times_text
from lbench.analysis.statistics import Estimate, median_estimate
from lbench.engine.backends import catalog
from lbench.engine.cost.format import usd_short
from lbench.tui.draw.ink import Piece
from lbench.tui.explore.metrics import Tally
from lbench.tui.theme import role_of

__all__ = ["comparison_pieces", "ms", "spread"]

_LEAST = 5  # updates of a backend, before there is a sentence


def ms(value: float | None) -> str:
    """Milliseconds as they are read at a glance."""
    if value is None:
        return "–"
    if value >= 9999.5:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def spread(estimate: Estimate | None) -> str:
    """A median's interval."""
    interval = None if estimate is None else estimate.interval
    return "" if interval is None else f"{ms(interval[0])}–{ms(interval[1])}"


def comparison_pieces(tallies: dict[str, Tally], *, short: bool) -> list[Piece] | None:
    """The study's second question, answered with what was measured; None: too little was.

    The interactions were the same on each backend, so they are compared pair by pair: what one of them is given to compute
    differs from step to step much more than the backends do.
    """
    enough = [tally for tally in tallies.values() if tally.count >= _LEAST and tally.p50 is not None]
    local = [tally for tally in enough if _is_local(tally)]
    elastic = sorted((tally for tally in enough if not _is_local(tally)), key=_middle)
    if len(enough) < 2:
        return None
    if not local or not elastic:
        named = sorted(enough, key=_middle)
        pieces: list[Piece] = []
    else:
        best = min(local, key=_middle)
        named = [best, *elastic]
        pieces = _verdict(best, elastic[0], short)
    for number, tally in enumerate(named):
        assert tally.p50 is not None
        if number:
            pieces.append((", ", "text"))
        pieces.append((f"{tally.label} ", "text"))
        pieces.append((f"{ms(tally.p50.value)} ms", role_of(tally.backend, tally.label) + "!"))
        pieces.append((f" ({spread(tally.p50)})", "quiet"))
        if tally.usd is not None and not short:
            pieces.append((f", {usd_short(tally.usd)} each", "text"))
    origins = dict.fromkeys(f"{tally.origin} here" for tally in elastic if tally.origin != "measured")
    pieces.append((f" · n {min(tally.count for tally in named)}", "quiet"))
    if not short:
        pieces += [(f", {origin}", "quiet") for origin in origins]
    return pieces


def _is_local(tally: Tally) -> bool:
    return "memory" not in catalog.settings_type(tally.backend).__struct_fields__


def _middle(tally: Tally) -> float:
    return tally.p50.value if tally.p50 is not None else 0.0


def _verdict(here: Tally, there: Tally, short: bool) -> list[Piece]:
    """Whether the elastic backend was faster, by the median of the pairs' ratios."""
    pairs = zip(here.steps_ms, there.steps_ms, strict=False)
    ratio = median_estimate([b / a for a, b in pairs if a is not None and b is not None and a > 0])
    interval = None if ratio is None else ratio.interval
    if ratio is None or interval is None or interval[0] <= 1 <= interval[1]:
        return [("no difference" if short else "elastic is neither faster nor slower", "bright!"), (": ", "text")]
    slower = ratio.value > 1
    times = times_text(ratio.value if slower else 1 / ratio.value)
    verb = "" if short else " takes" if slower else " is"
    return [(f"elastic{verb} {times} as {'long' if slower else 'fast'}", "bright!"), (": ", "text")]
