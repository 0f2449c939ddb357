"""Notes show names and values as they are: brackets are no markup, control characters are spelled out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbench.errors import InputError
from lbench.tui.app import LbenchApp
from lbench.tui.screens.prompts import AskText


@pytest.mark.parametrize("by", ["app", "screen", "widget"])
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x[/b].json", "x[/b].json"),
        ("a[red]b.json", "a[red]b.json"),
        ("[@click=app.quit]x.json", "[@click=app.quit]x.json"),
        ("a\x1b[31mb.json", "a\\x1b[31mb.json"),
    ],
)
async def test_a_note_names_a_file_as_it_is_called(
    name: str, shown: str, by: str, app_of: Callable[..., LbenchApp], screen_text: Callable[[LbenchApp], str]
) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        speaker = {"app": app, "screen": app.screen, "widget": app.focused}[by]
        assert speaker is not None
        speaker.notify(f"{name}: 9 runs")
        await pilot.pause()
        assert f"{shown}: 9 runs" in screen_text(app)


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 16)])
async def test_notes_cover_no_question_and_no_error_of_it(
    size: tuple[int, int], app_of: Callable[..., LbenchApp], screen_text: Callable[[LbenchApp], str]
) -> None:
    def refuse(text: str) -> None:
        raise InputError(f"{text}: a reason that stands in the last lines, where notes usually are")

    app = app_of()
    async with app.run_test(size=size, notifications=True) as pilot:
        app.notify("a note before the question, of some words and some more of them", timeout=600)
        await pilot.pause()
        app.push_screen(AskText("a question", "x", hint="its hint", check=refuse))
        await pilot.pause()
        app.notify("a note beside the question, of some words and some more of them", timeout=600)
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        shown = " ".join(screen_text(app).replace("\n", " ").split())
        assert "a question" in shown
        assert "x: a reason that stands in the last lines, where notes usually are" in shown
        assert shown.count("a note before") == shown.count("a note beside") == 1
        await pilot.press("escape")
        await pilot.pause()
        assert "a note beside" in screen_text(app)
