"""Starting and finding engines for the screens."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.engine.client import Engine, Follower, new_session_folder
from lbench.errors import InputError
from lbench.tui.feed import EngineFeed

__all__ = ["attached", "launched"]


def launched(on_hangup: str) -> EngineFeed:
    """A new session with an engine of its own, which starts while the screen goes on.

    Raises:
        InputError: there is no place for a session.
    """
    folder = new_session_folder()

    def opening() -> tuple[Follower, Engine | None]:
        engine = Engine(folder, on_hangup=on_hangup)
        return Follower(folder, engine.socket), engine

    return EngineFeed(opening, folder)


def attached(folder: Path) -> EngineFeed:
    """The session of an engine that is running."""

    def opening() -> tuple[Follower, Engine | None]:
        try:
            told = msgspec.json.decode((folder / "engine.json").read_bytes(), type=dict[str, str | int])
        except (OSError, msgspec.MsgspecError):
            raise InputError(f"no engine is running in {folder}: see lbench sessions") from None
        return Follower(folder, Path(str(told["socket"]))), None

    return EngineFeed(opening, folder)
