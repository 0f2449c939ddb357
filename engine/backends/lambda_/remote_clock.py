"""An environment's wall clock, mapped onto the driver's monotonic one.

In each invocation the handler began after the request was sent, and ended before the response arrived. With
`offset = remote - local` that is `ended - arrived <= offset <= began - sent`. The offset lies in the intersection of
these intervals over an environment's invocations; its middle is the estimate, half its width the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RemoteClock"]

_ROUNDING_S = 1e-6  # a float of seconds since the epoch resolves 0.24 us


@dataclass(slots=True)
class RemoteClock:
    """The offset of one environment's clock, in seconds."""

    low: float = float("-inf")
    high: float = float("inf")

    def observe(self, sent_s: float, began: float, ended: float, arrived_s: float, init_s: float = 0.0) -> None:
        """Narrow the interval by one invocation.

        Args:
            sent_s: when the request went out, on the driver's clock.
            began: when the handler began, on the environment's.
            ended: when the handler ended, on the environment's.
            arrived_s: when the response had arrived, on the driver's clock.
            init_s: the init before the handler began, in a cold start. It is used only where it fits between sending
                and arriving: an environment that Lambda made ahead of time had its init before the request.
        """
        low, high = ended - arrived_s, began - sent_s
        if low <= high - init_s:
            high -= init_s
        if low - high > _ROUNDING_S:  # shorter here than there: one of the clocks stepped meanwhile
            return
        low = min(low, high)
        if low > self.high or high < self.low:  # a clock stepped since: the old interval no longer holds
            self.low, self.high = low, high
            return
        self.low, self.high = max(self.low, low), min(self.high, high)

    @property
    def offset_s(self) -> float | None:
        """Remote minus local; None: nothing observed."""
        return None if self.low > self.high or self.high == float("inf") else (self.low + self.high) / 2

    @property
    def bound_s(self) -> float | None:
        """The largest possible error of `offset_s`; None: nothing observed."""
        return None if self.high == float("inf") else (self.high - self.low) / 2

    def local(self, remote: float) -> float | None:
        """A remote time on the driver's clock."""
        offset = self.offset_s
        return None if offset is None else remote - offset
