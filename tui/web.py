"""The screens in a browser: textual-serve's terminal in a page of our own, behind a token, on loopback.

Each page that is opened has screens of its own (a process), as each terminal has. The token in the URL is exchanged for a
cookie at once, so that it stays in no history; without it nothing is served. The page loads nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from asyncio.subprocess import PIPE, Process
from importlib import resources
from pathlib import Path
from typing import Any

import textual_serve
from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from lbench.config.server_url import is_loopback
from lbench.engine.processes.lifeline import PARENT
from lbench.errors import InputError

__all__ = ["PageServer"]

_STATIC = Path(textual_serve.__file__).parent / "static"
_MOST_PAGES = 8  # open at once: each is a process
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class _Screens(AppService):
    """The screens' process behind one page. Textual-serve would start it through a shell."""

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment: dict[str, str] = super()._build_environment(width, height)
        for name in ("TMUX", "SSH_CONNECTION", "SSH_TTY", "NO_COLOR"):  # of the terminal that serves
            environment.pop(name, None)
        return environment | {"TERM": "xterm-256color", "COLORTERM": "truecolor", PARENT: str(os.getpid())}

    async def run(self) -> None:
        """Until they end; the page then says so, however it came."""
        try:
            await super().run()
        finally:
            with contextlib.suppress(ConnectionError):
                await self.remote_close()

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "lbench.tui"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width=width, height=height),
        )
        self._stdin = process.stdin
        return process


class PageServer:
    """`async with` serves the page; `url` then leads to it, token and all."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """`port` 0: a free one."""
        self.url = ""
        self._host, self._port = host, port
        self._token = secrets.token_urlsafe(24)
        self._cookie = ""
        self._pages: set[web.WebSocketResponse] = set()
        self._downloads = DownloadManager()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> PageServer:
        """Listen.

        Raises:
            InputError: that is not possible there.
        """
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/ws", self._websocket),
                web.get("/page.js", self._script),
                web.get("/download/{key}", self._download),
                web.static("/static", _STATIC),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except (OSError, OverflowError) as error:
            await self._runner.cleanup()
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise InputError(f"cannot serve on {self._host} port {self._port} ({why}): choose another --port") from None
        port = self._runner.addresses[0][1]
        self._cookie = f"lbench-{port}"
        shown = f"[{self._host}]" if ":" in self._host else self._host
        if self._host in ("0.0.0.0", "::"):
            shown = socket.gethostname()
        self.url = f"http://{shown}:{port}/?token={self._token}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pages: their screens end, engines do as `on_hangup` says."""
        for page in list(self._pages):
            await page.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Nobody without the token; no page of elsewhere, also not by a name that it made point here."""
        host = request.host.rpartition(":")[0].strip("[]") or request.host
        origin = request.headers.get("Origin")
        foreign = origin is not None and origin != f"http://{request.host}"
        rebound = is_loopback(self._host) and not is_loopback(host)
        given = request.cookies.get(self._cookie, "")
        if request.path == "/" and "token" in request.query:
            given = request.query["token"]
        if foreign or rebound or not secrets.compare_digest(given.encode(), self._token.encode()):
            return web.Response(status=403, text="Open the URL that `lbench serve` printed, token and all.\n")
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if "token" in request.query:
            response = web.Response(status=303, headers={"Location": "/"})
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
            return response
        page = resources.files("lbench.tui").joinpath("page.html").read_text(encoding="utf-8")
        return web.Response(text=page, content_type="text/html")

    async def _script(self, request: web.Request) -> web.StreamResponse:
        script = resources.files("lbench.tui").joinpath("page.js").read_text(encoding="utf-8")
        return web.Response(text=script, content_type="text/javascript")

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if len(self._pages) >= _MOST_PAGES:
            return web.Response(status=503, text=f"{_MOST_PAGES} pages are open: close one.\n")
        page = web.WebSocketResponse(heartbeat=15)
        await page.prepare(request)
        self._pages.add(page)

        async def page_closed() -> None:
            await page.close()

        screens = _Screens(
            "lbench",
            write_bytes=page.send_bytes,
            write_str=page.send_str,
            close=page_closed,
            download_manager=self._downloads,
        )
        try:
            await screens.start(_cells(request, "width", 80), _cells(request, "height", 24))
            await _pass_on(page, screens)
        finally:
            self._pages.discard(page)
            with contextlib.suppress(ConnectionError):  # the screens may have ended by themselves
                await screens.stop()
            await page.close()
        return page

    async def _download(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        try:
            metadata = await self._downloads.get_download_metadata(key)
        except KeyError:
            return web.Response(status=404, text="there is no such download\n")
        name = Path(metadata.file_name).name.replace('"', "")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        response = web.StreamResponse(headers=headers | _HEADERS)
        await response.prepare(request)
        async for chunk in self._downloads.download(key):
            await response.write(chunk)
        return response


def _cells(request: web.Request, name: str, usual: int) -> int:
    text = request.query.get(name, "")
    return min(1000, max(1, int(text))) if text.isdecimal() else usual


async def _pass_on(page: web.WebSocketResponse, screens: AppService) -> None:
    """Send what is typed in the page to its screens, until it is closed; other messages are ignored."""
    async for message in page:
        if message.type != WSMsgType.TEXT:
            continue
        try:
            kind, *rest = message.json()
            if kind == "stdin":
                await screens.send_bytes(str(rest[0]).encode())
            elif kind == "resize":
                await screens.set_terminal_size(int(rest[0]["width"]), int(rest[0]["height"]))
            elif kind == "ping":
                await page.send_json(["pong", rest[0]])
            elif kind == "blur":
                await screens.blur()
            elif kind == "focus":
                await screens.focus()
        except (ValueError, TypeError, KeyError, IndexError):
            continue
