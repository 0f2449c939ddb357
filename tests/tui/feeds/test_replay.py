"""A record is shown whole or replayed at any speed, from a journal or a document; unreadable ones give one line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import lbench.tui.feeds.records as records_module
import lbench.tui.feeds.replay as recorded_module
from lbench.engine.billing.bill import run_bill
from lbench.engine.export.document import document, encode_document
from lbench.engine.export.document_events import document_events, document_length_s
from lbench.engine.session.blocks import Block
from lbench.engine.session.view import SessionView, load_folder
from lbench.errors import InputError
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.feed import Frame
from lbench.tui.feeds.records import Source, timed
from lbench.tui.feeds.replay import SPEEDS, RecordedFeed
from lbench.tui.widgets.replay import ReplayBar

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]


class Clock:
    """A clock that is moved by hand, in place of the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def perf_counter(self) -> float:
        return 0.0  # folding never runs out of its budget


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(recorded_module, "time", made)
    return made


@pytest.fixture
def exported(recorded: Path, tmp_path: Path) -> Path:
    path = tmp_path / "session.json"
    path.write_bytes(encode_document(document(load_folder(recorded))))
    return path


def whole(feed: RecordedFeed) -> Frame:
    """The frame when nothing is left to fold."""
    while (frame := feed.frame()).behind:
        pass
    return frame


def contents(view: SessionView) -> Any:
    """All that a session's document tells."""
    return msgspec.to_builtins(document(view))


# -- documents


def test_a_document_folds_to_the_session_it_came_from(recorded: Path, exported: Path) -> None:
    first = contents(load_folder(recorded))
    again = contents(whole(RecordedFeed.of(exported)).view)
    for before, after in zip(first["runs"], again["runs"], strict=True):
        assert after == before
    assert again == first


def test_a_document_without_s3_counts_replays_the_s3_cost_of_its_bill(exported: Path) -> None:
    content = msgspec.json.decode(exported.read_bytes())
    run = content["runs"][-1]
    run["cost"]["items"]["s3"] = "0.0000312"  # 6 PUT and 3 GET in us-east-1
    del run["s3"], run["pricing"]  # as documents were before they had these
    exported.write_bytes(msgspec.json.encode(content))
    view = whole(RecordedFeed.of(exported)).view
    assert str(run_bill(view.runs[run["id"]]).items.s3).rstrip("0") == "0.0000312"


def test_a_document_tells_its_events_in_the_order_of_time(exported: Path) -> None:
    times = [at for at, _ in timed(document_events(exported))]
    assert times == sorted(times)


def test_the_length_is_known_without_reading_all(recorded: Path, exported: Path) -> None:
    journal = Source.of(recorded)
    exact = Source(None, journal.events).length_s()
    assert journal.length_s() == pytest.approx(exact)
    assert document_length_s(exported) == pytest.approx(exact, abs=1.0)


def test_comparisons_of_one_session_stay_apart_in_its_document(recorded: Path, exported: Path) -> None:
    content = msgspec.json.decode(exported.read_bytes())
    again = [{**run, "id": f"again-{run['id']}", "overlaps": []} for run in content["runs"]]
    content["runs"] += again
    exported.write_bytes(msgspec.json.encode(content))
    frame = whole(RecordedFeed.of(exported))
    assert len(frame.view.runs) == 18
    assert [run.id for run in frame.runs] == [run["id"] for run in again]


# -- what is large


async def test_a_large_record_is_read_beside_the_screens_and_shown_as_a_small_one_is(
    recorded: Path, app_of: AppOf, screen_text: ScreenText, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(RecordedFeed.of(recorded))
    async with app.run_test(size=(120, 40)) as pilot:
        expected = await _settled(app, pilot, screen_text)
    go_on = threading.Event()
    blocks_of = records_module.blocks_of

    def slowly(path: Path) -> Iterator[Block]:
        for block in blocks_of(path):
            assert go_on.wait(60)
            yield block

    monkeypatch.setattr(records_module, "blocks_of", slowly)
    monkeypatch.setattr("lbench.tui.feeds.block_reader._SMALL_BYTES", 0)
    monkeypatch.setattr("lbench.tui.bench.board_builder._MANY", 0)
    feed = RecordedFeed.of(recorded)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tick()
        await pilot.pause()
        assert "reading the record: 0 %" in screen_text(app)
        await pilot.press("question_mark")  # keys work meanwhile
        await pilot.pause()
        assert type(app.screen).__name__ == "HelpScreen"
        await pilot.press("escape")
        go_on.set()
        assert await _settled(app, pilot, screen_text) == expected
    feed.close()


async def _settled(app: Any, pilot: Any, screen_text: ScreenText) -> str:
    """The screen once all is read and drawn: a frame folds only what it has time for."""
    before = None
    async with asyncio.timeout(60):
        while app.bench.board.partial or not app.bench.board.rows or screen_text(app) != before:
            before = screen_text(app)
            await asyncio.sleep(0.05)
            app.tick()
            await pilot.pause()
    return screen_text(app)


# -- time


def test_a_replay_passes_as_fast_as_it_is_set(recorded: Path, clock: Clock) -> None:
    feed = RecordedFeed.of(recorded, speed=2.0)
    first = feed.frame()
    assert first.state == "replay" and first.replay_s == 0.0
    clock.now_s += 1.5
    frame = feed.frame()
    assert frame.replay_s == pytest.approx(3.0)
    running = [run for run in frame.runs if run.status == "running"]
    assert [run.planned.label for run in running] == ["sequential"]
    assert frame.now_s[running[0].id] == pytest.approx(2.5)


def test_a_pause_stops_the_clock_and_a_speed_changes_it(recorded: Path, clock: Clock) -> None:
    feed = RecordedFeed.of(recorded, speed=1.0)
    feed.frame()
    feed.toggle()
    clock.now_s += 10
    assert feed.frame().replay_s == 0.0
    assert feed.frame().state == "paused"
    feed.toggle()
    feed.faster(1)
    clock.now_s += 1
    assert feed.frame().replay_s == pytest.approx(2.0)
    for _ in SPEEDS:
        feed.faster(-1)
    assert feed.frame().speed == SPEEDS[0]


@pytest.mark.parametrize("at_s", [0.0, 1.0, 3.21, 9.5])
def test_a_seek_back_shows_what_a_replay_up_to_there_shows(recorded: Path, clock: Clock, at_s: float) -> None:
    straight = RecordedFeed.of(recorded, speed=1.0)
    straight.pause(True)
    straight.go_to(at_s)
    there = RecordedFeed.of(recorded)
    whole(there)
    epoch = there.frame().epoch
    there.go_to(at_s)
    frame = whole(there)
    assert frame.state == "paused"
    assert frame.epoch > epoch
    assert contents(frame.view) == contents(whole(straight).view)


def test_what_was_shown_whole_is_replayed_from_its_beginning(recorded: Path, clock: Clock) -> None:
    feed = RecordedFeed.of(recorded)
    assert whole(feed).state == "done"
    feed.toggle()
    frame = feed.frame()
    assert (frame.state, frame.replay_s, frame.speed) == ("replay", 0.0, 1.0)
    clock.now_s += 1000
    assert feed.frame().state == "done"
    feed.toggle()
    assert feed.frame().replay_s == 0.0


def test_a_step_from_the_end_stands_still_a_little_before_it(recorded: Path, clock: Clock) -> None:
    feed = RecordedFeed.of(recorded)
    length = whole(feed).replay_length_s
    assert length is not None
    feed.step(-0.1)
    frame = feed.frame()
    assert frame.state == "paused"
    assert frame.replay_s == pytest.approx(0.9 * length)


def test_an_invalid_speed_is_refused(recorded: Path) -> None:
    with pytest.raises(InputError, match="must be above 0 and at most 1,000,000, got 0"):
        RecordedFeed.of(recorded, speed=0.0)


# -- what cannot be read


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("events.jsonl", b"no journal\n", "is not an lbench journal"),
        ("events.jsonl", b'{"event":"session","format":"lbench.journal","version":9}\n', "newer lbench"),
        ("a.json", b"{", "torn"),
        ("a.json", b'{"format":"other"}', "not an lbench session"),
        ("a.json", b'{"format":"lbench.session","version":2}', "newer lbench"),
        ("a.json", b'{"format":"lbench.session","version":1,"runs":3}', "is damaged"),
        ("a.json", b"\xff\xfe\x00", "not an lbench session"),
    ],
)
async def test_a_file_that_is_not_a_record_is_reported_on_the_screen(
    name: str, content: bytes, message: str, tmp_path: Path, app_of: AppOf, screen_text: ScreenText
) -> None:
    (tmp_path / name).write_bytes(content)
    app = app_of(RecordedFeed.of(tmp_path / name))
    async with app.run_test(size=(200, 60)) as pilot:
        app.tick()
        await pilot.pause()
        assert message in screen_text(app).splitlines()[1]


def test_a_torn_journal_is_shown_as_far_as_it_goes(recorded: Path) -> None:
    journal = recorded / "events.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) // 2])
    frame = whole(RecordedFeed.of(recorded))
    assert frame.problem is None
    assert frame.state == "done"
    assert any(run.status == "interrupted" for run in frame.runs)


@pytest.mark.parametrize("kind", ["folder", "document"])
def test_a_record_that_is_deleted_while_open_is_reported(
    recorded: Path, exported: Path, clock: Clock, kind: str
) -> None:
    path = recorded if kind == "folder" else exported
    feed = RecordedFeed.of(path)
    runs = len(whole(feed).runs)
    (recorded / "events.jsonl").unlink()
    exported.unlink()
    clock.now_s += 5
    frame = feed.frame()
    assert frame.problem is not None and "was deleted" in frame.problem
    assert len(frame.runs) == runs
    feed.go_to(0.5)
    problem = whole(feed).problem
    assert problem is not None and "cannot be read" in problem


def test_a_missing_record_is_reported_not_raised(tmp_path: Path) -> None:
    frame = whole(RecordedFeed.of(tmp_path / "nowhere.json"))
    assert frame.problem is not None and "No such file" in frame.problem


# -- on the screen


async def test_the_bar_plays_pauses_seeks_and_changes_speed(
    recorded: Path, app_of: AppOf, screen_text: ScreenText, clock: Clock
) -> None:
    feed = RecordedFeed.of(recorded)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(3):
            app.tick()
        await pilot.pause()
        assert "whole" in screen_text(app).splitlines()[-2]
        await pilot.press("space")
        clock.now_s += 2
        app.tick()
        await pilot.pause()
        assert "▶ 0:02.0" in screen_text(app)
        assert isinstance(app.screen.focused, ReplayBar)
        await pilot.press("space")
        app.tick()
        await pilot.pause()
        assert "‖ 0:02.0" in screen_text(app)
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert screen_text(app).splitlines()[-2].rstrip().endswith("2×")
        await pilot.press("end")
        await pilot.pause()
        assert feed.frame().state == "done"
        await pilot.press("home")
        await pilot.pause()
        assert "0:00.0" in screen_text(app)
        await pilot.press("shift+right")
        await pilot.pause()
        assert feed.frame().replay_s == pytest.approx(0.1 * feed.length_s)


async def test_without_a_record_there_is_no_bar_and_none_of_its_keys(app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        app.tick()
        await pilot.pause()
        footer = screen_text(app).splitlines()[-1]
        assert "play" not in footer and "speed" not in footer


async def test_an_engine_at_work_is_kept_while_a_record_is_looked_at(
    recorded: Path, app_of: AppOf, making: ModuleType
) -> None:
    from lbench.tui.feeds.live import EngineFeed

    class AtWork(EngineFeed):
        """As if an engine ran."""

        running = True  # type: ignore[assignment]
        handing_over = False  # type: ignore[assignment]
        paused = False  # type: ignore[assignment]
        unsaved_view = None  # type: ignore[assignment]

        def __init__(self) -> None:
            self._record = RecordedFeed.of(recorded)
            self._folder = recorded
            self.left_running = False
            self.closed = False
            self.over_now = False

        @property
        def over(self) -> bool:
            return self.over_now

        def frame(self, budget_s: float = 0.03) -> Frame:
            return self._record.frame(budget_s)

        def close(self) -> None:
            self.closed = True

    other = making.write_session(recorded.parent / "20261101-000000-0000", making.events())
    engine = AtWork()
    app = app_of(engine)
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_session(other)
        await pilot.pause()
        assert isinstance(app.feed, RecordedFeed) and not engine.closed
        app.open_session(recorded)
        await pilot.pause()
        assert app.feed is engine and not engine.closed
        app.open_session(other)
        app.action_leave()
    assert engine.closed
