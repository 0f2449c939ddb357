"""Starting and finding engines for the screens."""

from __future__ import annotations

from pathlib import Path

from lbench.engine.service.client import Engine, Follower, new_session_folder
from lbench.engine.service.discovery import engine_socket
from lbench.tui.feeds.live import EngineFeed

__all__ = ["attached", "launched"]


def launched(on_hangup: str) -> EngineFeed:
    """A new session with its own engine, which starts in the background.

    Raises:
        InputError: the sessions folder cannot be written.
    """
    folder = new_session_folder()

    def opening() -> tuple[Follower, Engine | None]:
        engine = Engine(folder, on_hangup=on_hangup)
        return Follower(folder, engine.socket), engine

    return EngineFeed(opening, folder)


def attached(folder: Path) -> EngineFeed:
    """The session of an engine that is running."""

    def opening() -> tuple[Follower, Engine | None]:
        return Follower(folder, engine_socket(folder)), None

    return EngineFeed(opening, folder)
