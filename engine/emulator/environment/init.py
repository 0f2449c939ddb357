"""An environment's init: its beginning, its outcome, and its part of the first invocation's log."""

from __future__ import annotations

import json

from lbench.engine.emulator.core.log import ended, init_report

__all__ = ["Init"]


class Init:
    """An init; one that fails is repeated once, within the invocation's time. `_s` on the loop's clock."""

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.again = False  # whether it is repeated, within the invocation's time
        self.duration_ms: float | None = None  # None: not over
        self.failure: tuple[str, bytes | bytearray] | None = None  # as the runtime reported it: type, payload
        self._reported = False  # whether an invocation has reported (and billed) the duration
        self._output = b""

    def begin_again(self, began_s: float) -> None:
        """Start the second init, whose duration is part of its invocation's."""
        self.began_s = began_s
        self.again = self._reported = True
        self.failure = None

    def report_failure(self, payload: bytes | bytearray) -> None:
        """Record the runtime's own report; its process ends by itself now."""
        try:
            kind = str(json.loads(payload)["errorType"])
        except (ValueError, KeyError, TypeError):
            kind = "Runtime.Unknown"
        self.failure = kind, payload

    def note_failure(self, now_s: float, output: bytes, status: str, error_type: str | None) -> None:
        """Append AWS's INIT_REPORT line for a failed init to its output."""
        phase = init_report(now_s - self.began_s, "invoke" if self.again else "init", status, error_type)
        self._output += ended(output) + phase

    def done(self, now_s: float, output: bytes) -> None:
        """Record the end of the init."""
        self.duration_ms = (now_s - self.began_s) * 1000
        self._output += output

    def report(self) -> tuple[bytes, float | None]:
        """The init's part of an invocation's log, once: its output, and its duration in ms where it is reported apart."""
        output, self._output = self._output, b""
        duration_ms = None if self._reported else self.duration_ms
        self._reported = True
        return output, duration_ms
