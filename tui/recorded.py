"""Records on the screen: a journal or an exported document, at once or replayed at any speed.

Both are streams of events, made anew each time one is needed: a seek back reads from the beginning again instead of
keeping 200,000 events in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lbench.engine.events import (
    Dispatched,
    Event,
    Returned,
    RunEnded,
    RunStarted,
    SessionStarted,
    StageEnded,
    StageStarted,
)
from lbench.engine.journal import JOURNAL_NAME, read_events
from lbench.errors import LbenchError
from lbench.tui.feed import BUDGET_S, Fold, Frame, FrameState, epoch_s, now_of

__all__ = ["RecordedFeed", "Timed", "timed"]

Source = Callable[[], Iterator[Event]]
Timed = tuple[float, Event]


def timed(events: Iterator[Event]) -> Iterator[Timed]:
    """Each event with the epoch second at which it happened; one without a time happens with the one before."""
    zero: dict[str, float] = {}
    now = 0.0
    for event in events:
        match event:
            case SessionStarted():
                now = epoch_s(event.created)
            case RunStarted():
                now = zero[event.run] = epoch_s(event.started)
            case Dispatched():
                now = zero[event.run] + event.dispatched_s
            case Returned():
                now = zero[event.run] + event.returned_s
            case StageStarted() | StageEnded():
                now = zero[event.run] + event.at_s
            case RunEnded():
                now = max(now, zero[event.run] + (event.makespan_s or 0.0)) if event.run in zero else now
            case _:
                pass
        yield now, event


class RecordedFeed:
    """A record, as fast as it can be read (`speed` None), or replayed: `speed` seconds of it in one of ours."""

    def __init__(self, source: Source, *, folder: Path | None = None, speed: float | None = None) -> None:
        """`source` gives the events from the beginning; it may raise LbenchError while it is read."""
        self._source = source
        self._folder = folder
        self._fold = Fold()
        self._problem: str | None = None
        self._speed = speed
        self._paused = False
        self._length_s: float | None = None
        self._begin()

    @classmethod
    def of_folder(cls, folder: Path, *, speed: float | None = None) -> RecordedFeed:
        """A recorded session's journal."""
        return cls(lambda: read_events(folder / JOURNAL_NAME), folder=folder, speed=speed)

    def _begin(self) -> None:
        self._events: Iterator[Timed] = timed(self._source())
        self._held: Timed | None = None  # read, but not yet due
        self._first_s: float | None = None  # epoch of the record's beginning
        self._at_s = 0.0  # seconds of the record that have passed
        self._clock = time.monotonic()
        self._over = False

    # -- the replay's controls

    @property
    def paused(self) -> bool:
        """Whether the replay stands still."""
        return self._paused

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        self._advance()
        self._paused = paused
        self._fold.note_change()

    def set_speed(self, speed: float | None) -> None:
        """How many seconds of the record pass in one of ours; None: all of it at once."""
        self._advance()
        self._speed = speed
        self._fold.note_change()

    def seek(self, at_s: float) -> None:
        """Go to a moment, in seconds since the record's beginning."""
        at_s = max(0.0, at_s)
        if at_s < self._at_s:
            self._fold.reset()
            self._begin()
        self._at_s = at_s
        self._clock = time.monotonic()

    def _advance(self) -> None:
        now = time.monotonic()
        if self._speed is not None and not self._paused:
            self._at_s += (now - self._clock) * self._speed
        self._clock = now

    # -- frames

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        """Fold what is due."""
        self._advance()
        behind = False
        if not self._over:
            try:
                behind = not self._fold_due(budget_s)
            except (LbenchError, OSError) as error:
                self._over = True
                self._problem = str(error)
            if self._over:
                self._finish()
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
            replay_length_s=self._length_s,
            speed=self._speed,
        )

    def _fold_due(self, budget_s: float) -> bool:
        """Whether all that is due was folded."""
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
        """Nothing is held."""
