"""Textual's driver, extended: job control that cannot deadlock, and terminals that stop reading."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from typing import Any

from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.geometry import Size

from lbench.config.ascii_fallback import is_ascii_only, one_cell_each
from lbench.tui.terminal.input_parser import InputParser
from lbench.tui.terminal.sgr import Slimmer

__all__ = ["LbenchDriver"]

_QUEUED = 2  # writes that the terminal has not taken: from there on frames are left out
_SETTLED_S = 0.04  # from the first of several changes of size to the one layout that follows them
_NOTHING: Any = {}.get  # a handler in C that does nothing: a Python function could be interrupted
_STOPPED_S = 0.3  # a process that still runs so long after SIGTSTP was not stopped
_LISTEN_S = 0.1  # for bytes of the terminal, before it is asked again whether the app still listens
_REST_S = 0.01  # for the rest of a sequence that was cut off
_READ = 1 << 12  # bytes at once


class LbenchDriver(LinuxDriver):
    """For a real terminal.

    Textual suspends in the signal's handler, which may interrupt the very lock that it needs, and with SIGSTOP, which
    nobody can undo where no shell waits. Here the handlers only wake the loop, and SIGTSTP keeps its own meaning: the
    whole job stops, unless there is nobody who could continue it.

    Textual also measures the terminal in SIGWINCH's handler, and while a window's edge is dragged the next signal comes
    before that is done: the handler interrupts itself until the stack is full. Here the signal runs no Python at all: the
    interpreter's C handler writes to a pipe that the loop reads. (asyncio's own way, `add_signal_handler`, complains
    on stderr of a full pipe, and stderr is the terminal that reads no more.)
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self._out = False  # of application mode: the terminal is the shell's
        self._ears: tuple[int, int] | None = None  # a pipe that tells of signals: its ends
        self._resizing: asyncio.TimerHandle | None = None
        self._slimmer = Slimmer()
        self._ascii = is_ascii_only(getattr(sys.__stderr__, "encoding", None))
        self.sent_bytes = 0
        super().__init__(*args, **more)

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken the last frames: another write would block Textual's loop."""
        writer = self._writer_thread
        return writer is not None and writer._queue.qsize() > _QUEUED

    @property
    def hung_up(self) -> bool:
        """Whether the terminal was closed. SIGHUP reaches only processes whose controlling terminal it was."""
        poll = select.poll()
        poll.register(self.fileno, 0)
        try:
            return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))
        except OSError:
            return True

    def write(self, data: str) -> None:
        """Write to the terminal while it is ours."""
        if not self._out:
            slim = self._slimmer.slim(data)
            if self._ascii:
                slim = one_cell_each(slim)
            self.sent_bytes += len(slim)  # in characters: the few that take more bytes don't matter here
            super().write(slim)

    def run_input_thread(self) -> None:
        """Post what the terminal sends, until the app no longer listens."""
        received = InputParser()
        while not self.exit_event.is_set():
            patience_s = _REST_S if received.holding else _LISTEN_S
            if not select.select([self.fileno], [], [], patience_s)[0]:
                messages = received.tick()
            elif data := os.read(self.fileno, _READ):
                messages = received.feed(data)
            else:
                return  # the end of a file in the terminal's place
            for message in messages:
                self.process_message(message)

    # -- another size

    def start_application_mode(self) -> None:
        """Take the terminal and watch its size."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._writer_thread is not None and self._writer_thread.is_alive():  # else in the background: not taken
            self._listen()

    def disable_input(self) -> None:
        """Stop watching the size before the terminal is restored."""
        super().disable_input()
        if self._resizing is not None:
            self._resizing.cancel()
            self._resizing = None
        if self._ears is not None:
            signal.set_wakeup_fd(-1)
            self._loop.remove_reader(self._ears[0])
            for end in self._ears:
                os.close(end)
            self._ears = None

    def _listen(self) -> None:
        if self._ears is None:
            self._ears = os.pipe()
            for end in self._ears:
                os.set_blocking(end, False)
            self._loop.add_reader(self._ears[0], self._heard)
            signal.set_wakeup_fd(self._ears[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGWINCH, _NOTHING)

    def _heard(self) -> None:
        assert self._ears is not None
        signals = os.read(self._ears[0], 1 << 16)
        if signal.SIGWINCH in signals and self._resizing is None and not self._in_band_window_resize:
            self._resizing = self._loop.call_later(_SETTLED_S, self._post_size)

    def _post_size(self) -> None:
        """Post the terminal's size, once for any number of signals; not while the terminal takes nothing."""
        if self.behind:
            self._resizing = self._loop.call_later(_SETTLED_S, self._post_size)
            return
        self._resizing = None
        size = Size(*self._get_terminal_size())
        self._app.post_message(Resize(size, size))

    # -- job control

    def _sigtstp_application(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self.stop_job)

    def _sigcont_application(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._continued)

    def stop_job(self) -> None:
        """Restore the terminal and suspend. The engine goes on."""
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
