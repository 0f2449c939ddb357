"""Every key in a footer does something; the help tells every key; the palette finds every command."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from textual import events
from textual.command import CommandList, CommandPalette, Hit
from textual.geometry import Region
from textual.system_commands import SystemCommandsProvider

from lbench.errors import InputError
from lbench.tui.app import LbenchApp
from lbench.tui.bench.forecast import Forecast
from lbench.tui.feeds.feed import Frame
from lbench.tui.feeds.live import EngineFeed
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.screens.help import _NAMES, HelpScreen, _classes, parts
from lbench.tui.screens.sessions import SessionsScreen
from lbench.tui.theme import DARK, LIGHT
from lbench.tui.widgets import plan_forecast as ahead
from lbench.tui.widgets.session_table import SessionTable
from lbench.tui.widgets.timeline import Timeline
from lbench.tui.widgets.title import Keys

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]


class AtWork(EngineFeed):
    """An engine that runs and records its commands."""

    def __init__(self, folder: Path, making: ModuleType) -> None:
        self._record = RecordedFeed.of(folder, speed=1.0)
        self._record.go_to(3.0)
        self._record.pause(True)
        self._folder = folder
        self.asked: list[str] = []
        self.engine = None
        self.left_running = False

    running = True  # type: ignore[assignment]
    over = False  # type: ignore[assignment]
    paused = False  # type: ignore[assignment]
    handing_over = False  # type: ignore[assignment]

    def command(self, name: str) -> None:
        self.asked.append(name)

    def frame(self, budget_s: float = 0.03) -> Frame:
        return self._record.frame(budget_s)

    def catch_up(self, budget_s: float = 0.03) -> bool:
        return self._record.catch_up(budget_s)

    def close(self) -> None:
        self.asked.append("close")


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "busy_notice", lambda: None)
    monkeypatch.setattr(ahead, "forecast", lambda plan: Forecast(tasks=100))
    monkeypatch.setattr(LbenchApp, "start", lambda app, plan: None)  # no engine is started

    def refuse(on_hangup: str) -> None:
        raise InputError("no engine in this test")

    monkeypatch.setattr("lbench.tui.launch.launched", refuse)
    monkeypatch.setattr("lbench.tui.screens.explore.launched", refuse, raising=False)


async def ready(pilot: Any, keys: tuple[str, ...]) -> None:
    app = pilot.app
    for _ in range(4):
        app.tick()
        await pilot.pause()
    for key in keys:
        if key == "TIMELINE":
            [one for one in app.screen.query(Timeline) if one.run is not None and one.display][-1].focus()
            await pilot.pause()
            continue
        await pilot.press(key)
        await pilot.pause()
        if isinstance(app.screen, SessionsScreen):
            table = app.screen.query_one(SessionTable)
            for _ in range(200):
                if table.entries and table.entries[0].worked_out:
                    break
                await pilot.pause(0.01)
    app.tick()
    await pilot.pause()


def state(app: LbenchApp, text: str) -> tuple[object, ...]:
    """All that a key may change."""
    feed = app.feed
    asked = tuple(feed.asked) if isinstance(feed, AtWork) else ()
    frame = feed.frame()
    if not app._exit and hasattr(app.screen, "show_frame"):
        app.screen.show_frame(frame)  # a frame reports each change once
    focused = app.screen.focused
    where = (focused.id, str(getattr(focused, "cursor_position", ""))) if focused is not None else None
    return (
        text,
        tuple(type(screen).__name__ for screen in app.screen_stack),
        where,
        app._exit,
        asked,
        len(app._notifications),
        (frame.state, frame.speed, frame.replay_s, frame.epoch),
        app.theme,
    )


def shown_keys(app: LbenchApp, *, everywhere: bool) -> list[tuple[str, str]]:
    """(key, meaning) of what the footer offers; those of the app itself are tried in one place."""
    return [
        (key, active.binding.description)
        for key, active in app.screen.active_bindings.items()
        if active.binding.show and active.binding.description and active.enabled
        if everywhere or active.node is not app
    ]


PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "before the first run": ("none", ()),
    "a record": ("record", ()),
    "a replay": ("record", ("space", "space", "right", "right")),
    "a run": ("live", ()),
    "a timeline": ("still", ("TIMELINE", "right", "plus", "plus")),
    "a card": ("still", ("TIMELINE", "n", "enter")),
    "the set-up": ("none", ("r", "right")),
    "a field of the set-up": ("none", ("r", "down", "down", "down", "down", "down")),
    "a backend of the set-up": ("none", ("b", "down")),
    "the sessions": ("none", ("4", "down")),
    "the filter of the sessions": ("none", ("4", "slash")),
    "a question": ("none", ("4", "d")),
    "a question for a text": ("none", ("4", "n")),
    "the sweep": ("swept", ("2",)),
    "the sweep as a table": ("swept", ("2", "d")),
    "the comparison of sessions": ("swept twice", ("4", "space", "down", "space", "c")),
    "the help": ("none", ("question_mark", "down")),
}


LEAVING = (
    "quit",
    "back",
    "start",
    "ok",
    "yes",
    "no",
    "delete",
    "choose",
    "follow",
    "repeat",
    "next error",
)  # it is another place


@pytest.fixture
def fresh(
    recorded: Path, making: ModuleType, app_of: AppOf, still: Any, swept: Callable[..., Path]
) -> Callable[[str], LbenchApp]:
    """An app for a place, with three sessions on the shelf."""
    for identity in ("20261101-000000-0000", "20261102-000000-0000"):
        making.write_session(recorded.parent / identity, making.events(identity=identity))

    def make(place: str) -> LbenchApp:
        match PLACES[place][0]:
            case "record":
                return app_of(RecordedFeed.of(recorded))
            case "live":
                return app_of(AtWork(recorded, making))
            case "swept":
                swept(places=(1, 4, 16))
            case "swept twice":
                swept("20261124-120000-0002", places=(4,), sweep=None, factor=1.1)
                swept("20261123-120000-0001", places=(4,), sweep=None)
            case "still":
                return app_of(still(None, picture=False))
        return app_of(None)

    return make


QUICK = {"a card", "a run", "the help", "the sessions", "the sweep"}
EVERY_PLACE = [pytest.param(place, marks=() if place in QUICK else pytest.mark.slow) for place in PLACES]


@pytest.mark.parametrize("place", EVERY_PLACE)
async def test_every_key_in_the_footer_does_something(
    place: str, fresh: Callable[[str], LbenchApp], screen_text: ScreenText
) -> None:
    keys: list[tuple[str, str]] | None = None
    moved: dict[str, bool] = {}  # by meaning: of two ways, one may have nowhere to go
    while keys is None or keys:  # in one app as long as there is a way back to the place
        app = fresh(place)
        async with app.run_test(size=(120, 24)) as pilot:
            await ready(pilot, PLACES[place][1])
            if keys is None:
                keys = shown_keys(app, everywhere=place in ("before the first run", "a record"))
                if place.endswith(" of the set-up"):  # these are tried in the set-up itself
                    keys = [entry for entry in keys if entry[1] not in ("start", "back")]
                keys.sort(key=lambda entry: entry[1] not in LEAVING)  # the last one is taken first
                assert keys
            stack, focused = list(app.screen_stack), app.screen.focused
            while keys:
                key, meaning = keys.pop()
                was = state(app, screen_text(app))
                await pilot.press(key)
                await pilot.pause()
                if not app._exit:
                    app.tick()
                    await pilot.pause()
                moved.setdefault(meaning, False)
                moved[meaning] |= state(app, "" if app._exit else screen_text(app)) != was
                if app._exit or app.screen_stack[: len(stack)] != stack or meaning in LEAVING:
                    break
                while len(app.screen_stack) > len(stack):
                    app.pop_screen()
                    await pilot.pause()
                if focused is not None and app.screen.focused is not focused:
                    if not focused.is_attached:
                        break  # the part was made anew
                    focused.focus()
                    await pilot.pause()
    assert [meaning for meaning, did in moved.items() if not did] == []


@pytest.mark.parametrize("place", [*EVERY_PLACE, "the palette"])
async def test_at_80_columns_what_matters_is_there_uncut_and_without_room_each_screen_says_so_and_comes_back(
    place: str, fresh: Callable[[str], LbenchApp], screen_text: ScreenText
) -> None:
    palette = place == "the palette"
    app = fresh("a record" if palette else place)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, ("ctrl+p",) if palette else PLACES[place][1])
        if not palette and not place.startswith("a question"):  # below these is the line of the screen beneath
            footer = screen_text(app).splitlines()[-1]
            keys = app.screen.query_one(Keys)
            entries = [f"{key} {meaning}" for key, meaning in keys.entries()]
            shown = re.split(r"  +", footer.strip())
            assert set(shown) <= set(entries)
            assert len(footer) <= 80
            meanings = {entry.partition(" ")[2] for entry in shown}
            offered = {meaning for _, meaning in keys.entries()}
            assert {"help", "quit", "back", "start", "run", "inspect", "cancel"} & offered <= meanings
        before = [type(screen) for screen in app.screen_stack]
        for size in ((20, 5), (1, 1), (45, 8), (20, 5)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            app.tick()
            await pilot.pause()
        async with asyncio.timeout(60):  # Textual takes up a size a little later
            while "lbench needs" not in screen_text(app):
                await pilot.pause()
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        app.tick()
        await pilot.pause()
        async with asyncio.timeout(60):
            while "lbench needs" in screen_text(app):
                await pilot.pause()
        assert [type(screen) for screen in app.screen_stack] == before


async def test_nothing_is_offered_to_inspect_while_nothing_has_returned(app_of: AppOf, still: Any) -> None:
    for feed, offered in ((None, False), (still(0.0, picture=False), False), (still(None, picture=False), True)):
        app = app_of(feed)
        async with app.run_test(size=(120, 40)) as pilot:
            await ready(pilot, ())
            assert ("inspect" in dict(shown_keys(app, everywhere=True)).values()) is offered


async def test_the_help_tells_every_key_of_every_screen(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)):
        groups = dict(parts(app))
        assert {kind.__name__ for kind in _classes()} <= set(_NAMES), "a part of the screens has no name in the help"
        for kind in _classes():
            for binding in kind.__dict__["BINDINGS"]:
                meanings = {meaning for keys in groups.values() for _, meaning in keys}
                assert (binding.tooltip or binding.description) in meanings


async def test_the_help_begins_with_the_screen_it_was_asked_from(app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await pilot.pause()
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        first = next(line for line in screen_text(app).splitlines()[2:] if line.strip())
        assert first.strip().startswith("─ sessions ─")
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)


async def test_the_palette_offers_what_can_be_done_now(app_of: AppOf, recorded: Path) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        names = {command.title for command in app.get_system_commands(app.screen)}
        assert {"run", "sessions", "help", "light or dark", "quit"} <= names
        assert not names & {"pause", "cancel", "play"}
        command = next(one for one in app.get_system_commands(app.screen) if one.title == "sessions")
        command.callback()
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)


async def test_the_colours_change_at_once_and_back(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        assert app.theme == DARK.name
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert app.theme == LIGHT.name
        assert app.palette.ground == LIGHT.ground
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert app.theme == DARK.name


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_help_looks_as_it_did(
    size: tuple[int, int], app_of: AppOf, screen_text: ScreenText, same_as: Callable[[str, str], None]
) -> None:
    app = app_of()
    async with app.run_test(size=size) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        same_as(f"help-{size[0]}x{size[1]}", screen_text(app))


@pytest.mark.parametrize("key", ["pagedown", "pageup"])
async def test_paging_in_the_palette_before_its_list_has_lines_does_nothing(
    app_of: AppOf, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        with monkeypatch.context() as early:
            early.setattr(CommandList, "scrollable_content_region", Region())  # before the first layout
            await pilot.press("ctrl+p")
            await pilot.pause()
            assert isinstance(app.screen, CommandPalette)
            assert app.screen.query_one(CommandList).highlighted == 0
            await pilot.press(key)
            await pilot.pause()
        await pilot.press(key, "escape")
        await pilot.pause()
        assert app.screen is app.bench


async def test_enter_never_overtakes_what_is_searched_in_the_palette(
    app_of: AppOf, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = SystemCommandsProvider.search

    async def slow(provider: SystemCommandsProvider, query: str) -> AsyncIterator[Hit]:
        await asyncio.sleep(0.3 if query else 0)
        async for hit in search(provider, query):
            yield hit

    monkeypatch.setattr(SystemCommandsProvider, "search", slow)
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        for key in ("ctrl+p", *"sessions"):  # in one burst
            app.post_message(events.Key(key, key))
        app.post_message(events.Key("enter", "\r"))
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)
