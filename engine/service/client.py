"""The client of an engine: starts it, sends it commands, follows its journal. Imports nothing heavy.

It blocks and uses no asyncio, so that a command line needs no loop; a screen calls it from a thread.
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
from lbench.engine.journal.events import Event, decode_event, decode_events
from lbench.engine.journal.reader import cut_lines
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.plan.plan import Plan
from lbench.engine.service.discovery import ENGINE_FILE, ENGINE_LOG, socket_path
from lbench.errors import EngineLostError, InputError, SessionFileError, visible_json

__all__ = ["Engine", "Follower", "new_session_folder"]

_CONTROL_PREFIX = b'{"control":'
_SEND_LIMIT_S = 10.0
_SILENT_END_S = 1.0  # for an engine that closed its output without a line


def new_session_folder() -> Path:
    """Create an empty folder for a session.

    Raises:
        InputError: it cannot be created.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = sessions_folder() / f"{stamp}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise InputError(f"cannot record a session in {folder.parent}: {error.strerror}: set XDG_DATA_HOME") from None
    return folder


class Engine:
    """An engine process that this process started; closing the lifeline tells it that this process is gone."""

    def __init__(self, folder: Path, *, on_hangup: str, name: str = "") -> None:
        """Start the engine and wait until it listens.

        Raises:
            InputError: it could not start; the message is its own.
            EngineLostError: it was killed before it listened.
        """
        self.folder = folder
        try:
            log = (folder / ENGINE_LOG).open("ab")
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
                start_new_session=True,  # the lifeline reports a closed terminal, not SIGHUP
            )
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            line = stdout.readline()
        answer: dict[str, str] = {}
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            answer = msgspec.json.decode(line, type=dict[str, str]) if line else {}
        if "socket" not in answer:
            self.let_go()
            code = self.wait(_SILENT_END_S)
            if code is None:  # an engine would end by itself: another program answered
                self.process.kill()
                self.wait()
            elif code < 0:
                raise EngineLostError(f"the engine was killed by signal {-code} before it began: run again")
            raise InputError(answer.get("error") or f"the engine did not start: {self._last_words()}")
        self.socket = Path(answer["socket"])

    def _last_words(self) -> str:
        """The last line of the engine's log: the folder with it is removed when nothing was measured."""
        with contextlib.suppress(OSError):
            lines = (self.folder / ENGINE_LOG).read_text("utf-8", "replace").split("\n")
            return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it wrote no reason")
        return "its log cannot be read"

    def let_go(self) -> None:
        """Close the lifeline: the engine acts on `on_hangup`."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.process.poll() is not None:
            self._tidy()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the exit code; None: the engine has not ended within the time."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._tidy()
        return code

    def _tidy(self) -> None:
        """Close the lifeline, and remove what a killed engine leaves behind: socket, address, a half-checked answer."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        with contextlib.suppress(OSError, InputError):
            socket_path(self.folder, self.process.pid).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.folder / ENGINE_FILE).unlink(missing_ok=True)
        for folder in self.folder.glob("check-*"):  # of verify/reference_client.py
            shutil.rmtree(folder, ignore_errors=True)


class Follower:
    """Follows a session: first the journal's file, then the engine's live feed. Each event comes exactly once."""

    def __init__(self, folder: Path, socket_path: Path) -> None:
        """Connect.

        Raises:
            EngineLostError: no engine listens.
        """
        self._file = folder / JOURNAL_NAME
        self._offset = 0  # bytes of the journal whose events were returned, in whole lines
        self._torn = b""  # the beginning of the next line, where the file ends within it
        self._seen = 0  # bytes at the start of the live feed whose events were returned already
        self._following = False
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(socket_path))
        except OSError as error:
            self._socket.close()
            raise EngineLostError(f"the engine at {socket_path} does not answer: {error.strerror}") from None
        self._buffer = bytearray()
        self._problems: list[str] = []

    def command(self, command: str, **fields: Any) -> None:
        """Send a command; a refusal appears in `problems`."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(_SEND_LIMIT_S)  # not the timeout of `receive`: half a command is garbage
            self._socket.sendall(msgspec.json.encode({"command": command, **fields}) + b"\n")

    def start(self, plan: Plan, *, last: bool) -> None:
        """Send a plan to carry out; `last`: the session ends after it."""
        self.command("start", plan=msgspec.to_builtins(plan), last=last)

    def follow(self) -> None:
        """Ask for the journal from the current offset."""
        self._following = True
        self.command("follow")

    def problems(self) -> list[str]:
        """The engine's refusals since the last call, one line each."""
        problems, self._problems = self._problems, []
        return problems

    def receive(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Yield the events that have come, waiting at most so long for the first. Take them all: they come once.

        Raises:
            EngineLostError: the engine has closed the connection; all its events were yielded.
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
            if self._following:  # the file has what the engine could no longer send
                yield from self._from_file(None)
            raise EngineLostError("the engine has ended")
        self._buffer += block
        lines = cut_lines(self._buffer)
        if (events := self._decoded_together(lines)) is not None:
            self._offset += len(lines)
            yield from events
            return
        for line in lines.split(b"\n")[:-1]:
            if line.startswith(_CONTROL_PREFIX) and not self._torn:
                yield from self._control(line)
            elif self._seen:
                self._seen -= len(line) + 1
            else:
                whole, self._torn = self._torn + line, b""
                self._offset += len(whole) + 1
                yield self._decoded(whole)

    def _decoded_together(self, lines: bytes) -> list[Event] | None:
        """The events of lines that follow what was returned; None: they are to be looked at one by one."""
        if self._seen or self._torn or _CONTROL_PREFIX in lines:
            return None
        try:
            return decode_events(lines)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None  # which line is damaged

    def _control(self, line: bytes) -> Iterator[Event]:
        message = msgspec.json.decode(visible_json(line))
        if message["control"] == "follow":
            yield from self._from_file(message["read_to"])
            # The live feed goes on at byte `read_to` of the journal. When the disk is full, that may be within a line
            # (its beginning is in `_torn`), or before bytes that the live feed has brought already.
            self._seen = max(0, self._offset - message["read_to"])
        elif message["control"] == "reread":
            self.follow()
        elif message["control"] == "error":
            self._problems.append(message["message"])

    def _from_file(self, read_to: int | None) -> Iterator[Event]:
        """Yield the events of the whole lines in the file from the current offset to `read_to`; None: to its end."""
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
        self._socket.close()
