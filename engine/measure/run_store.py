"""A run's temporary objects: made when its job first asks for them, gone when it has ended, however it ended.

Where the backend has no place of its own it is a folder in the session's, for this user alone. An engine that was killed
leaves it; the next engine removes it (`sweep_objects`), as it does sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

from lbench.config.folders import sessions_folder
from lbench.engine.backends.base import Backend
from lbench.engine.journal.lock import is_live
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.errors import BackendError, InputError, LbenchError
from lbench.workloads.objects import FolderStore, Place

__all__ = ["OBJECTS_NAME", "Temporary", "sweep_objects"]

OBJECTS_NAME = "objects"
_PATIENCE_S = 60.0  # the run has ended and is waiting to be told so


class Temporary:
    """One run's place for objects."""

    def __init__(self, backend: Backend, session: Path, run: str) -> None:
        self._backend = backend
        self._folder = session / OBJECTS_NAME / run
        self._run = run
        self._place: Place | None = None

    def place(self) -> Place:
        """The place, made if need be.

        Raises:
            BackendError: the folder cannot be made.
        """
        if self._place is None:
            place = self._backend.temporary(self._run)
            if place is None:
                place = Place(folder=str(self._folder))
                try:
                    self._folder.parent.mkdir(mode=0o700, exist_ok=True)
                    self._folder.mkdir(mode=0o700)
                except OSError as error:
                    raise BackendError(
                        f"no folder for temporary objects can be made at {self._folder}: {error.strerror}"
                    ) from None
            self._place = place
        return self._place

    async def clear(self) -> str | None:
        """Delete what is there; one line where that cannot be done. The backend's own place goes with it at last."""
        place, self._place = self._place, None
        if place is None:
            return None
        try:
            if place.folder is None:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._backend.clear(place)
            else:
                await asyncio.to_thread(FolderStore(self._folder).delete_all)
                with contextlib.suppress(OSError):  # another run's may still be there
                    self._folder.parent.rmdir()
        except TimeoutError:
            return f"temporary objects may be left behind: deleting them took longer than {_PATIENCE_S:g} s"
        except LbenchError as error:
            return f"temporary objects may be left behind: {error}"
        return None


def sweep_objects() -> None:
    """Remove the folders of objects that killed engines have left in their sessions."""
    with contextlib.suppress(OSError, InputError):
        for folder in sessions_folder().glob(f"*/{OBJECTS_NAME}"):
            session = folder.parent
            if (session / JOURNAL_NAME).exists() and not folder.is_symlink() and not is_live(session):
                shutil.rmtree(folder, ignore_errors=True)
