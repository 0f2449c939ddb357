"""Marked sessions are compared: the same job only, with intervals; what differs, and what cannot be compared, is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from lbench.engine.session.labels import Meta, write_meta
from lbench.tui.app import LbenchApp
from lbench.tui.compare.board import lines_of
from lbench.tui.compare.loader import HOW_TO_COMPARE, compare_folders
from lbench.tui.draw.ink import width_of
from lbench.tui.screens.compare import CompareScreen
from lbench.tui.screens.sessions import SessionsScreen
from lbench.tui.widgets.session_table import SessionTable
from lbench.tui.widgets.title import Answer

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]


@pytest.fixture
def sessions(swept: Callable[..., Path], making: ModuleType) -> list[Path]:
    """The server, a laptop that is slower, and the server last week; one comparison each."""
    laptop = msgspec.structs.replace(
        making.MACHINE, hostname="laptop", cpu_model="i7-1260P", usable_cores=4.0, python="CPython 3.11.9"
    )
    each: dict[str, Any] = {"sweep": None, "places": (4,)}
    return [
        swept("20261123-120000-0003", **each),
        swept("20261122-120000-0002", **each, factor=2.5, machine=laptop),
        swept("20261121-120000-0001", **each, factor=1.02),
    ]


def answer(app: LbenchApp) -> str:
    return "".join(text for text, _ in app.screen.query_one(Answer)._pieces)


async def compared(pilot: Any, folders: list[Path]) -> CompareScreen:
    pilot.app.compared = folders
    await pilot.press("5")
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, CompareScreen)
    return screen


async def test_sessions_are_marked_in_the_list_and_c_compares_them(
    app_of: AppOf, sessions: list[Path], screen_text: ScreenText
) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await pilot.pause()
        table = app.screen.query_one(SessionTable)
        await pilot.press("c")  # none is marked
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)
        await pilot.press("space", "space", "space", "down", "space")
        await pilot.pause()
        assert len(table.marked) == 2 and screen_text(app).count("◆") == 2
        first = table.marked[0]
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(app.screen, CompareScreen)
        assert str(app.compared[0]) == first
        assert "as fast as" in answer(app) or "unclear" in answer(app)


async def test_marks_outlive_a_filter_and_go_with_what_is_deleted(app_of: AppOf, sessions: list[Path]) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await pilot.pause()
        table = app.screen.query_one(SessionTable)
        await pilot.press("space", "slash", *"laptop", "enter")
        await pilot.pause()
        marked = list(table.marked)
        assert len(marked) == 1
        await pilot.press("escape", "down", "space", "d", "y")
        await pilot.pause()
        assert table.marked == marked


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_it_looks_as_it_did(
    size: tuple[int, int],
    app_of: AppOf,
    sessions: list[Path],
    screen_text: ScreenText,
    same_as: Callable[[str, str], None],
) -> None:
    app = app_of()
    async with app.run_test(size=size) as pilot:
        await compared(pilot, sessions)
        same_as(f"compare-{size[0]}x{size[1]}", screen_text(app))


async def test_a_name_that_is_cut_ends_in_an_ellipsis(
    app_of: AppOf, sessions: list[Path], screen_text: ScreenText
) -> None:
    write_meta(sessions[0], Meta("the night shift of the render farm"))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await compared(pilot, sessions)
        text = screen_text(app)
        assert "the night shift of the …  sequential" in text and "AGAINST the night shift…" in text


async def test_another_session_can_be_the_base_and_the_lines_scroll(
    app_of: AppOf, sessions: list[Path], screen_text: ScreenText
) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, sessions)
        assert "AGAINST bench-01" in screen_text(app)
        await pilot.press("b")
        await pilot.pause()
        assert "AGAINST laptop" in screen_text(app)
        before = screen_text(app)
        await pilot.press("down")
        await pilot.pause()
        assert screen_text(app) != before
        await pilot.press(*["pagedown"] * 5)
        await pilot.pause()
        assert "nothing is paired" in screen_text(app)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_nothing_is_cut_at_the_usual_widths(sessions: list[Path], width: int) -> None:
    assert all(width_of(line) <= width for line in lines_of(compare_folders(sessions), width))


async def test_nothing_marked_says_what_to_do(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, [])
        assert answer(app) == HOW_TO_COMPARE
        await pilot.press("b", "down", "y", "pagedown", "escape")
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)


async def test_sessions_without_a_common_job_are_refused_with_the_reason(
    app_of: AppOf, sessions: list[Path], recorded: Path
) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await compared(pilot, [sessions[0], recorded])
        assert "no workload with the same parameters in common" in answer(app)


async def test_a_session_that_has_gone_is_one_line(app_of: AppOf, sessions: list[Path]) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await compared(pilot, [sessions[0], Path("/nowhere/20260101-000000-0000")])
        assert "/nowhere" in answer(app) and "\n" not in answer(app)
