"""Shared by the commands that open the screens: their options, and a check of the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lbench.tui.feeds.feed import Feed

__all__ = ["can_show", "screen_options", "show"]

_WORKLOAD = "mandelbrot"  # the first one in the set-up


def screen_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--no-mouse` and `--theme`: parameters `no_mouse` and `theme`."""
    command = click.option(
        "--theme", type=click.Choice(["dark", "light"]), default="dark", help="The screens' colours."
    )(command)
    return click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")(command)


def can_show() -> bool:
    """Whether input and output are a terminal that can show the screens."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return os.environ.get("TERM", "") not in ("", "dumb", "unknown") and all(stream.isatty() for stream in streams)


def show(feed: Feed | None = None, *, attach: Path | None = None, no_mouse: bool, theme: str) -> int:
    """Open the screens on a feed, on a running session, or empty; returns the exit code.

    Raises:
        InputError: an invalid setting.
    """
    from lbench.config.settings import load, on_hangup
    from lbench.engine.plan.parse import plan_of_settings
    from lbench.tui.main import run

    chosen = load().values
    return run(
        feed,
        attach=attach,
        plan=plan_of_settings(chosen, _WORKLOAD),
        mouse=not no_mouse,
        theme=theme,
        fps=chosen.fps,
        marker=chosen.marker,
        on_hangup=on_hangup(chosen, "tui"),
    )
