"""The frame rate: the terminal's, or less where drawing would disturb the measurement or send too many bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["BYTES_REMOTE", "FPS_LEAST", "SHARE", "SHARE_BUSY", "Pace"]

FPS_LEAST = 1.0
SHARE = 0.12  # of a core that drawing may take on a machine with idle cores
SHARE_BUSY = 0.02  # and on one without
BYTES_REMOTE = 6.0 * 1024  # a second that drawing may send over SSH or to tmux
_BUSY, _IDLE = 0.9, 0.75  # share of the machine's CPU from which on it is busy, and below which no more
_LOOK_S = 0.25  # between two looks at the machine and at what we cost
_CALM_S = 1.0  # of cheap frames before there are more: what a person reads is drawn twice a second, and costs more


class Pace:
    """The time between two frames, from their cost and the load of the cores.

    The rate is reviewed four times a second. It is halved at once as often as needed, and doubled only after a second with
    room to spare, so that it does not waver.
    """

    def __init__(
        self,
        fps: float,
        *,
        usage: Callable[[], float | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        sent: Callable[[], int] | None = None,
    ) -> None:
        """`fps`: the most; `usage`: the share of the machine's CPU in use since the last call; clocks in seconds.

        `sent`: bytes written to the terminal so far, where bytes are dear; None: they are not.
        """
        self._most = fps
        self.fps = fps
        self._usage = usage
        self._clock = clock
        self._cpu = cpu
        self._sent = sent or (lambda: 0)
        self._seen: tuple[float, float, int] | None = None  # wall and CPU time, bytes at the last look
        self._calm_s: float | None = None  # since when each look found room to spare
        self.busy = False
        self._reason = ""

    @property
    def interval_s(self) -> float:
        return 1 / self.fps

    @property
    def note(self) -> str:
        """The footer's note while the rate is below the maximum; else ""."""
        if self.fps == self._most:
            return ""
        return f"{self._reason} {self.fps:g} fps".strip()

    def forget(self) -> None:
        """Leave out the time up to now."""
        self._seen = None

    def frame(self) -> None:
        now_s = self._clock()
        if self._usage is None:
            from lbench.engine.machine.monitor import Usage  # not for the first frame

            self._usage = Usage().share
        if self._seen is None:
            self._seen = (now_s, self._cpu(), self._sent())
            return
        wall_s = now_s - self._seen[0]
        if wall_s < _LOOK_S:
            return
        cpu_s, sent = self._cpu(), self._sent()
        share, bytes_per_s = (cpu_s - self._seen[1]) / wall_s, (sent - self._seen[2]) / wall_s
        self._seen = (now_s, cpu_s, sent)
        usage = self._usage()
        if usage is not None:
            self.busy = usage >= (_IDLE if self.busy else _BUSY)
        cpu_over, bytes_over = share / (SHARE_BUSY if self.busy else SHARE), bytes_per_s / BYTES_REMOTE
        over = max(cpu_over, bytes_over)  # 1: just what is allowed
        if over >= 0.4:
            self._calm_s = None
        elif self._calm_s is None:
            self._calm_s = now_s - wall_s
        if over > 1:
            self._reason = "" if bytes_over > cpu_over else "cores busy" if self.busy else "slow"
            least = min(FPS_LEAST, self._most)
            while over > 1 and self.fps > least:
                self.fps, over = max(self.fps / 2, least), over / 2
        elif self._calm_s is not None and now_s - self._calm_s >= _CALM_S and self.fps < self._most:
            self.fps, self._calm_s = min(self.fps * 2, self._most), now_s
