"""The Explore screen's texts: progress, cost of the updates, problems, the sentence of line 2."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from lbench.analysis.format import ratio_text, times_interval_text
from lbench.analysis.statistics import FULL_INTERVAL, Estimate, median_estimate
from lbench.engine.backends import catalog
from lbench.engine.cost.format import usd_short
from lbench.engine.session.view import RunView
from lbench.errors import count_text
from lbench.tui.draw.ink import FIXED, Piece
from lbench.tui.explore.metrics import Tally
from lbench.tui.feeds.feed import Frame
from lbench.tui.feeds.previews import PreviewReader, Scatter
from lbench.tui.theme import EMULATED, role_of

__all__ = [
    "Unit",
    "comparison_pieces",
    "invitation",
    "notes",
    "number",
    "picture_title",
    "problem",
    "progress",
    "spread",
    "unit_of",
]

Unit = Literal["ms", "s"]

_TITLES = {"mandelbrot": "the set", "kmeans": "two principal components", "random_forest": "out-of-bag accuracy"}
_SHORT_TITLES = {"kmeans": "components", "random_forest": "accuracy"}


def picture_title(workload: str, blocks: PreviewReader | None, *, short: bool) -> str:
    """The picture's title; `short` leaves room for the latency."""
    title = (_SHORT_TITLES if short else _TITLES).get(workload, _TITLES.get(workload, workload))
    drawn = None if blocks is None else blocks.drawn
    if not isinstance(drawn, Scatter):
        return title
    iteration = f"iteration {drawn.iteration}"
    return iteration if short else f"{iteration} · {title}"


def progress(run: RunView, blocks: PreviewReader, scripted: int | None) -> list[Piece]:
    """A run's progress, at the right of the picture's heading. `scripted`: the length of the sequence, if shown."""
    interaction = run.planned.interaction
    count: list[Piece] = []
    if scripted is not None and interaction is not None and interaction.step is not None:
        count = [(f"scripted {interaction.step + 1} of {scripted}  ", "quiet")]
    if run.makespan_s is None and run.status == "cancelled":
        return [*count, ("cancelled", "quiet")]
    label: Piece = (run.planned.label, role_of(run.planned.backend, run.planned.label))
    if run.makespan_s is not None:
        warms_up: list[Piece] = [(", the warm-up", "quiet")] if run.planned.warmup else []
        return [*count, label, (f" {_latency(run.makespan_s * 1000)}", "bright!"), *warms_up]
    done = "coarse" if blocks.only_coarse else "…"
    return [*count, label, (f" {done}", "quiet")]


def notes(
    by_hand: Iterable[Tally], scripted: Iterable[Tally], added_ms: float | None, updates: int, *, short: bool
) -> list[list[Piece]]:
    """Notes below the latencies. `added_ms`: the median that the screen added to so many updates."""
    lines: list[list[Piece]] = []
    if added_ms is not None:
        basis = "p50" if short else f"p50, {count_text(updates, 'update')}"
        lines.append([("the screen adds ", "quiet"), (_latency(added_ms), "text"), (f" ({basis})", "quiet")])
    by_hand = list(by_hand)
    every = [*by_hand, *scripted]
    overtaken = sum(tally.cancelled for tally in by_hand)
    parts = [f"{overtaken:,} overtaken" + ("" if short else " by a newer one")] if overtaken else []
    spent = [tally.total_usd for tally in every if tally.total_usd is not None]
    if spent:
        assumed = any(tally.assumed for tally in every)
        parts.append(f"{usd_short(sum(spent, start=Decimal(0)), assumed=assumed)} in all")
    if parts:
        lines.append([(" · ".join(parts), "quiet")])
    if any(tally.origin != "measured" for tally in every):
        lines.append([(f"{EMULATED} emulated here, not AWS", "quiet")])
    lines.append([("answers are not checked", "quiet")])
    return lines


def invitation(*, short: bool) -> list[Piece]:
    """Line 2, while nothing has been compared."""
    asked = "" if short else "does looking around gain from an elastic backend? "
    return [
        (asked, "quiet"),
        ("t", "key!"),
        (" runs the same interactions on each ", "quiet"),
        ("✓", "text"),
        (" backend and compares them", "quiet"),
    ]


def problem(frame: Frame, run: RunView | None, *, warned: bool) -> str | None:
    """Why the newest update has no result. `warned`: a warning is newer than what was sent last."""
    if frame.problem:
        return frame.problem
    if run is not None and run.ended is not None and run.ended.status in ("failed", "over_budget"):
        return run.ended.error
    if frame.view is None or not warned:
        return None
    texts = [warning.text for warning in frame.view.warnings if warning.code == "explore"]
    return texts[-1] if texts else None


def unit_of(values_ms: Iterable[float | None]) -> Unit:
    """The unit that latencies are shown in together: seconds as soon as one of them has ten."""
    return "s" if max((value for value in values_ms if value is not None), default=0.0) >= 9999.5 else "ms"


def number(value_ms: float | None, unit: Unit) -> str:
    """A latency as it is read at a glance, without its unit."""
    if value_ms is None:
        return "–"
    if unit == "ms":
        return f"{value_ms:.1f}" if value_ms < 9.95 else f"{value_ms:,.0f}"
    seconds = value_ms / 1000
    return f"{seconds:.3f}" if seconds < 0.9995 else f"{seconds:.2f}" if seconds < 9.995 else f"{seconds:,.1f}"


def spread(estimate: Estimate | None, unit: Unit) -> str:
    """A median's interval of 95 %; "" where there are too few values for one."""
    interval = None if estimate is None or estimate.kind != "95 %" else estimate.interval
    return "" if interval is None else f"{number(interval[0], unit)}–{number(interval[1], unit)}"


def _latency(value_ms: float) -> str:
    """A latency by itself, with its unit."""
    unit = unit_of([value_ms])
    return f"{number(value_ms, unit)} {unit}"


def comparison_pieces(tallies: dict[str, Tally], *, short: bool) -> list[Piece] | None:
    """The study's second question, answered with what was measured; None: too little was.

    The interactions were the same on each backend, so they are compared pair by pair: what one of them is given to compute
    differs from step to step much more than the backends do.
    """
    enough = [tally for tally in tallies.values() if tally.count >= FULL_INTERVAL and tally.p50 is not None]
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
    unit = unit_of(tally.p50.value for tally in named if tally.p50 is not None)
    for place, tally in enumerate(named):
        assert tally.p50 is not None
        if place:
            pieces.append((", ", "text"))
        pieces.append((f"{tally.label} ", "text"))
        pieces.append((f"{number(tally.p50.value, unit)} {unit}", role_of(tally.backend, tally.label) + "!"))
        pieces.append((f" ({spread(tally.p50, unit)})", "quiet"))
        if tally.usd is not None and not short:
            pieces.append((f", {usd_short(tally.usd, assumed=tally.assumed)} each", "text"))
    origins = dict.fromkeys(f"{tally.origin} here" for tally in elastic if tally.origin != "measured")
    pieces.append((f" ·{FIXED}n{FIXED}{min(tally.count for tally in named)}", "quiet"))
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
    if ratio is None or interval is None or ratio.count < FULL_INTERVAL:
        return [("unclear", "bright!"), (": ", "text")]
    if interval[0] <= 1 <= interval[1]:
        claim = "unclear" if short else "it is unclear which is faster, elastic takes"
        return [(claim, "bright!"), (f" {times_interval_text(ratio)}× as long: ", "text")]
    slower = ratio.value > 1
    low, high = interval
    times = ratio if slower else Estimate(1 / ratio.value, 1 / high, 1 / low, ratio.count, ratio.kind)
    verb = "" if short else " takes" if slower else " is"
    what = "long" if slower else "fast"
    return [
        (f"elastic{verb} {ratio_text(times)} ", "bright!"),
        (f"({times_interval_text(times)}) ", "quiet"),
        (f"as {what}", "bright!"),
        (": ", "text"),
    ]
