"""The rank of an invocation among those of its run: a table by phase, and a histogram where there is room."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.analysis.format import ms_text, percent_text
from lbench.analysis.statistics import enough_for
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView
from lbench.errors import count_text
from lbench.tui.draw import histogram
from lbench.tui.draw.dots import FEW
from lbench.tui.draw.ink import Piece, heading, put, right_of
from lbench.tui.theme import role_of
from lbench.tui.widgets.inspect import DECIMALS

__all__ = ["InvocationRank"]

_OK = STATUSES.index("ok")
_WHOLE = "in all"
_NAME, _NUMBER = 13, 11  # cells of a phase's name, and of a number
_ROWS = (3, 10)  # least and most of the histogram


class InvocationRank:
    """The durations of a run's invocations that were ok, in milliseconds, by phase."""

    def __init__(self, run: RunView) -> None:
        self._run = run
        columns = run.columns
        ok = columns["status"] == _OK
        init = np.where(columns["cold"] == 1, columns["init_ms"], np.nan)
        dispatch = (columns["started_s"] - columns["dispatched_s"]) * 1000 - np.nan_to_num(init)
        every = {
            "dispatch": np.maximum(dispatch, 0.0),
            "init": init,
            "fetch": columns["fetch_ms"],
            "compute": columns["compute_ms"],
            "return": (columns["returned_s"] - columns["finished_s"]) * 1000,
            _WHOLE: (columns["returned_s"] - columns["dispatched_s"]) * 1000,
        }
        self.count = int(ok.sum())
        self._ok = ok
        self._values: dict[str, NDArray[Any]] = {}
        self._sorted: dict[str, NDArray[Any]] = {}
        for name, values in every.items():
            values = values.round(DECIMALS)
            known = np.sort(values[ok & np.isfinite(values)])
            if len(known) and (known[-1] > 0 or name == _WHOLE):
                self._values[name], self._sorted[name] = values, known

    def lines(self, row: int, width: int, room: int) -> list[list[Piece]]:
        """The table, then the histogram if it fits into `room` lines; nothing where there is nothing to compare with."""
        if self.count < 2:
            return []
        known = {name: values for name, values in self._values.items() if row < len(values)}  # else it began later
        mine = {name: float(values[row]) for name, values in known.items() if np.isfinite(values[row])}
        if not mine:
            return []
        measure: list[Piece] = [(f"{count_text(self.count, 'invocation')} ok", "quiet")]
        titles = "".join(right_of(title, _NUMBER) for title in ("this one", "p50", "p99"))
        lines: list[list[Piece]] = [heading([("among those of its run", "quiet!")], measure, width)]
        lines.append([(" " * (2 + _NAME) + titles + "  longer than", "quiet")])
        for name, ms in mine.items():
            lines.append(self._line(name, ms, one_of_them=bool(self._ok[row])))
        if _WHOLE in mine and room >= len(lines) + 3 + _ROWS[0] and self.count >= FEW:
            rows = min(_ROWS[1], room - len(lines) - 3)
            lines += [[], *self._histogram(mine[_WHOLE], width, rows)]
        return lines

    def _line(self, name: str, ms: float, *, one_of_them: bool) -> list[Piece]:
        others = self._sorted[name]
        p50, p99 = (float(np.quantile(others, part)) for part in (0.5, 0.99))
        shorter, count = int(np.searchsorted(others, ms, side="left")), len(others) - one_of_them
        share = "none" if not shorter else "all" if shorter == count else percent_text(shorter / count)
        return [
            ("  " + put(name, _NAME), "quiet"),
            (right_of(ms_text(ms), _NUMBER), "text"),
            (right_of(ms_text(p50), _NUMBER), "quiet"),
            (right_of(ms_text(p99) if enough_for(0.99, len(others)) else "–", _NUMBER), "quiet"),
            (right_of(share, _NUMBER), "text"),
        ]

    def _histogram(self, ms: float, width: int, rows: int) -> list[list[Piece]]:
        others = self._sorted[_WHOLE]
        low, high = histogram.range_of([others, np.array([ms])]) or (0.0, 1.0)
        cells = max(1, width - 4)
        planned = self._run.planned
        accent = role_of(planned.backend, planned.label)
        at = histogram.cell_of(ms, low, high, cells)
        lines: list[list[Piece]] = [[("  " + " " * at, "text"), ("▾", "bright"), (" this one", "quiet")]]
        if at > cells - 12:
            lines = [[(right_of("this one ", at + 2), "quiet"), ("▾", "bright")]]
        for text in histogram.columns(histogram.counts(others, low, high, cells), rows):
            lines.append([("  ", "text"), (text, accent)])
        return [*lines, [("  ", "text"), (histogram.axis(low, high, cells, "ms"), "quiet")]]
