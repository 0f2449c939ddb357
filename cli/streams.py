"""Standard output and error that never raise: where they cannot be written, the command itself goes on.

A terminal that is closed, a reader that has left its pipe or a full disk would else raise in the middle of whatever
prints, or once more while Python ends (exit code 120). Here the first error is kept, and `main` decides by it at the end.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, TextIO

from lbench.config.ascii_fallback import is_ascii_only, spelled

__all__ = ["end_output", "open_streams", "output_error"]


_SIGNS = "lbench.signs"


def _spell(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return spelled(error.object[error.start : error.end]), error.end


codecs.register_error(_SIGNS, _spell)


class _Descriptor(io.FileIO):
    """A file descriptor that takes all that is written; after its first error it drops it."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return len(memoryview(data).cast("B"))


def open_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr`; a stream that was closed (`<&-`, `>&-`) becomes the null device."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            # `_safe` drops this object; the descriptor must stay open for as long as the process lives.
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    sys.stdout, sys.stderr = _safe(sys.stdout), _safe(sys.stderr)


def _safe(stream: TextIO) -> TextIO:
    try:
        number = stream.fileno()
    except OSError:  # a test's stream, in memory
        return stream
    assert isinstance(stream, io.TextIOWrapper)
    stream.flush()
    # A locale without our signs is no reason to fail: it gets words and ASCII signs.
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(number)),
        encoding="ascii" if is_ascii_only(stream.encoding) else stream.encoding,
        errors=_SIGNS,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def output_error() -> OSError | None:
    """Why standard output could not be written. A reader that left early is no error: it has what it wanted."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, _Descriptor) else None
    return None if error is None or error.errno == errno.EPIPE else error


def end_output(code: int) -> int:
    """The exit code of a command that ends with `code`: 0 becomes 1 where standard output could not be written."""
    from lbench.config.exit_codes import EXIT_FAILED

    error = output_error()
    if error is None:
        return code
    sys.stderr.write(f"lbench: cannot write to standard output: {error.strerror}\n")
    return code or EXIT_FAILED
