"""Folds events into a session's view and tracks changes since the last frame."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lbench.engine.journal.events import Dispatched, Event, Previewed, Returned, RunPlanned, Sampled
from lbench.engine.session.blocks import Stretch, steps_of
from lbench.engine.session.view import SessionView
from lbench.tui.feeds.feed import Frame, FrameState

__all__ = ["Fold"]

_TOGETHER = 256  # events that are folded at once: a fifth of the time of one by one, and a frame waits little for them

_epochs = itertools.count(1)  # one for each session that is shown, so that nothing of one is taken for another's


class Fold:
    """A session's view, with what changed since the last frame."""

    def __init__(self, part: int | None = None) -> None:
        """`part`: the number of the comparison that frames show; None: the newest."""
        self.view = SessionView()
        self.epoch = next(_epochs)
        self.plans: list[list[RunPlanned]] = []  # the runs of each comparison
        self._part = part
        self._touched: dict[str, list[int]] = {}
        self._changed = True
        self._pictured = False
        self._planning = False
        self._forgotten: set[str] = set()

    def reset(self) -> None:
        """Start over, for a seek back or another session."""
        self.__init__(self._part)  # type: ignore[misc]

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
            if not (self._planning or self._continues(event)):
                self.plans.append([])
            self.plans[-1].append(event)
            self._planning = True
        else:
            self._planning = False

    def take_stretch(self, stretch: Stretch) -> None:
        """Take what happened to many invocations."""
        self.view.apply_stretch(stretch)
        if not stretch.rows:
            for event in stretch.events():
                self._touched.setdefault(event.run, []).append(event.n)
        for rows in stretch.rows:
            self._touched.setdefault(rows.run, []).extend(rows.touched)

    def _continues(self, planned: RunPlanned) -> bool:
        """Whether a run is a further repeat of the newest comparison, planned while it ran."""
        plan = self.plans[-1] if self.plans else []
        alike = [one for one in plan if one.label == planned.label and one.interaction is None]
        return bool(alike) and all(
            (one.workload, one.params, one.seed) == (planned.workload, planned.params, planned.seed)
            and (one.repeat, one.warmup) != (planned.repeat, planned.warmup)
            for one in alike
        )

    @property
    def _shown(self) -> list[str]:
        """The ids of the comparison that frames show."""
        if not self.plans:
            return []
        at = -1 if self._part is None or self._part >= len(self.plans) else self._part
        return [planned.run for planned in self.plans[at]]

    def take_for(self, events: Iterator[Event], budget_s: float) -> bool:
        """Fold events until they run out (True) or the time is up (False).

        What came before an error is folded, and the error is raised.
        """
        end = time.perf_counter() + budget_s
        over = False
        while not over:
            if time.perf_counter() > end:
                return False
            together: list[Event] = []
            try:
                together.extend(itertools.islice(events, _TOGETHER))
                over = not together
            finally:
                self._take_together(together)
        return True

    def _take_together(self, events: list[Event]) -> None:
        if self._forgotten:
            events = [event for event in events if getattr(event, "run", None) not in self._forgotten]
        for step in steps_of(events):
            if isinstance(step, Stretch):
                self.take_stretch(step)
            else:
                self.take(step)

    def frame(self, state: FrameState, now_s: Mapping[str, float], **more: Any) -> Frame:
        """The state now. Changes are counted again from here."""
        runs = self.view.runs
        frame = Frame(
            view=self.view,
            runs=[] if more.get("awaited_s") is not None else [runs[run] for run in self._shown if run in runs],
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
        self.plans = self.plans[-1:]

    def note_change(self) -> None:
        """A state outside the journal changed: draw the next frame whole."""
        self._changed = True
