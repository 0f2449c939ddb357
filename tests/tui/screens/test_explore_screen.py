"""The Explore screen on a made-up record, and with a real engine of its own."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.export.document import document, encode_document
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.session.view import load_folder
from lbench.tui import launch
from lbench.tui.app import LbenchApp
from lbench.tui.explore.backends import Chosen, ExploreBackends
from lbench.tui.explore.picture import ExplorePicture
from lbench.tui.explore.scene import SCENES
from lbench.tui.explore.sliders import Sliders
from lbench.tui.explore.state import ExploreState
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.screens.explore import ExploreScreen
from lbench.tui.screens.prompts import AskYes
from lbench.tui.widgets.title import Keys
from tests.tui.pilots import until, wait_until_drawn

SIZES = [(80, 24), (120, 40), (200, 60)]
SPEEDS = ("sequential", "processes", "emulated")

App = Callable[..., LbenchApp]
Text = Callable[[LbenchApp], str]


@pytest.fixture
def explored(explored_session: Callable[[Path], Path], tmp_path: Path) -> Path:
    """A record: a warm-up, six updates by hand of which two were overtaken, and a script of eight on each backend."""
    return explored_session(tmp_path / "data/lbench/sessions/20261122-120000-e0e0")


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
async def test_an_explored_session_is_shown_on_its_own_screen_as_it_was_approved(
    size: tuple[int, int], app_of: App, explored: Path, screen_text: Text, same_as: Any
) -> None:
    app = app_of(RecordedFeed.of(explored))
    async with app.run_test(size=size) as pilot:
        await wait_until_drawn(app, pilot)
        assert isinstance(app.screen, ExploreScreen)
        same_as(f"explore-{size[0]}x{size[1]}", screen_text(app))


async def test_a_record_looks_the_same_at_a_size_however_the_terminal_came_to_it(
    app_of: App, explored: Path, screen_text: Text
) -> None:
    app = app_of(RecordedFeed.of(explored))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until_drawn(app, pilot)
        there = screen_text(app)
    app = app_of(RecordedFeed.of(explored))
    async with app.run_test(size=(200, 60)) as pilot:
        await wait_until_drawn(app, pilot)
        await pilot.resize_terminal(80, 24)
        await until(app, pilot, lambda: screen_text(app) == there)


async def test_a_narrow_title_leaves_out_whole_parts(app_of: App, explored: Path, screen_text: Text) -> None:
    app = app_of(RecordedFeed.of(explored))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until_drawn(app, pilot)
        title = screen_text(app).splitlines()[0]
        assert "mandelbrot 120×90 · 2 tasks" in title and "…" not in title


async def test_the_sentence_answers_with_numbers_their_spread_and_where_they_come_from(
    app_of: App, explored: Path, screen_text: Text
) -> None:
    app = app_of(RecordedFeed.of(explored))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        line = " ".join(" ".join(screen_text(app).splitlines()[1:3]).split())
        assert re.match(r"elastic takes 1\.\d+× \(\d\.\d+–\d\.\d+\) as long: processes", line)
        assert "ms (" in line and "each · n 8, emulated here" in line and "$0.0000" in line


async def test_an_exported_document_shows_the_same_figures(
    app_of: App, explored: Path, screen_text: Text, tmp_path: Path
) -> None:
    file = tmp_path / "explored.json"
    file.write_bytes(encode_document(document(load_folder(explored))))
    shown = []
    for path in (explored, file):
        app = app_of(RecordedFeed.of(path))
        async with app.run_test(size=(120, 40)) as pilot:
            await wait_until_drawn(app, pilot)
            lines = screen_text(app).splitlines()
            shown.append([lines[1], *(line[73:] for line in lines if any(f"✓ {name}" in line for name in SPEEDS))])
    assert shown[0] == shown[1]


async def test_a_record_can_be_replayed_and_its_keys_are_not_those_of_exploring(app_of: App, explored: Path) -> None:
    feed = RecordedFeed.of(explored)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        entries = dict(app.screen.query_one(Keys).entries())
        assert "explore from here" in entries.values() and "move" not in entries.values()
        await pilot.press("home")
        await wait_until_drawn(app, pilot)
        assert app.screen.maker.run is None or app.screen.maker.run.id == "x1"  # type: ignore[attr-defined]
        await pilot.press("1")
        await wait_until_drawn(app, pilot)
        assert app.screen is app.bench  # it leads to its screen once


async def test_a_session_whose_engine_is_still_there_has_no_replay(
    app_of: App, explored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordedFeed, "kind", "still")  # as one that is attached to, it can be followed alone
    app = app_of(RecordedFeed.of(explored))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        assert isinstance(app.screen, ExploreScreen)
        assert not app.screen.query_one("#replay").display


async def test_no_blocks_of_an_update_that_was_overtaken_stay_on_the_screen(app_of: App, explored: Path) -> None:
    feed = RecordedFeed.of(explored, speed=1e-6)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        feed.seek(0.3)
        await wait_until_drawn(app, pilot)
        newest = None
        for step in range(40):
            feed.seek(0.3 + step / 40)
            await wait_until_drawn(app, pilot)
            screen = app.screen
            assert isinstance(screen, ExploreScreen)
            if screen.maker.run is not None:
                newest = screen.maker.run.id
            assert screen.maker.blocks is None or screen.maker.blocks.run.id == newest


DAMAGED: list[dict[str, Any]] = [
    {},
    {"window": None},
    {"window": [1, 1, 0, 0], "max_iterations": 5},
    {"window": "wide"},
]


@pytest.mark.parametrize("params", DAMAGED)
async def test_a_record_that_does_not_tell_its_view_is_shown_without_a_fault(
    app_of: App, explored: Path, params: dict[str, Any]
) -> None:
    journal = explored / "events.jsonl"
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    damaged = [line | {"params": params} if line["event"] == "planned" else line for line in lines]
    journal.write_text("".join(json.dumps(line) + "\n" for line in damaged))
    app = app_of(RecordedFeed.of(explored))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        assert isinstance(app.screen, ExploreScreen)


# -- live, with a real engine


@pytest.fixture
def live(app_of: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[LbenchApp]:
    """An app that explores on few workers, in a small picture; its engine has ended when it is over."""
    feeds = []

    def launched(on_hangup: str) -> Any:
        feeds.append(launch.launched(on_hangup))
        return feeds[-1]

    monkeypatch.setattr("lbench.tui.screens.explore.launched", launched)
    plan = Plan("mandelbrot", backends=[parse_backend("sequential", {}), parse_backend("processes:concurrency=2", {})])
    app = app_of(None, plan=plan)
    app.exploring.scene = SCENES["mandelbrot"].with_value("detail", 2)
    yield app
    for feed in feeds:
        feed.close()
        assert feed.engine is None or feed.engine.wait(30) in (0, -signal.SIGKILL)


def _idle(app: LbenchApp) -> bool:
    screen = app.screen
    if not isinstance(screen, ExploreScreen) or screen.maker.run is None or screen.maker.run.ended is None:
        return False
    return not app.exploring.waits(screen.maker.run, screen.maker.warnings)


async def test_a_key_held_down_ends_with_the_last_state_and_few_runs(live: LbenchApp) -> None:
    async with live.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(live, pilot, lambda: _idle(live))
        screen = live.screen
        assert isinstance(screen, ExploreScreen) and screen.query_one(ExplorePicture).has_focus
        assert "cancel" not in dict(screen.query_one(Keys).entries()).values()  # there is nothing
        first = live.exploring.scene
        screen.action_pan(-1, 0)
        assert screen.check_action("stop_update", ())
        await pilot.press(*["left"] * 99)
        wanted = live.exploring.scene
        assert wanted.values["x"] < first.values["x"]
        await until(live, pilot, lambda: _idle(live))
        view = live.exploring.feed._fold.view  # type: ignore[union-attr]
        last = list(view.runs.values())[-1]
        assert last.status == "ok" and len(view.runs) <= 101
        x_min, x_max, _, _ = last.planned.params["window"]
        assert (x_min + x_max) / 2 == pytest.approx(wanted.values["x"])
        assert {run.status for run in view.runs.values()} <= {"ok", "cancelled"}
        assert screen.maker.blocks is not None and screen.maker.blocks.run is last
        await pilot.press("q")


async def test_a_key_after_the_engine_has_died_computes_in_another_one(live: LbenchApp) -> None:
    async with live.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(live, pilot, lambda: _idle(live))
        first = live.exploring.feed
        assert first is not None and first.folder is not None
        os.kill(json.loads((first.folder / "engine.json").read_bytes())["pid"], signal.SIGKILL)
        await until(live, pilot, lambda: first.over)
        await pilot.press("left")
        await until(live, pilot, lambda: live.exploring.feed is not first and _idle(live))
        await pilot.press("q")


async def test_another_workload_is_explored_and_the_script_compares_the_ticked_backends(
    live: LbenchApp, screen_text: Text
) -> None:
    async with live.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await until(live, pilot, lambda: _idle(live))
        live.exploring._kept["kmeans"] = SCENES["kmeans"].with_value("n_samples", 500)
        await pilot.press("w")
        assert live.exploring.scene.workload == "kmeans"
        live.tick()
        await pilot.pause()
        second_line = screen_text(live).splitlines()[1]
        assert second_line.startswith(" the first update warms up")  # with the next frame, not with its first event
        await until(live, pilot, lambda: _idle(live) and "◆" in screen_text(live))
        assert live.screen.query_one(Sliders).has_focus
        await pilot.press("t")
        await pilot.resize_terminal(100, 30)  # neither another size nor a look elsewhere ends the comparison
        await pilot.press("1", "3")
        await pilot.resize_terminal(120, 40)
        await until(live, pilot, lambda: _idle(live))
        tallies = live.exploring.figures.tallies("kmeans", live.exploring.figures.last_script)
        assert {label: tally.count for label, tally in tallies.items()} == {"sequential": 13, "processes": 13}
        assert "n 13" in " ".join(screen_text(live).splitlines()[1:3])
        await pilot.press("q")


async def test_a_comparison_begun_right_after_another_workload_is_not_ended_by_its_update(live: LbenchApp) -> None:
    async with live.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(live, pilot, lambda: _idle(live))
        screen = live.screen
        assert isinstance(screen, ExploreScreen)
        screen.action_workload()
        screen.action_compare()
        await pilot.pause()
        assert screen.exploring.comparing
        screen.action_workload()  # that one does
        await pilot.pause()
        assert not screen.exploring.comparing
        await pilot.press("q")


async def test_sliders_type_values_and_refuse_nonsense_and_backends_are_chosen_and_ticked(
    live: LbenchApp, screen_text: Text
) -> None:
    async with live.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await until(live, pilot, lambda: _idle(live))
        await pilot.press("tab", "down", "down", "down", "enter")
        await pilot.press(*"many", "enter")
        await pilot.pause()
        assert "must be a whole number" in screen_text(live)
        await pilot.press("escape", "right_square_bracket")
        assert live.exploring.scene.values["iterations"] == 1000
        labels = [one.choice.label for one in live.exploring.backends]
        await pilot.press("tab", *["up"] * labels.index(live.exploring.label))
        assert live.screen.query_one(ExploreBackends).has_focus and live.exploring.label == "sequential"
        await pilot.press("space")
        assert [choice.label for choice in live.exploring.compared] == ["processes"]
        assert "compare ✓" not in dict(live.screen.query_one(Keys).entries()).values()
        await until(live, pilot, lambda: _idle(live))
        await pilot.press("0")
        assert live.exploring.scene.values["iterations"] == 500
        await pilot.press("q")


async def test_before_the_first_job_on_aws_a_person_is_asked_and_no_leaves_it_out(
    live: LbenchApp, screen_text: Text
) -> None:
    current = next(one for one in live.exploring.backends if one.choice.label == live.exploring.label)
    live.exploring.backends = [current, Chosen(parse_backend("lambda", {}), True)]
    async with live.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await until(live, pilot, lambda: _idle(live))
        generation = live.exploring.generation
        await pilot.press("b")
        assert live.exploring.label == "lambda"
        await until(live, pilot, lambda: isinstance(live.screen, AskYes))
        assert "explore on lambda? it costs money" in screen_text(live) and "$1.00" in screen_text(live)
        assert live.exploring.generation == generation  # nothing was sent
        await pilot.press("n")
        await until(live, pilot, lambda: _idle(live))
        assert live.exploring.label != "lambda" and "lambda" not in [one.label for one in live.exploring.compared]
        await pilot.press("q")


def test_paid_exploring_has_a_default_limit_and_asks_first() -> None:
    exploring = ExploreState(Plan("mandelbrot", backends=[parse_backend("lambda", {}), parse_backend("processes", {})]))
    free, paid = (Plan("mandelbrot", backends=[parse_backend(name, {})]) for name in ("processes", "lambda"))
    assert exploring.label == "processes"
    assert (exploring.limited(free).max_usd, exploring.limited(paid).max_usd) == (None, 1.0)
    for want, ask in ((lambda: exploring.want(free), False), (lambda: exploring.want_script([], [free, paid]), True)):
        want()
        assert exploring.must_ask is ask
    exploring.may_spend = True
    assert not exploring.must_ask
    exploring.max_usd = 0.1
    assert {exploring.limited(plan).max_usd for plan in (free, paid)} == {0.1}


async def test_a_forest_is_explored_as_its_accuracy_grows_tree_by_tree(live: LbenchApp, screen_text: Text) -> None:
    live.exploring.scene = SCENES["random_forest"].with_value("rows", 300).with_value("n_trees", 4)
    live.exploring.label = "sequential"
    async with live.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        for trees in (4, 8):
            await until(live, pilot, lambda: _idle(live))
            blocks = live.screen.maker.blocks  # type: ignore[attr-defined]
            assert sorted(blocks.drawn.points)[-1][0] == trees == len(blocks.drawn.points)
            assert all(0 < accuracy < 1 for _, accuracy in blocks.drawn.points)
            text = screen_text(live)
            assert "accuracy" in text and f"n_trees {trees} " in text.splitlines()[0]
            await pilot.press("right_square_bracket")
        await until(live, pilot, lambda: _idle(live))
        await pilot.press("q")


async def test_once_a_person_has_agreed_lambda_computes_and_its_dollars_are_shown(
    live: LbenchApp, screen_text: Text, aws_lambda: Any
) -> None:
    aws_lambda.deploy()
    current = next(one for one in live.exploring.backends if one.choice.label == live.exploring.label)
    live.exploring.backends = [current, Chosen(parse_backend("lambda:concurrency=2", {}), True)]
    live.exploring.label = "lambda"
    async with live.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await until(live, pilot, lambda: isinstance(live.screen, AskYes))
        await pilot.press("y")
        await until(live, pilot, lambda: _idle(live) or live.screen.maker.warnings)  # type: ignore[attr-defined]
        assert not [warning.text for warning in live.exploring.feed._fold.view.warnings]
        await pilot.press("plus")  # it is asked once
        await until(live, pilot, lambda: _idle(live))
        screen = live.screen
        assert isinstance(screen, ExploreScreen) and screen.maker.run is not None
        assert (screen.maker.run.planned.label, screen.maker.run.status) == ("lambda", "ok")
        text = screen_text(live)
        assert "in all" in text and "$0.00" in text and "lambda°" not in text  # measured, not emulated
        await pilot.press("q")
    assert aws_lambda.invoked
