"""Fixes of Textual's screens for hasty hands and busy machines, inherited by all of ours.

Textual's screen tells itself each new size by a message, and lays itself out once more when the message comes. Two sizes in
quick succession, with any other message between them, then take turns without an end, and no key is handled any more.

It takes whatever lies on top for itself when it is dismissed: a second click on a screen that is being left takes the next
screen with it, and one on a screen that another has covered meanwhile ends the app with an InvalidStateError.
"""

from __future__ import annotations

from typing import Any

from textual import events
from textual.await_complete import AwaitComplete
from textual.message_pump import MessagePump

__all__ = ["Steady"]


class Steady(MessagePump):
    """For a screen: it ignores a size which the terminal no longer has, and is dismissed only while it lies on top.

    No `Screen` itself: Textual takes key bindings, styles and classes from the first base that is a node.
    """

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Resize) or event.size == self.app.size:
            await super().on_event(event)

    def dismiss(self, result: Any = None) -> AwaitComplete:
        this: Any = self
        if self.app.screen_stack[-1:] != [this]:
            return AwaitComplete()  # nothing to wait for
        return super().dismiss(result)  # type: ignore[misc, no-any-return]
