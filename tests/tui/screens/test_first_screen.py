"""Before anything has run, the first screen uses its room: keys, the last result, this machine, what the words mean."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.plan.plan import Plan
from lbench.tui.app import LbenchApp
from lbench.tui.bench.welcome import example_picture
from lbench.tui.screens.prompts import AskYes
from lbench.tui.screens.sessions import SessionsScreen
from lbench.tui.session_index import Entry, last_result
from lbench.tui.widgets.welcome import Welcome

App = Callable[..., LbenchApp]
Text = Callable[[LbenchApp], str]


async def seen(pilot: Any, text: str, screen_text: Text, *, there: bool = True) -> str:
    """The screen, once a text is on it, or no more."""
    async with asyncio.timeout(60):
        while (text in (shown := screen_text(pilot.app))) != there:
            await pilot.pause(0.01)
    return shown


async def look_ahead(app: LbenchApp) -> None:
    """What the app does after its first frame, which these tests' clocks never reach."""
    await asyncio.to_thread(app._load_ahead)


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 60)])
async def test_less_than_a_third_of_the_first_screen_is_empty(
    size: tuple[int, int], app_of: App, screen_text: Text
) -> None:
    app = app_of()
    async with app.run_test(size=size) as pilot:
        await look_ahead(app)
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert any("share its cores" in line for line in lines)
        assert next(number for number, line in enumerate(reversed(lines[:-1])) if line.strip()) < size[1] // 3
        assert any("what mandelbrot computes" in line for line in lines) == (size[0] == 200)


async def test_a_terminal_that_becomes_wide_has_the_picture_too(app_of: App, screen_text: Text) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await look_ahead(app)
        await pilot.resize_terminal(200, 60)
        async with asyncio.timeout(60):  # Textual takes up a size a little later
            while "what mandelbrot computes" not in screen_text(app):
                await pilot.pause()


async def test_the_keys_of_the_examples_go_by_the_workload_that_the_set_up_offers(
    app_of: App, screen_text: Text
) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        app.plan = Plan("kmeans", backends=app.plan.backends)
        app.bench.query_one(Welcome).redraw()
        await pilot.pause()
        text = screen_text(app)
        assert "  w ← ← ↵     mandelbrot" in text and "  r ↵         kmeans" in text


def test_the_example_is_the_picture_of_its_workload() -> None:
    levels = example_picture()
    assert levels.shape == (240, 240)
    assert levels[120][0] == 255 and levels[120][-1] < 255  # x grows to the right: from -1.5, in the set, to 1


async def test_what_was_looked_for_before_a_session_was_deleted_is_not_shown_after_it(
    recorded: Path, app_of: App, screen_text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    entry = last_result()

    def slow() -> Entry | None:
        begun.set()
        may_end.wait(60)
        return entry

    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        monkeypatch.setattr("lbench.tui.session_index.last_result", slow)
        first = asyncio.create_task(look_ahead(app))
        while not begun.is_set():
            await pilot.pause(0.01)
        monkeypatch.setattr("lbench.tui.session_index.last_result", lambda: None)
        await asyncio.to_thread(app._look_for_last)
        may_end.set()
        await first
        await pilot.pause()
        assert entry is not None and "last result" not in screen_text(app)


async def test_a_session_that_was_deleted_is_nowhere_offered_any_more(
    recorded: Path, making: Any, app_of: App, screen_text: Text
) -> None:
    shutil.copytree(recorded, recorded.parent / "20261122-130000-beef")
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await look_ahead(app)
        await seen(pilot, "last result", screen_text)
        app.compared = [recorded, recorded.parent / "20261122-130000-beef"]
        await pilot.press("4")
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)
        for _ in range(2):
            await pilot.press("d")
            await pilot.pause()
            assert isinstance(app.screen, AskYes)
            await pilot.press("y")
            await pilot.pause()
        assert app.compared == [] and list(recorded.parent.glob("*")) == []
        await pilot.press("1")
        await pilot.pause()
        await seen(pilot, "last result", screen_text, there=False)
