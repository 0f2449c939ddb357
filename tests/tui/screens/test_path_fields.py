"""Fields for paths: Tab completes one, and the end of a path that does not fit is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.app import LbenchApp
from lbench.tui.screens.prompts import AskText
from lbench.tui.screens.setup import SetupScreen
from lbench.tui.widgets import plan_forecast as ahead
from lbench.tui.widgets.fields import Choice
from lbench.tui.widgets.path_input import PathInput, completed, completed_workload, end_of

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files to choose from, which is the current one and somebody's home."""
    monkeypatch.setattr(ahead, "busy_notice", lambda: None)
    folder = tmp_path / "files"
    (folder / "loans of a long name that fits no field").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("loans.csv", "loans-2.csv", "mine.py", ".hidden.csv", "loans of a long name that fits no field/a.csv"):
        (folder / name).write_text("x")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.mark.parametrize(
    ("typed", "whole", "fitting"),
    [
        ("m", "mine.py", 1),
        ("loa", "loans", 3),
        ("loans.", "loans.csv", 1),
        ("loans ", "loans of a long name that fits no field/", 1),
        ("loans of a long name that fits no field/", "loans of a long name that fits no field/a.csv", 1),
        ("./m", "./mine.py", 1),
        ("~", "~/", 1),
        ("~/m", "~/mine.py", 1),
        ("@m", "@mine.py", 1),
        (".h", ".hidden.csv", 1),
        ("nothing", "nothing", 0),
        ("nowhere/x", "nowhere/x", 0),
        ("empty/", "empty/", 0),
        ("a\0b/c", "a\0b/c", 0),
    ],
)
def test_a_path_is_completed_as_far_as_it_is_certain(typed: str, whole: str, fitting: int) -> None:
    text, names = completed(typed)
    assert (text, len(names)) == (whole, fitting)


def test_an_absolute_path_is_completed(files: Path) -> None:
    assert completed(f"{files}/mi")[0] == f"{files}/mine.py"
    assert completed("/tm")[0].startswith("/tm")


@pytest.fixture
def recordings(tmp_path: Path) -> list[str]:
    """Three recordings among the user's data."""
    names = ["train", "trial", "simulate"]
    for name in names:
        folder = tmp_path / "data/lbench/recordings" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    return names


@pytest.mark.parametrize(
    ("typed", "whole", "fitting"),
    [
        ("recorded:", "recorded:", ["simulate", "train", "trial"]),
        ("recorded:t", "recorded:tr", ["train", "trial"]),
        ("recorded:trai", "recorded:train", ["train"]),
        ("recorded:train", "recorded:train", ["train"]),
        ("recorded:nothing", "recorded:nothing", []),
        ("recorded:./emp", "recorded:./empty/", ["empty/"]),
        ("rec", "recorded:", ["recorded:"]),
        ("m", "mine.py", ["mine.py"]),
        ("", "", None),
    ],
)
def test_a_recordings_name_is_completed(
    typed: str, whole: str, fitting: list[str] | None, recordings: list[str]
) -> None:
    text, names = completed_workload(typed)
    assert text == whole
    assert fitting is None or names == fitting


def test_without_recordings_the_word_is_not_offered() -> None:
    assert completed_workload("rec") == ("rec", [])
    assert completed_workload("recorded:x") == ("recorded:x", [])


async def test_tab_completes_a_recordings_name_in_the_set_up(app_of: AppOf, recordings: list[str]) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        plan = Plan(workload="recorded:", backends=[parse_backend("sequential", {})])
        app.push_screen(SetupScreen(plan))
        await _shown(pilot)
        field = app.screen.query_one("#at-own-file", PathInput)
        field.focus()
        await pilot.press("end", "t", "tab")
        assert (field.value, field.has_focus) == ("recorded:tr", True)
        await pilot.press("a", "tab")
        assert (field.value, field.has_focus) == ("recorded:train", True)
        await pilot.press("tab")
        assert not field.has_focus


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("loans.csv", 9, "loans.csv"), ("/a/loans.csv", 9, "…oans.csv"), ("数据.csv", 6, "….csv")],
)
def test_a_text_is_cut_from_the_front(text: str, width: int, shown: str) -> None:
    assert end_of(text, width) == shown


def _set_up(app: LbenchApp, data: str | None = None) -> SetupScreen:
    plan = Plan(workload="random_forest", data=data, backends=[parse_backend("sequential", {})])
    screen = SetupScreen(plan)
    app.push_screen(screen)
    return screen


async def _shown(pilot: Any) -> None:
    for _ in range(3):
        await pilot.pause()


async def test_tab_completes_the_data_file_then_goes_to_the_next_field(app_of: AppOf, files: Path) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = _set_up(app)
        await _shown(pilot)
        field = screen.query_one("#at-run-data", PathInput)
        field.focus()
        await pilot.press("l", "tab")
        assert (field.value, field.has_focus) == ("loans", True)
        await pilot.press("tab")  # which of the three is not known
        assert (field.value, field.has_focus) == ("loans", True)
        await pilot.press(".", "tab")
        assert (field.value, field.has_focus) == ("loans.csv", True)
        await pilot.press("tab")
        assert (field.value, field.has_focus) == ("loans.csv", False)
        assert screen.draft.run["data"] == "loans.csv"


async def test_a_field_that_is_no_path_is_left_with_tab(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = _set_up(app)
        await _shown(pilot)
        for name in ("data", "seed"):
            field = screen.query_one(f"#at-run-{name}")
            field.focus()
            await pilot.pause()
            await pilot.press("tab")
            assert not field.has_focus


async def test_the_end_of_a_long_path_is_shown(app_of: AppOf, files: Path, screen_text: ScreenText) -> None:
    path = files / "loans of a long name that fits no field" / "a.csv"
    app = app_of()
    async with app.run_test(size=(120, 60)) as pilot:
        screen = _set_up(app, str(path))
        await _shown(pilot)
        field = screen.query_one("#at-run-data", PathInput)
        field.scroll_visible(animate=False)
        await _shown(pilot)
        assert "…t fits no field/a.csv " in screen_text(app)
        field.focus()
        await _shown(pilot)
        assert "t fits no field/a.csv " in screen_text(app)


@pytest.mark.parametrize("width", [30, 120])
def test_the_end_of_an_own_file_is_shown_among_the_workloads(width: int) -> None:
    own = "/home/somebody/a/folder/of/many/jobs/mine.py:job"
    choice = Choice(("mandelbrot", "kmeans", own), own, place="workload")
    assert "/mine.py:job" in choice.draw(width, 1)[0].text


async def test_tab_completes_the_file_to_export_to(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(AskText("export to", path=True))
        await _shown(pilot)
        await pilot.press("m", "tab")
        assert app.screen.query_one(PathInput).value == "mine.py"
