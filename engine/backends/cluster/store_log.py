"""Records on disk of where backends keep objects in a store, for `lbench gc`: a killed engine leaves them there.

`$XDG_DATA_HOME/lbench/stores/NAME/`: `place.json`, and a lock that the engine holds for as long as it lives.
"""

from __future__ import annotations

import re
import shutil
import socket
import time
from pathlib import Path

import msgspec

from lbench.config.folders import data_folder, data_place, write_whole
from lbench.engine.journal.lock import FolderLock, is_live
from lbench.errors import LbenchError

__all__ = ["StorePlace", "StoreRecord", "abandoned_places", "forget"]

_FILE = "place.json"
_NAME = re.compile(r"lbench-[0-9a-f]{16}")


class StorePlace(msgspec.Struct, frozen=True):
    """A place in a store that one backend alone writes to. Nothing secret."""

    name: str  # the last part of its folder or prefix
    above: str  # the rest: a folder, or a prefix that may be empty
    bucket: str | None = None  # None: a folder
    region: str = ""
    endpoint: str | None = None  # that the configuration named
    host: str = ""  # which made it
    made_s: float = 0.0

    @property
    def path(self) -> str:
        """The folder, or the prefix of the keys."""
        return f"{self.above}/{self.name}" if self.above else self.name


class StoreRecord:
    """The record of a place that is in use."""

    def __init__(self, place: StorePlace) -> None:
        """Write it durably, before anything is put there.

        Raises:
            LbenchError: it cannot be written.
        """
        self._folder = data_folder("stores") / place.name
        try:
            self._folder.mkdir(mode=0o700)
            self._lock = FolderLock(self._folder)
            written = msgspec.structs.replace(place, host=socket.gethostname(), made_s=time.time())
            write_whole(self._folder / _FILE, msgspec.json.encode(written))
        except OSError as error:
            raise LbenchError(f"cannot write {self._folder}: {error.strerror}") from None

    def close(self, *, cleared: bool) -> None:
        """Let go of the place; the record stays unless it was cleared."""
        if cleared:
            forget(self._folder.name)
        self._lock.release()


def forget(name: str) -> None:
    """Remove the record of a place that was cleared."""
    shutil.rmtree(data_place("stores") / name, ignore_errors=True)


def abandoned_places() -> list[StorePlace]:
    """The places of this machine's engines that have ended without clearing them."""
    found = []
    for path in sorted(data_place("stores").glob(f"*/{_FILE}")):
        place = _read(path)
        if place is not None and place.host == socket.gethostname() and not is_live(path.parent):
            found.append(place)
    return found


def _read(path: Path) -> StorePlace | None:
    """The record; None: it is damaged, or names what no engine has made."""
    try:
        place = msgspec.json.decode(path.read_bytes(), type=StorePlace)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return place if place.name == path.parent.name and _NAME.fullmatch(place.name) else None
