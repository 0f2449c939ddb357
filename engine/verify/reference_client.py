"""Has an answer checked by a process of its own (`engine.check`), between the runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from lbench.engine.processes import child as children
from lbench.engine.verify.reference_process import Request, Verdict

__all__ = ["ask"]

_KILLED = Verdict(None, "the checking process was killed twice: is there enough memory?")
_MEMORY = Path("/dev/shm")  # where the disk is full, memory may not be


async def ask(request: Request, encoded: bytes, folder: Path, stopped: Callable[[], bool]) -> Verdict:
    """Check `encoded`, the answer; `request.answer` is filled in here. Never raises for what goes wrong.

    The answer travels as a file: in `folder`, or in memory when that is full. A process that is killed
    (the system does so where memory runs out) is begun once more.
    """
    why = "there is no folder to put it into"
    for place in (folder, Path(tempfile.gettempdir()), _MEMORY):
        try:
            with tempfile.TemporaryDirectory(prefix="check-", dir=place) as own:
                request.answer = str(Path(own) / "answer.bin")
                request_file = Path(own) / "request.json"
                await asyncio.to_thread(Path(request.answer).write_bytes, encoded)
                request_file.write_bytes(msgspec.json.encode(request))
                verdict = await _ask_process(request_file, stopped)
                return (await _ask_process(request_file, stopped) if verdict is None else verdict) or _KILLED
        except OSError as error:
            why = f"{error.strerror}: {error.filename or place}"
    return Verdict(None, why)


async def _ask_process(request_file: Path, stopped: Callable[[], bool]) -> Verdict | None:
    """The verdict; None: the process was killed before, or amid it."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb"))
    try:
        child = children.start(
            [sys.executable, "-P", "-m", "lbench.engine.verify.reference_process", str(request_file)],
            stdout=write_end,
            stderr=None,
        )
    finally:
        os.close(write_end)
    told = asyncio.ensure_future(reader.read())
    try:
        while not told.done():
            await asyncio.wait({told}, timeout=0.1)
            if stopped():
                return Verdict(None, "the session was stopped")
        code = await child.wait()
        with contextlib.suppress(msgspec.MsgspecError):  # it may have died before or amid its verdict
            return msgspec.json.decode(told.result(), type=Verdict)
        return None if code < 0 else Verdict(None, f"the checking process ended with exit code {code}: see engine.log")
    finally:
        told.cancel()
        child.kill()
        await child.wait()
        transport.close()
