"""The Explore screen's texts: progress, cost of the updates, problems, the sentence of line 2."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from lbench.analysis.format import count_text
from lbench.engine.cost.format import usd_short
from lbench.engine.session.view import RunView
from lbench.tui.draw.ink import Piece
from lbench.tui.explore.metrics import Tally
from lbench.tui.explore.words import ms
from lbench.tui.feeds.feed import Frame
from lbench.tui.feeds.previews import PreviewReader, Scatter
from lbench.tui.theme import EMULATED, role_of

__all__ = ["invitation", "notes", "picture_title", "problem", "progress"]

_TITLES = {"mandelbrot": "the set", "kmeans": "two principal components", "random_forest": "out-of-bag accuracy"}


def picture_title(workload: str, blocks: PreviewReader | None, *, short: bool) -> str:
    """The picture's title; `short` leaves room for the latency."""
    title = _TITLES.get(workload, workload)
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
        return [*count, label, (f" {ms(run.makespan_s * 1000)} ms", "bright!")]
    done = "coarse" if blocks.only_coarse else "…"
    return [*count, label, (f" {done}", "quiet")]


def notes(
    by_hand: Iterable[Tally], scripted: Iterable[Tally], added_ms: float | None, updates: int, *, short: bool
) -> list[list[Piece]]:
    """Notes below the latencies. `added_ms`: the median that the screen added to so many updates."""
    lines: list[list[Piece]] = []
    if added_ms is not None:
        basis = "p50" if short else f"p50, {count_text(updates, 'update')}"
        lines.append([("the screen adds ", "quiet"), (f"{ms(added_ms)} ms", "text"), (f" ({basis})", "quiet")])
    by_hand = list(by_hand)
    every = [*by_hand, *scripted]
    overtaken = sum(tally.cancelled for tally in by_hand)
    parts = [f"{overtaken:,} overtaken" + ("" if short else " by a newer one")] if overtaken else []
    spent = [tally.total_usd for tally in every if tally.total_usd is not None]
    if spent:
        parts.append(f"{usd_short(sum(spent, start=Decimal(0)))} in all")
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
