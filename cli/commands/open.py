"""`lbench open`: shows a recorded session or an exported document on the screens."""

from __future__ import annotations

import click

from lbench.cli.screens import can_show, screen_options, show
from lbench.cli.session_argument import session_argument

__all__ = ["command"]


@click.command()
@session_argument("session")
@click.option("--speed", metavar="N", help="Replay at N times the original speed (default: show everything at once).")
@screen_options
def command(session: str, speed: str | None, no_mouse: bool, theme: str) -> None:
    """Open a recorded session: replay, pause, seek.

    SESSION is an id or its beginning, `last`, or the path of a folder, journal or JSON document.
    """
    from lbench.engine.journal.lock import is_live
    from lbench.engine.session.index import find_session
    from lbench.errors import InputError
    from lbench.tui.feeds.replay import RecordedFeed

    times = _speed(speed)
    if not can_show():
        raise InputError("lbench open needs a terminal that can show the screens; `lbench export` needs none")
    path = find_session(session)
    if times is None and path.is_dir() and is_live(path):
        code = show(attach=path, no_mouse=no_mouse, theme=theme)
    else:
        code = show(RecordedFeed.of(path, speed=times), no_mouse=no_mouse, theme=theme)
    click.get_current_context().exit(code)


def _speed(text: str | None) -> float | None:
    from lbench.errors import InputError

    if text is None:
        return None
    try:
        speed = float(text.removesuffix("x").removesuffix("×"))
    except ValueError:
        raise InputError(f"--speed must be a number, for example 0.5 or 10, got {text}") from None
    if not 0 < speed <= 1e6:
        raise InputError(f"--speed must be above 0 and at most 1,000,000, got {text}")
    return speed
