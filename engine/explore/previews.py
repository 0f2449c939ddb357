"""Previews while somebody explores: one thread for all runs, and no block of a run that a newer one has cancelled.

Like `engine.previews` it is for looking at only, and nothing waits for it but the end of its own run. Somebody may explore
all day: once the file holds much, the pictures of the runs before are dropped from it (they become a hole; offsets go on).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbench.engine.journal.events import PREVIEWS_NAME, Previewed, Warned
from lbench.engine.journal.writer import Journal
from lbench.engine.measure.previews import BLOCK_BYTES
from lbench.errors import LbenchError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Previewer, Task

__all__ = ["LivePreviews"]

_MOST_BYTES = 200_000_000  # of pictures on the disk

_Drawn = tuple[str, Previewer, int, int, Task, Any]


class LivePreviews:
    """Turns results into blocks beside the journal, at once."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = folder / PREVIEWS_NAME
        self._journal = journal
        self._run: str | None = None
        self._queue: queue.SimpleQueue[_Drawn | Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="previews", daemon=True)
        self._thread.start()

    def begin(self, run: str | None) -> None:
        """From now on only this run's results are drawn; those of the one before are passed over."""
        self._run = run

    def add(self, previewer: Previewer, stage: int, index: int, task: Task, result: Any) -> None:
        """Draw a result of the run that was begun."""
        if self._run is not None:
            self._queue.put((self._run, previewer, stage, index, task, result))

    async def drawn(self) -> None:
        """Wait until all that was added is drawn and told."""
        future: asyncio.Future[None] = self._loop.create_future()

        def tell() -> None:
            if not future.done():
                future.set_result(None)

        self._queue.put(lambda: self._later(tell))
        await future

    def close(self) -> None:
        """End the thread; what is not drawn yet is lost."""
        self._run = None
        self._queue.put(None)
        self._thread.join(timeout=0.5)

    def _later(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _work(self) -> None:
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            file = -1
        offset = kept_from = os.fstat(file).st_size if file >= 0 else 0
        last: str | None = None
        while (item := self._queue.get()) is not None:
            if callable(item):
                item()
            elif file >= 0 and item[0] == self._run:
                if item[0] != last and offset - kept_from > _MOST_BYTES:  # between runs: one is whole, or not there
                    self._drop(file)
                    kept_from = offset
                last = item[0]
                offset += self._draw(file, offset, *item)
        if file >= 0:
            os.close(file)

    def _drop(self, file: int) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
            text = f"{_MOST_BYTES // 1_000_000:,} MB of pictures were drawn: those until here are dropped"
            self._later(self._journal.write, Warned("previews", text))

    def _draw(
        self, file: int, offset: int, run: str, previewer: Previewer, stage: int, index: int, task: Task, result: Any
    ) -> int:
        try:
            block = previewer.add(task, decode(result))
            data = b"" if block is None else encode(block)
            if not data or len(data) > BLOCK_BYTES or os.pwrite(file, data, offset) != len(data):
                return 0
        except (LbenchError, OSError):
            return 0
        self._later(self._tell, Previewed(run, stage, index, offset, len(data)))
        return len(data)

    def _tell(self, event: Previewed) -> None:
        if event.run == self._run:
            self._journal.write(event)
            self._journal.flush()  # somebody waits for it
