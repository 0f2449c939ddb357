"""Folds events into a session's view and tracks changes since the last frame."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lbench.engine.journal.events import Dispatched, Event, Previewed, Returned, RunPlanned, Sampled
from lbench.engine.session.view import SessionView
from lbench.tui.feeds.feed import Frame, FrameState

__all__ = ["Fold"]


_epochs = itertools.count(1)  # one for each session that is shown, so that nothing of one is taken for another's


class Fold:
    """A session's view, with what changed since the last frame."""

    def __init__(self) -> None:
        self.view = SessionView()
        self.epoch = next(_epochs)
        self.newest: list[str] = []  # ids of the runs that were planned together last
        self._touched: dict[str, list[int]] = {}
        self._changed = True
        self._pictured = False
        self._planning = False
        self._forgotten: set[str] = set()

    def reset(self) -> None:
        """Start over, for a seek back or another session."""
        self.__init__()  # type: ignore[misc]

    def take(self, event: Event) -> None:
        if self._forgotten and getattr(event, "run", None) in self._forgotten:
            return
        self.view.apply(event)
        if isinstance(event, Dispatched | Returned):
            self._touched.setdefault(event.run, []).append(event.n)
            return
        if isinstance(event, Sampled):
            return  # the machine's condition, every second: no panel tells of it
        if isinstance(event, Previewed):
            self._pictured = True
            return
        self._changed = True
        if isinstance(event, RunPlanned):
            if not self._planning:
                self.newest = []
            self.newest.append(event.run)
            self._planning = True
        else:
            self._planning = False

    def take_for(self, events: Iterator[Event], budget_s: float) -> bool:
        """Fold events until they run out (True) or the time is up (False)."""
        end = time.perf_counter() + budget_s
        take = self.take
        for count, event in enumerate(events):
            take(event)
            if not count & 63 and time.perf_counter() > end:
                return False
        return True

    def frame(self, state: FrameState, now_s: Mapping[str, float], **more: Any) -> Frame:
        """The state now. Changes are counted anew from here."""
        runs = self.view.runs
        frame = Frame(
            view=self.view,
            runs=[] if more.get("awaited_s") is not None else [runs[run] for run in self.newest],
            touched=self._touched,
            changed=self._changed,
            pictured=self._pictured,
            epoch=self.epoch,
            state=state,
            now_s=now_s,
            **more,
        )
        self._touched = {}
        self._changed = self._pictured = False
        return frame

    def forget_ended(self, keep: int) -> None:
        """Forget the ended interactions but the newest `keep`."""
        runs = self.view.runs
        ended = [run.id for run in runs.values() if run.ended is not None and run.planned.interaction is not None]
        for run in ended[: len(ended) - keep]:
            del runs[run]
            self._forgotten.add(run)
        self.newest = [run for run in self.newest if run in runs]

    def note_change(self) -> None:
        """A state outside the journal changed: draw the next frame whole."""
        self._changed = True
