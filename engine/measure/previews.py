"""The growing preview of a run: small binary blocks in `previews.bin`, made in a thread of their own.

It is for looking at only, so nothing waits for it: results that come faster than they can be drawn are left out,
and a disk that does not take a block loses it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from pathlib import Path
from typing import Any

from lbench.engine.journal.events import PREVIEWS_NAME, Previewed
from lbench.engine.journal.writer import Journal
from lbench.errors import LbenchError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Previewer, Task

__all__ = ["BLOCK_BYTES", "Previews"]

BLOCK_BYTES = 65_536
_QUEUE = 256


class Previews:
    """Turns one run's results into blocks; `close` drops what is not drawn yet."""

    def __init__(self, folder: Path, journal: Journal, run_id: str, previewer: Previewer) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = folder / PREVIEWS_NAME
        self._journal = journal
        self._run_id = run_id
        self._previewer = previewer
        self._queue: queue.Queue[tuple[int, int, Task, Any] | None] = queue.Queue(_QUEUE)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="previews", daemon=True)
        self._thread.start()

    def add(self, stage: int, index: int, task: Task, result: Any) -> None:
        """Take a result, unless there are too many already."""
        if not self._queue.full():
            self._queue.put_nowait((stage, index, task, result))

    def close(self) -> None:
        """Draw what has come, for at most a moment, and end the thread."""
        self._closed = self._queue.full()
        if not self._closed:
            self._queue.put_nowait(None)
        self._thread.join(timeout=0.5)
        self._closed = True

    def _work(self) -> None:
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            offset = os.fstat(file).st_size
            while not self._closed and (item := self._queue.get()) is not None:
                offset += self._draw(file, offset, *item)
        finally:
            os.close(file)

    def _draw(self, file: int, offset: int, stage: int, index: int, task: Task, result: Any) -> int:
        try:
            block = self._previewer.add(task, decode(result))
            data = b"" if block is None else encode(block)
            if not data or len(data) > BLOCK_BYTES or os.write(file, data) != len(data):
                return 0
        except (LbenchError, OSError):
            return 0
        event = Previewed(self._run_id, stage, index, offset, len(data))
        self._loop.call_soon_threadsafe(self._journal.write, event)
        return len(data)
