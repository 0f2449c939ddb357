"""`lbench open`: a recorded session or an exported document on the screens, at once or replayed."""

from __future__ import annotations

import click

from lbench.cli.screens import can_show, screen_options, show

__all__ = ["command"]


@click.command()
@click.argument("session", metavar="SESSION|FILE")
@click.option("--speed", metavar="N", help="Replay it N times as fast as it was; without it all is shown at once.")
@screen_options
def command(session: str, speed: str | None, no_mouse: bool, theme: str) -> None:
    """Look at a recorded session: replay, pause, seek.

    SESSION is an id or the beginning of one, `last`, or a session's folder, journal or JSON document.
    """
    from lbench.engine.journal.lock import is_live
    from lbench.engine.session.index import find_session
    from lbench.errors import InputError
    from lbench.tui.feeds.replay import RecordedFeed

    times = _speed(speed)
    if not can_show():
        raise InputError("lbench open draws screens, and this is no terminal that can show them: see lbench export")
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
        raise InputError(f"--speed {text}: a number is expected, as 0.5 or 10") from None
    if not 0 < speed <= 1e6:
        raise InputError(f"--speed {text}: it is more than 0 and at most 1,000,000")
    return speed
