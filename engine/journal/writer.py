"""Writing the journal: an append-only file of events, written behind the engine's back, and read by everyone else.

Writing costs the measuring loop next to nothing: an event is appended to a list; every `FLUSH_S` the list is encoded in
one go and handed to a writer thread. If the disk is full, what could not be written stays in memory and is tried
again; viewers still get every line. In virtual time the journal writes synchronously and starts no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from lbench.engine.journal.events import Event, encode_lines
from lbench.engine.virtual_time import VirtualTimeLoop
from lbench.errors import InputError

__all__ = [
    "FLUSH_S",
    "JOURNAL_NAME",
    "Journal",
    "Sink",
]

FLUSH_S = 0.05
JOURNAL_NAME = "events.jsonl"


class Sink(Protocol):
    """Takes the runner's events."""

    def write(self, event: Event) -> None:
        """Take one event. Until the next flush the caller may still change it."""
        ...


class _Writer:
    """Writes chunks in order, in a thread of its own if wished; keeps what the disk did not take."""

    def __init__(self, path: Path, on_trouble: Callable[[OSError | None], None], *, threaded: bool) -> None:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise InputError(f"{path.parent} holds a session already: record in a new folder") from None
        self._on_trouble = on_trouble
        self._backlog = bytearray()
        self._broken = False
        self.written = 0  # bytes in the file
        self._queue: queue.SimpleQueue[bytes | Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
            self._thread.start()

    def put(self, item: bytes | Callable[[], None]) -> None:
        """Write these bytes, or call this function after everything before it was written."""
        if self._thread is None:
            self._take(item)
        else:
            self._queue.put(item)

    def backlog(self) -> bytes:
        """The bytes that are not in the file yet (call only from a function given to `put`)."""
        return bytes(self._backlog)

    def sync(self) -> None:
        """fsync, if the disk can (call only from a function given to `put`)."""
        with contextlib.suppress(OSError):
            os.fsync(self._file)

    def close(self) -> None:
        """Write what is left and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        self._drain()
        os.close(self._file)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            self._take(item)

    def _take(self, item: bytes | Callable[[], None]) -> None:
        if callable(item):
            item()
        else:
            self._backlog += item
            self._drain()

    def _drain(self) -> None:
        try:
            while self._backlog:
                count = os.write(self._file, self._backlog)
                self.written += count
                del self._backlog[:count]
        except OSError as error:
            if not self._broken:
                self._broken = True
                self._on_trouble(error)
            return
        if self._broken:
            self._broken = False
            self._on_trouble(None)


class Journal:
    """The engine's record of a session; listeners get the same lines as they are flushed."""

    def __init__(
        self,
        folder: Path,
        *,
        on_trouble: Callable[[OSError | None], None] | None = None,
    ) -> None:
        """Create the session's journal; needs a running loop. `on_trouble` is called when writing fails, and with None when
        it works again.

        Raises:
            InputError: the folder has a journal already.
            OSError: the file cannot be created.
        """
        self._loop = asyncio.get_running_loop()
        self._events: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None
        self._listeners: list[Callable[[bytes], None]] = []
        self._on_trouble = on_trouble
        self._writer = _Writer(
            folder / JOURNAL_NAME,
            self._trouble,
            threaded=not isinstance(self._loop, VirtualTimeLoop),
        )

    def _trouble(self, error: OSError | None) -> None:
        if self._on_trouble is not None:  # from the writer's thread
            self._loop.call_soon_threadsafe(self._on_trouble, error)

    def write(self, event: Event) -> None:
        """Append an event; it is encoded at the next flush."""
        self._events.append(event)
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Encode what has gathered and hand it to the writer and the listeners."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._events:
            return
        events, self._events = self._events, []
        lines = encode_lines(events)
        self._writer.put(lines)
        for listener in self._listeners:
            listener(lines)

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with every flushed block of lines from now on."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[bytes], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def settled(self) -> tuple[int, bytes]:
        """Flush, then return how many bytes the file holds, and the bytes after them that the disk did not take."""
        self.flush()
        future: asyncio.Future[tuple[int, bytes]] = self._loop.create_future()

        def settle(state: tuple[int, bytes]) -> None:
            if not future.done():
                future.set_result(state)

        def report() -> None:
            state = (self._writer.written, self._writer.backlog())
            self._loop.call_soon_threadsafe(settle, state)

        self._writer.put(report)
        return await future

    async def sync(self) -> None:
        """Flush and fsync: what is in the journal now survives a power cut."""
        self.flush()
        self._writer.put(self._writer.sync)
        await self.settled()

    def close(self) -> None:
        self.flush()
        self._writer.close()
