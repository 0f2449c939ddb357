"""The engine's Unix socket: viewers follow the journal through it, and launchers send commands.

Both sides send JSON lines. The engine answers `{"command": "follow"}` with `{"control": "follow", "read_to": N}`: the
viewer reads the file up to byte N, and the rest comes through the socket. A viewer that is too slow misses lines, gets
`{"control": "reread"}` once it has caught up, and asks again; the engine never waits for a viewer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from lbench.engine.journal.writer import Journal
from lbench.errors import LbenchError

__all__ = ["Command", "ControlServer"]

_VIEWER_QUEUE_BYTES = 4 * 2**20
_LINE_LIMIT_BYTES = 16 * 2**20
_PARTING_S = 0.5
_LOOK_S = 0.02
_ONLY_COPY_S = 10.0  # for the end of a session of which the disk does not have all


class Command(msgspec.Struct):
    """One line of a viewer or a launcher."""

    command: str
    plan: dict[str, Any] | None = None
    last: bool = False  # for start: the session ends after this plan
    generation: int = 0  # for explore: the update's
    plans: list[dict[str, Any]] | None = None  # for explore: a scripted sequence instead of one plan


class _Viewer:
    """The bounded live feed of one viewer."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._held: list[bytes] | None = []
        self._lagging: asyncio.Task[None] | None = None
        writer.transport.set_write_buffer_limits(high=_VIEWER_QUEUE_BYTES, low=0)

    def __call__(self, lines: bytes) -> None:
        if self._held is not None:
            self._held.append(lines)
        elif self._lagging is None and not self._writer.is_closing():
            if self._writer.transport.get_write_buffer_size() + len(lines) > _VIEWER_QUEUE_BYTES:
                self._lagging = asyncio.get_running_loop().create_task(self._send_reread())
            else:
                self._writer.write(lines)

    @property
    def is_behind(self) -> bool:
        """Whether it still has to ask for what it missed, or waits for the answer."""
        return self._held is not None or self._lagging is not None

    def release(self, read_to: int, backlog: bytes) -> None:
        """Answer now that the file is settled, then send all lines since."""
        held, self._held = self._held or [], None
        self._lagging = None
        self._writer.write(_control("follow", read_to=read_to) + backlog + b"".join(held))

    async def _send_reread(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
            self._writer.write(_control("reread"))


def _control(kind: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"control": kind, **fields}) + b"\n"


class ControlServer:
    """Serves one session's socket, mode 0600."""

    def __init__(self, path: Path, journal: Journal, execute: Callable[[Command], Awaitable[None]]) -> None:
        self._path = path
        self._journal = journal
        self._execute = execute
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._viewers: dict[asyncio.StreamWriter, _Viewer] = {}

    async def start(self) -> None:
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path=str(self._path), limit=_LINE_LIMIT_BYTES)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Send what is queued, as far as viewers take it within a moment, and remove the socket.

        Where the disk was full, what is queued is nowhere else: then viewers have longer.
        """
        self._journal.flush()
        if self._server is not None:
            self._server.close()
        _, missing = await self._journal.settled()
        limit_s = _ONLY_COPY_S if missing else _PARTING_S
        await asyncio.gather(*(self._part(writer, limit_s, bool(missing)) for writer in list(self._writers)))
        serving = {task for task in self._writers.values() if task is not None}
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)
        self._path.unlink(missing_ok=True)

    async def _part(self, writer: asyncio.StreamWriter, limit_s: float, only_copy: bool) -> None:
        try:
            writer.transport.set_write_buffer_limits(high=0)
            async with asyncio.timeout(limit_s):
                await writer.drain()
                while only_copy and (viewer := self._viewers.get(writer)) is not None and viewer.is_behind:
                    await asyncio.sleep(_LOOK_S)
                    await writer.drain()
        except (ConnectionError, TimeoutError):
            writer.transport.abort()  # it does not read; the file has what it misses
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = asyncio.current_task()
        viewer: _Viewer | None = None
        try:
            while line := await reader.readline():
                try:
                    command = msgspec.json.decode(line, type=Command)
                    if command.command == "follow":
                        if viewer is not None:
                            self._journal.unlisten(viewer)
                        viewer = await self._follow(writer)
                    else:
                        await self._execute(command)
                        writer.write(_control("ok", command=command.command))
                except (LbenchError, msgspec.MsgspecError) as error:
                    writer.write(_control("error", message=str(error)))
        except (ConnectionError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the viewer left or sent a line above the limit, or the session ends
        finally:
            if viewer is not None:
                self._journal.unlisten(viewer)
            self._writers.pop(writer, None)
            self._viewers.pop(writer, None)
            writer.close()

    async def _follow(self, writer: asyncio.StreamWriter) -> _Viewer:
        self._journal.flush()
        viewer = self._viewers[writer] = _Viewer(writer)
        self._journal.listen(viewer)
        written, backlog = await self._journal.settled()
        viewer.release(written, backlog)
        return viewer
