"""The part of a run that a timeline shows: it follows the present in steps, or stays where a person put it."""

from __future__ import annotations

import msgspec

from lbench.tui.draw.scale import window_s

__all__ = ["Window"]

_CLOSEST = 1e-4  # of the whole


class Window(msgspec.Struct, frozen=True):
    """A window of seconds of a run; `follow`: all of it, growing in steps."""

    start_s: float = 0.0
    end_s: float = 1.0
    follow: bool = True

    @property
    def span(self) -> tuple[float, float]:
        return self.start_s, self.end_s

    def at(self, now_s: float, over: bool) -> Window:
        """The window at a moment of a run."""
        if not self.follow:
            return self
        end = max(now_s, 1e-3) if over else window_s(now_s)
        return Window(0.0, end, True)

    def zoomed(self, factor: float, about_s: float, whole_s: float) -> Window:
        """Zoom in (below 1) or out; `about_s` keeps its place. The whole run follows again."""
        size = (self.end_s - self.start_s) * factor
        if size >= whole_s:
            return Window(0.0, whole_s, True)
        size = max(size, whole_s * _CLOSEST)
        about = min(max(about_s, self.start_s), self.end_s)
        share = (about - self.start_s) / (self.end_s - self.start_s)
        return Window(about - size * share, about - size * share + size, False).kept(whole_s)

    def panned(self, share: float, whole_s: float) -> Window:
        """Pan by a share of the window."""
        by = (self.end_s - self.start_s) * share
        return Window(self.start_s + by, self.end_s + by, False).kept(whole_s)

    def around(self, from_s: float, to_s: float, whole_s: float) -> Window:
        """Move no further than needed to show a stretch."""
        size = self.end_s - self.start_s
        if self.start_s <= from_s and to_s <= self.end_s:
            return self
        before = to_s - from_s >= size or from_s < self.start_s
        start = from_s - size * 0.1 if before else to_s - size * 0.9
        return Window(start, start + size, False).kept(whole_s)

    def kept(self, whole_s: float) -> Window:
        size = self.end_s - self.start_s
        start = max(0.0, min(self.start_s, whole_s - size))
        return Window(start, start + size, self.follow)
