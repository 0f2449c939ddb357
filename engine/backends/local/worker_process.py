"""The engine's side of one worker process: its environments (*lanes*), and how it starts and ends.

All of it runs on the loop and never waits: replies come by `add_reader`, an end by the child's callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from lbench.engine.backends.base import EnvironmentInfo
from lbench.engine.backends.local import frames
from lbench.engine.deadline import Deadline
from lbench.engine.processes import child as children
from lbench.workloads.encoding import decode, encode

__all__ = ["START_LIMIT_S", "Answer", "Lane", "WorkerProcess"]

Answer = tuple[frames.Reply, float]  # a reply, and when it had arrived whole, on the loop's clock

_TAIL_BYTES = 4096
START_LIMIT_S = 120.0  # importing scikit-learn from a cold disk takes seconds; a slower start hangs


class Lane:
    """One environment: a socket, the awaited reply, and that of a call which waits behind it."""

    __slots__ = (
        "_loop",
        "_out",
        "_reader",
        "_turn",
        "cold",
        "deadline",
        "id",
        "info",
        "next",
        "reply",
        "sock",
        "worker",
    )

    def __init__(self, worker: WorkerProcess, name: str, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = frames.ReplyReader()
        self._out: memoryview | None = None
        self.worker = worker
        self.id = name
        self.info = EnvironmentInfo(id=name, created_s=self._loop.time())
        self.sock = sock
        self.deadline = Deadline(self._late)  # of the running call
        self.reply: asyncio.Future[Answer] | None = None
        self.next: asyncio.Future[Answer] | None = None  # of the call that waits
        self._turn: Callable[[float], None] | None = None  # called when it no longer does
        self.cold: bool | None = None  # where a call has started it: whether the next call is its first
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, kind: int, body: bytes) -> asyncio.Future[Answer]:
        """Send a request; the future gets the reply, or `EOFError` when the process ends without one."""
        assert self.reply is None, "an environment runs one call at a time"
        self.reply = self._loop.create_future()
        self._send(kind, body)
        return self.reply

    @property
    def accepts_next(self) -> bool:
        """Whether a call may wait here: another runs, none waits, and what was sent has gone out."""
        return self.reply is not None and self.next is None and self._out is None and self.worker.ready

    def send_next(self, body: bytes, turn: Callable[[float], None]) -> asyncio.Future[Answer]:
        """Send a call behind the running one; `turn` is called with the time at which that ended."""
        assert self.accepts_next
        self.next, self._turn = self._loop.create_future(), turn
        self.worker.waiting += 1
        self._send(frames.CALL, body)
        return self.next

    def _send(self, kind: int, body: bytes) -> None:
        frame = frames.REQUEST.pack(kind, len(body))
        try:
            if len(body) < frames.PIECE_BYTES:
                frame += body
            else:  # not joined, to save a copy; the head fits: the socket is as good as empty
                self.sock.send(frame)
                frame = body
            sent = self.sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:  # the process is ending: its exit callback follows
            return
        if sent < len(frame):
            self._out = memoryview(frame)[sent:]
            self._loop.add_writer(self.sock.fileno(), self._writable)

    def _writable(self) -> None:
        assert self._out is not None
        try:
            self._out = self._out[self.sock.send(self._out) :]
        except BlockingIOError:
            return
        except OSError:
            self._out = None
        if not self._out:
            self._out = None
            self._loop.remove_writer(self.sock.fileno())

    def _readable(self) -> None:
        try:
            reply = self._reader.read(self.sock)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._loop.remove_reader(self.sock.fileno())
            self.worker.child.kill()  # no effect where it is ending anyway, not even on its exit code
            return
        while reply is not None:
            self._answered(reply)
            reply = self._reader.buffered()

    def _answered(self, reply: frames.Reply) -> None:
        arrived = self._loop.time()
        waiting = self.reply
        self._advance(reply.finished_s)
        if waiting is not None and not waiting.done():
            waiting.set_result((reply, arrived))
        self.worker.on_reply(self)

    def _advance(self, at_s: float) -> None:
        """The running call has ended: it is the turn of the one that waits."""
        turn, self._turn = self._turn, None
        if self.next is not None:
            self.worker.waiting -= 1
        self.reply, self.next = self.next, None
        self.deadline.clear()
        if turn is not None:
            turn(at_s)

    def _late(self) -> None:
        """Fail the running call with `TimeoutError`; it keeps the lane until its process is replaced."""
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(TimeoutError())

    def close(self) -> None:
        """Read replies that have arrived already; fail those that have not."""
        while self.reply is not None and not self.reply.done():
            try:
                reply = self._reader.buffered() or self._reader.read(self.sock)
            except (BlockingIOError, EOFError, OSError):
                break
            if reply is not None:
                self.reply.set_result((reply, self._loop.time()))
                self._advance(reply.finished_s)
        for left in (self.reply, self.next):
            if left is not None and not left.done():
                left.set_exception(EOFError())
        if self.next is not None:
            self.worker.waiting -= 1
        self.reply = self.next = self._turn = None
        self.deadline.close()
        self._loop.remove_reader(self.sock.fileno())
        self._loop.remove_writer(self.sock.fileno())
        self._out = None
        self.sock.close()
        self.info.ended_s = self._loop.time()


class WorkerProcess:
    """A worker process with a lane for each name.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(
        self,
        names: Sequence[str],
        env: Mapping[str, str],
        *,
        on_reply: Callable[[Lane], None],
        on_end: Callable[[WorkerProcess], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._set_up: asyncio.Future[Answer] | None = None
        self._tail = bytearray()
        self._started_s = self._loop.time()
        self._limit: asyncio.TimerHandle | None = None
        self._on_ready: Callable[[WorkerProcess, str | None], None] | None = None
        self.on_reply = on_reply
        self.ready = False
        self.was_ready = False
        self.ended = False
        self.replaced = False  # ended on purpose: one of its calls was cancelled
        self.waiting = 0  # calls that wait behind another in its lanes
        self.fetch_ms: float | None = None  # reported with the first call after the data were mapped
        with contextlib.ExitStack() as ours_if_it_fails, contextlib.ExitStack() as theirs_always:
            ours, theirs = [], []
            for _ in names:
                pair = socket.socketpair()
                ours.append(ours_if_it_fails.enter_context(pair[0]))
                theirs.append(theirs_always.enter_context(pair[1]).fileno())  # the worker has its own copy
            self.child = children.start(
                [sys.executable, "-P", "-m", "lbench.engine.backends.local.worker", *map(str, theirs)],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=theirs,
            )
            ours_if_it_fails.pop_all()
        self.lanes = [Lane(self, name, sock) for name, sock in zip(names, ours, strict=True)]
        assert self.child.stdout is not None
        self._output = self.child.stdout
        os.set_blocking(self._output.fileno(), False)
        self._loop.add_reader(self._output.fileno(), self._printed)
        self.child.on_exit(self._exited)

    def set_up(
        self,
        preload: str | None,
        data: str | None,
        folder: str | None,
        done: Callable[[WorkerProcess, str | None], None],
    ) -> None:
        """Have it import the workload, map the data and work in the run's folder.

        Then `done(self, error)` is called, if the process lives.
        """
        self.ready = False
        self._on_ready = done
        self._limit = self._loop.call_later(START_LIMIT_S, self._hangs)
        self._set_up = self.lanes[0].send(frames.SETUP, encode([preload, data, folder]))
        self._set_up.add_done_callback(self._is_set_up)

    def _is_set_up(self, future: asyncio.Future[Answer]) -> None:
        self._stop_limit()
        if future.cancelled() or future.exception() is not None or self._on_ready is None:
            return  # it has ended: `on_end` is called
        reply, arrived = future.result()
        if reply.kind == frames.FAILURE:
            name, message, _ = decode(reply.body)
            self._on_ready(self, f"{name}: {message}")
            return
        if not self.was_ready:
            for lane in self.lanes:
                lane.info.init_ms = (arrived - self._started_s) * 1000
        if (fetch_ms := decode(reply.body)) is not None:
            self.fetch_ms = fetch_ms
        self.ready = self.was_ready = True
        self._on_ready(self, None)

    def _hangs(self) -> None:
        self._tail += f"\nit was not ready after {START_LIMIT_S:g} s\n".encode()
        self.child.kill()

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def tail(self) -> str:
        """The last of what it printed, at most 4 KB."""
        return bytes(self._tail).decode("utf-8", "replace")

    def _printed(self) -> None:
        data = self._output.read(65536)
        if not data:  # b"": closed at the other end; None: nothing there (yet)
            if data == b"":
                self._loop.remove_reader(self._output.fileno())
            return
        self._tail += data
        del self._tail[:-_TAIL_BYTES]

    def _exited(self, code: int) -> None:
        if not self._output.closed:
            self._printed()
            self._loop.remove_reader(self._output.fileno())
            self._output.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)  # the processes that its tasks had started
        self.detach()
        self._on_end(self)

    def detach(self) -> None:
        """Close the lanes: replies that had come are kept, the others are failed."""
        if not self.ended:
            self.ended = True
            self.ready = False
            self._stop_limit()
            for lane in self.lanes:
                lane.close()
