"""What an interaction's blocks have come to: a coarse and a fine picture, a scatter, or a curve. One object a run.

No stale frame is shown: the blocks are the newest run's own. Until its first has come, the picture before is drawn where it
would lie in the new view, with nothing where nothing is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.engine.session.view import RunView
from lbench.errors import EncodingError
from lbench.tui.draw.picture import MISSING

__all__ = ["Blocks", "moved", "nearest", "pooled"]

_NAME = "previews.bin"
_MOST_ROWS = 4096  # of a picture in memory
_TRAIL = 40  # iterations of which the centroids are kept

Window = tuple[float, float, float, float]


class Blocks:
    """One run's blocks, read as they are told of."""

    def __init__(self, folder: Path | None, run: RunView) -> None:
        self.run = run
        self.fine: NDArray[np.int16] | None = None
        self.coarse: NDArray[np.int16] | None = None
        self.scatter: dict[str, Any] | None = None
        self.trail: list[NDArray[Any]] = []
        self.points: list[tuple[float, float]] = []
        self.label = ""
        self.version = 0  # grows with each block
        self._path = None if folder is None else folder / _NAME
        self._read = 0

    def update(self) -> bool:
        """Take what is new; whether there was anything."""
        told = self.run.previews[self._read :]
        if not told or self._path is None:
            return False
        self._read += len(told)
        took = False
        coarse = 0 if self.run.planned.interaction is None else self.run.planned.interaction.coarse_tasks
        try:
            with self._path.open("rb") as file:
                for event in told:
                    file.seek(event.offset)
                    took |= self._take(file.read(event.length), event.stage == 0 and event.task < coarse)
        except OSError:
            return took
        return took

    @property
    def empty(self) -> bool:
        """Whether nothing has come yet."""
        return self.fine is None and self.coarse is None and self.scatter is None and not self.points

    def _take(self, data: bytes, coarse: bool) -> bool:
        from lbench.workloads.encoding import decode

        try:
            block = decode(data)
            match block["kind"]:
                case "rows":
                    self._rows(block, coarse)
                case "scatter":
                    if self.scatter is not None:
                        self.trail = [*self.trail, self.scatter["centroids"]][-_TRAIL:]
                    self.scatter = {name: block[name] for name in _SCATTER}
                case "curve":
                    self.points.append((float(block["x"]), float(block["y"])))
                    self.label = str(block["label"])
                case _:
                    return False
        except (EncodingError, KeyError, TypeError, ValueError, IndexError):
            return False
        self.version += 1
        return True

    def _rows(self, block: dict[str, Any], coarse: bool) -> None:
        height = min(int(block["height"]), _MOST_ROWS)
        values = np.asarray(block["values"], dtype=np.int16)
        levels = self.coarse if coarse else self.fine
        if levels is None:
            levels = np.full((height, values.shape[1]), MISSING, dtype=np.int16)
            if coarse:
                self.coarse = levels
            else:
                self.fine = levels
        rows = int(block["first"]) + int(block["step"]) * np.arange(len(values))
        inside = (rows >= 0) & (rows < height)
        levels[rows[inside]] = values[inside][:, : levels.shape[1]]

    def picture(self, rows: int, columns: int) -> NDArray[np.int16] | None:
        """Fine where it has come, else coarse, at the size of a view."""
        told = None if self.coarse is None else nearest(self.coarse, rows, columns)
        if self.fine is not None:
            fine = pooled(self.fine, rows, columns)
            told = fine if told is None else np.where(fine == MISSING, told, fine)
        return told


_SCATTER = ("iteration", "points", "labels", "centroids", "inertia")


def nearest(levels: NDArray[np.int16], rows: int, columns: int) -> NDArray[np.int16]:
    """A picture at another size, each point the one that lies there."""
    height, width = levels.shape
    told: NDArray[np.int16] = levels[np.arange(rows) * height // rows][:, np.arange(columns) * width // columns]
    return told


def pooled(levels: NDArray[np.int16], rows: int, columns: int) -> NDArray[np.int16]:
    """A picture made smaller: the mean of what has come of each point, 255 where most of it is inside the set."""
    height, width = levels.shape
    if height < rows or width < columns:
        return nearest(levels, rows, columns)
    down, across = np.arange(rows) * height // rows, np.arange(columns) * width // columns
    if height == rows and width == columns:
        return levels

    def total(values: NDArray[Any]) -> NDArray[np.int64]:
        added: NDArray[np.int64] = np.add.reduceat(np.add.reduceat(values.astype(np.int64), down, 0), across, 1)
        return added

    seen, inside = levels >= 0, levels == 255
    outside = seen & ~inside
    mean = total(np.where(outside, levels, 0)) // np.maximum(total(outside), 1)
    told = np.where(2 * total(inside) > total(seen), 255, mean)
    return np.where(total(seen) == 0, MISSING, told).astype(np.int16)


def moved(levels: NDArray[np.int16], was: Window, now: Window) -> NDArray[np.int16]:
    """A picture of one window as far as it is one of another, of the same size."""
    rows, columns = levels.shape
    x = now[0] + (np.arange(columns) + 0.5) / columns * (now[1] - now[0])
    y = now[3] - (np.arange(rows) + 0.5) / rows * (now[3] - now[2])
    column = np.floor((x - was[0]) / (was[1] - was[0]) * columns)
    row = np.floor((was[3] - y) / (was[3] - was[2]) * rows)
    across, down = (column >= 0) & (column < columns), (row >= 0) & (row < rows)
    told = np.full((rows, columns), MISSING, dtype=np.int16)
    told[np.ix_(down, across)] = levels[np.ix_(row[down].astype(int), column[across].astype(int))]
    return told
