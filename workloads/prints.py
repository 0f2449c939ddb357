"""Counts what a task prints, and drops it above a limit: a log costs money by its bytes.

Counted is what goes through `sys.stdout`, `sys.stderr` and the logging of Lambda's runtime. Processes that the task starts,
and C code, write to the descriptors themselves: that is not counted.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from lbench.workloads.wire import LINE_BYTES

__all__ = ["Meter", "counted", "install"]


class Meter:
    """Bytes that the log has grown by, `LINE_BYTES` for each line, and what was dropped."""

    def __init__(self) -> None:
        self.printed = 0
        self.dropped = 0
        self._limit: int | None = None

    def begin(self, limit: int | None) -> None:
        """Start counting, up to this many bytes."""
        self.printed = self.dropped = 0
        self._limit = limit

    def take(self, content: bytes, lines: int) -> bytes:
        """The part of the content that may be written, `lines` of which begin in it."""
        size = len(content) + lines * LINE_BYTES
        if self._limit is None or self.printed + size <= self._limit:
            self.printed += size
            return content
        room = max(0, self._limit - self.printed - lines * LINE_BYTES)
        kept = content[:room]
        self.dropped += len(content) - len(kept)
        self.printed = self._limit
        return kept


class _Stream:
    """A text stream whose writes are counted; all else is the stream's own."""

    def __init__(self, stream: Any, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter
        self._fresh = True  # at the beginning of a line

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            return _Buffer(self._stream.buffer, self)
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def write(self, text: Any) -> int:
        if not isinstance(text, str):
            return int(self._stream.write(text))  # which refuses it
        content = text.encode("utf-8", "surrogatepass")
        kept = self.take(content)
        self._stream.write(text if len(kept) == len(content) else kept.decode("utf-8", "ignore"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def take(self, content: bytes) -> bytes:
        """The part of the content that may be written."""
        if not content:
            return content
        ended = content.endswith(b"\n")
        lines = self._fresh + content.count(b"\n") - ended
        self._fresh = ended
        return self._meter.take(content, lines)


class _Buffer:
    """The bytes below a counted stream."""

    def __init__(self, buffer: Any, stream: _Stream) -> None:
        self._buffer = buffer
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)

    def write(self, content: Any) -> int:
        whole = bytes(content)
        self._buffer.write(self._stream.take(whole))
        return len(whole)


class _Sink:
    """The log of Lambda's runtime, which `logging` writes to."""

    def __init__(self, sink: Any, meter: Meter) -> None:
        self._sink = sink
        self._meter = meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def log(self, text: str, *arguments: Any, **named: Any) -> None:
        content = text.encode("utf-8", "surrogatepass")
        kept = self._meter.take(content, 1)
        if kept:
            self._sink.log(text if len(kept) == len(content) else kept.decode("utf-8", "ignore"), *arguments, **named)


def install(meter: Meter) -> None:
    """Count from here on, also through streams that a module keeps when it is imported."""
    sys.stdout, sys.stderr = _wrapped(sys.stdout, meter), _wrapped(sys.stderr, meter)


@contextlib.contextmanager
def counted(meter: Meter, limit: int | None) -> Iterator[None]:
    """Count what the block prints, and say at its end what was dropped."""
    before = sys.stdout, sys.stderr
    install(meter)
    _count_logging(meter)
    meter.begin(limit)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        if meter.dropped:
            out = before[0]._stream if isinstance(before[0], _Stream) else before[0]
            with contextlib.suppress(OSError, ValueError):
                out.write(
                    f"\nlbench: {meter.dropped:,} bytes more were printed and dropped: print_limit is {limit:,}\n"
                )
                out.flush()


def _wrapped(stream: Any, meter: Meter) -> Any:
    return stream if stream is None or isinstance(stream, _Stream) else _Stream(stream, meter)


def _count_logging(meter: Meter) -> None:
    logging: Any = sys.modules.get("logging")
    for handler in () if logging is None else logging.root.handlers:
        sink = getattr(handler, "log_sink", None)
        # The runtime's plain sink writes to sys.stdout, which is counted already.
        if hasattr(sink, "log") and not isinstance(sink, _Sink) and type(sink).__name__ != "StandardLogSink":
            handler.log_sink = _Sink(sink, meter)
