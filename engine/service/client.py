"""The other side of the engine: starting one, giving it commands, following its journal. Loads nothing heavy.

Blocking and without asyncio, so that a command line needs no loop; a screen calls it from a thread.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.folders import sessions_folder
from lbench.engine.journal.events import Event, decode_event
from lbench.engine.journal.reader import split_lines
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.plan.plan import Plan
from lbench.engine.service.discovery import ENGINE_FILE, socket_path
from lbench.errors import EngineLostError, InputError, SessionFileError

__all__ = ["Engine", "Follower", "new_session_folder"]

_CONTROL_PREFIX = b'{"control":'
_SEND_LIMIT_S = 10.0
_SILENT_END_S = 1.0  # for an engine that has closed its output without a word


def new_session_folder(name: str | None = None) -> Path:
    """A new, empty folder for a session.

    Raises:
        InputError: it cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = sessions_folder() / f"{stamp}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise InputError(f"cannot record a session in {folder.parent}: {error.strerror}: set XDG_DATA_HOME") from None
    return folder


class Engine:
    """An engine process that this process has started; closing the lifeline tells it that we have gone."""

    def __init__(self, folder: Path, *, on_hangup: str, name: str = "") -> None:
        """Start it and wait until it listens.

        Raises:
            InputError: it could not start; its own line says why.
            EngineLostError: it was killed before it could.
        """
        self.folder = folder
        try:
            log = (folder / "engine.log").open("ab")
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}") from None
        with log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "lbench.engine",
                    str(folder),
                    "--on-hangup",
                    on_hangup,
                    f"--name={name}",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a closed terminal is told by the lifeline, not by its SIGHUP
            )
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            line = stdout.readline()
        told: dict[str, str] = {}
        with contextlib.suppress(msgspec.DecodeError):
            told = msgspec.json.decode(line, type=dict[str, str]) if line else {}
        if "socket" not in told:
            self.let_go()
            code = self.wait(_SILENT_END_S)
            if code is None:  # it ends by itself, unless it is something else that has answered
                self.process.kill()
                self.wait()
            elif code < 0:
                raise EngineLostError(f"the engine was killed by signal {-code} before it could begin: run it again")
            raise InputError(told.get("error") or f"the engine did not start: see {folder / 'engine.log'}")
        self.socket = Path(told["socket"])

    def let_go(self) -> None:
        """Close the lifeline: the engine does as `on_hangup` says."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.process.poll() is not None:
            self._tidy()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit code; None if it has not ended within the time."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._tidy()
        return code

    def _tidy(self) -> None:
        """Remove what an engine that was killed has left behind: where it listened, an answer amid its check."""
        with contextlib.suppress(OSError, InputError):
            socket_path(self.folder, self.process.pid).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.folder / ENGINE_FILE).unlink(missing_ok=True)
        for folder in self.folder.glob("check-*"):  # of engine/checking.py
            shutil.rmtree(folder, ignore_errors=True)


class Follower:
    """Follows a session: the journal's file first, then the engine's live feed. Nothing is missed or told twice."""

    def __init__(self, folder: Path, socket_path: Path) -> None:
        """Connect.

        Raises:
            EngineLostError: nobody listens.
        """
        self._file = folder / JOURNAL_NAME
        self._offset = 0  # bytes of the journal that were told, in whole lines
        self._torn = b""  # the line that begins there, as far as the file has it
        self._seen = 0  # bytes of the live feed to come that were told already
        self._following = False
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(socket_path))
        except OSError as error:
            self._socket.close()
            raise EngineLostError(f"the engine at {socket_path} does not answer: {error.strerror}") from None
        self._buffer = bytearray()
        self._problems: list[str] = []

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._socket.fileno()

    def command(self, command: str, **fields: Any) -> None:
        """Give the engine a command; a refusal comes up in `problems`."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(_SEND_LIMIT_S)  # not what `receive` left there: half a command would be garbage
            self._socket.sendall(msgspec.json.encode({"command": command, **fields}) + b"\n")

    def start(self, plan: Plan, *, last: bool) -> None:
        """Have a plan carried out; `last`: the session ends after it."""
        self.command("start", plan=msgspec.to_builtins(plan), last=last)

    def follow(self) -> None:
        """Ask for the journal from where we are."""
        self._following = True
        self.command("follow")

    def problems(self) -> list[str]:
        """What the engine refused since the last call, one line each."""
        told, self._problems = self._problems, []
        return told

    def receive(self, timeout_s: float | None = None) -> Iterator[Event]:
        """The events that are there now, waiting at most so long for the first. Take them all: they are told once.

        Raises:
            EngineLostError: the engine has closed the connection; all it said was told.
            SessionFileError: the journal cannot be read.
        """
        self._socket.settimeout(timeout_s)
        try:
            block = self._socket.recv(1 << 20)
        except (TimeoutError, BlockingIOError):
            return
        except OSError:
            block = b""
        if not block:
            if self._following:  # what it could not send any more is in the file
                yield from self._from_file(None)
            raise EngineLostError("the engine has ended")
        self._buffer += block
        for line in split_lines(self._buffer):
            if line.startswith(_CONTROL_PREFIX) and not self._torn:
                yield from self._control(line)
            elif self._seen:
                self._seen -= len(line) + 1
            else:
                whole, self._torn = self._torn + line, b""
                self._offset += len(whole) + 1
                yield self._decoded(whole)

    def _control(self, line: bytes) -> Iterator[Event]:
        told = msgspec.json.decode(line)
        if told["control"] == "follow":
            yield from self._from_file(told["read_to"])
            # What follows is the journal from byte `read_to` on. Where the disk is full, that may be in mid-line
            # (then we hold the line's beginning), or before what we have seen already in the live feed.
            self._seen = max(0, self._offset - told["read_to"])
        elif told["control"] == "reread":
            self.follow()
        elif told["control"] == "error":
            self._problems.append(told["message"])

    def _from_file(self, read_to: int | None) -> Iterator[Event]:
        """The whole lines of the file from where we are; None: to its end."""
        self._torn = b""
        try:
            with self._file.open("rb") as file:
                file.seek(self._offset)
                while read_to is None or self._offset < read_to:
                    line = file.readline(-1 if read_to is None else read_to - self._offset)
                    if not line.endswith(b"\n"):
                        self._torn = line
                        return
                    self._offset += len(line)
                    yield self._decoded(line)
        except OSError as error:
            raise SessionFileError(f"{self._file} cannot be read: {error.strerror}") from None

    def _decoded(self, line: bytes) -> Event:
        try:
            return decode_event(line)
        except msgspec.MsgspecError as error:
            raise SessionFileError(f"{self._file} is damaged before byte {self._offset}: {error}") from None

    def close(self) -> None:
        """Leave; the engine goes on."""
        self._socket.close()
