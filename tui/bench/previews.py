"""The growing preview of a run: blocks beside the journal, gathered into a picture or a curve that panels draw.

A preview is for looking at only: a block that cannot be read is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lbench.engine.session.view import RunView
from lbench.errors import EncodingError

__all__ = ["Curve", "Drawn", "Gatherer", "Picture", "Scatter"]

_MOST_ROWS = 512  # of a picture in memory; no terminal has more
_MOST_COLUMNS = 256
_NAME = "previews.bin"


class Picture(msgspec.Struct, frozen=True, eq=False):
    """Brightness 0..255 by rows, 255 inside the set, -1 where nothing has come; `height` and `width` of the original."""

    levels: Any  # (rows <= 512, columns <= 256) int16
    height: int
    width: int
    blocks: int


class Curve(msgspec.Struct, frozen=True, eq=False):
    """Points in the order in which they came."""

    points: list[tuple[float, float]]
    label: str
    blocks: int


class Scatter(msgspec.Struct, frozen=True, eq=False):
    """Points on a plane, the centres among them, and how far they are from them, iteration by iteration."""

    points: Any  # (n, 2) float
    labels: Any  # (n,) int: the place of each point's centre
    centres: Any  # (k, 2) float
    inertia: list[tuple[float, float]]  # (iteration, sum of squared distances)
    iteration: int
    blocks: int


Drawn = Picture | Curve | Scatter


class Gatherer:
    """Reads one run's blocks as they are told of."""

    def __init__(self, folder: Path | None, run: RunView) -> None:
        self.run = run
        self._path = None if folder is None else folder / _NAME
        self._read = 0
        self._levels: Any = None
        self._shape = (0, 0)
        self._points: list[tuple[float, float]] = []
        self._label = ""
        self._scatter: Scatter | None = None
        self._blocks = 0
        self.last: Drawn | None = None  # what there is to draw; the same object while nothing comes

    def update(self) -> Drawn | None:
        """Take the blocks that are new; what there is to draw now, the same object while nothing came."""
        told = self.run.previews
        if self._read == len(told):
            return self.last
        if self._path is not None and self._read < len(told):
            try:
                with self._path.open("rb") as file:
                    for event in told[self._read :]:
                        file.seek(event.offset)
                        self._take(file.read(event.length))
            except OSError:
                pass
            self._read = len(told)
        if self._levels is not None:
            self.last = Picture(self._levels, *self._shape, self._blocks)
        elif self._scatter is not None:
            self.last = self._scatter
        elif self._points:
            self.last = Curve(self._points, self._label, self._blocks)
        return self.last

    def _take(self, data: bytes) -> None:
        from lbench.workloads.encoding import decode

        try:
            block = decode(data)
            if block["kind"] == "rows":
                self._rows(block)
            elif block["kind"] == "scatter":
                self._scatter = _scatter(block, self._blocks)
            elif block["kind"] == "curve":
                self._points.append((float(block["x"]), float(block["y"])))
                self._label = str(block["label"])
            self._blocks += 1
        except (EncodingError, KeyError, TypeError, ValueError, IndexError):
            return

    def _rows(self, block: dict[str, Any]) -> None:
        height, width = int(block["height"]), int(block["width"])
        values = np.asarray(block["values"], dtype=np.int16)
        if self._levels is None:
            self._shape = (height, width)
            size = (max(1, min(height, _MOST_ROWS)), max(1, min(values.shape[1], _MOST_COLUMNS)))
            self._levels = np.full(size, -1, dtype=np.int16)
        rows = int(block["first"]) + int(block["step"]) * np.arange(len(values))
        inside = (rows >= 0) & (rows < height)
        at = rows[inside] * len(self._levels) // height
        self._levels[at] = values[inside][:, : self._levels.shape[1]]


def _scatter(block: dict[str, Any], before: int) -> Scatter:
    """Raises ValueError, TypeError or KeyError where it is none."""
    points = np.asarray(block["points"], dtype=np.float64).reshape(-1, 2)
    centres = np.asarray(block["centroids"], dtype=np.float64).reshape(-1, 2)
    labels = np.asarray(block["labels"], dtype=np.int64).reshape(-1)
    inertia = np.asarray(block["inertia"], dtype=np.float64).reshape(-1)
    if len(labels) != len(points) or not np.isfinite(points).all() or not np.isfinite(centres).all():
        raise ValueError("no scatter")
    iteration = int(block["iteration"])
    numbers = range(iteration - len(inertia) + 1, iteration + 1)
    told = [(float(number), value) for number, value in zip(numbers, inertia.tolist(), strict=True)]
    return Scatter(points, labels, centres, [one for one in told if np.isfinite(one[1])], iteration, before + 1)
