"""The error of a task's own code, as texts that can always be sent: reporting an error never fails itself."""

from __future__ import annotations

import traceback
from typing import NamedTuple

__all__ = ["ErrorTexts", "error_texts", "sendable"]

_MESSAGE = 1000  # characters
_FRAMES = 100


class ErrorTexts(NamedTuple):
    """An error's type, its message on one line, and its traceback's frames, all of them valid Unicode."""

    kind: str
    message: str
    frames: list[str]


def error_texts(error: BaseException) -> ErrorTexts:
    """The texts of an error, whatever its class does when it is asked for them."""
    kind = _name_of(error)
    try:
        message = " ".join(str(error).split())
    except BaseException as other:  # the task's own __str__ may raise anything
        message = f"(its message cannot be read: __str__ raised {_name_of(other)})"
    try:
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__)[-_FRAMES:])
    except BaseException:  # for example a source file that is not text
        frames = []
    return ErrorTexts(kind, shortened(_sent(message)), [_sent(frame) for frame in frames])


def _name_of(error: BaseException) -> str:
    """The name of its class, past a metaclass that may raise when it is asked for it."""
    return _sent(type.__dict__["__name__"].__get__(type(error)))


def sendable(error: BaseException) -> Exception:
    """The error itself where any runtime can report it; else an exception of its name with its message.

    What is no `Exception` (`sys.exit`, a KeyboardInterrupt) would end the runtime's process in place of the call.
    """
    texts = error_texts(error)
    if isinstance(error, Exception):
        try:
            if len(str(error)) <= _MESSAGE and _is_text(str(error)) and _is_text(type(error).__name__):
                return error
        except BaseException:
            pass
    stand_in: type[Exception] = type(texts.kind, (Exception,), {})
    return stand_in(texts.message).with_traceback(error.__traceback__)


def shortened(text: str) -> str:
    """A text of bounded length; of a longer one both ends."""
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE // 2]} ... {text[-_MESSAGE // 2 :]}"


def _sent(text: object) -> str:
    """A text without what cannot be encoded: lone surrogates become question marks."""
    try:
        return str(text).encode("utf-8", "replace").decode()
    except BaseException:
        return "?"


def _is_text(text: str) -> bool:
    return _sent(text) == text
