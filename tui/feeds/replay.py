"""Replays records: a journal or an exported document, whole or at any speed.

A seek back reads the record from its beginning instead of keeping 200,000 events in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from lbench.engine.journal.events import Event
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.blocks import Stretch
from lbench.engine.session.view import SessionView
from lbench.errors import InputError, LbenchError
from lbench.tui.feeds.block_reader import BlockReader
from lbench.tui.feeds.feed import BUDGET_S, FeedKind, Frame, FrameState, now_of
from lbench.tui.feeds.fold import Fold
from lbench.tui.feeds.records import Clock, Source, Timed, timed

__all__ = ["SPEEDS", "RecordedFeed"]

SPEEDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0)
_LOOK_EVERY_S = 2.0  # whether the record is still there


class RecordedFeed:
    """A record, shown whole (`speed` None) or replayed: `speed` seconds of it a second."""

    kind: ClassVar[FeedKind] = "record"

    def __init__(
        self,
        source: Source | Callable[[], Iterator[Event]],
        *,
        folder: Path | None = None,
        speed: float | None = None,
        part: int | None = None,
    ) -> None:
        """`source`: a record, or a function that gives its events from the beginning. `part`: as of `Fold`."""
        self._source = source if isinstance(source, Source) else Source(None, source)
        self._folder = folder
        self._looked_s = time.monotonic()
        self._fold = Fold(part)
        self._problem: str | None = None
        self._speed = speed
        self._paused = False
        self._length_s: float | None = None
        self._begin()

    @classmethod
    def of(cls, path: Path, *, speed: float | None = None, part: int | None = None) -> RecordedFeed:
        """A session's folder, its journal, or an exported document.

        Raises:
            InputError: the speed is not above 0.
        """
        if speed is not None and not 0 < speed <= 1e6:
            raise InputError(f"--speed must be above 0 and at most 1,000,000, got {speed:g}")
        folder = path if path.is_dir() else path.parent if path.name == JOURNAL_NAME else None
        return cls(Source.of(path), folder=folder, speed=speed, part=part)

    @property
    def source(self) -> Path | None:
        return self._folder or self._source.path

    @property
    def gone(self) -> bool:
        return self._source.path is not None and not self._source.path.exists()

    @property
    def whole_view(self) -> SessionView | None:
        return self._fold.view if self._over else None

    def _begin(self) -> None:
        self._blocks: BlockReader | None = None  # what is shown whole is folded in blocks
        if self._speed is None and self._source.blocks is not None:
            self._blocks = BlockReader(self._source.path, self._source.blocks, ahead=self._source.apart)
            self._block_clock = Clock()
        self._events: Iterator[Timed] = timed(self._source.events() if self._blocks is None else iter(()))
        self._held: Timed | None = None  # read, but not yet due
        self._first_s: float | None = None  # epoch of the record's beginning
        self._at_s = 0.0  # seconds of the record that have passed
        self._clock = time.monotonic()
        self._over = False

    # -- the replay's controls

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self, paused: bool) -> None:
        self._advance()
        self._paused = paused
        self._fold.note_change()

    def toggle(self) -> None:
        """Pause or play. At the end, or when shown whole: play from the beginning."""
        if self._speed is None or self._over:
            self._leave_whole()
            self.seek(0.0)
            self.pause(False)
        else:
            self.pause(not self._paused)

    def faster(self, by: int) -> None:
        """Change the speed by steps of `SPEEDS`. A record shown whole starts at 1."""
        if self._speed is None:
            self.toggle()
            return
        nearest = min(range(len(SPEEDS)), key=lambda index: abs(SPEEDS[index] - (self._speed or 1.0)))
        self.set_speed(SPEEDS[max(0, min(len(SPEEDS) - 1, nearest + by))])

    def step(self, share: float) -> None:
        """Move by a share of the record's length. A record shown whole pauses there."""
        self._leave_whole()
        self._advance()
        self.seek(min(self.length_s, self._at_s + share * self.length_s))

    def go_to(self, at_s: float) -> None:
        """Move to a moment, as `step` does."""
        self._leave_whole()
        self.seek(min(self.length_s, at_s))

    def _leave_whole(self) -> None:
        """Switch from the whole record to paused at its end."""
        if self._speed is None:
            self._speed, self._paused = 1.0, True
            self._at_s = self.length_s + 1e-9  # all that was folded is past: a seek starts over

    @property
    def length_s(self) -> float:
        """Seconds of the whole record; 0 if it cannot be read."""
        if self._length_s is None:
            try:
                self._length_s = self._source.length_s()
            except (LbenchError, OSError) as error:
                self._problem, self._length_s = str(error), 0.0
        return self._length_s

    def set_speed(self, speed: float | None) -> None:
        """Set the seconds of the record that pass each second; None: show it whole."""
        self._advance()
        self._speed = speed
        self._fold.note_change()

    def seek(self, at_s: float) -> None:
        """Move to a moment, in seconds since the record's beginning."""
        at_s = max(0.0, at_s)
        if at_s < self._at_s:
            self.close()
            self._fold.reset()
            self._begin()
        self._at_s = at_s
        self._clock = time.monotonic()

    def _advance(self) -> None:
        now = time.monotonic()
        if self._speed is not None and not self._paused and not self._over:
            self._at_s += (now - self._clock) * self._speed
        self._clock = now

    # -- frames

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        """Fold due events. Returns the state now."""
        behind = self.catch_up(budget_s)
        state: FrameState = "done" if self._over else "paused" if self._paused else "replay"
        first = self._first_s or 0.0
        clock = first + self._at_s
        now = now_of(self._fold.view, self._last_s if self._speed is None else clock) if not self._over else {}
        return self._fold.frame(
            state,
            now,
            behind=behind,
            problem=self._problem,
            folder=self._folder,
            replay_s=None if self._speed is None else self._at_s,
            replay_length_s=self._length_s if self._speed is None else self.length_s,
            speed=self._speed,
            read_share=None if self._over or self._blocks is None else self._blocks.share,
        )

    def catch_up(self, budget_s: float = BUDGET_S) -> bool:
        """Fold due events. Returns whether there are more."""
        self._advance()
        self._look()
        behind = False
        if not self._over:
            try:
                behind = not (self._fold_blocks if self._blocks is not None else self._fold_due)(budget_s)
            except (LbenchError, OSError) as error:
                self._over = True
                self._problem = str(error)
            if self._over:
                self._finish()
        return behind

    def _look(self) -> None:
        """Check every two seconds whether the record still exists."""
        path = self._source.path
        if self._problem is not None or self._clock - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = self._clock
        if self.gone:
            self._problem = f"{path} was deleted: what is on the screen is all that is left of it; x exports it"
            self._fold.note_change()

    def _fold_blocks(self, budget_s: float) -> bool:
        """Returns whether all of the record was folded."""
        assert self._blocks is not None
        end = time.perf_counter() + budget_s
        while True:
            block = self._blocks.take()
            if block is None:
                self._over = self._blocks.over
                return self._over
            for step in block.steps or ():
                if isinstance(step, Stretch):
                    self._fold.take_stretch(step)
                    self._last_s = self._block_clock.at(step.last)
                else:
                    self._fold.take(step)
                    self._last_s = self._block_clock.at(step)
                if self._first_s is None:
                    self._first_s = self._last_s
            if time.perf_counter() > end:
                return False

    def _fold_due(self, budget_s: float) -> bool:
        """Returns whether all due events were folded."""
        end = time.perf_counter() + budget_s
        fold = self._fold
        count = 0
        while True:
            item = self._held or next(self._events, None)
            self._held = None
            if item is None:
                self._over = True
                return True
            if self._first_s is None:
                self._first_s = item[0]
            if self._speed is not None and item[0] - self._first_s > self._at_s:
                self._held = item
                return True
            fold.take(item[1])
            self._last_s = item[0]
            count += 1
            if not count & 63 and time.perf_counter() > end:
                return False

    _last_s = 0.0

    def _finish(self) -> None:
        if self._first_s is not None:
            self._length_s = self._last_s - self._first_s
            self._at_s = min(self._at_s, self._length_s) if self._speed is not None else self._length_s
        if self._fold.view.end is None:
            self._fold.view.engine_gone()
        self._fold.note_change()

    def close(self) -> None:
        if self._blocks is not None:
            self._blocks.close()
