"""Ends this process at a deadline, whatever the code that runs in it does.

Timers of the kernel's (timer_create) send SIGALRM at the deadline and SIGKILL a moment later. Python has no name for them:
an alarm, an interval timer or a handler of the task's own does not reach them, and they fire also while C code holds the
interpreter's lock. Where there are none (macOS), the interval timer does it, and in another thread a thread.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["EXIT_AT_DEADLINE", "ended_at"]

EXIT_AT_DEADLINE = 124  # as timeout(1) exits: the driver knows the deadline by it
_KILLED_AFTER_MS = 250  # a handler for SIGALRM may have been left by the task
_CLOCK_MONOTONIC = 1


@contextlib.contextmanager
def ended_at(deadline_ms: float) -> Iterator[None]:
    """End the process so long after now, unless the block has ended before."""
    if threading.current_thread() is not threading.main_thread():
        with _by_thread(deadline_ms):
            yield
        return
    timers = _timers()
    previous = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if timers is None:
        signal.setitimer(signal.ITIMER_REAL, deadline_ms / 1000)
    else:
        _set(timers[0], deadline_ms)
        _set(timers[1], deadline_ms + _KILLED_AFTER_MS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # also one of the task's own
        for timer in timers or ():
            _set(timer, 0)
        signal.signal(signal.SIGALRM, previous or signal.SIG_DFL)


@contextlib.contextmanager
def _by_thread(deadline_ms: float) -> Iterator[None]:
    timer = threading.Timer(deadline_ms / 1000, os._exit, (EXIT_AT_DEADLINE,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _timers() -> tuple[Any, Any] | None:
    """The timers for SIGALRM and SIGKILL of this process; None: it cannot have any."""
    return _timers_of(os.getpid())  # a forked child has none of its parent's


@functools.cache
def _timers_of(process: int) -> tuple[Any, Any] | None:
    try:
        return _made(signal.SIGALRM), _made(signal.SIGKILL)
    except (OSError, AttributeError, ImportError):
        return None


@functools.cache
def _library() -> Any:
    import ctypes  # numpy has loaded it already

    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)


def _made(number: signal.Signals) -> Any:
    import ctypes

    event = (ctypes.c_int * 16)(0, 0, number)  # struct sigevent: a value of 8 bytes, the signal, SIGEV_SIGNAL (0)
    timer = ctypes.c_void_p()
    if _library().timer_create(_CLOCK_MONOTONIC, event, ctypes.byref(timer)):
        raise OSError(ctypes.get_errno(), "timer_create")
    return timer


def _set(timer: Any, after_ms: float) -> None:
    """Start the timer, or with 0 stop it."""
    import ctypes

    seconds, rest = divmod(int(after_ms * 1e6), 1_000_000_000)
    when = (ctypes.c_long * 4)(0, 0, seconds, rest)  # struct itimerspec: no interval, the first expiry
    _library().timer_settime(timer, 0, when, None)
