"""The folders users' tasks write to: a working and a temporary folder of each run's own; and what they leave elsewhere.

What one run leaves must not be seen by the next, or a cache beside the code makes it look fast. So the copy of the user's
code is restored before each run, and files that the tasks leave elsewhere are named.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from lbench.engine.backends.local.folders import NOTICED, TEMPORARY, WORKING
from lbench.engine.processes.child import is_there
from lbench.errors import InputError
from lbench.workloads.own.importer import pinned_parts
from lbench.workloads.own.snapshot import restore

__all__ = ["Workspace", "sweep"]

_PREFIX = "lbench-run-"
_NAMED = 3
_LONG = 30


class Workspace:
    """The folders of one backend's runs of a user's workload, one after the other."""

    def __init__(self, pinned: str) -> None:
        """`pinned`: the workload's name (`Description.pinned`)."""
        self._snapshot = pinned_parts(pinned)[0]
        self._folder: Path | None = None

    def begin(self) -> Path:
        """Remove the folder of the run before and make the next; the copy of the code is as it was.

        Raises:
            InputError: it cannot be made, or the copy is gone.
        """
        self.close()
        restore(self._snapshot)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_home()))
            for name in (WORKING, TEMPORARY):
                (self._folder / name).mkdir()
            (self._folder / NOTICED).touch()
        except OSError as error:
            raise InputError(f"cannot make a working folder in {_home()} ({error.strerror}): set TMPDIR") from None
        return self._folder

    def left(self) -> list[str]:
        """What the tasks have left where a later run could find it, one line each."""
        lines = []
        if changed := restore(self._snapshot):
            lines.append(
                f"tasks wrote beside their own code ({_some(changed)}): undone, so that no later run sees it; on Lambda "
                "this fails, only /tmp can be written there"
            )
        if self._folder is not None and (paths := self._noticed(self._folder)):
            lines.append(
                f"tasks left files that later runs can see ({_some(paths)}): write into the working folder or "
                "tempfile.gettempdir(), which are each run's own"
            )
        return lines

    @staticmethod
    def _noticed(folder: Path) -> list[str]:
        with contextlib.suppress(OSError):
            paths = (folder / NOTICED).read_bytes().split(b"\0")
            return sorted({os.fsdecode(path) for path in paths if path and os.path.lexists(path)})
        return []

    def close(self) -> None:
        """Remove the folder of the last run."""
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove the folders that killed engines have left behind."""
    with contextlib.suppress(OSError):
        for folder in Path(_home()).glob(f"{_PREFIX}*-*"):
            process = folder.name.removeprefix(_PREFIX).partition("-")[0]
            ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if ours and process.isdigit() and not is_there(int(process)):
                shutil.rmtree(folder, ignore_errors=True)


def _home() -> str:
    """The temporary folder; /tmp where its path is long: sockets that a task's pools make there have 104 bytes at most."""
    folder = tempfile.gettempdir()
    return "/tmp" if len(folder) > _LONG and os.access("/tmp", os.W_OK) else folder


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]).encode("utf-8", "replace").decode() + more
