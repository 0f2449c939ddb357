"""The size of the terminal reaches the screens once, and is the last one that it had."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.geometry import Size
from textual.screen import Screen

from lbench.errors import EngineLostError
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.live import EngineFeed
from lbench.tui.widgets import plan_forecast
from lbench.tui.widgets.table import BackendTable
from lbench.tui.widgets.welcome import Welcome

WAYS = [[], ["r"], ["2"], ["4"], ["5"], ["question_mark"], ["x"], ["ctrl+p"]]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(way) or "bench")
async def test_two_sizes_in_quick_succession_do_not_take_turns_for_ever(
    way: list[str], app_of: Callable[..., LbenchApp], recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sizes are on their way to a screen at once, with another message between them, as on a busy machine."""
    layouts: list[Size] = []
    lay_out = Screen._screen_resized

    def counted(screen: Screen[Any], size: Size) -> None:
        layouts.append(size)
        if len(layouts) > 100:  # without an end: the app shall be left, and the test fail
            return
        lay_out(screen, size)
        screen.call_later(lambda: None)  # what a part asks for when its size changes

    monkeypatch.setattr(plan_forecast, "busy_notice", lambda: None)
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*way)
        await pilot.pause()
        monkeypatch.setattr(Screen, "_screen_resized", counted)
        screen = app.screen
        for size in (Size(120, 40), Size(100, 30), Size(200, 60)):
            app._size = size
            screen.post_message(events.Resize(size, size))
            screen.call_later(lambda: None)
        for _ in range(200):
            await asyncio.sleep(0)
        count = len(layouts)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(layouts) == count < 20
        assert screen.size == Size(200, 60) and not screen.show_vertical_scrollbar
        await pilot.pause()


async def test_the_focus_comes_back_after_a_terminal_that_was_too_small(app_of: Callable[..., LbenchApp]) -> None:
    app = app_of()
    async with app.run_test(size=(100, 30)) as pilot:
        for size in ((30, 8), (100, 30)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        app.tick()
        await pilot.pause()
        assert isinstance(app.focused, BackendTable)


async def test_an_engine_that_has_not_answered_yet_is_no_first_start(app_of: Callable[..., LbenchApp]) -> None:
    answer = threading.Event()

    def opening() -> Any:
        answer.wait()
        raise EngineLostError("it is gone")

    app = app_of(EngineFeed(opening))
    try:
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            assert not app.screen.query_one(Welcome).display
    finally:
        answer.set()
