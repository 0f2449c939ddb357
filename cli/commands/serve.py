"""`lbench serve`: the screens in a browser."""

from __future__ import annotations

import click

from lbench.errors import InputError

__all__ = ["command"]


@click.command()
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen (default: this machine only).")
@click.option("--port", type=int, default=0, metavar="N", help="By default a free one.")
@click.option("--allow-remote", is_flag=True, help="Let other machines in: unencrypted, whoever has the URL.")
def command(host: str, port: int, allow_remote: bool) -> None:
    """Show the screens in a browser, until stopped with Ctrl-C. The line printed is the URL to open.

    Whoever has the URL can run jobs here as you: it holds a token, and is good until this command ends.
    """
    from importlib.util import find_spec

    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: it is from 1 to 65535, or 0 for a free one")
    if find_spec("textual_serve") is None:
        raise InputError("serving needs the package textual-serve: install it with `pip install 'lbench[serve]'`")
    from lbench.tui.web import is_loopback

    if not (allow_remote or is_loopback(host)):
        raise InputError(
            f"--host {host}: other machines could then reach the screens, unencrypted. "
            "Use ssh -L PORT:127.0.0.1:PORT instead, or add --allow-remote if that is meant"
        )
    from lbench.config.settings import load

    load()  # what is wrong with the settings is told here, not in a page
    _serve(host, port)


def _serve(host: str, port: int) -> None:
    import asyncio
    import signal

    from lbench.config.exit_codes import SIGNAL_EXIT_CODES
    from lbench.tui.web import PageServer

    async def until_stopped() -> int:
        stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def end(number: int) -> None:
            if not stop.done():
                stop.set_result(number)

        for number in SIGNAL_EXIT_CODES:
            asyncio.get_running_loop().add_signal_handler(number, end, number)
        async with PageServer(host, port) as server:
            click.echo(server.url)
            click.echo("open it in a browser; Ctrl-C ends it", err=True)
            return await stop

    number = asyncio.run(until_stopped())
    click.get_current_context().exit(0 if number == signal.SIGINT else SIGNAL_EXIT_CODES[signal.Signals(number)])
