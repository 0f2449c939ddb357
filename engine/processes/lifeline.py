"""Ends a child process with its parent, however that ended. Imports next to nothing: every child loads it first.

On Linux by PDEATHSIG (SIGKILL, so that a frozen child dies as well), and everywhere else by a thread that
watches a pipe, its standard input, whose other end only the parent holds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys

__all__ = ["PARENT", "begin_to_answer", "die_with_parent", "free_standard_input", "take_group_along"]

PARENT = "LBENCH_PARENT_PID"
_PR_SET_PDEATHSIG = 1
_F_SETSIG = 10  # Linux's; Python's fcntl has no name for it


_descriptor = 0  # of the pipe, once it has moved


def free_standard_input() -> int:
    """Move the lifeline away from standard input, and return its new descriptor.

    Standard input is then empty: users' code, and the programs that it starts, may read it, and wait for nothing.
    """
    global _descriptor
    _descriptor = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return _descriptor


def die_with_parent() -> None:
    """Called first thing in every child: end when the parent has gone, however it went."""
    parent = os.environ.pop(PARENT, None)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if parent is not None and os.getppid() != int(parent):  # it died before the line above
            os._exit(1)
    else:
        import threading

        threading.Thread(target=_watch_lifeline, name="lifeline", daemon=True).start()


def begin_to_answer() -> int:
    """Called first in a child that writes one answer: the descriptor for it. What users' code prints goes to stderr."""
    free_standard_input()
    die_with_parent()
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def take_group_along() -> None:
    """Called after `die_with_parent` by a child that starts others: its group too ends when the parent has gone.

    PDEATHSIG reaches the child alone. Its standard input is a pipe whose other end only the parent holds; made
    signal-driven (F_SETSIG), the kernel itself kills the group when that end closes. The parent must never write to
    it. Elsewhere than on Linux the watching thread does the same.
    """
    pipe = _descriptor
    if sys.platform == "linux" and os.getpgrp() == os.getpid() and stat.S_ISFIFO(os.fstat(pipe).st_mode):
        import fcntl

        with contextlib.suppress(OSError):  # where the kernel refuses, PDEATHSIG has to do
            fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(pipe, _F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def _watch_lifeline() -> None:
    with contextlib.suppress(OSError):
        while os.read(_descriptor, 4096):
            pass
    with contextlib.suppress(OSError):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
