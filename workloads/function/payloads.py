"""The events that a function is called with: from the parameter's own text, a JSON file, or a file with one a line."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from lbench.decoding import decode_json
from lbench.errors import BYTE_ORDER_MARKS, InputError, utf8
from lbench.workloads.textfile import check_regular

__all__ = ["LARGEST_BYTES", "STANDARD_INPUT", "check_payloads", "read_payloads"]

LARGEST_BYTES = 6 * 1024 * 1024  # of a synchronous invocation (AWS documentation, Lambda quotas)
STANDARD_INPUT = "@-"
_LARGEST_FILE = 1 << 30
_LINES = (".jsonl", ".ndjson")
_BYTE_AT = re.compile(r" \(byte (\d+)\)$")


def read_payloads(payload: str) -> list[bytes]:
    """The events, at least one, each a JSON text in UTF-8.

    A file is one event if all of it is JSON or its first line is not, else one event per line; a name that ends in .jsonl
    always is the latter.

    Raises:
        InputError: the file cannot be read, an event is invalid JSON, or too large for Lambda.
    """
    if not payload.startswith("@"):
        return [_checked(payload.encode("utf-8", "surrogateescape"), f"payload={payload[:60]}")]
    if payload == STANDARD_INPUT:
        raise InputError("payload=@-: standard input is read by `lbench run` only: name a file")
    path = Path(payload[1:])
    try:
        check_regular(path)
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise InputError(f"payload={payload}: the file must be at most {_LARGEST_FILE:,} bytes")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"payload={payload}: the file cannot be read ({why})") from None
    return check_payloads(content, str(path), lines=path.suffix in _LINES)


def check_payloads(content: bytes, where: str, *, lines: bool = False) -> list[bytes]:
    """The events in the content of `where`; `lines`: one a line, whatever it looks like.

    Raises:
        InputError: there is none, or one that is invalid JSON or too large.
    """
    content = _utf8(content, where)
    rows = content.splitlines()
    if not lines:
        first = next((row for row in rows if row.strip()), b"")
        if _is_json(content) or not _is_json(first):
            return [_checked(content, where)]
    events = [_checked(row, where, line) for line, row in enumerate(rows, 1) if row.strip()]
    if not events:
        raise InputError(f"{where} holds no event: write JSON into it, an event a line")
    return events


def _utf8(content: bytes, where: str) -> bytes:
    """The content as UTF-8 without a byte order mark, which JSON does not have and editors write."""
    content = utf8(content)
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            raise InputError(f"{where} is not {encoding.upper()}, as its byte order mark says")
    return content


def _is_json(text: bytes) -> bool:
    try:
        text.decode()
        decode_json(text, msgspec.Raw)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return False
    return True


def _checked(text: bytes, where: str, line: int | None = None) -> bytes:
    """The event in this text, which begins on this line of `where` (None: the text is all of it)."""
    place = where if line is None else f"{where}, line {line:,}"
    event = text.strip()
    if not event:
        raise InputError(f"{place} holds no event: write JSON into it")
    if len(event) > LARGEST_BYTES:
        raise InputError(f"{place}: an event must be at most {LARGEST_BYTES:,} bytes for Lambda, got {len(event):,}")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        byte = f"byte 0x{text[error.start]:02x} is not UTF-8: save it as UTF-8"
        raise InputError(f"{where}, {_place(text, error.start, line)}: {byte}") from None
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        found = _BYTE_AT.search(str(error))
        why = _BYTE_AT.sub("", str(error)).removeprefix("JSON is malformed: ")
        at = len(text.rstrip()) if found is None else int(found[1])
        raise InputError(f"{where}, {_place(text, at, line)}: invalid JSON: {why}") from None
    except RecursionError:
        raise InputError(f"{place}: invalid JSON: it is nested too deeply") from None
    return event


def _place(text: bytes, at: int, line: int | None) -> str:
    """The line and column of a byte in the text."""
    before = text[:at]
    column = at - (max(before.rfind(b"\n"), before.rfind(b"\r")) + 1) + 1
    return f"line {len((before + b'.').splitlines()) - 1 + (line or 1):,}, column {column:,}"
