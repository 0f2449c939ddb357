"""Keys that are pressed while a screen first reads what it shows are handled once it has, in their order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbench.tui.app import LbenchApp
from lbench.tui.scaling import loader
from lbench.tui.screens import compare as compare_screen
from lbench.tui.screens import scaling as scaling_screen
from lbench.tui.screens import sessions as sessions_screen
from lbench.tui.screens.compare import CompareScreen
from lbench.tui.screens.prompts import AskText
from lbench.tui.screens.scaling import ScalingScreen
from lbench.tui.screens.sessions import SessionsScreen

AppOf = Callable[..., LbenchApp]
LONG = 0.05  # of a pause that does not wait for workers


@pytest.fixture
def read() -> Iterator[threading.Event]:
    """Set once a screen may read on."""
    event = threading.Event()
    yield event
    event.set()


def held(function: Callable[..., Any], read: threading.Event) -> Callable[..., Any]:
    def waiting(*arguments: Any, **options: Any) -> Any:
        assert read.wait(60)
        return function(*arguments, **options)

    return waiting


async def press(pilot: Any, *keys: str) -> None:
    """Press keys, one after the other, without waiting for what is read."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause(LONG)


async def test_scaling_keeps_them_until_its_sweep_is_read(
    app_of: AppOf, swept: Callable[..., Path], read: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept()
    monkeypatch.setattr(loader, "predict_comparison", lambda comparison, runs: None)
    monkeypatch.setattr(scaling_screen, "load_sweep", held(scaling_screen.load_sweep, read))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "2", "right", "right", "down", "d")
        screen = app.screen
        assert isinstance(screen, ScalingScreen) and screen.swept is None
        read.set()
        await pilot.pause()
        assert (screen._place, screen._selected, screen._table) == (2, 1, True)


@pytest.mark.parametrize("way_out", ["1", "escape"])
async def test_the_way_out_does_not_wait(
    way_out: str, app_of: AppOf, swept: Callable[..., Path], read: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept()
    monkeypatch.setattr(scaling_screen, "load_sweep", held(scaling_screen.load_sweep, read))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "2", *(["d"] if way_out == "escape" else []), way_out)
        assert app.screen is app.bench


async def test_sessions_keep_them_and_what_is_typed_behind_them(
    app_of: AppOf, recorded: Path, read: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_screen, "entries", held(sessions_screen.entries, read))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "4", "n", "c", "1", "q")
        assert isinstance(app.screen, SessionsScreen)
        read.set()
        await pilot.pause()
        assert isinstance(app.screen, AskText)
        assert app.screen.query_one("Input").value == "c1q"  # type: ignore[attr-defined]


async def test_compare_keeps_them(
    app_of: AppOf, swept: Callable[..., Path], read: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [swept(f"2026112{number}-120000-abcd", sweep=None, places=(4,)) for number in (1, 2)]
    monkeypatch.setattr(compare_screen, "compare_folders", held(compare_screen.compare_folders, read))
    app = app_of()
    app.compared = list(folders)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "5", "b")
        screen = app.screen
        assert isinstance(screen, CompareScreen) and screen._folders == folders
        read.set()
        await pilot.pause()
        assert screen._folders == folders[::-1] and screen.comparison is not None
