import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lbench.engine.journal.events import Warned
from lbench.engine.plan.plan import Plan
from lbench.tui.app import LbenchApp
from lbench.tui.screens.card import CardScreen
from lbench.tui.widgets.cost import Cost
from lbench.tui.widgets.inspect import Inspect
from lbench.tui.widgets.table import BackendTable
from lbench.tui.widgets.timeline import Timeline
from lbench.tui.widgets.title import Keys, described
from tests.tui.pilots import wait_until_drawn

SIZES = [(80, 24), (120, 40), (200, 60)]
MID = 34.2  # seconds into the made-up session: sequential and processes are done, emulated is in its first run

App = Callable[..., LbenchApp]
Text = Callable[[LbenchApp], str]


def _timeline(app: LbenchApp, label: str) -> Timeline:
    return next(one for one in app.screen.query(Timeline) if one.run is not None and one.run.planned.label == label)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("moment", ["before", "mid", "done"])
async def test_the_screen_looks_as_it_was_approved(
    size: tuple[int, int], moment: str, app_of: App, still: Any, screen_text: Text, same_as: Any
) -> None:
    feed = {"before": lambda: None, "mid": lambda: still(MID), "done": lambda: still(None)}[moment]()
    app = app_of(feed)
    async with app.run_test(size=size) as pilot:
        if moment == "before":
            app.bench.show_machine(
                ["AMD EPYC 7B13 · 8 cores · 31.4 GiB", "renting an equal one on EC2 costs $0.40 an hour"]
            )
        await wait_until_drawn(app, pilot)
        same_as(f"bench-{moment}-{size[0]}x{size[1]}", screen_text(app))


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
async def test_the_card_looks_as_it_was_approved(
    size: tuple[int, int], app_of: App, still: Any, screen_text: Text, same_as: Any
) -> None:
    app = app_of(still(None))
    async with app.run_test(size=size) as pilot:
        await wait_until_drawn(app, pilot)
        _timeline(app, "emulated").focus()
        await pilot.press("n", "enter")
        await pilot.pause()
        assert isinstance(app.screen, CardScreen)
        same_as(f"card-{size[0]}x{size[1]}", screen_text(app))


async def test_the_card_of_an_invocation_that_was_ok_shows_where_it_stands_and_fills_the_screen(
    app_of: App, still: Any, screen_text: Text
) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        await pilot.press("enter")
        await pilot.pause()
        lines = screen_text(app).splitlines()
        slowest = next(line for line in lines if line.startswith("  in all"))
        assert slowest.split()[2:4] == ["105", "ms"] and slowest.endswith(" all")
        assert any(line.startswith("  in it        invocation ") for line in lines)
        assert any("▾" in line for line in lines)
        assert sum(not line for line in lines[20:-1]) < 8


async def test_before_the_first_run_the_default_backends_are_listed(app_of: App, screen_text: Text) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        text = screen_text(app)
        assert all(name in text for name in ("sequential", "processes", "emulated"))
        assert "start with" in text and "and then" in text


async def test_a_running_invocation_has_its_bar_before_it_ends(app_of: App, still: Any, screen_text: Text) -> None:
    app = app_of(still(2.0, picture=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        line = next(line for line in screen_text(app).splitlines() if line.startswith(" w00"))
        assert line.split()[1].endswith("╴")


async def test_the_sentence_says_how_much_faster_and_where_that_was_found(
    app_of: App, still: Any, screen_text: Text
) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        line = " ".join(screen_text(app).splitlines()[1:3])
        assert "processes is 1.9" in line and "as fast as sequential" in line
        assert "a run on AWS" in line and "emulated here" in line


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("moment", [MID, None])
async def test_every_amount_of_the_cost_panel_has_its_sign_and_says_what_it_is(
    size: tuple[int, int], moment: float | None, app_of: App, still: Any
) -> None:
    app = app_of(still(moment))
    async with app.run_test(size=size) as pilot:
        await wait_until_drawn(app, pilot)
        lines = [strip.text.strip() for strip in app.screen.query_one(Cost)._strips[1:]]
        parts = [part for line in lines for part in line.split(" · ")]
        assert not [part for part in parts if re.search(r"(?<![$\d,.])\.\d", part)]
        items = [part.split()[0] for part in parts if part.startswith(("duration ", "requests ", "transfer ", "logs "))]
        assert items in ([], ["duration", "requests", "transfer", "logs"])
        assert (moment is None) == any(line.startswith("renting wins from ") for line in lines)


async def test_while_data_load_the_screen_names_the_file_and_not_what_would_be_generated(
    app_of: App, still: Any, screen_text: Text
) -> None:
    feed = still(None)
    frame = msgspec.structs.replace(feed.frame(), runs=[], awaited_s=12.0, state="live")
    feed.frame = lambda *_: frame
    app = app_of(feed, plan=Plan("kmeans", params={"k": 7}, data="/data/census-income.data.zst"))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        title, answer = screen_text(app).splitlines()[:2]
        assert "kmeans on census-income.data.zst · k 7" in title and "n_samples" not in title
        assert "kmeans on census-income.data.zst · 12 s" in answer


def test_no_title_names_what_would_be_generated_before_it_is_known_that_it_was() -> None:
    params = {"k": 10, "n_samples": 100_000}
    assert described("kmeans", params, 39, data=None) == "kmeans · k 10 · 39 tasks"
    assert described("kmeans", params, 39) == "kmeans · k 10 · n_samples 100,000 · 39 tasks"


async def test_a_full_disk_leaves_room_for_the_answer(app_of: App, still: Any, screen_text: Text) -> None:
    feed = still(None)
    whole_frame = feed.frame
    text = "the journal cannot be written (No space left on device): the run goes on in memory; export it elsewhere"
    feed._fold.view.apply(Warned("disk", text))
    feed.frame = lambda *_: msgspec.structs.replace(whole_frame(), problem=text)
    app = app_of(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until_drawn(app, pilot)
        answer = " ".join(" ".join(screen_text(app).splitlines()[1:3]).split())
        assert "No space left on device: kept in memory, x exports it · processes 1.98×" in answer
        assert "(1.94–2.03)" in answer and "-o" not in answer


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (120, 40)])
async def test_a_speedup_has_its_interval_beside_it_at_every_size(
    app_of: App, still: Any, screen_text: Text, columns: int, rows: int
) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(columns, rows)) as pilot:
        await wait_until_drawn(app, pilot)
        table = [line for line in screen_text(app).splitlines() if line.startswith(("▐", "▍"))]
        assert any("1.98× 1.94–2.03" in line for line in table)
        assert any("6.54× 6.37–6.65" in line for line in table)


async def test_headings_of_narrow_panels_name_the_repeat_and_the_numbers(
    app_of: App, still: Any, screen_text: Text
) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until_drawn(app, pilot)
        text = screen_text(app)
        assert "─ processes · repeat 3" in text and "─ emulated · repeat 3" in text
        assert re.search("─ cold · all ─+ p50   p99 ─", text)


async def test_what_makes_a_result_weak_is_counted_and_a_key_shows_all_of_it(
    app_of: App, still: Any, screen_text: Text
) -> None:
    for size in ((80, 24), (120, 40), (200, 60)):
        app = app_of(still(None, picture=False))
        async with app.run_test(size=size) as pilot:
            await wait_until_drawn(app, pilot)
            count = len(app.bench.board.warnings)
            text = screen_text(app)
            assert count and (f"{count} things make this weak" in text or f"what makes this weak · {count}" in text)
            await pilot.press("exclamation_mark")
            await pilot.pause()
            shown = " ".join(screen_text(app).split())
            assert all(" ".join(warning.split()) in shown for warning in app.bench.board.warnings)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
async def test_what_aws_is_predicted_to_do_is_shown_once_and_in_its_own_colour(
    size: tuple[int, int], app_of: App, still: Any, screen_text: Text, predictions: list[str]
) -> None:
    app = app_of(still(None))
    async with app.run_test(size=size) as pilot:
        await wait_until_drawn(app, pilot)
        await app.workers.wait_for_complete()
        await wait_until_drawn(app, pilot)
        assert predictions == ["sequential"]
        panel = app.screen.query_one(Cost)
        strips = panel.draw(*panel.content_size)
        own = app.palette.style("predicted")
        shown = " ".join(piece.text for strip in strips for piece in strip if piece.style == own)
        assert "predicted" in shown and "×" in shown and "(" in shown
        measured = " ".join(piece.text for strip in strips for piece in strip if piece.style != own)
        assert "predicted" not in measured
        assert "a run" in measured and "for 1,000 runs" in measured


async def test_nothing_is_predicted_before_every_run_has_ended(app_of: App, still: Any, predictions: list[str]) -> None:
    app = app_of(still(MID))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        await app.workers.wait_for_complete()
        assert predictions == []


async def test_a_key_shows_another_repeat_in_timelines_and_histograms(
    app_of: App, still: Any, screen_text: Text
) -> None:
    app = app_of(still(None, picture=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        assert "repeat 3" in screen_text(app) and "all repeats" in screen_text(app)
        for number in (1, 2):
            await pilot.press("right_parenthesis")
            await wait_until_drawn(app, pilot)
            text = screen_text(app)
            assert f"processes · repeat {number}" in text and f"warm · repeat {number}" in text
            assert "p50   p99" in text
            assert "all repeats" not in text


async def test_a_frame_without_news_repaints_nothing(app_of: App, still: Any) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        asked: list[Any] = []
        for part in app.screen.query("Lines"):
            part.refresh = lambda *regions, **how: asked.append(regions)  # type: ignore[method-assign]
        await wait_until_drawn(app, pilot)
        assert asked == []


async def test_only_changed_cells_are_repainted(app_of: App, still: Any) -> None:
    feed = still(MID, picture=False)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        asked: list[Any] = []
        timeline = _timeline(app, "emulated")
        timeline.refresh = lambda *regions, **how: asked.extend(regions)  # type: ignore[method-assign]
        feed.go_to(MID + 0.03)
        app.tick()
        assert asked
        assert sum(region.area for region in asked) < timeline.size.area / 3


async def test_choosing_a_backend_shows_its_timeline_where_there_is_room_for_one(app_of: App, still: Any) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until_drawn(app, pilot)
        await pilot.press("down")
        await wait_until_drawn(app, pilot)
        drawn = [one.run.planned.label for one in app.screen.query(Timeline) if one.run is not None and one.display]
        assert drawn == ["processes"]


async def test_the_picture_takes_the_timelines_place_at_a_key_on_a_narrow_terminal(
    app_of: App, still: Any, screen_text: Text
) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until_drawn(app, pilot)
        assert "picture" not in screen_text(app).partition("RUN")[2].partition("↑↓")[0]
        await pilot.press("v")
        await wait_until_drawn(app, pilot)
        assert "─ picture ─" in screen_text(app)


async def test_keys_of_the_timeline_zoom_pan_select_and_jump(app_of: App, still: Any) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        timeline = _timeline(app, "emulated")
        timeline.focus()
        await pilot.press("m")
        slowest = timeline.selected
        assert slowest is not None
        whole = timeline.window.span
        await pilot.press("plus")
        assert timeline.window.end_s - timeline.window.start_s == pytest.approx((whole[1] - whole[0]) / 2)
        before = timeline.window.start_s
        await pilot.press("greater_than_sign")
        await pilot.press("less_than_sign", "less_than_sign")
        assert timeline.window.start_s <= max(before, 0.0)
        await pilot.press("right")
        assert timeline.selected != slowest
        await pilot.press("down")
        await pilot.press("n")
        assert timeline.selected is not None
        status = timeline.run.columns.row(timeline.selected)["status"] if timeline.run else None
        assert status in ("error", "throttled", "timeout")
        await pilot.press("s")
        assert timeline.by_duration
        await pilot.press("f")
        assert timeline.window.follow


async def test_the_footer_shows_the_keys_of_the_part_in_focus(app_of: App, still: Any) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(200, 60)) as pilot:
        await wait_until_drawn(app, pilot)
        keys = app.screen.query_one(Keys)
        app.screen.query_one(BackendTable).focus()
        await pilot.pause()
        assert ("↑↓", "select") in keys.entries()
        _timeline(app, "emulated").focus()
        await pilot.pause()
        assert ("+-", "zoom") in keys.entries() and ("↑↓", "select") not in keys.entries()


async def test_a_run_that_failed_shows_why_and_what_to_do(app_of: App, still: Any, screen_text: Text) -> None:
    app = app_of(still(None, failing="processes", picture=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        text = screen_text(app)
        assert "processes failed" in text
        assert "ValueError: row 17 cannot" in text
        assert "r runs it again" in text
        assert app.screen.query_one(Inspect).display


async def test_a_tiny_terminal_gets_a_message_and_can_grow_again(app_of: App, still: Any, screen_text: Text) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(20, 5)) as pilot:
        await wait_until_drawn(app, pilot)
        assert "needs 40x12" in screen_text(app)
        await pilot.resize_terminal(120, 40)
        await wait_until_drawn(app, pilot)
        assert "BACKEND" in screen_text(app)


async def test_a_resize_in_mid_run_keeps_every_panel_inside(app_of: App, still: Any, screen_text: Text) -> None:
    feed = still(MID)
    app = app_of(feed)
    async with app.run_test(size=(200, 60)) as pilot:
        for number, size in enumerate([(200, 60), (79, 23), (120, 40), (41, 12), (160, 30)]):
            await pilot.resize_terminal(*size)
            feed.go_to(MID + 0.1 * number)
            await wait_until_drawn(app, pilot)
            assert max(len(line) for line in screen_text(app).splitlines()) <= size[0]


async def test_the_card_walks_along_the_lane_and_escape_leads_back(app_of: App, still: Any) -> None:
    app = app_of(still(None))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        timeline = _timeline(app, "processes")
        timeline.focus()
        await pilot.press("m", "enter")
        await pilot.pause()
        first = timeline.selected
        await pilot.press("right")
        assert timeline.selected != first
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.bench


async def test_the_picture_grows_with_its_run_and_gives_way_to_the_next_ones(
    app_of: App, still: Any, screen_text: Text
) -> None:
    feed = still(1.0)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        screens = []
        for at_s in (1.0, 3.0, 6.0, 7.1, 8.0, 22.0, 34.2, None):
            feed.go_to(at_s)
            await wait_until_drawn(app, pilot)
            screens.append(screen_text(app))
        assert all("─ picture ─" in text for text in screens)
        assert "tasks ─" in screens[0] and "emulated ─" in screens[-1]


@pytest.mark.parametrize("key", ["question_mark", "4", "enter"])
async def test_what_happens_while_another_screen_is_looked_at_is_in_the_timeline_afterwards(
    key: str, app_of: App, still: Any
) -> None:
    feed = still(MID - 0.5, picture=False)
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        await pilot.press(key)
        await pilot.pause()
        for later_s in (MID - 0.3, MID, MID + 0.2):
            feed.go_to(later_s)
            app.tick()
            await pilot.pause()
        if key == "enter":  # the card walks along what has come meanwhile
            await pilot.press("right", "right")
        await pilot.press("escape")
        await pilot.pause()
        await wait_until_drawn(app, pilot)
        timeline = _timeline(app, "emulated")
        assert timeline.run is not None and timeline.run.status == "running"
        assert [row for row in range(len(timeline.run.columns)) if timeline.name_of(timeline.run, row) is None] == []


async def test_a_key_copies_the_sentence_the_table_or_the_command(app_of: App, still: Any) -> None:
    app = app_of(still(None, picture=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        copied = {}
        for key in "stc":
            await pilot.press("y", key)
            await pilot.pause()
            copied[key] = app.clipboard
    assert copied["s"].startswith("processes is 1.98×")
    assert copied["t"].splitlines()[0].startswith("| backend | makespan |") and "| processes |" in copied["t"]
    assert copied["c"].startswith("lbench run mandelbrot -b sequential -b processes:concurrency=2 -b emulated:")
    assert copied["c"].endswith("--tasks 100 --repeats 3 --schedule isolated")


async def test_a_click_on_the_footer_presses_its_key(app_of: App, still: Any) -> None:
    app = app_of(still(None, picture=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until_drawn(app, pilot)
        first, _, _ = next(place for place in app.screen.query_one(Keys)._places if place[2] == "help")
        await pilot.click(offset=(first + 1, 39))
        await pilot.pause()
        assert app.screen.name == "help"


async def test_the_cost_panel_cuts_no_amount_and_no_sentence_without_a_sign(
    app_of: App, still: Any, screen_text: Text
) -> None:
    for columns, rows in ((80, 24), (100, 30), (120, 40), (200, 60)):
        for at_s in (34.2, None):
            app = app_of(still(at_s))
            async with app.run_test(size=(columns, rows)) as pilot:
                await wait_until_drawn(app, pilot)
                panel = app.screen.query_one(Cost)
                texts = [strip.text.strip() for strip in panel.draw(panel.size.width, panel.size.height)]
                assert not any("$" in text.rpartition(" ")[2] and "…" in text for text in texts), texts
                if any("environments share" in text for text in texts):
                    whole = " ".join(texts)
                    assert "gives each its own" in whole or "cores here" in whole or "…" in whole, texts
