"""The cost panel says a break-even and what this machine cannot show in the words that have room: nothing is cut in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbench.tui.app import LbenchApp
from lbench.tui.widgets.cost import Cost


@pytest.mark.parametrize("width", range(80, 131, 2))
async def test_no_line_of_it_is_cut_at_any_usual_width(
    width: int, still: Callable[..., Any], app_of: Callable[..., LbenchApp]
) -> None:
    app = app_of(still())
    async with app.run_test(size=(width, 30)) as pilot:
        app.tick()
        await pilot.pause()
        app.tick()
        cost = app.screen.query_one(Cost)
        lines = [cost.render_line(y).text for y in range(cost.size.height)]
        assert any("renting wins" in line or "rent from" in line for line in lines)
        assert any("environments share" in line for line in lines)
        assert not any(line.rstrip().endswith("…") for line in lines), lines
