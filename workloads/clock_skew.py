"""Detects a signature refused because this machine's clock is wrong, and reads the service's time.

A signature holds its time, and AWS takes one that is at most 5 minutes off (S3: 15). The refusal's own Date header tells
how far: the next signature is made with that offset, as AWS's SDKs do (`correctClockSkew` of the JavaScript one). The
machine's clock stays as it is.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

__all__ = ["clock_offset"]

# The error names under which AWS's services refuse a signature; not all of them are about its time, so the Date decides.
_REFUSED = frozenset(
    (
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    )
)
_LEAST_S = 60.0  # under it the clock was not why: a wrong key is refused under the same names


def clock_offset(error: str | None, date: str | None, used_s: float) -> float | None:
    """The service's clock minus ours in seconds, where its refusal can be for the time of the signature; else None.

    Args:
        error: AWS's name of the error, of a 403 (some services: 400).
        date: the refusal's Date header.
        used_s: the offset that the refused signature was made with.
    """
    if error not in _REFUSED or not date:
        return None
    try:
        offset_s = parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return offset_s if abs(offset_s - used_s) >= _LEAST_S else None
