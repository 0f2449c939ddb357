"""How often to draw: as often as the terminal deserves, and less often where that would cost what is measured."""

from __future__ import annotations

import time
from collections.abc import Callable

from lbench.engine.samples import Usage

__all__ = ["FPS_LEAST", "SHARE", "SHARE_BUSY", "Pace"]

FPS_LEAST = 2.0
SHARE = 0.12  # of a core that drawing may take on a machine with idle cores
SHARE_BUSY = 0.02  # and on one without
_BUSY, _IDLE = 0.9, 0.75  # share of the machine's CPU from which on it is busy, and below which no more
_LOOK_S = 1.0  # between two looks at the machine and at what we cost


class Pace:
    """The time between two frames, from what frames cost and from how busy the cores are.

    It is halved and doubled in steps, at most once a second, and doubled only where there is room to spare: a rate
    that wavers would be seen.
    """

    def __init__(
        self,
        fps: float,
        *,
        usage: Callable[[], float | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """`fps`: the most; `usage`: the share of the machine's CPU in use since the last call; clocks in seconds."""
        self._most = fps
        self.fps = fps
        self._usage = usage or Usage().share
        self._clock = clock
        self._cpu = cpu
        self._seen: tuple[float, float] | None = None  # wall and CPU time at the last look; at first we only begin
        self.busy = False

    @property
    def interval_s(self) -> float:
        """Until the next frame."""
        return 1 / self.fps

    @property
    def said(self) -> str:
        """What the footer says where it draws less often than it was told to; else nothing."""
        return "" if self.fps == self._most else f"{'cores busy' if self.busy else 'slow'} {self.fps:g} fps"

    def frame(self) -> None:
        """A frame was drawn."""
        now_s = self._clock()
        if self._seen is None:
            self._seen = (now_s, self._cpu())
            return
        wall_s = now_s - self._seen[0]
        if wall_s < _LOOK_S:
            return
        cpu_s = self._cpu()
        share = (cpu_s - self._seen[1]) / wall_s
        self._seen = (now_s, cpu_s)
        usage = self._usage()
        if usage is not None:
            self.busy = usage >= (_IDLE if self.busy else _BUSY)
        allowed = SHARE_BUSY if self.busy else SHARE
        if share > allowed:
            self.fps = max(self.fps / 2, min(FPS_LEAST, self._most))
        elif share < 0.4 * allowed and self.fps < self._most:
            self.fps = min(self.fps * 2, self._most)
