"""From the command line to the screens and back: the terminal is looked at, the app runs, a last line is printed."""

from __future__ import annotations

import os

from lbench.errors import InputError
from lbench.tui.feed import Feed
from lbench.tui.terminal import look

__all__ = ["run"]


def run(
    feed: Feed | None = None,
    *,
    mouse: bool = True,
    theme: str = "dark",
    fps: float | None = None,
    on_hangup: str = "finish",
) -> int:
    """Run the app until it is left; returns the exit code.

    Raises:
        InputError: this terminal cannot show it.
    """
    terminal = look(os.environ, fps=fps)
    if terminal.dumb:
        raise InputError("this terminal cannot show screens (TERM=dumb): use lbench run")
    from lbench.tui.app import LbenchApp

    app = LbenchApp(feed, terminal=terminal, theme=theme, on_hangup=on_hangup)
    code = app.run(mouse=mouse)
    if line := app.farewell():
        print(line)
    return code or 0
