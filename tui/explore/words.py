"""Line 2 of the Explore screen: what the scripted sequence has shown, in one sentence with its numbers."""

from __future__ import annotations

from lbench.analysis.statistics import Estimate, ratio_estimate
from lbench.engine.backends import catalog
from lbench.engine.cost import usd_short
from lbench.tui.draw.ink import Piece
from lbench.tui.explore.figures import Tally
from lbench.tui.theme import role_of

__all__ = ["comparison_pieces", "ms", "spread"]

_LEAST = 5  # updates of a backend, before anything is said


def ms(value: float | None) -> str:
    """Milliseconds as they are read at a glance."""
    if value is None:
        return "–"
    if value >= 9999.5:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def spread(estimate: Estimate | None) -> str:
    """A median's interval."""
    told = None if estimate is None else estimate.interval
    return "" if told is None else f"{ms(told[0])}–{ms(told[1])}"


def comparison_pieces(tallies: dict[str, Tally], *, short: bool) -> list[Piece] | None:
    """The study's second question, answered with what was measured; None: too little was."""
    enough = [tally for tally in tallies.values() if tally.count >= _LEAST and tally.p50 is not None]
    if len(enough) < 2:
        return None
    local = [tally for tally in enough if _is_local(tally)]
    elastic = [tally for tally in enough if not _is_local(tally)]
    pieces = _verdict(local, elastic, short)
    for number, tally in enumerate(sorted(enough, key=_middle)):
        assert tally.p50 is not None
        if number:
            pieces.append((", ", "text"))
        verb = "" if short else " updates in" if not number else " in"
        pieces.append((f"{tally.label}{verb} ", "text"))
        pieces.append((f"{ms(tally.p50.value)} ms", role_of(tally.backend, tally.label) + "!"))
        pieces.append((f" ({spread(tally.p50)})", "quiet"))
        if tally.usd is not None:
            pieces.append((f" {usd_short(tally.usd)}" + ("" if short else " an interaction"), "text"))
    origins = [f"{tally.origin} here" for tally in elastic if tally.origin != "measured"]
    counts = {tally.count for tally in enough}
    tail = [f"n {min(counts)}" + (f" to {max(counts)}" if len(counts) > 1 else ""), *dict.fromkeys(origins)]
    pieces.append((f" · {'; '.join(tail)}", "quiet"))
    return pieces


def _is_local(tally: Tally) -> bool:
    return "memory" not in catalog.settings_type(tally.backend).__struct_fields__


def _middle(tally: Tally) -> float:
    return tally.p50.value if tally.p50 is not None else 0.0


def _verdict(local: list[Tally], elastic: list[Tally], short: bool) -> list[Piece]:
    if not local or not elastic:
        return []
    here, there = min(local, key=_middle), min(elastic, key=_middle)
    ratio = ratio_estimate(here.latencies_ms, there.latencies_ms)
    interval = None if ratio is None else ratio.interval
    if interval is None or interval[0] <= 1 <= interval[1]:
        text = "no difference" if short else "An elastic backend is neither faster nor slower here"
    elif interval[0] > 1:
        text = "elastic gains" if short else "An elastic backend gains here"
    else:
        text = "elastic loses" if short else "Nothing gained from an elastic backend here"
    return [(text, "bright!"), (": ", "text")]
