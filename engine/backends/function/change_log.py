"""Which functions on AWS have been changed for a while, written down where `lbench gc` finds it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from lbench.config.folders import data_folder
from lbench.engine.processes.child import is_there
from lbench.engine.processes.guardian import start_ticks
from lbench.errors import LbenchError

__all__ = ["Forced", "forget", "is_held", "records", "remember"]


class Forced(msgspec.Struct, frozen=True):
    """One function whose variable was set. Nothing secret: no value, and none of the function's other variables."""

    function: str  # its ARN without a qualifier: under another account's credentials one of that name is another one
    region: str
    variable: str
    process: int = 0  # that did so, and when that began (the kernel's count), so that its number is not mistaken
    began: int | None = None
    format: int = 1

    @property
    def name(self) -> str:
        """The function's."""
        return self.function.rpartition(":")[2]

    @property
    def account(self) -> str:
        """Whose it is; empty where that is not known."""
        return self.function.split(":")[4] if self.function.startswith("arn:") else ""


def is_held(record: Forced) -> bool:
    """Whether the process that changed it still lives, and will put it back itself."""
    if not record.began:  # there is no /proc
        return is_there(record.process)
    return start_ticks(record.process) == record.began


def remember(record: Forced) -> None:
    """Write it down, so that it lasts, before anything is changed.

    Raises:
        LbenchError: it cannot be written; then nothing may be changed.
    """
    path = _path(record)
    new = path.with_suffix(".new")
    try:
        with new.open("wb") as file:
            file.write(
                msgspec.json.encode(
                    msgspec.structs.replace(record, process=os.getpid(), began=start_ticks(os.getpid()))
                )
            )
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise LbenchError(
            f"--force-cold must write down what it changes, and cannot ({error.strerror}: {path}): nothing was changed"
        ) from None


def forget(record: Forced) -> None:
    """It has been put back."""
    _path(record).unlink(missing_ok=True)


def records() -> list[Forced]:
    """All that are written down and can be read."""
    found = []
    for path in sorted(_folder().glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Forced))
        except (OSError, msgspec.MsgspecError):
            continue  # half of one: it was never acted on
    return found


def _path(record: Forced) -> Path:
    key = hashlib.sha256(f"{record.region} {record.function}".encode()).hexdigest()[:16]
    return _folder() / f"{key}.json"


def _folder() -> Path:
    """Where they lie.

    Raises:
        InputError: the folder cannot be made.
    """
    return data_folder("forced")
