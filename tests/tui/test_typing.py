"""Characters that come in a burst are written as they were typed, before the keys behind them, as one text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual import events
from textual.widgets import Input

from lbench.tui.app import LbenchApp
from lbench.tui.screens.prompts import AskText
from lbench.tui.screens.setup import SetupScreen
from lbench.tui.widgets import plan_forecast as ahead

AppOf = Callable[..., LbenchApp]
KEYS = {"\x7f": "backspace", "\t": "tab", "\r": "enter", "←": "left"}


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "busy_notice", lambda: None)


def burst(app: LbenchApp, text: str) -> None:
    """Type without waiting, as a terminal does that has fallen behind."""
    for character in text:
        key = KEYS.get(character, character)
        app.post_message(events.Key(key, None if character == "←" else character))


async def test_three_thousand_characters_are_checked_a_few_times(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = SetupScreen._look
    monkeypatch.setattr(SetupScreen, "_look", lambda screen: looks.append("") or look(screen))
    app = app_of()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        field = app.screen.query_one("#at-run-max_usd", Input)
        field.focus()
        await pilot.pause()
        looks.clear()
        burst(app, "7" * 3000)
        await pilot.pause()
        assert field.value == "7" * 3000 and 1 <= len(looks) < 10


async def test_keys_among_them_are_handled_in_their_order(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        app.screen.query_one("#at-run-seed", Input).focus()
        await pilot.pause()
        burst(app, "12x\x7f3←4\t50←\x7f6\t")
        await pilot.pause()
        values = [app.screen.query_one(f"#at-run-{name}", Input).value for name in ("seed", "timeout")]
        assert values == ["1243", "60"]


async def test_enter_takes_all_that_was_typed_before_it_and_nothing_after(app_of: AppOf) -> None:
    answers: list[str | None] = []
    app = app_of()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(AskText("a name", "before"), answers.append)
        await pilot.pause()
        burst(app, "x" * 500 + "ünd [b] \\x 1" + "\r" + "z")  # z does nothing on Bench
        await pilot.pause()
        assert answers == ["x" * 500 + "ünd [b] \\x 1"]
