"""Runs the app: checks the terminal, runs the screens, prints the farewell line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lbench.engine.plan.plan import Plan
from lbench.errors import InputError
from lbench.tui.draw.marker import Marker
from lbench.tui.feeds.feed import Feed
from lbench.tui.terminal.capabilities import look

__all__ = ["run"]


def run(
    feed: Feed | None = None,
    *,
    attach: Path | None = None,
    plan: Plan | None = None,
    mouse: bool = True,
    theme: str = "dark",
    fps: float | None = None,
    marker: Marker | None = None,
    on_hangup: str = "finish",
) -> int:
    """Run the app until it exits. Returns the exit code. Signals end the process (`terminal.exit_guard`).

    `feed`: the session shown first; or `attach`, the folder of a session whose engine runs. `plan`: what `r` offers
    (default: the app's own).

    Raises:
        InputError: the terminal cannot show screens.
        Exception: a fault of the app. The terminal is restored.
    """
    terminal = look(os.environ, fps=fps, marker=marker)
    if terminal.dumb:
        raise InputError("this terminal cannot show screens (TERM=dumb): use lbench run")
    if attach is not None:
        from lbench.tui.launch import attached

        feed = attached(attach)
    from lbench.tui.app import LbenchApp
    from lbench.tui.terminal.exit_guard import Guard

    app = LbenchApp(feed, plan=plan, terminal=terminal, theme=theme, on_hangup=on_hangup)
    with Guard(app.farewell, app.action_interrupt):
        code = app.run(mouse=mouse)
        if app._exception is not None:
            raise app._exception
    lines = [app.farewell()]
    if app.unsaved:
        from lbench.tui.export import rescued

        lines += [rescued(folder, view) for folder, view in app.unsaved.items()]
    for line in filter(None, lines):
        # In a browser standard output is the page's.
        print(line, flush=True, file=sys.stderr if app.in_browser else sys.stdout)
    return code or 0
