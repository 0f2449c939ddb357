"""Fewer bytes for the same picture: colours are sent only where they change.

Rich writes each piece as style, text, reset. A terminal keeps its style from piece to piece and from place to place,
so most of that says nothing: on a screen of ours it is two thirds of all bytes. Over SSH bytes are what counts.
"""

from __future__ import annotations

import functools
import re

__all__ = ["Slimmer"]

_SGR = re.compile("\x1b\\[([0-9;]*)m")
_MOVE = re.compile("(?:\r\n)?(?:\x1b\\[\\d+;\\d+H)?\\Z")  # what shows nothing, and needs no style
_END_BEFORE_MOVE = re.compile("\r\n(?=(?:\x1b\\[[0-9;]*m)*\x1b\\[\\d+;\\d+H)")

_Style = tuple[str, str, frozenset[str]]  # foreground, background ("" the terminal's own), attributes
_PLAIN: _Style = ("", "", frozenset())


class Slimmer:
    """Follows a terminal's style. It must be given all that is written to it."""

    def __init__(self) -> None:
        self._now: _Style | None = None  # of the terminal; None: not known
        self._wanted = _PLAIN  # of what is written next

    def forget(self) -> None:
        """Forget the style: another program has written to the terminal."""
        self._now = None
        self._wanted = _PLAIN

    def slim(self, data: str) -> str:
        """Shorter data that shows the same."""
        parts = _SGR.split(_END_BEFORE_MOVE.sub("", data))
        pieces = []
        for index, part in enumerate(parts):
            if index & 1:
                self._wanted = _applied(self._wanted, part)
            elif part:
                pieces.append(self._styled(part))
        return "".join(pieces)

    def _styled(self, text: str) -> str:
        wanted, now = self._wanted, self._now
        if wanted == now or _MOVE.match(text):
            return text
        if now is not None and not wanted[2] and not now[2] and text.isspace() and "\n" not in text:
            wanted = (now[0], wanted[1], wanted[2])  # nobody sees what colour a blank would be written in
        self._now = wanted
        return _change(now, wanted) + text


@functools.lru_cache(4096)
def _applied(style: _Style, codes: str) -> _Style:
    """A style after an SGR sequence."""
    front, back, attributes = style
    parts = iter(codes.split(";"))
    for code in parts:
        if code in ("", "0"):
            front, back, attributes = _PLAIN
        elif code in ("38", "48"):
            kind = next(parts, "")
            colour = ";".join([code, kind, *(next(parts, "") for _ in range(3 if kind == "2" else 1))])
            front, back = (colour, back) if code == "38" else (front, colour)
        elif code in ("39", "49"):
            front, back = ("", back) if code == "39" else (front, "")
        elif len(code) > 1 and code[0] in "39":
            front = code
        elif len(code) > 1 and code[0] in "41":
            back = code
        else:
            attributes = attributes | {code}
    return front, back, attributes


@functools.lru_cache(4096)
def _change(now: _Style | None, wanted: _Style) -> str:
    """The shortest sequence from one style to another."""
    front, back, attributes = wanted
    if now is None or not attributes >= now[2]:
        return f"\x1b[{';'.join(filter(None, ['0', *sorted(attributes), front, back]))}m"
    codes = sorted(attributes - now[2])
    if front != now[0]:
        codes.append(front or "39")
    if back != now[1]:
        codes.append(back or "49")
    return f"\x1b[{';'.join(codes)}m" if codes else ""
