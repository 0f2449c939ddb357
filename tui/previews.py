"""The growing preview of a run: blocks beside the journal, gathered into a picture or a curve that panels draw.

A preview is for looking at only: a block that cannot be read is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lbench.engine.session import RunView
from lbench.errors import EncodingError

__all__ = ["Curve", "Gatherer", "Picture"]

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
        self._blocks = 0
        self._last: Picture | Curve | None = None

    def update(self) -> Picture | Curve | None:
        """Take the blocks that are new; what there is to draw now, the same object while nothing came."""
        told = self.run.previews
        if self._read == len(told):
            return self._last
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
            self._last = Picture(self._levels, *self._shape, self._blocks)
        elif self._points:
            self._last = Curve(self._points, self._label, self._blocks)
        return self._last

    def _take(self, data: bytes) -> None:
        from lbench.workloads.encoding import decode

        try:
            block = decode(data)
            if block["kind"] == "rows":
                self._rows(block)
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
