"""A grid of dots for lines and bands, in braille, in blocks, or in ASCII for fonts without these."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from lbench.tui.draw.curve import braille
from lbench.tui.draw.ink import Piece
from lbench.tui.draw.marker import Marker

__all__ = ["Canvas"]

_PER_CELL: dict[str, tuple[int, int]] = {"braille": (2, 4), "block": (2, 2), "ascii": (1, 1)}
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
_WEIGHTS = np.array([[1, 2], [4, 8]], dtype=np.int32)


class Canvas:
    """Cells of (x, y) shares, from 0 to 1 rightwards and upwards. What is drawn later lies above."""

    def __init__(self, width: int, height: int, marker: Marker) -> None:
        """`width` and `height` in cells."""
        self.width, self.height = max(1, width), max(1, height)
        self._marker = marker
        across, down = _PER_CELL[marker]
        self._columns, self._rows = self.width * across, self.height * down
        self._across, self._down = across, down
        shape = (self._rows, self._columns)
        self._lines, self._bands = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        self._owners: dict[tuple[int, int], str] = {}  # roles of cells with a line
        self._band_owners: dict[tuple[int, int], str] = {}
        self._glyphs: dict[tuple[int, int], Piece] = {}
        self._ground: dict[tuple[int, int], Piece] = {}

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of the cell of a place."""
        row, column = self._dot(x, y)
        return row // self._down, column // self._across

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        column = round(min(1.0, max(0.0, x)) * (self._columns - 1))
        return round((1 - min(1.0, max(0.0, y))) * (self._rows - 1)), column

    def line(self, places: list[tuple[float, float]], role: str) -> None:
        """Join places by straight lines."""
        for (x0, y0), (x1, y1) in pairwise(places):
            (row0, column0), (row1, column1) = self._dot(x0, y0), self._dot(x1, y1)
            steps = max(abs(row1 - row0), abs(column1 - column0), 1) + 1
            rows = np.rint(np.linspace(row0, row1, steps)).astype(int)
            columns = np.rint(np.linspace(column0, column1, steps)).astype(int)
            self._lines[rows, columns] = True
            for row, column in zip((rows // self._down).tolist(), (columns // self._across).tolist(), strict=True):
                self._owners[row, column] = role

    def band(self, places: list[tuple[float, float, float]], role: str) -> None:
        """Fill between (x, low, high) places, thinly."""
        for (x0, low0, high0), (x1, low1, high1) in pairwise(places):
            (_, first), (_, last) = self._dot(x0, 0), self._dot(x1, 0)
            for column in range(first, last + 1):
                share = (column - first) / max(1, last - first)
                top, _ = self._dot(0, high0 + share * (high1 - high0))
                bottom, _ = self._dot(0, low0 + share * (low1 - low0))
                rows = np.arange(top, bottom + 1)
                rows = rows[(rows + column) % 2 == 0] if self._down > 1 else rows
                self._bands[rows, column] = True
                for row in set((rows // self._down).tolist()):
                    self._band_owners[row, column // self._across] = role

    def column(self, x: float, glyph: str, role: str) -> None:
        """A vertical line behind everything."""
        _, column = self.cell(x, 0)
        for row in range(self.height):
            self._ground[row, column] = (glyph, role)

    def glyph(self, x: float, y: float, glyph: str, role: str) -> None:
        """One sign above everything."""
        self._glyphs[self.cell(x, y)] = (glyph, role)

    def rows(self) -> list[list[Piece]]:
        """The lines of cells, the top one first; cells of one role are one piece."""
        lines, bands = self._texts(self._lines, "."), self._texts(self._bands, ":")
        made: list[list[Piece]] = []
        for row in range(self.height):
            pieces: list[Piece] = []
            for column in range(self.width):
                glyph, role = self._at(row, column, lines[row][column], bands[row][column])
                if pieces and (pieces[-1][1] == role or glyph == " "):
                    pieces[-1] = (pieces[-1][0] + glyph, pieces[-1][1])
                else:
                    pieces.append((glyph, role))
            made.append(pieces)
        return made

    def _at(self, row: int, column: int, line: str, band: str) -> Piece:
        place = row, column
        if place in self._glyphs:
            return self._glyphs[place]
        if line != " ":
            return line, self._owners[place]
        if place in self._ground:
            return self._ground[place]
        return (band, self._band_owners[place]) if band != " " else (" ", "text")

    def _texts(self, dots: np.ndarray, sign: str) -> list[str]:
        if self._marker == "braille":
            return braille(dots)
        if self._marker == "ascii":
            return ["".join(sign if dot else " " for dot in row) for row in dots.tolist()]
        cells = dots.reshape(self.height, 2, self.width, 2).transpose(0, 2, 1, 3)
        codes = (cells * _WEIGHTS).sum(axis=(2, 3))
        return ["".join(_QUADRANTS[code] for code in row) for row in codes.tolist()]
