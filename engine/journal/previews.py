"""The growing previews of runs: small binary blocks in `previews.bin`, beside the journal.

They are for looking at only: nothing waits for them but the end of their own run, and a disk that does not take a block
loses it.
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
from lbench.errors import LbenchError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Previewer, Task

__all__ = ["PreviewWriter"]

_BLOCK_BYTES = 65_536
_QUEUE = 256  # results of measured runs that wait to be drawn; more are left out
_FILE_BYTES = 200_000_000  # of an interactive session, which may last all day

_Result = tuple[str, Previewer, int, int, Task, Any]


class PreviewWriter:
    """Draws the results of the runs under way in one thread, and writes their blocks.

    An interactive session leaves out no result, and flushes each block. Once its file holds much, the blocks of earlier
    runs are dropped: they become a hole in the file, and offsets go on.
    """

    def __init__(self, folder: Path, journal: Journal, *, interactive: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = folder / PREVIEWS_NAME
        self._journal = journal
        self._interactive = interactive
        self._runs: set[str] = set()
        self._queue: queue.Queue[_Result | Callable[[], None] | None] = queue.Queue(0 if interactive else _QUEUE)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="previews", daemon=True)
        self._thread.start()

    def begin(self, run: str) -> None:
        """Draw the results of this run, too."""
        self._runs.add(run)

    def end(self, run: str) -> None:
        """Draw no more of this run; its results that still wait are left out."""
        self._runs.discard(run)

    def add(self, run: str, previewer: Previewer, stage: int, index: int, task: Task, result: Any) -> None:
        """Draw a result of a run that was begun, unless too many wait already."""
        if run in self._runs and not self._queue.full():
            self._queue.put_nowait((run, previewer, stage, index, task, result))

    async def drawn(self) -> None:
        """Wait until all results added so far are drawn and recorded; do not wait where too many are."""
        if self._queue.full():
            return
        future: asyncio.Future[None] = self._loop.create_future()

        def finish() -> None:
            if not future.done():
                future.set_result(None)

        self._queue.put_nowait(lambda: self._on_loop(finish))
        await future

    def close(self) -> None:
        """End the thread; results that still wait are left out."""
        self._runs.clear()
        self._closed = True
        with contextlib.suppress(queue.Full):  # then the thread looks at `_closed` soon
            self._queue.put_nowait(None)
        self._thread.join(timeout=0.5)

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _work(self) -> None:
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            file = -1
        offset = kept_from = os.fstat(file).st_size if file >= 0 else 0
        last: str | None = None
        while not self._closed and (item := self._queue.get()) is not None:
            if callable(item):
                item()
            elif file >= 0 and item[0] in self._runs:
                # Between runs: the preview of a run is whole, or not there.
                if self._interactive and item[0] != last and offset - kept_from > _FILE_BYTES:
                    self._drop(file)
                    kept_from = offset
                last = item[0]
                offset += self._draw(file, offset, *item)
        if file >= 0:
            os.close(file)

    def _drop(self, file: int) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
            text = f"previews reached {_FILE_BYTES // 1_000_000:,} MB: those of earlier interactions were dropped"
            self._on_loop(self._journal.write, Warned("previews", text))

    def _draw(
        self, file: int, offset: int, run: str, previewer: Previewer, stage: int, index: int, task: Task, result: Any
    ) -> int:
        try:
            block = previewer.add(task, decode(result))
            data = b"" if block is None else encode(block)
            if not data or len(data) > _BLOCK_BYTES or os.pwrite(file, data, offset) != len(data):
                return 0
        except (LbenchError, OSError):
            return 0
        self._on_loop(self._record, Previewed(run, stage, index, offset, len(data)))
        return len(data)

    def _record(self, event: Previewed) -> None:
        if event.run in self._runs:
            self._journal.write(event)
            if self._interactive:
                self._journal.flush()  # a person waits for it
