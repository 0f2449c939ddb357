"""The last updates' latencies as bars, each in its backend's colour, with notes."""

from __future__ import annotations

import numpy as np
from textual.strip import Strip

from lbench.tui.draw.histogram import columns
from lbench.tui.draw.ink import Piece, heading, line, right_of
from lbench.tui.draw.scale import nice_ceiling
from lbench.tui.explore.messages import Unit, unit_of
from lbench.tui.theme import role_of
from lbench.tui.widgets.lines import Lines

__all__ = ["LatencyStrip"]

_SCALE = 6  # cells of the scale's number
_BARS = 4  # rows from which on bars are drawn


class LatencyStrip(Lines):
    """Bars from left to right, the newest last."""

    def __init__(self) -> None:
        super().__init__(id="strip")
        self._updates: list[tuple[str, str, float]] = []
        self._notes: list[list[Piece]] = []

    def show(self, updates: list[tuple[str, str, float]], notes: list[list[Piece]]) -> None:
        """(backend, label, ms) of the last updates; lines of words."""
        if (updates, notes) != (self._updates, self._notes):
            self._updates, self._notes = updates, notes
            self.redraw()

    @property
    def room(self) -> int:
        """The number of bars that fit."""
        return max(0, self.content_size.width - _SCALE - 2)

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading, the bars, the notes below."""
        palette = self.palette
        notes = self._notes[: max(0, height - 1)]
        rows = height - 1 - len(notes)
        strips: list[Strip] = []
        if rows >= _BARS:
            updates = self._updates[-(width - _SCALE - 2) :]
            unit = unit_of(value for _, _, value in updates)
            strips.append(line(palette, heading([(f"the last updates, {unit}", "quiet!")], [], width), width))
            strips += self._bars(updates, unit, width, rows - 1)
            strips.append(line(palette, [], width))
        else:
            strips.append(line(palette, heading([("besides", "quiet!")], [], width), width))
        strips += [line(palette, [("  ", "text"), *pieces], width) for pieces in notes]
        return strips

    def _bars(self, updates: list[tuple[str, str, float]], unit: Unit, width: int, rows: int) -> list[Strip]:
        if not updates:
            return [line(self.palette, [("  none yet", "quiet")], width)] + [line(self.palette, [], width)] * (rows - 1)
        values = np.array([value for _, _, value in updates])
        top = nice_ceiling(float(values.max()))
        # One column more, as high as the scale, that is not drawn: the bars are to that scale.
        texts = columns(np.append(np.round(values * 1000), round(top * 1000)).astype(np.int64), rows)
        roles = [role_of(backend, label) for backend, label, _ in updates]
        strips = []
        ceiling = f"{top:,.0f}" if unit == "ms" else f"{top / 1000:,.0f}"
        for row, text in enumerate(texts):
            scale = ceiling if row == 0 else "0" if row == rows - 1 else ""
            pieces: list[Piece] = [(right_of(scale, _SCALE) + " ", "quiet")]
            for glyph, role in zip(text, roles, strict=False):
                if pieces[-1][1] == role:
                    pieces[-1] = (pieces[-1][0] + glyph, role)
                else:
                    pieces.append((glyph, role))
            strips.append(line(self.palette, pieces, width))
        return strips
