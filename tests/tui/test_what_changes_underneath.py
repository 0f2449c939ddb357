"""Sessions that grow, end or are exchanged while they are on the screen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lbench.engine.journal.events import Event, RunEnded, RunPlanned, SessionEnded
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.errors import EngineLostError
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.feed import NoFeed
from lbench.tui.feeds.live import EngineFeed
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.screens.card import CardScreen
from lbench.tui.screens.prompts import AskCopy
from lbench.tui.screens.too_small import SmallScreen
from lbench.tui.widgets.timeline import Timeline
from lbench.tui.widgets.title import Answer

App = Callable[..., LbenchApp]
Text = Callable[[LbenchApp], str]
PLAN = Plan(workload="mandelbrot", backends=[parse_backend("sequential", {})])


class Follower:
    """Tells what it is given, a list of events at a time; an error in it is raised when it is reached."""

    def __init__(self, *batches: list[Event | Exception]) -> None:
        self.batches = list(batches)
        self.commands: list[str] = []
        self.closed = False

    def follow(self) -> None: ...

    def start(self, plan: Plan, *, last: bool) -> None: ...

    def command(self, name: str) -> None:
        self.commands.append(name)

    def problems(self) -> list[str]:
        return []

    def receive(self, timeout_s: float | None = None) -> Iterator[Event]:
        for event in self.batches.pop(0) if self.batches else []:
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self) -> None:
        self.closed = True


def feed_of(follower: Follower, folder: Path | None = None) -> EngineFeed:
    feed = EngineFeed(lambda: (follower, None), folder)  # type: ignore[arg-type,return-value]
    feed._thread.join()
    return feed


def events_of(making: ModuleType, **options: Any) -> list[Event | Exception]:
    return [event for _, event in making.events(**options)]


async def settled(app: LbenchApp, pilot: Any, ticks: int = 4) -> None:
    for _ in range(ticks):
        app.tick()
        await pilot.pause()


async def test_a_timeline_is_drawn_while_further_events_are_folded(
    making: ModuleType, tmp_path: Path, app_of: App
) -> None:
    folder = making.write_session(tmp_path / "made", making.events(tasks=1000, repeats=1))
    feed = RecordedFeed.of(folder)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        while not feed.frame(0.0001).runs or not feed._fold.view.runs["r1"].columns["task"].size:
            pass
        await settled(app, pilot, 1)
        timeline = next(one for one in app.screen.query(Timeline) if one.run is not None)
        while feed.catch_up(0.001):
            await pilot.resize_terminal(120, 39 if app.size.height == 40 else 40)
            timeline.action_slowest()
            timeline.action_sort()
            timeline.action_lane(1)
            await pilot.pause()
        await settled(app, pilot)


def test_an_engine_that_ends_while_a_viewer_is_behind_is_reported_without_a_crash(making: ModuleType) -> None:
    events = [event for event in events_of(making, tasks=3000) if not isinstance(event, RunEnded | SessionEnded)]
    feed = feed_of(Follower([*events, EngineLostError("the engine has gone")]))
    for _ in range(10_000):
        frame = feed.frame(0.0005)
        if frame.state == "lost":
            break
    assert frame.state == "lost" and "the engine has died" in str(frame.problem)


async def test_an_engine_that_dies_after_its_last_run_leaves_the_answer_on_line_2(
    making: ModuleType, app_of: App, screen_text: Text
) -> None:
    events = [event for event in events_of(making) if not isinstance(event, SessionEnded)]
    feed = feed_of(Follower([*events, EngineLostError("the engine has gone")]))
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert feed.over and "processes is 1.98×" in screen_text(app).splitlines()[1]


async def test_two_sessions_of_one_shape_are_not_taken_for_each_other(
    making: ModuleType, tmp_path: Path, app_of: App, screen_text: Text
) -> None:
    quick = making.Kind("processes", 2, task_s=0.0655)
    slow = making.Kind("processes", 2, task_s=0.262)
    folders = [
        making.write_session(tmp_path / name, making.events((making.SEQUENTIAL, kind), identity=name))
        for name, kind in (("20261122-120000-0001", quick), ("20261122-120000-0002", slow))
    ]
    app = app_of(RecordedFeed.of(folders[0]))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert "1.9" in screen_text(app).splitlines()[1]
        app.open_session(folders[1])
        await settled(app, pilot)
        assert "0.50×" in screen_text(app).splitlines()[1]


async def test_a_failed_backend_is_reported_although_an_older_invocation_was_selected(
    making: ModuleType, still: Any, app_of: App, screen_text: Text
) -> None:
    events = making.events(failing="emulated")
    ends = [(at - making.START) / timedelta(seconds=1) for at, event in events if isinstance(event, RunEnded)]
    feed = still((ends[4] + ends[5]) / 2, failing="emulated", picture=False)  # in the last run of processes
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        shown = [one for one in app.screen.query(Timeline) if one.run is not None]
        shown[-1].focus()
        await pilot.press("right")
        feed.go_to(None)
        await settled(app, pilot, 8)
        assert "emulated failed" in screen_text(app)


async def test_an_engine_that_was_set_aside_is_left_once_it_has_ended(
    making: ModuleType, recorded: Path, app_of: App
) -> None:
    begun = [event for event in events_of(making) if not isinstance(event, RunEnded | SessionEnded)]
    follower = Follower(begun)
    feed = feed_of(follower, recorded)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        app.show_feed(RecordedFeed.of(recorded))
        assert app.set_aside is feed and feed.running
        follower.batches.append([EngineLostError("it has gone")])
        await settled(app, pilot)
        assert app.set_aside is None and follower.closed
        assert app.farewell() is None


async def test_what_an_idle_engine_has_measured_can_be_opened_as_a_record(
    making: ModuleType, recorded: Path, app_of: App
) -> None:
    follower = Follower([event for event in events_of(making) if not isinstance(event, SessionEnded)])
    app = app_of(feed_of(follower, recorded))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        app.open_session(recorded)
        await settled(app, pilot)
        assert isinstance(app.feed, RecordedFeed) and follower.closed


def test_a_refused_plan_is_reported_until_the_next_run_ends(making: ModuleType) -> None:
    events = [event for event in events_of(making) if not isinstance(event, SessionEnded)]
    ends = [index for index, event in enumerate(events) if isinstance(event, RunEnded)]
    follower = Follower(events[: ends[0]])
    feed = feed_of(follower)
    feed.frame(1.0)
    feed._refused("a plan is running: cancel it first")
    assert feed.frame().problem == "a plan is running: cancel it first"
    follower.batches.append(events[ends[0] : ends[1]])
    assert feed.frame(1.0).problem is None


async def test_ctrl_c_cancels_what_is_on_the_screen_and_forgets_it_when_nothing_runs(
    making: ModuleType, app_of: App
) -> None:
    events = [event for event in events_of(making) if not isinstance(event, SessionEnded)]
    last = max(index for index, event in enumerate(events) if isinstance(event, RunEnded))
    follower = Follower(events[:last])
    app = app_of(feed_of(follower))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        app.action_interrupt()
        assert follower.commands == ["cancel"]
        follower.batches.append(events[last:])
        await settled(app, pilot)
        app._beat()
        app._beat()
        assert follower.commands[2:] == [] and app.note == ""


async def test_a_cancel_is_shown_and_repeated_until_the_engine_has_ended_what_it_was_for(
    making: ModuleType, app_of: App, screen_text: Text
) -> None:
    events = [event for event in events_of(making) if not isinstance(event, SessionEnded)]
    last = max(index for index, event in enumerate(events) if isinstance(event, RunEnded))
    follower = Follower(events[:1])
    feed = feed_of(follower)
    app = app_of(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        feed.start(PLAN)
        await settled(app, pilot)
        assert "preparing" in screen_text(app).splitlines()[1]
        await pilot.press("c")  # nothing is planned yet
        await pilot.pause()
        assert "cancelling · mandelbrot" in screen_text(app).splitlines()[1]
        app._beat()
        assert follower.commands[:2] == ["cancel", "cancel"]  # an engine that is loading does not keep the first
        follower.batches.append(events[1:last])
        await settled(app, pilot)
        assert "cancelling" in " ".join(screen_text(app).splitlines()[1:3])
        follower.batches.append(events[last:])
        await settled(app, pilot)
        assert "cancelling" not in screen_text(app)
        count = len(follower.commands)
        app._beat()
        assert len(follower.commands) == count
        feed.start(PLAN)
        await settled(app, pilot)
        assert "cancelling" not in screen_text(app)


async def test_what_lies_under_a_question_goes_on(making: ModuleType, app_of: App) -> None:
    events = [event for event in events_of(making) if not isinstance(event, SessionEnded)]
    first = next(index for index, event in enumerate(events) if isinstance(event, RunEnded))
    follower = Follower(events[:first])
    app = app_of(feed_of(follower))

    def answer() -> str:
        return " ".join(strip.text for strip in app.bench.query_one(Answer)._strips)

    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        await pilot.press("y")
        await settled(app, pilot)
        assert isinstance(app.screen, AskCopy) and "measuring sequential" in answer()
        follower.batches.append(events[first : first + 1])
        await settled(app, pilot)
        assert isinstance(app.screen, AskCopy) and "sequential takes" in answer()


@pytest.mark.parametrize("tasks", [1, 99, 1_000, 12_345, 100_000])
@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids="{0[0]}x{0[1]}".format)
async def test_the_table_stays_in_line_however_many_tasks_there_are(
    tasks: int, size: tuple[int, int], making: ModuleType, app_of: App, screen_text: Text
) -> None:
    events = events_of(making, tasks=4)
    for event in events:
        if isinstance(event, RunPlanned):
            event.tasks = tasks
    last = max(index for index, event in enumerate(events) if isinstance(event, RunEnded))
    app = app_of(feed_of(Follower(events[:last])))
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        lines = screen_text(app).splitlines()
        head = next(index for index, line in enumerate(lines) if "BACKEND" in line)
        ends = {line.rstrip()[-6:] for line in lines[head + 1 : head + 3]}
        assert ends == {"✔ same"}
        column = lines[head].index("MAKESPAN") + len("MAKESPAN")
        assert all(line[column] == " " and line[column - 1] == "s" for line in lines[head + 1 : head + 3])


async def test_a_card_without_a_timeline_offers_no_neighbours(app_of: App, still: Any, screen_text: Text) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press("v")
        await settled(app, pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, CardScreen)
        assert "neighbour" not in screen_text(app) or app.screen._step is not None


@pytest.mark.parametrize("key", ["r", "4", "question_mark"])
async def test_another_screen_on_a_tiny_terminal_is_a_message(key: str, app_of: App) -> None:
    app = app_of(NoFeed())
    async with app.run_test(size=(20, 5)) as pilot:
        await settled(app, pilot, 1)
        await pilot.press(key)
        await settled(app, pilot)
        assert isinstance(app.screen, SmallScreen)


async def test_a_record_that_was_deleted_while_it_is_shown_can_be_exported(
    recorded: Path, app_of: App, tmp_path: Path
) -> None:
    app = app_of(RecordedFeed.of(recorded))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot, 8)
        shutil.rmtree(recorded)
        await pilot.press("x", "ctrl+u", *f"{tmp_path}/left.json", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
    assert len(json.loads((tmp_path / "left.json").read_bytes())["runs"]) == 9
