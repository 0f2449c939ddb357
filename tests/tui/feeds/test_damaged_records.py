"""A damaged journal or document is reported on the screens, or shown as far as it goes; it never ends the program."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.export.document import document, encode_document
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.view import load_folder
from lbench.tui.app import LbenchApp
from lbench.tui.draw.series import VALUES, gather
from lbench.tui.feeds.replay import RecordedFeed

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy warns where a number makes no sense

AppOf = Callable[..., LbenchApp]
Place = tuple[Any, ...]

LEFT_OUT = object()
WRONG: tuple[Any, ...] = (LEFT_OUT, None, "x", "", "NaN", -1, 0, 1e300, -1e300, 10**6, 10**30, [], {}, True)
SEED, TRIED = 1, 20  # of some ten thousands that there are; another seed finds others

# Each of these has ended the program once.
JOURNALS: list[tuple[str, Place, Any]] = [
    ("started", (), LEFT_OUT),
    ("session", ("created",), "yesterday"),
    ("started", ("started",), "x"),
    ("started", ("pricing", "rent_usd_per_hour"), "x"),
    ("planned", ("params",), {}),
    ("planned", ("params", "max_iterations"), "x"),
    ("planned", ("params", "assignment"), LEFT_OUT),
    ("dispatched", ("task",), 10**30),
    ("dispatched", ("run",), "x"),
    ("returned", ("compute_ms",), 1e300),
    ("ended", ("makespan_s",), 1e300),
]
DOCUMENTS: list[tuple[Place, Any]] = [
    (("created",), "yesterday"),
    (("runs", 0, "started"), "x"),
    (("runs", 0, "stages", 0, "finished_s"), 1e300),
    (("runs", 1, "params", "max_iterations"), None),
    (("runs", 0, "invocations", 0, "memory_mb"), 10**30),
]


@pytest.fixture
def small(making: Any, tmp_path: Path) -> Path:
    """A session's folder."""
    kinds = (making.Kind("sequential", 1), making.Kind("emulated", 2, init_s=0.3, mishaps=True))
    return Path(making.write_session(tmp_path / "small", making.events(kinds, tasks=6, repeats=1)))


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where something stands in a tree: at most the first two of a list."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


def damaged(value: Any, at: Place, wrong: Any) -> Any:
    """A copy with something else there."""
    copied = copy.deepcopy(value)
    inner = copied
    for key in at[:-1]:
        inner = inner[key]
    if wrong is LEFT_OUT:
        del inner[at[-1]]
    else:
        inner[at[-1]] = wrong
    return copied


async def shown(app: LbenchApp, pilot: Any, path: Path) -> None:
    """Put it on the screen, whole, and then go back in it."""
    feed = RecordedFeed.of(path)
    app.show_feed(feed)
    for step in (0.0, -0.5):
        if step:
            feed.step(step)
        while feed.catch_up(1.0):
            pass
        app.tick()
        await pilot.pause()
    for value in VALUES.values():
        gather(feed.frame().runs, value)


async def test_a_damaged_journal_ends_nothing(app_of: AppOf, small: Path) -> None:
    path = small / JOURNAL_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    events = [json.loads(line) for line in lines]
    names = [event["event"] for event in events]
    known = [(names.index(name), at, wrong) for name, at, wrong in JOURNALS]
    tried = [(number, at, wrong) for number in range(len(lines)) for at in places(events[number]) for wrong in WRONG]
    app = app_of(None)
    async with app.run_test(size=(120, 40)) as pilot:
        for number, at, wrong in [*known, *random.Random(SEED).sample(tried, TRIED)]:
            line = json.dumps(damaged(events[number], at, wrong)).encode() + b"\n" if at else b""
            path.write_bytes(b"".join([*lines[:number], line, *lines[number + 1 :]]))
            await shown(app, pilot, small)


async def test_a_damaged_document_ends_nothing(app_of: AppOf, small: Path, tmp_path: Path) -> None:
    parsed = json.loads(encode_document(document(load_folder(small))))
    tried = [(at, wrong) for at in places(parsed) for wrong in WRONG]
    path = tmp_path / "session.json"
    app = app_of(None)
    async with app.run_test(size=(120, 40)) as pilot:
        for at, wrong in [*DOCUMENTS, *random.Random(SEED).sample(tried, TRIED)]:
            path.write_text(json.dumps(damaged(parsed, at, wrong)))
            await shown(app, pilot, path)


async def test_a_damaged_record_is_reported_on_the_screen(
    app_of: AppOf, small: Path, screen_text: Callable[[LbenchApp], str]
) -> None:
    path = small / JOURNAL_NAME
    path.write_bytes(path.read_bytes().replace(b'"rent_usd_per_hour":"0.4032"', b'"rent_usd_per_hour":"cheap"', 1))
    app = app_of(None)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, pilot, small)
        assert "rent_usd_per_hour" in screen_text(app)
