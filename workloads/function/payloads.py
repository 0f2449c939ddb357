"""The events that a function is called with: from the parameter's own text, a JSON file, or a file with one a line."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.errors import InputError

__all__ = ["LARGEST_BYTES", "STANDARD_INPUT", "check_payloads", "read_payloads"]

LARGEST_BYTES = 6 * 1024 * 1024  # of a synchronous invocation (AWS documentation, Lambda quotas)
STANDARD_INPUT = "@-"
_LINES = (".jsonl", ".ndjson")


def read_payloads(payload: str) -> list[bytes]:
    """The events, at least one, each a JSON text.

    A file is one event if all of it is JSON, else an event a line; a name that ends in .jsonl always is the latter.

    Raises:
        InputError: the file cannot be read, something is no JSON, or too large for Lambda.
    """
    if not payload.startswith("@"):
        return [_checked(payload.encode(), f"payload={payload[:60]}")]
    if payload == STANDARD_INPUT:
        raise InputError("payload=@-: standard input is read by `lbench run` only: name a file")
    path = Path(payload[1:])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"payload={payload}: the file cannot be read ({error.strerror})") from None
    return check_payloads(content, str(path), lines=path.suffix in _LINES)


def check_payloads(content: bytes, where: str, *, lines: bool = False) -> list[bytes]:
    """The events in what was read from `where`; `lines`: one a line, whatever it looks like.

    Raises:
        InputError: there is none, or one that is no JSON or too large.
    """
    if not lines:
        try:
            msgspec.json.decode(content, type=msgspec.Raw)
        except msgspec.DecodeError:
            lines = b"\n" in content.strip()
        if not lines:
            return [_checked(content, where)]
    events = [
        _checked(line, f"{where}, line {number}") for number, line in enumerate(content.splitlines(), 1) if line.strip()
    ]
    if not events:
        raise InputError(f"{where} holds no event: write JSON into it, an event a line")
    return events


def _checked(text: bytes, where: str) -> bytes:
    text = text.strip()
    if not text:
        raise InputError(f"{where} holds no event: write JSON into it")
    if len(text) > LARGEST_BYTES:
        raise InputError(
            f"{where}: an event of {len(text):,} bytes is more than the {LARGEST_BYTES:,} that Lambda takes"
        )
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InputError(f"{where}: it is no JSON ({error})") from None
    return text
