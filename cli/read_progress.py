"""Progress on standard error while a large file is read: one line on a terminal, else a line every few seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Self

from lbench.analysis.format import seconds_text
from lbench.cli.console import is_live_terminal
from lbench.errors import visible

__all__ = ["ReadingProgress", "reading_text"]

_FIRST_S = 1.0  # a file that is read sooner needs no word
_FRAME_S, _LINE_S = 0.25, 5.0
_ESTIMATE_FROM = 0.001  # of the file


class ReadingProgress:
    """Call it with the bytes read so far, as often as you like; leaving it clears its line on a terminal."""

    def __init__(self, name: str, size_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = visible(name)
        self._size_bytes = size_bytes
        self._clock = clock
        self._live = is_live_terminal(sys.stderr)
        self._started_s = clock()
        self._next_s = self._started_s + _FIRST_S
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, read_bytes: int) -> None:
        """Show it when it is time."""
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s = now_s + (_FRAME_S if self._live else _LINE_S)
        text = reading_text(self._name, read_bytes, self._size_bytes, now_s - self._started_s)
        if self._live:
            self._drawn = True
            sys.stderr.write(f"\r{_cut(text)}\x1b[K")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def reading_text(name: str, read_bytes: int, size_bytes: int, elapsed_s: float) -> str:
    """As in "reading loans.csv.gz: 312 MB of 1,210 MB (26 %), about 40 s left"."""
    done = min(1.0, read_bytes / size_bytes) if size_bytes else 1.0
    text = f"reading {name}: {read_bytes / 1e6:,.0f} MB of {size_bytes / 1e6:,.0f} MB ({_percent(done)})"
    if _ESTIMATE_FROM <= done < 1:
        text += f", about {seconds_text(elapsed_s * (1 - done) / done)} left"
    return text


def _percent(share: float) -> str:
    return f"{share * 100:.{0 if share >= 0.1 else 1}f} %"


def _cut(text: str) -> str:
    """The text as long as a line of the terminal; what is drawn over must not wrap. The end says more than the name."""
    room = max(10, _columns() - 1)
    return text[-room:]


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80
