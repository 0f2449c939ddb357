"""Leaves at once when the terminal was closed, SIGTERM came, or Ctrl-C came twice.

Textual cannot leave then: its loop may wait for a terminal that reads no more, and `App.exit` from a SIGHUP handler was
seen to hang. So the signal's handler restores the terminal itself and ends the process. The kernel closes the engine's
lifeline, and the engine follows `on_hangup`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from lbench.config.exit_codes import SIGNAL_EXIT_CODES

__all__ = ["Guard"]

_PATIENCE_S = 0.2  # for a terminal to take the few bytes that restore it

# What Textual has switched on. The first escape ends whatever sequence was cut off; 2026 is synchronized output,
# 2004 bracketed paste, 7 line wrap, 2048 resizes in band, 1000 to 1016 the mouse, <u the keyboard protocol, 1004
# focus, 1049 the other screen, 25 the cursor.
_RESTORE = (
    "\x1b[0m\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    "\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
)


class Guard:
    """Keeps the terminal's state while the app runs, and handles the signals that end it."""

    def __init__(self, farewell: Callable[[], str | None], interrupt: Callable[[], None]) -> None:
        """`farewell` gives the last line and must not take a lock; `interrupt` handles SIGINT, called on the loop."""
        self._farewell = farewell
        self._interrupt = interrupt
        self._interrupted = False  # and the loop has not heard of it yet
        self._before: dict[signal.Signals, Any] = {}
        self._leaving = False
        self._modes: list[Any] | None = None

    def __enter__(self) -> Self:
        with contextlib.suppress(termios.error, OSError, ValueError):
            self._modes = termios.tcgetattr(sys.__stdin__.fileno())  # type: ignore[union-attr]
        for number in SIGNAL_EXIT_CODES:
            take = self._take_interrupt if number == signal.SIGINT else self._take
            self._before[number] = signal.signal(number, take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.leave(SIGNAL_EXIT_CODES[signal.Signals(number)])

    def _take_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            self.leave(SIGNAL_EXIT_CODES[signal.SIGINT])
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not begun yet, or over
            self.leave(SIGNAL_EXIT_CODES[signal.SIGINT])
        self._interrupted = True
        loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        self._interrupted = False
        self._interrupt()

    def leave(self, code: int) -> None:
        """Restore the terminal, print the last line, and end the process without waiting for anything else."""
        again, self._leaving = self._leaving, True
        line = None if again else self._farewell()  # it may wait for a starting engine: not at a second signal
        self._restore((_RESTORE + (f"{line}\r\n" if line else "")).encode())
        os._exit(code)

    def _restore(self, data: bytes) -> None:
        with contextlib.suppress(OSError, termios.error):
            # Opened again: not waiting is then ours alone, and does not become the shell's too.
            terminal = os.open(os.ttyname(2), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)  # frames that still wait in the thread that writes go nowhere
            with contextlib.suppress(OSError):
                while data and select.select([], [terminal], [], _PATIENCE_S)[1]:
                    data = data[os.write(terminal, data) :]
            if self._modes is not None:
                termios.tcsetattr(terminal, termios.TCSANOW, self._modes)
