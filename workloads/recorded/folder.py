"""A recording: a folder that can be copied to another machine.

`$XDG_DATA_HOME/lbench/recordings/NAME/`: `manifest.json`, `calls.bin` and `results.bin` (a value of the encoding each,
after its length), and `code/` with the script's own files.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lbench.decoding import decode_json
from lbench.errors import InputError, count_text
from lbench.folders import check_private
from lbench.workloads.recorded.places import recordings_folder

__all__ = [
    "FORMAT",
    "VERSION",
    "Left",
    "Manifest",
    "find",
    "function_name",
    "names",
    "read_manifest",
    "read_values",
]

FORMAT, VERSION = "lbench.recording", 1
MANIFEST = "manifest.json"


class Left(msgspec.Struct, frozen=True):
    """Calls that are not in the recording, and why."""

    count: int  # 0: not known
    what: str
    why: str
    where: str = ""

    @property
    def text(self) -> str:
        place = f", handed over at {self.where}" if self.where else ""
        count = f"{count_text(self.count, 'call')} of " if self.count else ""
        return f"{count}{self.what}{place}: {self.why}"


class Manifest(msgspec.Struct, frozen=True):
    """What a recording is of. `stages`: how many calls each has."""

    format: str
    version: int
    name: str
    created: str
    lbench_version: str
    python: str
    script: str
    main: str  # the module that the script is for the workers
    stages: list[int]
    functions: dict[str, int]  # how many calls each has
    digest: str  # SHA-256 of calls.bin and results.bin
    arrays: int = 0  # large ones, which stand before the calls
    argv: list[str] | None = None  # the script's arguments, where its module reads them; None: it is not imported
    names: list[str] = []  # of libraries, that calls and results are made of
    requirements: list[str] = []
    packages: dict[str, str] = {}  # versions of the libraries that the calls used
    code: dict[str, str] = {}  # SHA-256 of each of the script's files, by its path below code/
    unset: list[str] = []  # what calls need of the script that its copy does not set
    changed: list[str] = []  # what they read that the script had set to something else than its copy does
    left_out: list[Left] = []

    @property
    def tasks(self) -> int:
        return sum(self.stages)

    @property
    def is_sound(self) -> bool:
        """Whether its numbers fit each other, as those that were recorded do."""
        counts = [*self.stages, *self.functions.values()]
        return bool(counts) and min(counts) > 0 <= self.arrays and self.tasks == sum(self.functions.values())


class _Header(msgspec.Struct):
    format: str = ""
    version: int = 0


def names() -> list[str]:
    """The recordings that are there."""
    try:
        return sorted(path.parent.name for path in recordings_folder().glob(f"*/{MANIFEST}"))
    except OSError:
        return []


def find(name: str) -> Path:
    """The folder of a recording: of that name, or at that path.

    Raises:
        InputError: there is none.
    """
    if not name:
        raise InputError("name a recording, as in recorded:NAME: `lbench record script.py` makes one")
    folder = recordings_folder() / name
    try:
        if "/" in name or name in (".", ".."):
            folder = Path(name).expanduser()
        found = (folder / MANIFEST).is_file()
        if found and folder.parent == recordings_folder():
            check_private(folder)
    except PermissionError as error:
        raise InputError(f"recorded:{name}: {error.strerror}; set XDG_DATA_HOME to a folder that you own") from None
    except (OSError, RuntimeError):  # a name that is too long, or the home folder of nobody
        found = False
    if not found:
        there = names()
        hint = f"there are: {', '.join(there)}" if there else "`lbench record script.py` makes one"
        where = "no recording in that folder" if "/" in name else "no such recording"
        raise InputError(f"recorded:{name}: {where}: {hint}")
    return folder.absolute()


def read_manifest(folder: Path, *, whole: bool = True) -> Manifest:
    """The manifest. `whole`: verify that the calls and results are those it is of.

    Raises:
        InputError: it is damaged, or of another version.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        header = decode_json(content, _Header)
        if header.format == FORMAT and header.version != VERSION:
            raise InputError(
                f"{folder.name}: this is a recording of version {header.version}, and this lbench reads version {VERSION}: "
                "record the script again"
            )
        manifest = decode_json(content, Manifest)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        raise InputError(f"{folder.name}: the recording's {MANIFEST} is damaged: record the script again") from None
    if manifest.format != FORMAT:
        raise InputError(f"{folder.name}: {MANIFEST} is not a recording's")
    if not manifest.is_sound:
        raise InputError(f"{folder.name}: the recording's {MANIFEST} is damaged: record the script again")
    if whole and _digest_of(folder, *_stamps(folder)) != manifest.digest:
        raise InputError(f"{folder.name}: the recording is not whole: copy it again, or record the script again")
    return manifest


def _stamps(folder: Path) -> tuple[object, ...]:
    """What changes when a file of it does."""
    try:
        return tuple(
            (one.st_mtime_ns, one.st_size, one.st_ino)
            for one in ((folder / name).stat() for name in ("calls.bin", "results.bin"))
        )
    except OSError:
        return ()


@functools.lru_cache(maxsize=64)
def _digest_of(folder: Path, *stamps: object) -> str | None:
    return digest_of(folder)


def digest_of(folder: Path) -> str | None:
    """SHA-256 of the calls and results; None: they are not there."""
    digest = hashlib.sha256()
    try:
        for name in ("calls.bin", "results.bin"):
            with (folder / name).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            digest.update(b"\0")
    except OSError:
        return None
    return digest.hexdigest()


def read_values(path: Path) -> Iterator[Any]:
    """The values of a file, each after its length; a torn end is dropped."""
    from lbench.workloads.encoding import decode

    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            content = file.read(int.from_bytes(head, "little"))
            if len(content) < int.from_bytes(head, "little"):
                return
            yield decode(content)


def function_name(value: Any) -> str:
    """A packed function by name; of a partial and of a method, what is inside."""
    while isinstance(value, dict):
        if value.get("~") == "name":
            return str(value["v"])
        arguments = value.get("a") or [None]
        if (
            value.get("~") == "object"
            and isinstance(value.get("f"), dict)
            and value["f"].get("v") == "builtins:getattr"
        ):
            return f"{_class_of(arguments[0])}.{arguments[1]}"
        value = arguments[0] if isinstance(arguments[0], dict) else value.get("f")
    return "a call"


def _class_of(value: Any) -> str:
    while isinstance(value, dict):
        if value.get("~") == "name":
            return str(value["v"])
        arguments = value.get("a") or [None]
        value = arguments[0] if isinstance(arguments[0], dict) else value.get("f")
    return type(value).__name__
