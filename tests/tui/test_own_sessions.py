"""A session of a user's own workload is shown where its file is gone: the screens need nothing but the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import msgspec

from lbench.engine.journal.events import Returned, RunPlanned
from lbench.engine.session.view import load_folder
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.widgets.card import card_lines

TRACE = 'fit(degree=3)\n  File "mine.py", line 9, in fit\nValueError: no'


async def test_it_is_replayed_and_its_failed_task_shows_the_call_and_the_trace(
    making: ModuleType, tmp_path: Path, app_of: Callable[..., LbenchApp], screen_text: Callable[[LbenchApp], str]
) -> None:
    events = []
    for at, event in making.events(failing="processes"):
        if isinstance(event, RunPlanned):
            event = msgspec.structs.replace(event, workload="mine.py:job", params={"n": 100})
        if isinstance(event, Returned) and event.status == "error":
            event = msgspec.structs.replace(event, log_tail=TRACE)
        events.append((at, event))
    folder = making.write_session(tmp_path / "data/lbench/sessions/20261122-120000-abcd", events)
    app = app_of(RecordedFeed.of(folder))
    async with app.run_test(size=(120, 40)) as pilot:
        app.tick()
        await pilot.pause()
        assert "mine.py:job" in screen_text(app)
    run = next(run for run in load_folder(folder).runs.values() if run.columns.log_tails)
    card = "\n".join("".join(text for text, _ in line) for line in card_lines(run, min(run.columns.log_tails), 100))
    assert "fit(degree=3)" in card and 'File "mine.py", line 9, in fit' in card
