"""One invocation in a few lines: phases to scale, billed duration."""

from __future__ import annotations

from typing import Any

import numpy as np
from textual.strip import Strip

from lbench.analysis.format import ms_text
from lbench.engine.cost.charges import invocation_usd
from lbench.engine.cost.format import usd_short
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView
from lbench.tui.draw.bars import bar
from lbench.tui.draw.ink import Piece, heading, line, sentence_lines
from lbench.tui.theme import role_of
from lbench.tui.widgets.lines import Lines

__all__ = ["DECIMALS", "Inspect", "bytes_text", "phase_lines", "phases", "slowest"]

_OK = STATUSES.index("ok")
DECIMALS = 3  # of milliseconds: a microsecond, as recorded
_REST = 0.1  # share of the time in the environment besides fetch and compute, from which on it is a phase of its own


def slowest(run: RunView) -> int | None:
    """The row of the slowest invocation that has returned."""
    columns = run.columns
    took = columns["returned_s"] - columns["dispatched_s"]
    took = np.where(columns["status"] == _OK, took, np.nan)
    return int(np.nanargmax(took)) if len(took) and not np.isnan(took).all() else None


def bytes_text(count: int | None) -> str:
    """Like "512 B", "4.1 KB", "1.2 MB"."""
    if count is None:
        return ""
    for limit, unit in ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count} B"


def short_text(ms: float) -> str:
    """Milliseconds; below a hundredth, microseconds, because "0.00 ms" reads as zero."""
    return f"{ms * 1000:.1f} µs" if 0 < ms < 0.00995 else ms_text(ms)


def phases(values: dict[str, Any]) -> list[tuple[str, float, str]]:
    """(name, milliseconds, glyph) of the measured phases, in their order."""
    measured: list[tuple[str, float, str]] = []

    def add(name: str, ms: float | None, glyph: str) -> None:
        if ms is not None and ms >= 0:
            measured.append((name, ms, glyph))

    def span(first: str, last: str) -> float | None:
        a, b = values.get(first), values.get(last)
        return None if a is None or b is None else round((b - a) * 1000, DECIMALS)

    init = values.get("init_ms") if values.get("cold") else None
    add("queued", span("queued_s", "dispatched_s"), "▏")
    dispatch = span("dispatched_s", "started_s")
    add("dispatch", None if dispatch is None else max(0.0, dispatch - (init or 0.0)), "█")
    add("init", init, "░")
    add("fetch", values.get("fetch_ms"), "▒")
    add("compute", values.get("compute_ms"), "█")
    inside, known = span("started_s", "finished_s"), (values.get("fetch_ms") or 0.0) + (values.get("compute_ms") or 0.0)
    if inside is not None and inside - known > _REST * inside:  # unpacking, packing, waiting for the processor
        add("handler", inside - known, "█")
    add("return", span("finished_s", "returned_s"), "█")
    return measured


def phase_lines(run: RunView, row: int, width: int) -> list[list[Piece]]:
    """A line a phase: name, bar to scale, milliseconds."""
    values = run.columns.row(row)
    accent = role_of(run.planned.backend, run.planned.label)
    measured = phases(values)
    most = max((ms for name, ms, _ in measured if name != "queued"), default=0.0) or 1.0
    room = max(4, width - 30)
    lines: list[list[Piece]] = []
    for name, ms, glyph in measured:
        if name == "queued":  # waiting for a place says nothing of the invocation, and would dwarf it
            lines.append([(f"{name:<9}", "quiet"), (short_text(ms), "quiet")])
            continue
        text = bar(ms / most, room)
        if glyph in "░▒":
            text = glyph * (max(1, len(text)) if ms > 0 else 0)
        beside = f" {short_text(ms)}" if text else "0 ms"
        if name == "init":
            beside += "  cold"
        if name == "return" and values["response_bytes"] is not None:
            beside += f" · {bytes_text(values['response_bytes'])}"
        lines.append([(f"{name:<9}", "quiet"), (text, accent), (beside, "text")])
    pricing = run.started.pricing if run.started is not None else None
    if values["billed_ms"] is not None and pricing is not None and pricing.rates is not None and pricing.memory_mb:
        usd = invocation_usd(pricing.rates, values["billed_ms"], pricing.memory_mb, pricing.ephemeral_mb).usd
        assumed = not {"duration_gb_s_usd", "request_usd"}.isdisjoint(pricing.rates.assumed)
        text = f"{values['billed_ms']:,} ms × {pricing.memory_mb:,} MB = {usd_short(usd, assumed=assumed)}"
        lines.append([(f"{'billed':<9}", "quiet"), (text, "text")])
    return lines


class Inspect(Lines):
    """The panel of the selected or slowest invocation."""

    def __init__(self) -> None:
        super().__init__(id="inspect")
        self._run: RunView | None = None
        self._row: int | None = None
        self._place = ""
        self._selected = False
        self._failure: tuple[str, str, str] | None = None

    def show(self, run: RunView | None, row: int | None, place: str, *, selected: bool) -> None:
        """Show an invocation. `place`: its lane's name."""
        self._run, self._row, self._place, self._selected = run, row, place, selected
        self._failure = None
        self.redraw()

    def show_failure(self, label: str, backend: str, why: str) -> None:
        self._failure = (label, backend, why)
        self.redraw()

    def _why(self, width: int, height: int) -> list[Strip]:
        assert self._failure is not None
        label, backend, why = self._failure
        title: list[Piece] = [(label, role_of(backend, label) + "!"), (" failed", "wrong!")]
        strips = [line(self.palette, heading(title, [], width), width)]
        clean = "".join(char if char.isprintable() else " " for char in why)
        texts = sentence_lines(clean, max(20, width - 4))
        if len(texts) > height - 2:
            texts = [*texts[: max(1, height - 3)], "…"]
        strips += [line(self.palette, [("  ", "text"), (text, "text")], width) for text in texts]
        what: list[Piece] = [("  ", "text"), ("r", "key!"), (" runs it again  ", "quiet"), ("b", "key!")]
        what += [(" changes the backend", "quiet")]
        strips.append(line(self.palette, what, width))
        return strips

    def draw(self, width: int, height: int) -> list[Strip]:
        palette = self.palette
        if self._failure is not None:
            return self._why(width, height)
        run, row = self._run, self._row
        if run is None or row is None:
            return [line(palette, heading([("slowest so far", "quiet!")], [], width), width)]
        what = "" if self._selected else "slowest so far: "
        if not self._selected and run.ended is not None:
            what = "slowest: "
        title: list[Piece] = [(f"{what}task {run.columns['task'][row]}", "quiet!")]
        if self._place:
            title.append((f" on {self._place}", "quiet!"))
        strips = [line(palette, heading(title, [("enter to inspect", "quiet")], width), width)]
        for pieces in phase_lines(run, row, width - 1):
            strips.append(line(palette, [(" ", "text"), *pieces], width))
        return strips
