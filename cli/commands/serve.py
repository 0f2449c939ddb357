"""`lbench serve`: shows the screens in a browser."""

from __future__ import annotations

import click

from lbench.config.server_url import is_loopback
from lbench.errors import InputError

__all__ = ["command"]


@click.command()
@click.option(
    "--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on (default: this machine only)."
)
@click.option("--port", type=int, default=0, metavar="N", help="Port (default: a free one).")
@click.option("--allow-remote", is_flag=True, help="Accept other machines: unencrypted, anyone with the URL.")
def command(host: str, port: int, allow_remote: bool) -> None:
    """Show the screens in a browser, until stopped with Ctrl-C. The first line is the URL to open.

    Anyone with the URL, which contains a token, can run jobs here as you until this command ends.
    """
    from importlib.util import find_spec

    if not 0 <= port <= 65535:
        raise InputError(f"--port must be from 1 to 65535, or 0 for a free port, got {port}")
    if find_spec("textual_serve") is None:
        raise InputError(
            "lbench serve requires the package textual-serve: install it with `pip install 'lbench[serve]'`"
        )

    if not (allow_remote or is_loopback(host)):
        raise InputError(
            f"--host {host}: other machines could reach the screens, unencrypted. "
            "Use ssh -L PORT:127.0.0.1:PORT instead, or pass --allow-remote"
        )
    from lbench.config.settings import load

    load()  # an invalid setting fails here, not in a page
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
            click.echo("open it in a browser; stop with Ctrl-C", err=True)
            return await stop

    number = asyncio.run(until_stopped())
    click.get_current_context().exit(0 if number == signal.SIGINT else SIGNAL_EXIT_CODES[signal.Signals(number)])
