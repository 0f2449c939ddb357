"""AWS's limits on concurrency and request rates, each with its reason in the 429."""

from __future__ import annotations

import time

from lbench.engine.emulator.core.errors import Refusal

__all__ = ["Bucket", "Limits", "throttle"]


class Bucket:
    """A token bucket: full at first, refilled evenly. Without a lock, as one loop uses it."""

    __slots__ = ("_at_s", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at_s = time.monotonic()

    def take(self) -> bool:
        """Take a token; whether there was one."""
        if self._left < 2.0:  # the clock is read only when it matters
            now_s = time.monotonic()
            self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s
            if self._left < 1.0:
                return False
        self._left -= 1.0
        return True


def throttle(reason: str) -> Refusal:
    """The 429 for that reason; as recorded of AWS, it has no Retry-After."""
    return Refusal("TooManyRequestsException", "Rate Exceeded.", reason=reason)


class Limits:
    """Limits that all functions share. A function's reserved concurrency is subtracted from the shared concurrency."""

    def __init__(self, concurrency: int, requests_per_s: int, control_requests_per_s: int | None) -> None:
        self.concurrency = concurrency
        self.reserved: dict[str, int] = {}  # by function
        self.unreserved_left = concurrency  # free unreserved concurrency; below 0 after a reservation while many ran
        self._requests = Bucket(requests_per_s, requests_per_s)
        self._control = None
        if control_requests_per_s is not None:
            self._control = Bucket(control_requests_per_s, control_requests_per_s)

    def reserve(self, name: str, count: int | None) -> None:
        """Set a function's reserved concurrency; None: none is reserved."""
        self.unreserved_left += self.reserved.pop(name, 0)
        if count is not None:
            self.reserved[name] = count
            self.unreserved_left -= count

    def least_unreserved(self) -> int:
        """The concurrency that must stay unreserved: 100 on AWS, all of it in a smaller account."""
        return min(100, self.concurrency)

    def unreserved(self, besides: str = "") -> int:
        """The unreserved concurrency; `besides`: a function whose reservation is ignored."""
        return self.concurrency - sum(count for name, count in self.reserved.items() if name != besides)

    def request(self) -> None:
        """Count an Invoke.

        Raises:
            Refusal: too many requests a second.
        """
        if not self._requests.take():
            raise throttle("FunctionInvocationRateLimitExceeded")

    def control(self) -> None:
        """Count a request that is not an Invoke.

        Raises:
            Refusal: too many requests a second.
        """
        if self._control is not None and not self._control.take():
            raise throttle("CallerRateLimitExceeded")
