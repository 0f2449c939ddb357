"""Hands inputs to the screens one at a time, in the order in which they were made.

Textual forwards a key to the part that has the focus at that moment, without waiting for what the key before does: it may
open a screen, move the focus, or still lie in a queue as text. In a burst (SSH, a paste, a busy machine) Enter then runs a
form without the digits before it, and letters reach the wrong field. Here the next input waits until every part that the
last one could reach has handled it, and until a screen that works on what was entered, or work that a key began, has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.widgets import Input

__all__ = ["AnswersInputs", "InputQueue"]

_AT_ONCE = ("ctrl+c", "ctrl+z")  # never wait: they are for a program that hangs
_WAY_OUT = "escape"  # does not wait for an answer either
_INPUTS = (events.Key, events.Paste, events.MouseDown, events.MouseUp, events.MouseScrollDown, events.MouseScrollUp)
_LOST_S = 0.2  # between two looks whether a part was removed: then it handles nothing more
_MOST_ROUNDS = 8


class AnswersInputs:
    """A screen that takes its time with an input: later ones wait, so that they cannot alter what was entered."""

    async def answered(self) -> None:
        """Return once every input has its answer."""
        raise NotImplementedError


def _character(event: events.Event) -> str:
    """What a key writes into a field; "": it does something else, or is no key."""
    return event.character or "" if isinstance(event, events.Key) and event.is_printable else ""


class InputQueue:
    """The inputs of an app that are not handled yet."""

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._waiting: deque[events.Event] = deque()
        self._admitted: events.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._answer_due = False  # a screen works on what was entered
        self._work: set[asyncio.Task[None]] = set()  # begun by an input; later ones wait for it
        self._dropping = False

    @property
    def empty(self) -> bool:
        """Whether every input has been handled."""
        return self._task is None or self._task.done()

    def drop_waiting(self) -> None:
        """Forget the inputs that came after the one being handled: they were meant for what would follow it."""
        self._dropping = True

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what an input asked for beside the event loop. Later inputs wait until it has ended; Escape ends it."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        task.add_done_callback(self._ended)
        if self.empty:
            self._start()

    def again(self, inputs: Sequence[events.Event]) -> None:
        """Handle inputs that a screen has kept, before those that wait."""
        for event in inputs:
            event.set_sender(self._app)  # as a driver does: from the screen itself it would not go beyond it
        self._waiting.extendleft(reversed(inputs))
        if self._waiting and self.empty:
            self._start()

    def admit(self, event: events.Event) -> bool:
        """Whether an event shall be dispatched now; if not, it comes again once it is its turn."""
        if not isinstance(event, _INPUTS) or event is self._admitted:
            return True
        if event.is_forwarded or getattr(event, "key", "") in _AT_ONCE:
            return True
        if self._answer_due and getattr(event, "key", "") == _WAY_OUT:
            self._waiting.clear()
            for task in self._work:
                task.cancel()
            return True
        if not self.empty:
            self._waiting.append(event)
            return False
        self._admitted = event
        self._start()
        return True

    def _start(self) -> None:
        self._task = asyncio.create_task(self._drain())
        self._task.add_done_callback(self._ended)

    async def _drain(self) -> None:
        """Wait until the admitted input is handled, then admit the next."""
        while self._app.is_running:
            await self._settle()
            while not self._dropping:
                screen, work = self._top_screen, set(self._work)
                self._answer_due = True
                due: asyncio.Future[Any]
                if work:
                    due = asyncio.ensure_future(asyncio.wait(work))
                elif isinstance(screen, AnswersInputs):
                    due = asyncio.ensure_future(screen.answered())
                else:
                    break
                await asyncio.wait({due}, timeout=0)
                if not due.done():
                    self._let_out()
                await due
                self._answer_due = False
                await self._settle()
                if screen is self._top_screen and not (work or self._work):
                    break
            self._answer_due = False
            if self._dropping:
                self._dropping = False
                self._waiting.clear()
            if not self._waiting:
                return
            self._admitted = self._next()
            self._app.post_message(self._admitted)

    def _let_out(self) -> None:
        """Hand on an Escape that came before the wait for an answer began; what was typed before it is dropped."""
        keys = [getattr(event, "key", "") for event in self._waiting]
        if _WAY_OUT in keys:
            for _ in range(keys.index(_WAY_OUT)):
                self._waiting.popleft()
            self._admitted = self._waiting.popleft()
            for task in self._work:
                task.cancel()
            self._app.post_message(self._admitted)

    def _next(self) -> events.Event:
        """The next input. Characters that wait for a field are one text: for each its form would be laid out."""
        event = self._waiting.popleft()
        if not (self._app.screen_stack and isinstance(self._app.focused, Input)):
            return event
        text = _character(event)
        while text and self._waiting and (following := _character(self._waiting[0])):
            text += following
            self._waiting.popleft()
        if len(text) < 2:
            return event
        event = events.Paste(text)
        event.set_sender(self._app)  # as a driver does
        return event

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            assert isinstance(error, Exception)
            self._app._handle_exception(error)

    async def _settle(self) -> None:
        """Wait until the focused part, its parents, the screen and the app have handled everything.

        A message travels from a part to its parents; what they answer travels again. So the rounds go from the part
        upwards, until a round leaves nothing behind.
        """
        reached: dict[MessagePump, None] = {}
        for _ in range(_MOST_ROUNDS):
            reached |= dict.fromkeys(self._reachable())
            for node in list(reached):
                await self._handled(node)
            reached |= dict.fromkeys(self._reachable())
            if not any(node.message_queue_size for node in reached if not node._closing):
                return

    async def _handled(self, node: MessagePump) -> None:
        """Wait until a node has handled what lies in its queue now."""
        handled = asyncio.Event()
        if not node.call_later(handled.set):
            return
        while not handled.is_set() and self._app.is_running and not (node._closing or node._closed):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(handled.wait(), _LOST_S)

    @property
    def _top_screen(self) -> object:
        return self._app.screen if self._app.screen_stack else None

    def _reachable(self) -> list[MessagePump]:
        if not self._app.screen_stack:
            return [self._app]
        focused = self._app.focused
        chain = [] if focused is None else list(focused.ancestors_with_self)
        return [*chain, self._app.screen, self._app]
