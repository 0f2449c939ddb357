"""Parses a terminal's input into events: Textual's parser, kept away from what it cannot read.

Textual decodes strictly, so one byte of another encoding (a pasted Latin-1 é, an old mouse report) ends the app. It
takes the rest of a paste as keys once the paste holds an escape sequence, and some sequences raise inside its parser.
It takes Escape and a key soon after it (in tmux, half a second) for one with Alt, and types a ¢ for Escape and 4. Nothing
here is bound to Alt but the motions by a word, so they are two keys.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from textual._parser import ParseError
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.events import Key, Paste
from textual.message import Message

__all__ = ["InputParser"]

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_AFTER_ESCAPE = "[O]PX^_bfd"  # begin a sequence, or are motions by a word as many terminals send them
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class InputParser:
    """The bytes of a terminal, in the order in which they come."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parser = XTermParser()
        self._escaped = False  # Escape came last: as a key, or as the beginning of a sequence
        self._held = ""  # the beginning of what may become the start of a paste
        self._pasted: str | None = None  # what has come of a paste that has not ended

    @property
    def holding(self) -> bool:
        """Whether something waits for the bytes after it: call `tick` soon if none come."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Read bytes. What is not UTF-8 becomes U+FFFD, a sequence that cannot be read is left out."""
        text, self._held = self._held + self._decoder.decode(data), ""
        while text:
            if self._pasted is not None:
                searched = max(0, len(self._pasted) - len(BRACKETED_PASTE_END))
                self._pasted += text
                end = self._pasted.find(BRACKETED_PASTE_END, searched)
                if end < 0:
                    return
                pasted, text = self._pasted[:end], self._pasted[end + len(BRACKETED_PASTE_END) :]
                self._pasted = None
                yield Paste(_plain(pasted))
                continue
            keys, start, text = text.partition(BRACKETED_PASTE_START)
            if start:
                self._pasted = ""
            else:
                kept = next(
                    (
                        size
                        for size in range(len(BRACKETED_PASTE_START) - 1, 0, -1)
                        if keys.endswith(BRACKETED_PASTE_START[:size])
                    ),
                    0,
                )
                keys, self._held = keys[: len(keys) - kept], keys[len(keys) - kept :]
            yield from self._parsed(keys)

    def tick(self) -> Iterator[Message]:
        """Read what waited for more, since nothing came: the Escape key, say."""
        held, self._held = self._held, ""
        yield from self._parsed(held)
        try:
            for event in self._parser.tick():
                self._escaped = False
                yield event
        except (ParseError, ValueError, OverflowError):
            self._parser = XTermParser()

    def _parsed(self, keys: str) -> Iterator[Message]:
        """Events of anything but pastes. After a sequence that raises, go on with the character that follows it."""
        for key in keys:
            if self._escaped and key.isprintable() and key not in _AFTER_ESCAPE:
                self._parser = XTermParser()
                yield Key("escape", "\x1b")
            self._escaped = key == "\x1b"
            try:
                yield from self._parser.feed(key)
            except (ParseError, ValueError, OverflowError):
                self._parser = XTermParser()


def _plain(pasted: str) -> str:
    """A pasted text without escape sequences and control characters; lines end in a newline, none is empty at the start."""
    text = _SEQUENCE.sub("", pasted).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text).lstrip("\n")
