"""Checks an answer in a separate process (`reference_process`), between the runs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from lbench.engine.processes.child import answering
from lbench.engine.verify.reference_process import Request, Verdict

__all__ = ["ask"]

_KILLED = Verdict(None, "the checking process was killed twice: is there enough memory?")
_MEMORY = Path("/dev/shm")  # may have room when the disk is full


async def ask(request: Request, encoded: bytes, folder: Path, stopped: Callable[[], bool]) -> Verdict:
    """Check an encoded answer; `request.answer` is filled in here. Every fault becomes a verdict, none is raised.

    The answer goes into a file in `folder`, or in memory when that is full. A process that is killed (as the system
    does when memory runs out) is started once more.
    """
    why = "there is no folder for the answer"
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
    """Return the verdict; None: the process was killed before it was whole."""
    argv = [sys.executable, "-P", "-m", "lbench.engine.verify.reference_process", str(request_file)]
    async with answering(argv) as (child, reader):
        output = asyncio.ensure_future(reader.read())
        try:
            while not output.done():
                await asyncio.wait({output}, timeout=0.1)
                if stopped():
                    return Verdict(None, "the session was stopped")
        finally:
            output.cancel()
        code = await child.wait()
        with contextlib.suppress(msgspec.MsgspecError):  # it may have died before its verdict was whole
            return msgspec.json.decode(output.result(), type=Verdict)
        return None if code < 0 else Verdict(None, f"the checking process ended with exit code {code}: see engine.log")
