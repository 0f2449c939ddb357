"""Recorded sessions are listed whatever state they are in; named, tagged, exported, opened, deleted."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from textual.widgets import Input

from lbench.engine.journal.lock import FolderLock
from lbench.engine.session.index import recorded as listed
from lbench.engine.session.labels import Meta, read_meta, tags_of, write_meta
from lbench.errors import InputError
from lbench.tui import session_index as shelf
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.screens.prompts import AskText, AskYes
from lbench.tui.screens.sessions import SessionsScreen
from lbench.tui.session_index import entries
from lbench.tui.widgets.prose import Prose
from lbench.tui.widgets.session_table import SessionTable, matches
from tests.tui.pilots import settled

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]


def is_there(folder: Path) -> bool:
    return folder.exists()


async def open_sessions(pilot: Any) -> SessionTable:
    await pilot.press("4")
    await pilot.pause()
    await settled(pilot)
    assert isinstance(pilot.app.screen, SessionsScreen)
    return pilot.app.screen.query_one(SessionTable)


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are shown on the machine's clock: here that is UTC."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def several(recorded: Path, making: ModuleType) -> Path:
    """The recorded session, one that failed, one that was cut, and four that are no sessions."""
    folder = recorded.parent
    failed = making.events(failing="emulated", identity="20261121-090000-f001")
    making.write_session(folder / "20261121-090000-f001", failed)
    cut = making.events(identity="20261120-090000-c001")
    making.write_session(folder / "20261120-090000-c001", cut, until_s=9.0)
    for name, text in {
        "20261119-100000-0001": '{"event":"session","format":"lbench.journal","version":99,"more":1}\n',
        "20261119-100000-0002": "no journal\n",
        "20261119-100000-0003": "",
    }.items():
        (folder / name).mkdir()
        (folder / name / "events.jsonl").write_text(text)
    (folder / "20261119-100000-0004").mkdir()
    return folder


# -- the list, without a screen


def test_what_was_worked_out_is_kept_until_the_journal_grows(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list(entries())
    assert [entry.worked_out for entry in first] == [False, True]
    assert first[-1].usd is not None
    assert [one.label for one in first[-1].verdict] == ["sequential", "processes", "emulated"]
    read: list[Path] = []
    real = shelf.read_events
    monkeypatch.setattr(shelf, "read_events", lambda path: (read.append(path.parent), real(path))[1])
    assert list(entries()) == [first[-1]]
    assert read == []
    with (recorded / "events.jsonl").open("ab") as file:
        file.write(b'{"event":"phase","text":""}\n')
    assert list(entries())[-1].worked_out
    assert read == [recorded]


def test_a_session_whose_engine_only_starts_is_no_damaged_one(several: Path) -> None:
    listed_before = {entry.recorded.id for entry in entries()}
    (several / "20261123-090000-5a5a").mkdir()
    (several / "20261123-090000-5a5a" / "engine.log").write_text("")
    assert {entry.recorded.id for entry in entries()} == listed_before


def test_name_and_tags_are_stored_beside_the_journal_and_shown_everywhere(recorded: Path) -> None:
    journal = (recorded / "events.jsonl").read_bytes()
    list(entries())
    write_meta(recorded, Meta("the laptop", ["cold", "pr-7"]))
    assert (recorded / "events.jsonl").read_bytes() == journal
    entry = listed(recorded)
    assert (entry.name, entry.tags) == ("the laptop", ["cold", "pr-7"])
    kept = list(entries())[-1]
    assert (kept.recorded.name, kept.recorded.tags) == ("the laptop", ["cold", "pr-7"])
    assert matches(kept, "laptop #cold mandelbrot")
    assert not matches(kept, "laptop warm")


def test_a_damaged_meta_file_costs_only_the_name(recorded: Path) -> None:
    (recorded / "meta.json").write_bytes(b"\xff{")
    assert read_meta(recorded) == Meta()
    assert listed(recorded).error is None


def test_tags_are_words_each_once() -> None:
    assert tags_of("cold, pr-7  cold") == ["cold", "pr-7"]


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write in"):
        write_meta(tmp_path / "nowhere", Meta("x"))


# -- on the screen


async def test_sessions_of_every_state_are_listed_newest_first(
    several: Path, app_of: AppOf, screen_text: ScreenText
) -> None:
    app = app_of()
    async with app.run_test(size=(200, 60)) as pilot:
        table = await open_sessions(pilot)
        assert [entry.recorded.id for entry in table.entries][:3] == [
            "20261122-120000-abcd",
            "20261121-090000-f001",
            "20261120-090000-c001",
        ]
        assert len(table.entries) == 7
        states = {entry.recorded.id: entry.recorded.state for entry in table.entries}
        assert states["20261122-120000-abcd"] == "complete"
        assert states["20261120-090000-c001"] == "stopped"
        assert [state for name, state in states.items() if name.startswith("20261119")] == ["damaged"] * 4
        text = screen_text(app)
        assert "✘ emulated failed" in text
        assert "newer lbench" in text
        assert "its journal is not an lbench journal" in text


@pytest.mark.parametrize("running", [True, False], ids=["a run is under way", "all runs have ended"])
async def test_a_session_with_an_engine_is_reported_and_cannot_be_deleted(
    running: bool, recorded: Path, making: ModuleType, app_of: AppOf, screen_text: ScreenText
) -> None:
    if running:
        making.write_session(recorded, making.events(), until_s=9.0)
    lock = FolderLock(recorded)
    try:
        app = app_of()
        async with app.run_test(size=(120, 40)) as pilot:
            await open_sessions(pilot)
            assert ("1 running now" in screen_text(app)) == running
            assert ("its engine is still there" in screen_text(app)) != running
            assert "delete" not in screen_text(app).splitlines()[-1]
            await pilot.press("d")
            await pilot.pause()
            assert isinstance(app.screen, SessionsScreen)
    finally:
        lock.release()


async def test_enter_opens_a_session_on_the_bench(recorded: Path, app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_sessions(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is app.bench
        assert isinstance(app.feed, RecordedFeed)
        for _ in range(20):
            app.tick()
        await pilot.pause()
        assert "100/100" in screen_text(app)


async def test_a_name_and_tags_are_given_by_keyboard(recorded: Path, app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_sessions(pilot)
        await pilot.press("n")
        await pilot.pause()
        assert isinstance(app.screen, AskText)
        app.screen.query_one(Input).value = "before the change"
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("t")
        await pilot.pause()
        app.screen.query_one(Input).value = "laptop cold"
        await pilot.press("enter")
        await pilot.pause()
        await settled(pilot)
        assert "before the change #laptop #cold" in screen_text(app)
    assert read_meta(recorded) == Meta("before the change", ["laptop", "cold"])


@pytest.mark.parametrize("key", ["n", "t"])
async def test_a_label_that_is_too_long_is_refused_where_it_was_typed(key: str, recorded: Path, app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_sessions(pilot)
        await pilot.press(key)
        await pilot.pause()
        asked = app.screen
        assert isinstance(asked, AskText)
        asked.query_one(Input).value = "x" * 130
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is asked and asked.query_one(Input).value == "x" * 130
        text_shown = " ".join("".join(text for line in asked.query_one(Prose).pieces for text, _ in line).split())
        assert "must have at most 120 characters, got 130" in text_shown
    assert read_meta(recorded) == Meta()


async def test_a_long_name_is_cut_and_its_tags_stay(recorded: Path, app_of: AppOf, screen_text: ScreenText) -> None:
    write_meta(recorded, Meta("the first night of the render farm", ["night", "cellar"]))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_sessions(pilot)
        row = next(line for line in screen_text(app).splitlines() if line.startswith(" ▸"))
        assert "  the first nigh… #night #cellar  " in row
        await pilot.resize_terminal(200, 60)
        async with asyncio.timeout(60):  # Textual takes up a size a little later
            while "  the first night of the render farm #night #cellar  " not in screen_text(app):
                await pilot.pause()


async def test_the_last_lines_name_the_backend_that_the_others_are_compared_with(
    recorded: Path, app_of: AppOf, screen_text: ScreenText
) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_sessions(pilot)
        assert "emulated 6.54× (6.37–6.65) against sequential" in screen_text(app)


async def test_a_name_that_cannot_be_kept_is_reported_plainly(
    recorded: Path, app_of: AppOf, screen_text: ScreenText, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, meta: Meta) -> None:
        raise InputError(f"cannot write in {folder}: Read-only file system")

    monkeypatch.setattr("lbench.tui.screens.sessions.write_meta", refuse)
    app = app_of()
    async with app.run_test(size=(200, 60)) as pilot:
        await open_sessions(pilot)
        await pilot.press("n", "a", "enter")
        await pilot.pause()
        await settled(pilot)
        assert "✘ cannot write in" in screen_text(app) and "Read-only file system" in screen_text(app)


async def test_deleting_is_asked_and_only_y_does_it(recorded: Path, app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        table = await open_sessions(pilot)
        for answer in ("enter", "n"):
            await pilot.press("d")
            await pilot.pause()
            assert isinstance(app.screen, AskYes)
            await pilot.press(answer)
            await pilot.pause()
        assert is_there(recorded)
        if isinstance(app.screen, AskYes):
            await pilot.press("escape")
            await pilot.pause()
        await pilot.press("d")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        await settled(pilot)
        assert not is_there(recorded)
        assert table.entries == []
        assert "no session is recorded" in screen_text(app)


async def test_the_filter_keeps_what_has_every_word(several: Path, app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        table = await open_sessions(pilot)
        everything = len(table.entries)
        await pilot.press("slash", *"c001")
        await pilot.pause()
        assert [entry.recorded.id for entry in table.entries] == ["20261120-090000-c001"]
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen.focused is table
        await pilot.press("escape")
        await pilot.pause()
        assert len(table.entries) == everything


async def test_a_session_is_exported_and_a_file_that_is_there_is_asked_for(
    recorded: Path, app_of: AppOf, tmp_path: Path, screen_text: ScreenText
) -> None:
    write_meta(recorded, Meta("named", ["tagged"]))
    target = tmp_path / "out.json"
    app = app_of()
    async with app.run_test(size=(200, 60)) as pilot:
        await open_sessions(pilot)

        async def export_to(text: str) -> None:
            await pilot.press("x")
            await pilot.pause()
            app.screen.query_one(Input).value = text
            await pilot.press("enter")
            await pilot.pause()
            await settled(pilot)

        await export_to(str(tmp_path / "out.txt"))
        assert isinstance(app.screen, AskText)
        assert ".json or .csv" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        await export_to(str(target))
        document = json.loads(target.read_bytes())
        assert (document["name"], document["tags"]) == ("named", ["tagged"])
        target.write_text("mine")
        await export_to(str(target))
        assert isinstance(app.screen, AskYes)
        await pilot.press("n")
        await pilot.pause()
        await settled(pilot)
        assert target.read_text() == "mine"
        await export_to(str(tmp_path / "out.csv"))
        with (tmp_path / "out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == sum(len(run["invocations"]) for run in document["runs"])


async def test_what_became_of_an_export_is_shown_after_the_list_was_left(
    recorded: Path, tmp_path: Path, app_of: AppOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(*given: Any) -> str:
        begun.set()
        may_end.wait(30)
        return "written in the end"

    monkeypatch.setattr("lbench.tui.export.export", slow)
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_sessions(pilot)
        await pilot.press("x")
        app.screen.query_one(Input).value = str(tmp_path / "out.csv")
        await pilot.press("enter")
        while not begun.is_set():
            await pilot.pause(0.01)
        await pilot.press("1")
        await pilot.pause()
        assert app.screen is app.bench
        may_end.set()
        await settled(pilot)
        assert [note.message for note in app._notifications] == ["written in the end"]


async def test_the_filter_says_how_many_are_left_whatever_was_said_before(
    several: Path, app_of: AppOf, screen_text: ScreenText
) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_sessions(pilot)
        await pilot.press("space")
        assert "1 session marked" in screen_text(app).splitlines()[1]
        await pilot.press("slash", *"mandel")
        await pilot.pause()
        assert re.match(r" \d of \d comparisons", screen_text(app).splitlines()[1])


async def test_a_list_that_was_read_before_a_name_was_given_does_not_take_it_back(
    recorded: Path, app_of: AppOf, screen_text: ScreenText, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Iterator[shelf.Entry]:
        found = list(entries())
        begun.set()
        may_end.wait(30)
        ended.set()
        yield from found

    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_sessions(pilot)
        monkeypatch.setattr("lbench.tui.screens.sessions.entries", slow)
        await pilot.press("f5")
        while not begun.is_set():
            await pilot.pause(0.01)
        monkeypatch.setattr("lbench.tui.screens.sessions.entries", entries)
        await pilot.press("n", *"mine", "enter")
        await pilot.pause()
        may_end.set()
        while not ended.is_set():
            await pilot.pause(0.01)
        await settled(pilot)
        assert read_meta(recorded).name == "mine"
        assert "mine" in screen_text(app)


async def test_an_empty_place_says_what_to_do(app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_sessions(pilot)
        assert "no session is recorded yet" in screen_text(app)


async def test_a_place_that_cannot_be_looked_into_is_reported_plainly(
    app_of: AppOf, screen_text: ScreenText, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    app = app_of()
    async with app.run_test(size=(200, 60)) as pilot:
        await open_sessions(pilot)
        assert "✘ cannot read the folder" in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_it_looks_as_it_did(
    size: tuple[int, int], several: Path, app_of: AppOf, screen_text: ScreenText, same_as: Callable[[str, str], None]
) -> None:
    app = app_of()
    async with app.run_test(size=size) as pilot:
        await open_sessions(pilot)
        text = re.sub(r"(?m)^   /.*$", "   (where it is)", screen_text(app))
        same_as(f"sessions-{size[0]}x{size[1]}", text)


async def test_each_comparison_of_a_launch_is_an_entry_and_opens_alone(
    recorded: Path, making: Any, app_of: AppOf, screen_text: ScreenText
) -> None:
    """Two comparisons of one engine: the first is listed, opened and offered again as itself."""
    journal = recorded / "events.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    again = [
        line.replace(b'"run":"r', b'"run":"s').replace(b'"size":1000', b'"size":512')
        for line in lines
        if b'"event":"session"' not in line and b'"event":"end"' not in line
    ]
    journal.write_bytes(b"".join([*lines[:-1], *again, lines[-1]]))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        table = await open_sessions(pilot)
        assert [entry.part for entry in table.entries] == [1, 0] or [entry.part for entry in table.entries] == [0, 1]
        table.action_move([entry.part for entry in table.entries].index(0))
        await pilot.press("enter")
        for _ in range(5):
            await pilot.pause()
            app.tick()
        assert "1000×1000" in screen_text(app).splitlines()[0]
        await pilot.press("r")
        await pilot.pause()
        assert app.screen.draft.params["mandelbrot"]["size"] == "1000"
        assert app.screen.draft.run["repeats"] == "3"


async def test_the_list_keeps_its_cursor_and_its_marks_while_another_screen_is_looked_at(
    several: Path, app_of: AppOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise InputError("no engine is started here")

    monkeypatch.setattr("lbench.tui.screens.explore.launched", refuse)
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        table = await open_sessions(pilot)
        await pilot.press("space", "down", "space", "down")
        chosen, marked = table.chosen, table.marked
        assert chosen is not None and table.cursor == 2 and len(marked) == 2
        for way in (["1"], ["3"], ["enter"]):
            await pilot.press(*way)
            await pilot.pause()
            assert not isinstance(app.screen, SessionsScreen)
            table = await open_sessions(pilot)
            assert table.chosen is not None and table.chosen.key == chosen.key
            assert table.marked == marked
