"""Timelines as cells: which glyph and shade each cell of each lane shows, in numpy, and from there to segments.

A cell is one byte, a code of `CODES`. Bars are painted in the order in which they are given, marks (an error, a throttle)
lie above all bars, the higher mark above the lower. A cell that several invocations share shows the last of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

__all__ = [
    "BLANK",
    "CODES",
    "COMPUTE",
    "DISCARDED",
    "ERROR",
    "FETCH",
    "INFERRED",
    "INIT",
    "RETRIED",
    "RUNNING_END",
    "SECOND",
    "SELECTED",
    "THROTTLED",
    "TIMEOUT",
    "paint",
    "paint_marks",
    "segments",
    "spans",
]

Cells = NDArray[np.uint8]

BLANK, COMPUTE, SECOND, INIT, FETCH, INFERRED, DISCARDED, RUNNING_END = range(8)
RETRIED, THROTTLED, ERROR, TIMEOUT, SELECTED = range(8, 13)
CODES = {  # glyph and role of each code; "accent" and "second" are the backend's
    BLANK: (" ", "quiet"),
    COMPUTE: ("▆", "accent"),
    SECOND: ("▆", "second"),
    INIT: ("░", "accent"),
    FETCH: ("▒", "accent"),
    INFERRED: ("┄", "accent"),  # dispatched; where it runs is inferred
    DISCARDED: ("▂", "quiet"),  # superseded or cancelled: its result was not used
    RUNNING_END: ("╴", "accent"),
    RETRIED: ("↻", "bright"),
    THROTTLED: ("!", "key"),
    ERROR: ("×", "wrong"),
    TIMEOUT: ("⊘", "wrong"),
    SELECTED: ("█", "bright"),
}
_GLYPHS = "".join(CODES[code][0] for code in range(len(CODES)))


def spans(starts_s: Any, ends_s: Any, from_s: float, cell_s: float, width: int) -> tuple[Any, Any]:
    """First cell and the one behind the last of each span, clipped to the window; at least one cell where any is seen."""
    first = np.floor((np.asarray(starts_s) - from_s) / cell_s)
    last = np.ceil((np.asarray(ends_s) - from_s) / cell_s)
    last = np.maximum(last, first + 1)
    return np.clip(first, 0, width).astype(np.int64), np.clip(last, 0, width).astype(np.int64)


def paint(cells: Cells, lanes: Any, first: Any, last: Any, codes: Any) -> None:
    """Paint bars: cells [first, last) of `lanes` with `codes`, all (n,); `cells` is (lanes, width), changed in place."""
    lengths = np.maximum(last - first, 0)
    total = int(lengths.sum())
    if not total:
        return
    begins = np.repeat(lanes * cells.shape[1] + first - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    cells.reshape(-1)[begins + np.arange(total)] = np.repeat(codes, lengths)


def paint_marks(marks: Cells, lanes: Any, at: Any, codes: Any) -> None:
    """Set marks at cells `at` of `lanes`; of several in one cell the highest code stays."""
    seen = (at >= 0) & (at < marks.shape[1])
    np.maximum.at(marks, (lanes[seen], at[seen]), codes[seen].astype(np.uint8))


def segments(row: Cells, styles: list[Style]) -> list[Segment]:
    """One lane's cells as segments, one for each stretch of equal cells; `styles` by code."""
    cuts = np.flatnonzero(np.diff(row)) + 1
    starts = [0, *cuts.tolist()]
    ends = [*cuts.tolist(), len(row)]
    codes = row[starts].tolist() if len(row) else []
    return (
        [
            Segment(_GLYPHS[code] * (end - start), styles[code])
            for start, end, code in zip(starts, ends, codes, strict=True)
        ]
        if len(row)
        else []
    )
