"""Signals while measuring: the first asks for an orderly stop, a second Ctrl-C ends at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from lbench.config.exit_codes import SIGNAL_EXIT_CODES

__all__ = ["StopSignals", "exit_on_signals"]


class StopSignals:
    """Records the first SIGINT, SIGTERM or SIGHUP, without interrupting anything: poll `first`.

    A second SIGINT raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNAL_EXIT_CODES:
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.first is None:
            self.first = signal.Signals(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    @property
    def exit_code(self) -> int | None:
        """The exit code of the first signal; None without one."""
        return None if self.first is None else SIGNAL_EXIT_CODES[self.first]


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that temporary files and children are cleaned up."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(SIGNAL_EXIT_CODES[signal.Signals(number)])

    before = {number: signal.signal(number, leave) for number in SIGNAL_EXIT_CODES if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
