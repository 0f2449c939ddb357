"""The Scaling screen shows a sweep as curves and as a table, fills in live, and says what is missing."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from textual.widgets import Input

from lbench.analysis.statistics import Estimate
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.sweep import SweepPlan
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.scaling import loader
from lbench.tui.scaling.board import curves_of, point_lines
from lbench.tui.screens import scaling
from lbench.tui.screens.prompts import AskText
from lbench.tui.screens.scaling import ScalingScreen
from lbench.tui.widgets import plan_forecast
from lbench.tui.widgets.title import Answer
from tests.tui.pilots import settled, until

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]
Swept = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "predict_comparison", lambda comparison, runs: None)


async def opened(pilot: Any) -> ScalingScreen:
    await pilot.press("2")
    await settled(pilot)  # it reads in a thread
    screen = pilot.app.screen
    assert isinstance(screen, ScalingScreen)
    return screen


def answer(app: LbenchApp) -> str:
    return "".join(text for text, _ in app.screen.query_one(Answer)._pieces)


def test_no_interval_of_a_point_is_cut(swept: Swept) -> None:
    (scaling,) = loader.load_sweep(swept(), predict=False).scalings
    emulated = scaling.series[-1]
    point = msgspec.structs.replace(
        emulated.points[0],
        makespan_s=Estimate(1234.0, 1000.5, 9999.4),
        speedup=Estimate(0.0054, 0.00283, 0.00912),
    )
    series = (*scaling.series[:-1], msgspec.structs.replace(emulated, points=(point,)))
    lines = point_lines(msgspec.structs.replace(scaling, series=series), point.at, frozenset(), None, 120)
    text = "".join(text for text, _ in lines[-1])
    assert " (1,000–9,999 s)  " in text and " (0.0028–0.0091)  $" in text and "…" not in text


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_it_looks_as_it_did(
    size: tuple[int, int], app_of: AppOf, swept: Swept, screen_text: ScreenText, same_as: Callable[[str, str], None]
) -> None:
    swept()
    app = app_of()
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("right", "right", "right", "right")
        await pilot.pause()
        same_as(f"scaling-{size[0]}x{size[1]}", screen_text(app))
        await pilot.press("d")
        await pilot.pause()
        same_as(f"scaling-table-{size[0]}x{size[1]}", screen_text(app))


async def test_a_crossing_stands_where_its_number_says(app_of: AppOf, swept: Swept) -> None:
    swept()
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert screen.scaling is not None
        crossings = curves_of(screen.scaling, "time", frozenset(), None).crossings
        assert crossings and all(f"{at:,.0f}" == text and at == int(at) for at, text in crossings)


async def test_of_several_sweeps_of_a_session_that_of_the_shown_point_is_shown(
    app_of: AppOf, swept: Swept, recorded: Path
) -> None:
    first = swept("20261123-120000-0001", sweep="ab-1") / JOURNAL_NAME
    second = swept("20261123-120000-0002", sweep="ab-2", axis="max_features") / JOURNAL_NAME
    before = recorded / JOURNAL_NAME
    for one, name in ((first, rb'"p\1"'), (second, rb'"q\1"')):
        own = re.sub(rb'"(r\d+)"', name, one.read_bytes())
        before.write_bytes(before.read_bytes() + own.split(b"\n", 1)[1])
        shutil.rmtree(one.parent)
    for shown in (recorded, None):  # also where another run came first, and no session is on the screen
        found = loader.load_sweep(shown, predict=False)
        assert [one.axis for one in found.scalings] == ["max_features"] and found.source == recorded
    app = app_of(RecordedFeed.of(recorded, part=1))  # the first point of the first sweep
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await until(app, pilot, lambda: screen.scaling is not None and screen.scaling.axis == "n_trees")


async def test_a_sentence_without_room_is_whole_below_the_table(
    app_of: AppOf, swept: Swept, screen_text: ScreenText, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept()
    sentence = " ".join(f"word{number}" for number in range(90))
    monkeypatch.setattr(scaling, "scaling_sentence", lambda swept: sentence)
    app = app_of()
    async with app.run_test(size=(80, 40)) as pilot:
        await opened(pilot)
        await pilot.press("d")
        await pilot.pause()
        assert "word89" in screen_text(app) and "…" in screen_text(app)


async def test_laws_along_workers_stand_below_the_table_once_the_sweep_is_over(
    app_of: AppOf, swept: Swept, screen_text: ScreenText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "law_lines", lambda found: [f"Amdahl's law of {len(found)} sweep"])
    assert loader.load_sweep(swept(), predict=False).laws == ()  # as it is read while the sweep goes on
    app = app_of()
    async with app.run_test(size=(120, 60)) as pilot:
        screen = await opened(pilot)
        assert screen.swept is not None and screen.swept.laws == ("Amdahl's law of 1 sweep",)
        await pilot.press("d")
        await pilot.pause()
        assert "Amdahl's law of 1 sweep" in screen_text(app)


async def test_the_sentence_is_there_whatever_is_shown(app_of: AppOf, swept: Swept, screen_text: ScreenText) -> None:
    swept()
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for keys in ("m", "l", "d", "space", "a", "right", "down", "pagedown", "d"):
            await pilot.press(keys)
            await pilot.pause()
            assert "trees (95 %" in screen_text(app)


async def test_a_letter_hides_its_series_and_shows_it_again(
    app_of: AppOf, swept: Swept, screen_text: ScreenText
) -> None:
    swept()
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        before = screen_text(app)
        assert "│" in before and "b processes" in before
        await pilot.press("b")
        await pilot.pause()
        hidden = screen_text(app)
        assert "b processes       hidden" in hidden.replace("  ", " ").replace("  ", " ") or "hidden" in hidden
        assert "┼" not in hidden  # a crossing with a hidden series is none
        await pilot.press("b")
        await pilot.pause()
        assert screen_text(app) == before


async def test_without_a_sweep_it_says_how_to_measure_one(app_of: AppOf, recorded: Path) -> None:
    app = app_of(RecordedFeed.of(recorded))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert answer(app) == loader.NO_SWEEP
        assert screen.scaling is None
        for key in ("left", "down", "m", "d", "a", "x", "y", "pagedown"):
            await pilot.press(key)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.bench


async def test_a_sweep_on_the_screen_comes_before_the_newest_one(app_of: AppOf, swept: Swept) -> None:
    older = swept("20261120-120000-0001", axis="rows", places=(100, 200, 400), sweep="00000000-0001")
    swept()
    app = app_of(RecordedFeed.of(older))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert screen.scaling is not None and screen.scaling.axis == "rows"


async def test_a_resumed_sweep_is_one(app_of: AppOf, swept: Swept) -> None:
    swept("20261123-110000-0001", places=(1, 2, 4))
    swept("20261123-120000-0002", places=(8, 16))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert screen.scaling is not None and screen.scaling.places == (1, 2, 4, 8, 16)


async def test_comparisons_that_differ_in_a_parameter_are_a_sweep(app_of: AppOf, swept: Swept) -> None:
    app = app_of(RecordedFeed.of(swept(sweep=None, places=(1, 4))))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert screen.scaling is not None and screen.scaling.places == (1, 4)


async def test_a_damaged_sweep_is_one_line(app_of: AppOf, swept: Swept) -> None:
    folder = swept(places=(1, 2))
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(b"".join([*lines[:60], b"{}\n", *lines[60:]]))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert "damaged" in answer(app) and "\n" not in answer(app)


async def test_points_appear_as_they_are_measured(app_of: AppOf, swept: Swept) -> None:
    folder = swept(places=(1, 2), whole=False)
    app = app_of(RecordedFeed.of(folder))
    async with app.run_test(size=(120, 40)) as pilot:
        app.tick()
        screen = await opened(pilot)
        app.tick()
        assert screen.scaling is not None and screen.scaling.places == (1, 2)
        swept(places=(1, 2, 4), whole=False)
        app.show_feed(RecordedFeed.of(folder))
        app.tick()
        await pilot.pause()
        assert screen.scaling.places == (1, 2, 4)


@pytest.mark.parametrize("under_way", [True, False])
async def test_a_point_that_is_measured_is_neither_stopped_nor_wrong_nor_free(
    under_way: bool, app_of: AppOf, swept: Swept, screen_text: ScreenText
) -> None:
    folder = swept(places=(1,), whole=False)
    journal = folder / "events.jsonl"
    begun = (b'"event":"session"', b'"event":"planned"', b'"event":"started"')
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], *(line for line in lines[1:] if any(one in line[:40] for one in begun))]))
    app = app_of(RecordedFeed.of(folder))
    if under_way:
        app.sweep = SimpleNamespace(progress="point 1 of 4: n_trees=1", failures={}, over=True)  # type: ignore[assignment]
    async with app.run_test(size=(120, 40)) as pilot:
        app.tick()
        await opened(pilot)
        shown = screen_text(app)
    assert ("the first point is being measured" in shown) == under_way
    assert ("▶ being measured" in shown) == under_way == ("■ stopped" not in shown)
    assert ("no run has a right answer" in shown) != under_way
    assert "makespan, s: no point is measured yet" in shown and "nothing is charged" not in shown


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_tuned_function_is_shown_as_its_front(
    size: tuple[int, int], app_of: AppOf, tuned: Path, screen_text: ScreenText, same_as: Callable[[str, str], None]
) -> None:
    app = app_of(RecordedFeed.of(tuned))
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert screen.swept is not None and len(screen.swept.tuned) == 5
        assert "fastest" in answer(app) and "cheapest" in answer(app) and "emulated here" in answer(app)
        await pilot.press("right")
        await pilot.pause()
        same_as(f"tuning-{size[0]}x{size[1]}", screen_text(app))
        await pilot.press("d")
        await pilot.pause()
        shown = screen_text(app)
        await pilot.press("pagedown")
        await pilot.pause()
        assert "pays only for tasks that are parallel inside" in " ".join((shown + screen_text(app)).split())
        for key in ("left", "left", "l", "d", "m", "space", "down", "a", "plus", "x", "escape", "y"):
            await pilot.press(key)
        await pilot.pause()
        assert app.screen is screen


async def test_every_candidate_of_a_tuned_function_can_be_reached(
    app_of: AppOf, tuned: Path, screen_text: ScreenText
) -> None:
    app = app_of(RecordedFeed.of(tuned))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        seen = set()
        for _ in range(5):
            line = next(line for line in screen_text(app).splitlines() if "▸" in line)
            seen.add(line.split("tasks")[0])
            await pilot.press("right")
            await pilot.pause()
        assert len(seen) == 5


TINY = Plan(
    workload="mandelbrot",
    params={"max_iterations": 20},
    tasks=2,
    repeats=1,
    backends=[parse_backend("threads:concurrency=2", {}), parse_backend("sequential", {})],
)


async def asked(pilot: Any, key: str) -> Input:
    await pilot.press(key)
    await pilot.pause()
    assert isinstance(pilot.app.screen, AskText)
    return pilot.app.screen.query_one(Input)


async def test_one_key_on_bench_measures_a_sweep_and_the_points_come_in(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    app = app_of(plan=TINY, on_hangup="stop")
    async with app.run_test(size=(120, 40)) as pilot:
        field = await asked(pilot, "s")
        assert field.value == "size=125..2000x2"
        field.value = "size=16,32"
        await pilot.press("enter")
        await pilot.pause()
        sweep = app.sweep
        assert sweep is not None
        async with asyncio.timeout(120):
            while not sweep.over:
                app.tick()
                await pilot.pause(0.02)
        app.tick()
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, ScalingScreen)
        assert screen.scaling is not None and screen.scaling.places == (16, 32)
        assert not sweep.failures
        assert [one.name for one in screen.scaling.series] == ["threads", "sequential"]
        engine = app.feed.engine
        app.action_leave()
        await pilot.pause()
    engine.let_go()
    assert await asyncio.to_thread(engine.wait, 60) is not None


async def test_a_wrong_axis_keeps_the_question(app_of: AppOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LbenchApp, "start_sweep", lambda app, sweep: pytest.fail("it was started"))
    app = app_of(plan=TINY)
    async with app.run_test(size=(120, 40)) as pilot:
        field = await asked(pilot, "s")
        for text in ("", "size=", "colour=1,2", "size=9..1x2"):
            field.value = text
            await pilot.press("enter")
            await pilot.pause()
            assert isinstance(app.screen, AskText)


async def test_the_parameter_in_focus_in_the_set_up_is_swept(app_of: AppOf, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[SweepPlan] = []
    monkeypatch.setattr(LbenchApp, "start_sweep", lambda app, sweep: started.append(sweep))
    monkeypatch.setattr(plan_forecast, "busy_notice", lambda: None)
    app = app_of(plan=TINY)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        app.screen.query_one("#at-params-max_iterations").focus()
        await pilot.pause()
        field = await asked(pilot, "ctrl+s")
        assert field.value.startswith("max_iterations=")
        await pilot.press("enter")
        await pilot.pause()
        assert [sweep.axes[0].name for sweep in started] == ["max_iterations"]
        assert app.screen is app.bench
        field = await asked(pilot, "s")  # and it is remembered
        assert field.value.startswith("max_iterations=")
