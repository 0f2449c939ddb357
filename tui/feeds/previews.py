"""The growing preview of a run: reads the blocks beside the journal and assembles a picture, a curve or a scatter.

A preview is for looking at only: a block that cannot be read is skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.engine.journal.events import PREVIEWS_NAME
from lbench.engine.session.view import RunView
from lbench.errors import EncodingError
from lbench.tui.draw.picture import MISSING, nearest, pooled

__all__ = ["Curve", "Drawn", "Picture", "PreviewReader", "Scatter"]

_MOST_ROWS = 4096  # of a picture in memory
_TRAIL = 40  # iterations whose centres are kept

Levels = NDArray[np.int16]


class Picture(msgspec.Struct, frozen=True, eq=False):
    """Brightness 0..254, 255 inside the set, `MISSING` where nothing has come; `height` and `width` of the original."""

    levels: Levels  # (rows, columns), at most 4096 rows
    height: int
    width: int


class Curve(msgspec.Struct, frozen=True, eq=False):
    """Points in the order in which they came."""

    points: list[tuple[float, float]]
    label: str


class Scatter(msgspec.Struct, frozen=True, eq=False):
    """Points on a plane with the centres of their clusters, after one iteration."""

    points: NDArray[Any]  # (n, 2) float
    labels: NDArray[Any]  # (n,) int: the index of each point's centre
    centres: NDArray[Any]  # (k, 2) float
    inertia: list[tuple[float, float]]  # (iteration, sum of squared distances)
    iteration: int
    trail: list[NDArray[Any]]  # the centres of the iterations before, the oldest first


Drawn = Picture | Curve | Scatter


class PreviewReader:
    """Reads one run's blocks as the journal announces them."""

    def __init__(self, folder: Path | None, run: RunView) -> None:
        self.run = run
        self.version = 0  # blocks read so far
        self.drawn: Drawn | None = None  # what there is to draw; the same object until another block comes
        self._path = None if folder is None else folder / PREVIEWS_NAME
        self._read = 0
        self._shape = (0, 0)
        self._fine: Levels | None = None
        self._coarse: Levels | None = None
        self._points: list[tuple[float, float]] = []

    def update(self) -> bool:
        """Read the new blocks. Returns whether there were any."""
        announced = self.run.previews[self._read :]
        if not announced or self._path is None:
            return False
        self._read += len(announced)
        before = self.version
        interaction = self.run.planned.interaction
        coarse = 0 if interaction is None else interaction.coarse_tasks
        try:
            with self._path.open("rb") as file:
                for event in announced:
                    file.seek(event.offset)
                    self._take(file.read(event.length), event.stage == 0 and event.task < coarse)
        except OSError:
            pass
        return self.version != before

    @property
    def only_coarse(self) -> bool:
        """Whether only the coarse picture has arrived."""
        return self._fine is None and self._coarse is not None

    def picture(self, rows: int, columns: int) -> Levels | None:
        """The picture at the size of a view: fine where it has come, else coarse."""
        coarse = None if self._coarse is None else nearest(self._coarse, rows, columns)
        if self._fine is None:
            return coarse
        fine = pooled(self._fine, rows, columns)
        return fine if coarse is None else np.where(fine == MISSING, coarse, fine)

    def _take(self, data: bytes, coarse: bool) -> None:
        from lbench.workloads.encoding import decode

        try:
            block = decode(data)
            match block["kind"]:
                case "rows":
                    self.drawn = self._rows(block, coarse)
                case "scatter":
                    self.drawn = self._scatter(block)
                case "curve":
                    self._points.append((float(block["x"]), float(block["y"])))
                    self.drawn = Curve(self._points, str(block["label"]))
                case _:
                    return
        except (EncodingError, KeyError, TypeError, ValueError, IndexError):
            return
        self.version += 1

    def _rows(self, block: dict[str, Any], coarse: bool) -> Picture:
        height, width = int(block["height"]), int(block["width"])
        values = np.asarray(block["values"], dtype=np.int16)
        levels = self._coarse if coarse else self._fine
        if levels is None:
            levels = np.full((max(1, min(height, _MOST_ROWS)), max(1, values.shape[1])), MISSING, dtype=np.int16)
            self._shape = (height, width)
            if coarse:
                self._coarse = levels
            else:
                self._fine = levels
        rows = int(block["first"]) + int(block["step"]) * np.arange(len(values))
        inside = (rows >= 0) & (rows < height)
        levels[rows[inside] * len(levels) // height] = values[inside][:, : levels.shape[1]]
        return Picture(levels if self._fine is None else self._fine, *self._shape)

    def _scatter(self, block: dict[str, Any]) -> Scatter:
        points = np.asarray(block["points"], dtype=np.float64).reshape(-1, 2)
        centres = np.asarray(block["centroids"], dtype=np.float64).reshape(-1, 2)
        labels = np.asarray(block["labels"], dtype=np.int64).reshape(-1)
        inertia = np.asarray(block["inertia"], dtype=np.float64).reshape(-1)
        if len(labels) != len(points) or not np.isfinite(points).all() or not np.isfinite(centres).all():
            raise ValueError("not a scatter")
        iteration = int(block["iteration"])
        numbers = range(iteration - len(inertia) + 1, iteration + 1)
        finite = [(float(n), value) for n, value in zip(numbers, inertia.tolist(), strict=True) if np.isfinite(value)]
        before = self.drawn
        trail = [*before.trail, before.centres][-_TRAIL:] if isinstance(before, Scatter) else []
        return Scatter(points, labels, centres, finite, iteration, trail)
