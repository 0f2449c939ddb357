"""A line on standard error for work that nothing else shows, where it takes longer than a moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lbench.errors import visible

__all__ = ["notice"]

_FIRST_S = 1.0  # work that takes less needs no word


@contextmanager
def notice(text: str, after_s: float = _FIRST_S) -> Iterator[None]:
    """Show `lbench: TEXT ...` once the block has taken `after_s` seconds."""

    def show() -> None:
        sys.stderr.write(f"lbench: {visible(text)} ...\n")
        sys.stderr.flush()

    timer = threading.Timer(after_s, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
