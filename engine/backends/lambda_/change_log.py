"""Records on disk of the functions on AWS that a run changes temporarily, for `lbench gc`."""

from __future__ import annotations

import hashlib
import os

import msgspec

from lbench.config.folders import data_folder, data_place
from lbench.engine.processes.child import is_there
from lbench.engine.processes.guardian import start_ticks
from lbench.errors import LbenchError

__all__ = ["Forced", "forget", "is_held", "records", "remember"]

_FOLDER = "forced"


class Forced(msgspec.Struct, frozen=True):
    """A function whose variable was set. Nothing secret: no value, and none of the function's other variables."""

    function: str  # its ARN without a qualifier: another account may have a function of the same name
    region: str
    variable: str
    process: int = 0  # that set it; `began` is its start time in kernel ticks, since process ids are reused
    began: int | None = None
    format: int = 1

    @property
    def name(self) -> str:
        return self.function.rpartition(":")[2]

    @property
    def account(self) -> str:
        """The function's account; empty where it is not known."""
        return self.function.split(":")[4] if self.function.startswith("arn:") else ""


def is_held(record: Forced) -> bool:
    """Whether the process that changed the function still runs, and will restore it itself."""
    if not record.began:  # there is no /proc
        return is_there(record.process)
    return start_ticks(record.process) == record.began


def remember(record: Forced) -> None:
    """Write the record durably, before anything is changed.

    Raises:
        LbenchError: it cannot be written; then nothing may be changed.
    """
    path = data_folder(_FOLDER) / _name(record)
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
            f"--force-cold cannot write its record {path} ({error.strerror}): nothing was changed. Make the folder writable"
        ) from None


def forget(record: Forced) -> None:
    """Delete the record of a function that was restored."""
    (data_place(_FOLDER) / _name(record)).unlink(missing_ok=True)


def records() -> list[Forced]:
    """All records that can be read."""
    found = []
    for path in sorted(data_place(_FOLDER).glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Forced))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue  # half written: nothing was changed
    return found


def _name(record: Forced) -> str:
    return f"{hashlib.sha256(f'{record.region} {record.function}'.encode()).hexdigest()[:16]}.json"
