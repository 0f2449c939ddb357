"""Screens that are laid out for the terminal's size, and for no size that it had before.

Textual's screen tells itself each new size by a message, and lays itself out once more when the message comes. Two sizes in
quick succession, with any other message between them, then take turns without an end, and no key is handled any more.
"""

from __future__ import annotations

from textual import events
from textual.message_pump import MessagePump

__all__ = ["CurrentSize"]


class CurrentSize(MessagePump):
    """For a screen: it ignores a size which the terminal no longer has."""

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Resize) or event.size == self.app.size:
            await super().on_event(event)
