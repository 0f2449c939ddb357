"""Notes show names and values as they are: brackets are no markup, control characters are spelled out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbench.tui.app import LbenchApp


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
