"""The argument of commands that read recorded sessions; where it is missing, the newest sessions are proposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["session_argument"]

_PROPOSED = 3  # sessions


def session_argument(name: str, *, nargs: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a required argument of one session, or of several (`nargs` -1)."""
    metavar = "SESSION|FILE" if nargs == 1 else "SESSION|FILE..."
    return click.argument(name, nargs=nargs, required=True, metavar=metavar, cls=_Argument)


class _Argument(click.Argument):
    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert the value.

        Raises:
            InputError: it is missing; the message proposes sessions.
        """
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter:
            from lbench.errors import InputError

            raise InputError(f"{ctx.command_path.partition(' ')[2]}: {_proposal()}") from None


def _proposal() -> str:
    """What to name, by the sessions that there are."""
    from lbench.config.folders import sessions_place
    from lbench.engine.session.index import recorded, session_folders

    newest = [recorded(folder) for folder in session_folders()[:_PROPOSED]]
    if not newest:
        return f"name a file: no session is recorded in {sessions_place()}; `lbench run` measures one"
    texts = [f"{one.id} ({', '.join(one.workloads) or one.error or 'no runs'})" for one in newest]
    return f"name a session, `last` or a file; the newest: {', '.join(texts)} (`lbench sessions` lists all)"
