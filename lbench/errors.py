"""The one tree of errors. Each message is one line: what happened, to what, and what to do next.

    LbenchError
    ├── InputError            bad usage or bad input: exit code 2
    │   ├── UnknownNameError  a name that is not there, with the nearest that is
    │   ├── DataFileError     a data file that cannot be used
    │   └── SessionFileError  a session that cannot be read
    ├── EncodingError         a value that cannot travel, or bytes that are not a value
    ├── WorkloadError         what a user's own workload did: its run fails, exit code 1
    ├── BackendError          a backend that could not be opened or has broken down: the run fails, exit code 1
    └── EngineLostError       the engine process has gone away

This module is the ground floor: every folder may import it, and it imports nothing. So texts from outside, which errors
quote and every view shows, are made harmless for a terminal here too: a file, a remote log or a name may hold escapes that
set the terminal's title or the clipboard, eight-bit controls, and marks that reorder text. And a count is written with its
noun here, as sentences of every folder need it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = [
    "BYTE_ORDER_MARKS",
    "BackendError",
    "DataFileError",
    "EncodingError",
    "EngineLostError",
    "InputError",
    "LbenchError",
    "SessionFileError",
    "UnknownNameError",
    "WorkloadError",
    "count_text",
    "one_line",
    "utf8",
    "visible",
    "visible_json",
]

# What a terminal obeys or reorders text by, but line feed and tab: C0, DEL, C1, marks of bidirectional text, separators of
# lines; and lone surrogates, which no stream can write.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# The same as they stand in JSON: escaped, or as UTF-8. `\\\\` is matched to keep escapes in step.
_JSON_CONTROL = re.compile(
    rb"\\\\"
    rb"|\\r\\n|\\u000[dD]\\n"
    rb"|\\[bfr]"
    rb"|\\u00(?:0[0-8b-fB-F]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])"
    rb"|\\u(?:061[cC]|20(?:0[eEfF]|2[89a-eA-E]|6[6-9]))"
    rb"|\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)
_MARK = b"\xef\xbb\xbf"
# The encodings that byte order marks name, the longer marks first; without the one of UTF-8.
BYTE_ORDER_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SHORT = {b"\\b": b"\\\\x08", b"\\f": b"\\\\x0c"}
_LINE_ENDS = (b"\\r", b"\\r\\n")


def one_line(text: str) -> str:
    """The text's lines in one."""
    return " ".join(line.strip() for line in text.splitlines())


def visible(text: str) -> str:
    """The text with its control characters spelled out, as in `\\x1b`; line ends become line feeds."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_spelled, text.replace("\r\n", "\n").replace("\r", "\n"))


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible_json(content: bytes | memoryview) -> bytes:
    """JSON from outside (a session file, a live feed) with the control characters of its texts spelled out likewise."""
    content = bytes(content)
    if content.isascii() and b"\\" not in content and b"\x7f" not in content:  # nearly every line
        return content
    return _JSON_CONTROL.sub(_spelled_json, content.removeprefix(_MARK))


def utf8(content: bytes) -> bytes:
    """A text file's content in UTF-8, without the byte order mark that editors and shells of Windows write.

    What is not in the encoding that its mark names stays as it is: reading it tells what is wrong.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            try:
                return content.decode(encoding).encode()
            except UnicodeError:
                return content
    return content.removeprefix(_MARK)


def _spelled_json(match: re.Match[bytes]) -> bytes:
    found = match[0]
    if found == b"\\\\":
        return found
    if found in _LINE_ENDS or found[:6].lower() == b"\\u000d":
        return b"\\n"
    if found in _SHORT:
        return _SHORT[found]
    text = chr(int(found[2:], 16)) if found.startswith(b"\\u") else found.decode()
    return visible(text).replace("\\", "\\\\").encode()


def count_text(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 run", "3 runs", "12,000 tasks"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


class LbenchError(Exception):
    """Whatever lbench raises on purpose. Its text is harmless for a terminal, whatever names and texts it quotes."""

    def __str__(self) -> str:
        return visible(super().__str__())


class InputError(LbenchError):
    """Unusable input; the message says what to do instead."""


class UnknownNameError(InputError):
    """A name that does not exist; the message suggests the nearest that does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}" if known else "there is none"
        super().__init__(f"unknown {kind} {name!r}: {hint}")
        self.kind, self.name, self.known = kind, name, known


class DataFileError(InputError):
    """A data file that cannot be used, and why."""


class SessionFileError(InputError):
    """A session document or journal that cannot be read."""


class EncodingError(LbenchError):
    """A value that cannot travel between driver and environment, or bytes that do not decode."""


class WorkloadError(LbenchError):
    """A user's own code raised, or gave what cannot be used."""


class BackendError(LbenchError):
    """A backend could not be opened, or no longer works."""


class EngineLostError(LbenchError):
    """The engine process ended without finishing what it was asked to do."""
