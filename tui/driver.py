"""Textual's driver with what it lacks: job control that cannot lock up, and a terminal that stops reading."""

from __future__ import annotations

import os
import select
import signal
from typing import Any

from textual.drivers.linux_driver import LinuxDriver

from lbench.tui.slim import Slimmer

__all__ = ["LbenchDriver"]

_QUEUED = 2  # writes that the terminal has not taken: from there on frames are left out
_STOPPED_S = 0.3  # a process that still runs so long after SIGTSTP was not stopped


class LbenchDriver(LinuxDriver):
    """For a real terminal.

    Textual suspends in the signal's handler, which may interrupt the very lock that it needs, and with SIGSTOP, which
    nobody can undo where no shell waits. Here the handlers only wake the loop, and SIGTSTP keeps its own meaning: the
    whole job stops, unless there is nobody who could continue it.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self._out = False  # of application mode: the terminal is the shell's
        self._slimmer = Slimmer()
        super().__init__(*args, **more)

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken the last frames: a further one would wait, and Textual's loop with it."""
        writer = self._writer_thread
        return writer is not None and writer._queue.qsize() > _QUEUED

    @property
    def hung_up(self) -> bool:
        """Whether the terminal was closed. SIGHUP goes only to those whose controlling terminal it was."""
        poll = select.poll()
        poll.register(self.fileno, 0)
        try:
            return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))
        except OSError:
            return True

    def write(self, data: str) -> None:
        """To the terminal, as long as it is ours."""
        if not self._out:
            super().write(self._slimmer.slim(data))

    def _sigtstp_application(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self.stop_job)

    def _sigcont_application(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._continued)

    def stop_job(self) -> None:
        """Give the terminal back and stop, as Ctrl-Z does elsewhere; the engine goes on."""
        if self._out:
            return
        self.suspend_application_mode()
        self._out = True
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(0, signal.SIGTSTP)
        self._loop.call_later(_STOPPED_S, self._come_back)

    def _continued(self) -> None:
        if not self._out:  # it was stopped by SIGSTOP: who knows what became of the terminal
            self.suspend_application_mode()
            self._out = True
        self._come_back()

    def _come_back(self) -> None:
        if not self._out:
            return
        signal.signal(signal.SIGTSTP, self._sigtstp_application)
        self._out = False
        self._slimmer.forget()
        self.resume_application_mode()
        if self._writer_thread is None or not self._writer_thread.is_alive():
            self._out = True  # in the background: stopped again, until the next SIGCONT
            return
        self._app.screen.refresh(layout=True)
