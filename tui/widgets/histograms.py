"""Histograms of cold starts and warm durations: one band per backend, on one scale, p50 and p99 marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textual.strip import Strip

from lbench.tui.draw.ink import Piece, heading, line
from lbench.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from lbench.engine.session.view import RunView
    from lbench.tui.draw.series import Series

__all__ = ["Histograms"]


class Histograms(Lines):
    """The histograms of one phase, of all backends."""

    def __init__(self, title: str, empty: str, kind: Literal["cold", "warm"]) -> None:
        super().__init__(id=kind)
        self._title = title
        self._empty = empty
        self._kind = kind
        self._series: list[Series] = []
        self._repeat = ""
        self._shown: object = None  # what the series were made of
        self._one = False  # one repeat, which was chosen

    def show(self, runs: list[RunView], repeat: int | None, *, changed: bool = True) -> None:
        """The runs of a comparison. `repeat`: only this one of each backend; None: all. `changed`: more than invocations."""
        counts = [(id(run), run.finished_tasks, run.failed_attempts, run.in_flight) for run in runs]
        if not changed and self._shown == (counts, repeat):
            return
        self._shown = (counts, repeat)
        self._one = repeat is not None
        self._repeat = "all repeats" if repeat is None else f"repeat {repeat + 1}"
        several = len({run.planned.repeat for run in runs}) > 1
        self._repeat = f" · {self._repeat}" if several else ""
        if repeat is not None:
            runs = [run for run in runs if run.planned.repeat == repeat]
        if runs:
            from lbench.tui.draw.series import VALUES, gather  # heavy, and nothing for the first frame

            self._series = gather(runs, VALUES[self._kind])
        else:
            self._series = []
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading, a band for each backend, the axis."""
        title: list[Piece] = [(self._title, "quiet!"), (self._repeat, "quiet")]
        if not self._series:
            strips = [line(self.palette, heading(title, [], width), width)]
            empty = "none in this repeat" if self._one else self._empty
            strips.append(line(self.palette, [("  " + empty, "quiet")], width))
            return strips
        from lbench.tui.draw.bands import bands

        return bands(self.palette, title, self._series, width, height)
