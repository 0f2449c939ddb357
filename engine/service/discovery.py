"""Finds the engine of a running session."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path

import msgspec

from lbench.config.folders import runtime_folder
from lbench.engine.journal.lock import is_live
from lbench.engine.processes.child import is_there
from lbench.engine.session.index import session_folders
from lbench.errors import InputError

__all__ = [
    "ENGINE_FILE",
    "ENGINE_LOG",
    "EngineFile",
    "dead_sockets",
    "engine_socket",
    "newest_living",
    "socket_path",
    "sweep_sockets",
]

ENGINE_FILE = "engine.json"
ENGINE_LOG = "engine.log"  # in a session's folder, from before its engine runs
_LONGEST_BYTES = 103 if sys.platform == "darwin" else 107  # of a socket's path (sun_path), without its end


class EngineFile(msgspec.Struct):
    """The address of a session's engine: `ENGINE_FILE` in the session's folder, while the engine runs."""

    socket: str
    host: str = ""
    pid: int = 0


_decoder = msgspec.json.Decoder(EngineFile)


def socket_path(folder: Path, pid: int) -> Path:
    """The socket of engine `pid` of a session.

    Raises:
        InputError: there is no folder for sockets, or its path is too long for one.
    """
    path = runtime_folder() / f"{folder.name[-12:]}-{pid}.sock"
    if (size := len(os.fsencode(path))) > _LONGEST_BYTES:
        raise InputError(
            f"XDG_RUNTIME_DIR is too long for a socket: the path in {path.parent} must be at most {_LONGEST_BYTES} bytes, "
            f"got {size}; set XDG_RUNTIME_DIR to a shorter folder, or unset it"
        )
    return path


def sweep_sockets() -> None:
    """Remove the sockets of killed engines whose launcher could not."""
    for path in dead_sockets():
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def dead_sockets() -> list[Path]:
    """The sockets of killed engines."""
    found = []
    with contextlib.suppress(OSError, InputError):
        for path in runtime_folder().glob("*-*.sock"):
            pid = path.stem.rpartition("-")[2]
            if pid.isdigit() and not is_there(int(pid)):  # a new engine has its socket before it listens
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trial:
                    try:
                        trial.connect(str(path))
                    except ConnectionRefusedError:
                        found.append(path)
    return found


def newest_living() -> Path:
    """The folder of the newest session whose engine runs on this machine.

    Raises:
        InputError: no engine runs.
    """
    for folder in session_folders():
        if (folder / ENGINE_FILE).exists() and is_live(folder):
            return folder
    raise InputError("no engine is running: lbench sessions lists what was recorded")


def engine_socket(folder: Path) -> Path:
    """The socket of the engine of a session.

    Raises:
        InputError: no engine is running, or it runs on another machine.
    """
    engine: EngineFile | None = None
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):  # it has ended, or has not begun
        engine = _decoder.decode((folder / ENGINE_FILE).read_bytes())
    if engine is not None and engine.host not in ("", socket.gethostname()):
        raise InputError(f"the engine of {folder.name} runs on {engine.host}: attach to it there")
    if engine is None or not is_live(folder):
        raise InputError(f"no engine is running for session {folder.name}: lbench sessions lists what was recorded")
    return Path(engine.socket)
