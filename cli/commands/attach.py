"""`lbench attach`: follows a running engine, on the screens or, without a terminal, as plain lines."""

from __future__ import annotations

import time
from pathlib import Path

import click

from lbench.cli.screens import can_show, screen_options, show

__all__ = ["command"]

_WAIT_S = 0.1  # for events; the longest delay of a signal


@click.command()
@click.argument("session", required=False)
@screen_options
def command(session: str | None, no_mouse: bool, theme: str) -> None:
    """Open the screens on a running engine: that of SESSION, or the newest.

    Earlier events are read from the journal, so nothing is missed.
    """
    from lbench.engine.service.discovery import engine_socket, newest_living
    from lbench.engine.session.index import find_session

    folder = newest_living() if session is None else find_session(session)
    engine_socket(folder)  # fails before any screen opens
    code = show(attach=folder, no_mouse=no_mouse, theme=theme) if can_show() else _follow(folder)
    click.get_current_context().exit(code)


def _follow(folder: Path) -> int:
    """Print progress until the engine has ended, then its report; Ctrl-C leaves the engine running."""
    from lbench.cli.documents import document_of
    from lbench.cli.follow import code_of, open_progress
    from lbench.cli.report import print_report
    from lbench.cli.signals import StopSignals
    from lbench.engine.journal.events import RunStarted
    from lbench.engine.service.client import Follower
    from lbench.engine.service.discovery import engine_socket
    from lbench.engine.session.view import SessionView
    from lbench.errors import EngineLostError

    view = SessionView()
    clocks: dict[str, float] = {}  # run: this process's clock when its start arrived
    follower = Follower(folder, engine_socket(folder))
    try:
        with StopSignals() as signals, open_progress(quiet=False) as progress:
            follower.follow()
            while signals.exit_code is None:
                try:
                    for event in follower.receive(_WAIT_S):
                        view.apply(event)
                        if isinstance(event, RunStarted):
                            clocks[event.run] = time.monotonic()
                        progress.event(event, view)
                except EngineLostError:
                    break
                now_s = time.monotonic()
                progress.draw(view, {run: now_s - start_s for run, start_s in clocks.items()})
    finally:
        follower.close()
    if signals.exit_code is not None:
        click.echo(f"lbench: the engine continues; attach again with `lbench attach {folder.name}`", err=True)
        return signals.exit_code
    if view.end is None:
        view.engine_gone()
    if view.header is not None:
        print_report(view, document_of(view), f"session {folder.name} in {folder}")
    return code_of(view)
