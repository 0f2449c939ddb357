"""Kills an engine that its launcher's end has not ended: `python -I -S orphan_guard.py PID SECONDS`.

An engine acts on the end of its launcher by itself, on its event loop. C code in a job that keeps the interpreter's lock (a
sum over a huge range, a regular expression) lets nothing else run in its process: that has to be done from outside. Its
standard input is the engine's own lifeline. Linux only: elsewhere it would not end with the engine.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Wait until the launcher is gone, then for the engine's own end."""
    ward, patience_s = int(sys.argv[1]), float(sys.argv[2])
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with its ward, never before
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    poll = select.poll()
    poll.register(0, 0)  # what comes through the pipe is the engine's to read
    while os.getppid() == ward and not poll.poll():
        pass
    time.sleep(patience_s)
    if os.getppid() == ward:
        os.kill(ward, signal.SIGKILL)


if __name__ == "__main__":
    main()
