"""Every key in a footer does something that can be seen."""

from collections.abc import Callable
from typing import Any

import pytest

from lbench.tui.app import LbenchApp
from lbench.tui.widgets.timeline import Timeline
from lbench.tui.widgets.title import Keys

App = Callable[..., LbenchApp]
WAYS: dict[str, list[str]] = {"table": [], "timeline": ["TIMELINE"], "card": ["TIMELINE", "n", "enter"]}


async def _arrive(app: LbenchApp, pilot: Any, way: str) -> None:
    for _ in range(5):
        app.tick()
        await pilot.pause()
    for key in WAYS[way]:
        if key == "TIMELINE":
            shown = [one for one in app.screen.query(Timeline) if one.run is not None and one.display]
            shown[-1].focus()
            await pilot.pause()
            await pilot.press("m", "plus", "plus")  # so that every key has something to do
        else:
            await pilot.press(key)
    await pilot.pause()


def _bindings(app: LbenchApp) -> list[tuple[str, str]]:
    shown = {meaning for _, meaning in app.screen.query_one(Keys).entries()}
    told = [active.binding for active in app.screen.active_bindings.values()]
    return [(one.key, one.description) for one in told if one.show and one.description in shown]


async def _keys(app_of: App, still: Any, way: str) -> list[tuple[str, str]]:
    app = app_of(still(None, picture=False))
    async with app.run_test(size=(200, 60)) as pilot:
        await _arrive(app, pilot, way)
        return _bindings(app)


@pytest.mark.parametrize("way", WAYS)
async def test_every_binding_in_the_footer_does_something(
    way: str, app_of: App, still: Any, screen_text: Callable[[LbenchApp], str]
) -> None:
    keys = await _keys(app_of, still, way)
    assert len(keys) > 4
    idle = []
    seen: dict[str, bool] = {}
    for key, meaning in keys:
        app = app_of(still(None, picture=False))
        async with app.run_test(size=(200, 60)) as pilot:
            await _arrive(app, pilot, way)
            before = (screen_text(app), len(app.screen_stack), type(app.screen))
            await pilot.press(key)
            await pilot.pause()
            after = (
                (screen_text(app), len(app.screen_stack), type(app.screen))
                if app.is_running and app._exit is False
                else None
            )
            seen[meaning] = seen.get(meaning, False) or after != before or bool(app._notifications)
    idle = [meaning for meaning, moved in seen.items() if not moved]
    assert idle == []
