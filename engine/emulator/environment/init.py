"""An environment's init: when it began, what came of it, and what the first invocation's log tells of it."""

from __future__ import annotations

import json

from lbench.engine.emulator.core.log import ended, init_report

__all__ = ["Init"]


class Init:
    """One that fails is begun again once, in the time of an invocation. `_s` on the loop's clock."""

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.again = False  # whether it is begun again, in the time of the invocation
        self.duration_ms: float | None = None  # None: it is not over
        self.failure: tuple[str, bytes | bytearray] | None = None  # what the runtime reported: type, payload
        self._told = False  # whether the duration has been reported (and billed) with an invocation
        self._output = b""

    def begin_again(self, began_s: float) -> None:
        """The second one is not told apart from its invocation, and not billed apart."""
        self.began_s = began_s
        self.again = self._told = True
        self.failure = None

    def report_failure(self, payload: bytes | bytearray) -> None:
        """The runtime says why it cannot begin; its process ends by itself now."""
        try:
            kind = str(json.loads(payload)["errorType"])
        except (ValueError, KeyError, TypeError):
            kind = "Runtime.Unknown"
        self.failure = kind, payload

    def note_failure(self, now_s: float, output: bytes, status: str, error_type: str | None) -> None:
        """Write AWS's line on one that has failed, after what it has written itself."""
        phase = init_report(now_s - self.began_s, "invoke" if self.again else "init", status, error_type)
        self._output += ended(output) + phase

    def done(self, now_s: float, output: bytes) -> None:
        """It is over."""
        self.duration_ms = (now_s - self.began_s) * 1000
        self._output += output

    def tell(self) -> tuple[bytes, float | None]:
        """What an invocation's log tells of it, once: its output, and its duration in ms where that is to be told."""
        output, self._output = self._output, b""
        duration_ms = None if self._told else self.duration_ms
        self._told = True
        return output, duration_ms
