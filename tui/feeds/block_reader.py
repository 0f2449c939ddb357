"""Takes a record's blocks: a small record's where they are folded, a large one's from a thread that reads ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from lbench.engine.session.blocks import Block

__all__ = ["BlockReader"]

_SMALL_BYTES = 4_000_000  # read in a moment
_AHEAD = 128  # blocks: what is read while the app starts, some 20 MB
_LOOK_S = 0.1  # between two looks whether anybody still wants blocks


class BlockReader:
    """One reader of one record."""

    def __init__(self, path: Path | None, blocks: Callable[[], Iterator[Block]], *, ahead: bool = False) -> None:
        """`ahead`: read from now on, which is worth it where other processes read; else from the first `take` on.

        A thread that reads takes its time from those who draw the first frame.
        """
        self._size = _size(path)
        self._open = blocks
        self._blocks: Iterator[Block] | None = None
        self._ready: queue.Queue[Block | Exception | None] | None = None
        self._closed = threading.Event()
        self._end = 0
        self.over = False
        if ahead and self._size > _SMALL_BYTES:
            self._ready = self._begin()

    @property
    def share(self) -> float:
        """The share of the file that was taken."""
        return min(1.0, self._end / self._size) if self._size else 0.0

    def take(self) -> Block | None:
        """The next block; None: it is not read yet, or all were taken (`over`).

        Raises:
            LbenchError: the record is damaged from here on.
            OSError: it cannot be read.
        """
        if self._ready is None and self._size > _SMALL_BYTES:
            self._ready = self._begin()
        block = self._at_once() if self._ready is None else self._from_thread(self._ready)
        if block is not None:
            self._end = block.end
        return block

    def _begin(self) -> queue.Queue[Block | Exception | None]:
        ready: queue.Queue[Block | Exception | None] = queue.Queue(_AHEAD)
        threading.Thread(target=self._read, args=(ready,), name="reading", daemon=True).start()
        return ready

    def _at_once(self) -> Block | None:
        if self._blocks is None:
            self._blocks = self._open()
        block = next(self._blocks, None)
        self.over = block is None
        return block

    def _from_thread(self, ready: queue.Queue[Block | Exception | None]) -> Block | None:
        try:
            item = ready.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        self.over = item is None
        return item

    def _read(self, ready: queue.Queue[Block | Exception | None]) -> None:
        try:
            for block in self._open():
                if not self._give(ready, block):
                    return
        except Exception as error:  # raised again where the block is taken
            self._give(ready, error)
        else:
            self._give(ready, None)

    def _give(self, ready: queue.Queue[Block | Exception | None], item: Block | Exception | None) -> bool:
        """Returns whether it is still wanted."""
        while not self._closed.is_set():
            try:
                ready.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False

    def close(self) -> None:
        self._closed.set()


def _size(path: Path | None) -> int:
    try:
        return 0 if path is None else path.stat().st_size
    except OSError:
        return 0  # reading it tells why
