"""The screens in a browser: who gets in, and that it works in a real one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from click.testing import CliRunner

from lbench.cli.main import command
from lbench.errors import InputError
from lbench.tui.web import PageServer

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    async with PageServer() as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of addresses too, as browsers take them
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield session


def _without_token(url: str) -> str:
    return url.partition("?")[0]


@pytest.mark.parametrize("path", ["", "?token=wrong", "ws", "page.js", "static/js/textual.js", "download/x", "none"])
async def test_every_request_without_the_token_is_refused(
    server: PageServer, browser: aiohttp.ClientSession, path: str
) -> None:
    async with browser.get(_without_token(server.url) + path) as answer:
        assert answer.status == 403
        assert "lbench serve" in await answer.text()


async def test_the_token_becomes_a_cookie_and_leaves_the_address(
    server: PageServer, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(server.url) as answer:
        assert answer.status == 200 and "token" not in str(answer.url)
        cookie = answer.history[0].headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        text = await answer.text()
        assert "lbench attach" in text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    async with browser.get(_without_token(server.url) + "static/js/textual.js") as answer:
        assert answer.status == 200


async def test_a_page_of_elsewhere_gets_nothing_even_with_the_cookie(
    server: PageServer, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(server.url):
        pass
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        async with browser.get(_without_token(server.url) + "ws", headers=headers) as answer:
            assert answer.status == 403


async def test_the_page_names_no_foreign_host(server: PageServer, browser: aiohttp.ClientSession) -> None:
    async with browser.get(server.url) as answer:
        assert not re.search(r"(https?:)?//[a-z]", await answer.text())


async def test_a_port_in_use_is_an_input_error(server: PageServer) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    with pytest.raises(InputError, match="choose another --port"):
        async with PageServer(port=port):
            pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--host", "example.org"], "--allow-remote"),
        (["--port", "70000"], "1 to 65535"),
    ],
)
def test_what_cannot_be_served_is_reported_in_one_line(options: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lbench", "serve", *options], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_the_command_is_in_the_help() -> None:
    assert "Open the screens in a browser." in CliRunner().invoke(command, ["--help"]).output


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """`lbench serve` as a user starts it: the URL that it prints."""
    folders = {name: str(tmp_path / name) for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    process = subprocess.Popen(
        [sys.executable, "-m", "lbench", "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **folders, "LBENCH_REPEATS": "1", "LBENCH_ON_HANGUP": "stop"},
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(180) == 0


@pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_in_chromium_a_run_is_started_by_keys_and_the_picture_changes(served: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        asked: list[str] = []
        faults: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(served)
        page.wait_for_selector("body.-first-byte")

        def picture_other_than(before: bytes) -> bytes:
            for _ in range(200):
                page.wait_for_timeout(100)
                shot = page.screenshot()
                if shot != before:
                    return shot
            raise AssertionError("the picture stays as it was")

        first = picture_other_than(b"")
        page.keyboard.press("r")
        form = picture_other_than(first)
        page.keyboard.press("Enter")
        begun = picture_other_than(form)
        picture_other_than(begun)
        page.keyboard.press("q")
        page.wait_for_selector("body.-closed .ended", timeout=30_000)
        here = urlsplit(served).netloc
        assert {urlsplit(url).netloc for url in asked} == {here} and len(asked) > 3
        assert not faults
        browser.close()
