"""A scatter with the trail of its centres over it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from lbench.tui.draw.ink import Piece
from lbench.tui.draw.scatter import CENTRE, NOBODY, plane, scatter
from lbench.tui.theme import role_of

__all__ = ["scatter_pieces"]

_TRAIL = "·"
_GROUPS = ("processes", "emulated", "threads", "simulated", "lambda", "sequential")  # accents, for clusters
_ROLES = {CENTRE: "bright!", NOBODY: "text"} | {number: role_of(name) for number, name in enumerate(_GROUPS)}


def scatter_pieces(
    points: NDArray[Any],
    labels: NDArray[Any],
    centroids: NDArray[Any],
    trail: list[NDArray[Any]],
    width: int,
    height: int,
) -> list[list[Piece]]:
    """Lines of pieces: points (n, 2) by their labels (n,), centroids (k, 2), and these of the iterations before."""
    lines = scatter(points, labels, centroids, len(_GROUPS), width, height)
    left, right, bottom, top = plane(points)
    steps: dict[int, set[int]] = {}
    for before in trail:
        for x, y in before.tolist():
            row = int(min(max((top - y) / (top - bottom), 0.0), 0.999999) * height)
            steps.setdefault(row, set()).add(int(min(max((x - left) / (right - left), 0.0), 0.999999) * width))
    drawn = []
    for row, cells in enumerate(lines):
        pieces: list[Piece] = []
        column = 0
        for text, group in cells:
            for glyph in text:
                here = column in steps.get(row, ()) and group != CENTRE
                piece: Piece = (_TRAIL, "bright") if here else (glyph, _ROLES[group])
                if pieces and pieces[-1][1] == piece[1]:
                    pieces[-1] = (pieces[-1][0] + piece[0], piece[1])
                else:
                    pieces.append(piece)
                column += 1
        drawn.append(pieces)
    return drawn
