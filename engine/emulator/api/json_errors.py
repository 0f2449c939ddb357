"""AWS's error texts (Jackson's) for a payload that is not JSON, as far as recordings show them."""

from __future__ import annotations

import re

__all__ = ["invalid_utf8", "parse_error"]

_EXPECTED = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_TOKEN = re.compile(rb"[A-Za-z0-9_$]+")


def parse_error(body: bytes, problem: Exception) -> str:
    """The text for a payload that is not JSON; `problem`: what our own parser says, where AWS's text is not known."""
    at = len(body) - len(body.lstrip(b" \t\r\n"))
    first = body[at : at + 1]
    if not first:
        return str(problem)
    if first >= b"\x80":
        code = f"(CTRL-CHAR, code {first[0]})" if first[0] < 0xA0 else f"'{first.decode('latin-1')}' (code {first[0]})"
        return f"Unexpected character ({code}): expected a valid value {_EXPECTED}{_source(body, at)}"
    token = _TOKEN.match(body, at)
    if first.isalpha() and token is not None and token[0] not in (b"null", b"true", b"false"):
        end = token.end()
        if body[end : end + 1] >= b"\x80":
            try:
                body[end:].decode()
            except UnicodeDecodeError as bad:
                if bad.start == 0:
                    return invalid_utf8(body, bad, end)
        return f"Unrecognized token '{token[0].decode()}': was expecting {_EXPECTED}{_source(body, end)}"
    return str(problem)


def invalid_utf8(body: bytes, problem: UnicodeDecodeError, base: int = 0) -> str:
    """The text for a payload that is not UTF-8; `problem` counts from `base` on."""
    at = base + problem.start
    if problem.reason == "invalid start byte":
        return f"Invalid UTF-8 start byte 0x{body[at]:x}{_source(body, at + 1)}"
    middle = at + 1
    while middle < min(len(body), base + problem.end):
        middle += 1
    if middle >= len(body):
        return f"Unexpected end-of-input in the middle of a UTF-8 character{_source(body, len(body))}"
    return f"Invalid UTF-8 middle byte 0x{body[middle]:x}{_source(body, middle + 1)}"


def _source(body: bytes, at: int) -> str:
    """AWS's words for a place: line and column from 1, the column in bytes."""
    line = body.count(b"\n", 0, at) + 1
    column = at - (body.rfind(b"\n", 0, at) + 1) + 1
    return (
        "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); "
        f"line: {line}, column: {column}]"
    )
