"""The temporary objects of a run: their place is made when the job first asks for it, and deleted when the run ends.

Where the backend has no place of its own, it is a private folder in the session's folder. A killed engine leaves it behind;
the next engine removes it (`sweep_objects`).
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

__all__ = ["OBJECTS_NAME", "RunStore", "sweep_objects"]

OBJECTS_NAME = "objects"
_PATIENCE_S = 60.0  # the end of the run is recorded after this


class RunStore:
    """The place for the objects of one run."""

    def __init__(self, backend: Backend, session: Path, run: str) -> None:
        self._backend = backend
        self._folder = session / OBJECTS_NAME / run
        self._run = run
        self._place: Place | None = None
        self.used = False  # whether the job has asked for the place

    def place(self) -> Place:
        """Return the place; the first call makes it.

        Raises:
            BackendError: the folder cannot be made.
        """
        self.used = True
        if self._place is None:
            place = self._backend.temporary(self._run)
            if place is None:
                place = Place(folder=str(self._folder))
                try:
                    self._folder.parent.mkdir(mode=0o700, exist_ok=True)
                    self._folder.mkdir(mode=0o700)
                except OSError as error:
                    raise BackendError(
                        f"cannot create the folder for temporary objects {self._folder}: {error.strerror}"
                    ) from None
            self._place = place
        return self._place

    async def clear(self) -> str | None:
        """Delete the objects; returns a warning where that failed. A backend deletes its own place when it is closed."""
        place, self._place = self._place, None
        if place is None:
            return None
        try:
            if place.folder != str(self._folder):
                async with asyncio.timeout(_PATIENCE_S):
                    await self._backend.clear(place)
            else:
                await asyncio.to_thread(FolderStore(self._folder).delete_all)
                with contextlib.suppress(OSError):  # another run still has objects there
                    self._folder.parent.rmdir()
        except TimeoutError:
            return f"temporary objects may be left behind: deleting them took longer than {_PATIENCE_S:g} s"
        except LbenchError as error:
            return f"temporary objects may be left behind: {error}"
        return None


def sweep_objects() -> None:
    """Remove the folders of objects that killed engines have left behind."""
    with contextlib.suppress(OSError, InputError):
        for folder in sessions_folder().glob(f"*/{OBJECTS_NAME}"):
            session = folder.parent
            if (session / JOURNAL_NAME).exists() and not folder.is_symlink() and not is_live(session):
                shutil.rmtree(folder, ignore_errors=True)
