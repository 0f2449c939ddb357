"""The set-up is filled, checked as one types, and gives the plan that was chosen; Enter starts it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual import events
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Input

import lbench.engine.backends.region as region
from lbench.engine.backends import catalog
from lbench.engine.plan.parse import DEFAULT_BACKENDS, parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.validate import validate
from lbench.errors import InputError
from lbench.tui.app import LbenchApp, default_plan
from lbench.tui.bench.clipboard import command_line
from lbench.tui.bench.forecast import Forecast, forecast
from lbench.tui.explore.scene import SCENES
from lbench.tui.export import check_target
from lbench.tui.run_form import OWN_FILE, Draft, form_fields, plain_number, read_own
from lbench.tui.screens.setup import SetupScreen
from lbench.tui.widgets import plan_forecast as ahead
from lbench.tui.widgets.fields import FieldRow
from lbench.tui.widgets.title import Keys
from lbench.workloads import registry
from tests.tui.pilots import settled

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]

LONG = "x" * 10_000  # no file has such a name


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "busy_notice", lambda: None)
    monkeypatch.setattr(region, "host_architecture", lambda: "x86_64")


# -- the form's rules, without a screen


def test_an_untouched_form_gives_the_plan_it_began_with() -> None:
    assert Draft(default_plan()).plan() == default_plan()


def test_a_chosen_plan_comes_back_as_it_was() -> None:
    plan = Plan(
        workload="random_forest",
        params={"n_trees": 8, "max_depth": None},
        seed=7,
        tasks=4,
        backends=[parse_backend("processes:concurrency=4@four", {}), parse_backend("processes@all", {})],
        repeats=5,
        warmup=1,
        schedule="alternating",
        timeout_s=12.5,
        retries=0,
    )
    assert Draft(plan).plan() == plan


def read(draft: Draft) -> Draft:
    """The draft, once its own file is read."""
    assert draft.take_own(read_own(draft.own["file"]))
    return draft


def test_a_plain_function_has_a_form_with_its_values(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def simulate(seed: int, points: int, alpha: float = 1.0): return seed\n")
    plan = Plan(workload=f"{tmp_path}/mine.py:simulate", backends=[parse_backend("processes", {})])
    draft = read(Draft(plan))
    texts = draft.params[OWN_FILE]
    assert texts == {"points": "", "alpha": "1", "each": ""}
    assert "plain function" in draft.errors()["params.each"]
    texts["each"] = "seed=3..1"
    assert "the range is empty" in draft.errors()["params.each"]
    texts["each"] = "seed=0..3"
    assert "has no value" in draft.errors()["params.points"]
    texts["each"] = "seed=0..3 points=1,2"
    made = draft.plan()
    assert made.params == {"each": "seed=0..3 points=1,2"}
    assert read(Draft(made)).plan() == made
    assert command_line(made).endswith("-b processes --each seed=0..3 --each points=1,2 --repeats 3")


def test_every_workload_and_backend_has_a_form_whose_defaults_are_right() -> None:
    for name in registry.names():
        needed = {"executor": ":factory=concurrent.futures:ThreadPoolExecutor"}
        plan = Plan(name, backends=[parse_backend(one + needed.get(one, ""), {}) for one in catalog.names()])
        draft = Draft(plan)
        assert draft.errors() == {}
        validate(draft.plan())


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        ("params.size", "0", "at least 1"),
        ("params.size", "ten", "whole number"),
        ("params.size", "", "whole number"),
        ("params.window", "1,2", "4 numbers"),
        ("params.window", "1,0,0,1", "x_min < x_max"),
        ("run.repeats", "0", "at least 1"),
        ("run.tasks", "x", "whole number"),
        ("run.timeout", "0", "more than 0"),
        ("run.seed", "1.5", "whole number"),
        ("emulated.memory", "64", "at least 128"),
        ("emulated.region", "mars-1", "no verified prices"),
        ("processes.label", "no spaces", "letters"),
        ("processes.label", "sequential", "another backend"),
    ],
)
def test_what_is_wrong_is_reported_in_one_line_at_its_field(place: str, text: str, message: str) -> None:
    draft = Draft(default_plan())
    part, _, rest = place.partition(".")
    if part == "params":
        draft.params["mandelbrot"][rest] = text
    elif part == "run":
        draft.run[rest] = text
    else:
        index = [form.name for form in draft.backends].index(part)
        draft.backends[index].settings[rest] = text
        place = f"backend.{index}.{rest}"
    errors = draft.errors()
    assert list(errors) == [place]
    assert message in errors[place]
    assert "\n" not in errors[place]


@pytest.mark.parametrize(
    ("backend", "texts", "place", "message"),
    [
        ("sequential", {}, "sequential", "function does not run on sequential"),
        ("threads", {}, "threads", "function does not run on threads"),
        ("emulated", {}, "emulated.handler", "requires its code"),
        (
            "emulated",
            {"emulated.handler": "app.handler", "emulated.code": "/nowhere"},
            "emulated.code",
            "no such folder",
        ),
        ("emulated", {"emulated.handler": "app", "emulated.code": "."}, "emulated.handler", "MODULE.FUNCTION"),
        ("lambda", {}, "params.name", "the function's name is missing"),
        ("lambda", {"params.name": "no spaces"}, "params.name", "name or ARN"),
        ("lambda", {"params.name": "f", "params.force_cold": "yes"}, "params.force_cold", "allow-update"),
        ("lambda", {"params.name": "f", "params.allow_update": "yes"}, "params.allow_update", "force-cold"),
        ("lambda", {"params.name": "f", "params.payload": "{"}, "params.payload", "JSON"),
        ("lambda", {"params.name": "f", "params.payload": "@/nowhere.json"}, "params.payload", "cannot be read"),
        ("emulated", {"emulated.handler": "app.handler", "emulated.code": LONG}, "emulated.code", "no such folder"),
        ("lambda", {"params.name": "f", "run.tasks": "5"}, "run.tasks", "does not apply"),
        ("lambda", {"params.name": "f", "run.hedge": "0.9"}, "run.hedge", "does not apply"),
    ],
)
def test_a_function_that_cannot_be_called_so_says_it_at_its_place(
    backend: str, texts: dict[str, str], place: str, message: str
) -> None:
    errors, index = errors_of("function", backend, texts)
    assert list(errors) == [place.replace(backend, f"backend.{index}")]
    assert message in next(iter(errors.values()))


@pytest.mark.parametrize(
    ("backend", "texts", "place", "message"),
    [
        ("emulated", {"emulated.s3_endpoint": "nonsense"}, "emulated.s3_endpoint", "must be an http"),
        ("emulated", {"emulated.package": "./nowhere.zip"}, "emulated.package", "nowhere.zip"),
        ("emulated", {"emulated.handler": "app.handler"}, "emulated.handler", "lbench run function"),
        ("simulated", {"simulated.model": "/nowhere.toml"}, "simulated.model", "nowhere.toml"),
        ("simulated", {"simulated.model": "nowhere"}, "simulated.model", "No such file"),
        ("simulated", {"simulated.model": "a\0b"}, "simulated.model", "null byte"),
        ("simulated", {"simulated.model": LONG}, "simulated.model", "File name too long"),
        ("lambda", {"lambda.stack": "9"}, "lambda.stack", "stack name must have"),
        ("simulated", {"simulated.account": "new", "simulated.memory": "10000"}, "simulated.memory", "at most"),
    ],
)
def test_a_setting_that_does_not_suit_the_plan_says_it_at_its_field(
    backend: str, texts: dict[str, str], place: str, message: str
) -> None:
    errors, index = errors_of("mandelbrot", backend, texts)
    assert list(errors) == [place.replace(backend, f"backend.{index}")]
    assert message in next(iter(errors.values()))


def errors_of(workload: str, backend: str, texts: dict[str, str]) -> tuple[dict[str, str], int]:
    """The errors of a form with one backend chosen, and the backend's number; `texts` by "params.NAME" and the like."""
    draft = Draft(default_plan())
    draft.workload = workload
    index = [form.name for form in draft.backends].index(backend)
    for form in draft.backends:
        form.chosen = form.name == backend
    parts = {"params": draft.params[workload], "run": draft.run, backend: draft.backends[index].settings}
    for name, text in texts.items():
        part, _, field = name.partition(".")
        assert field in parts[part]
        parts[part][field] = text
    return draft.errors(), index


def test_each_backend_that_cannot_run_the_workload_says_so() -> None:
    draft = Draft(default_plan())
    draft.workload = "function"
    names = [draft.backends[int(place.split(".")[1])].name for place in draft.errors()]
    assert names == ["sequential", "processes", "emulated"]


def test_options_of_the_comparison_on_the_screen_are_no_hindrance_to_a_function() -> None:
    plan = msgspec.structs.replace(default_plan(), batch=10, cold_repeats=2, backends=[parse_backend("lambda", {})])
    draft = Draft(plan)
    draft.workload = "function"
    draft.params["function"]["name"] = "f"
    assert draft.errors() == {}
    assert (draft.plan().batch, draft.plan().cold_repeats) == (None, 0)


def test_a_plan_needs_a_backend() -> None:
    draft = Draft(default_plan())
    for form in draft.backends:
        form.chosen = False
    assert list(draft.errors()) == ["backends"]
    with pytest.raises(InputError):
        draft.plan()


def test_a_data_file_is_asked_for_only_where_one_is_read(tmp_path: Path) -> None:
    draft = Draft(default_plan())
    draft.run["data"] = "/nowhere.csv"
    assert draft.errors() == {}
    draft.workload = "random_forest"
    assert "no such file" in draft.errors()["run.data"]
    (tmp_path / "loans.csv").write_text("x")
    draft.run["data"] = str(tmp_path / "loans.csv")
    assert draft.plan().data == str(tmp_path / "loans.csv")


def test_the_encoding_of_a_data_file_is_a_field_of_the_form(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text("x")
    draft = Draft(msgspec.structs.replace(default_plan(), workload="random_forest"))
    assert {"data", "encoding"} <= set(draft.run_names)
    draft.run["encoding"] = "cp1252"
    assert "--data" in draft.errors()["run.encoding"]  # it is of a file
    draft.run["data"] = str(tmp_path / "loans.csv")
    assert draft.errors() == {} and draft.plan().encoding == "cp1252"
    assert "--encoding cp1252" in command_line(draft.plan())
    draft.run["encoding"] = "klingon"
    assert "must be a text encoding" in draft.errors()["run.encoding"]
    draft.workload = "mandelbrot"
    assert draft.errors() == {} and "encoding" not in draft.run_names


def test_the_home_folder_of_an_unknown_user_is_an_invalid_path_not_a_fault() -> None:
    draft = Draft(default_plan())
    draft.workload = "random_forest"
    for text in ("~b", "~nosuchuser/loans.csv"):
        draft.run["data"] = text
        assert "no such file" in draft.errors()["run.data"]
        assert SCENES["random_forest"].read("data", text).values["data"].endswith(text)
    draft.run["data"] = ""
    emulated = next(form for form in draft.backends if form.name == "emulated")
    emulated.settings["package"] = "~nosuchuser/function.zip"
    assert list(draft.errors()) == [f"backend.{draft.backends.index(emulated)}.package"]
    with pytest.raises(InputError, match=r"the folder .* does not exist"):
        check_target("~nosuchuser/session.json")


def test_a_name_that_no_file_can_have_is_an_invalid_path_not_a_fault() -> None:
    draft = Draft(default_plan())
    draft.workload = "random_forest"
    draft.run["data"] = LONG
    assert "no such file" in draft.errors()["run.data"]
    for text in (f"{LONG}.json", f"{LONG}/a.json"):
        with pytest.raises(InputError, match="File name too long"):
            check_target(text)


def test_paths_in_settings_and_payloads_are_those_of_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home folder, and the engine, which may have another working folder, finds them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model.toml").write_text("")
    (tmp_path / "event.json").write_text("{}")
    draft = Draft(default_plan())
    for form in draft.backends:
        form.chosen = form.name == "simulated"
        if form.chosen:
            form.settings["model"] = "~/model.toml"
    assert draft.plan().backends[0].settings["model"] == f"{tmp_path}/model.toml"
    draft.workload = "function"
    draft.params["function"] |= {"name": "f", "payload": "@~/event.json"}
    for form in draft.backends:
        form.chosen = form.name == "lambda"
    assert draft.plan().params["payload"] == f"@{tmp_path}/event.json"


def test_a_second_backend_of_a_kind_gets_a_label_of_its_own_and_can_go_again() -> None:
    draft = Draft(default_plan())
    place = [form.name for form in draft.backends].index("processes")
    draft.another(place)
    assert [form.label for form in draft.backends][place : place + 2] == ["processes", "processes-2"]
    assert draft.errors() == {}
    assert draft.without(place + 1)
    assert not draft.without(place + 1)  # the last of its kind stays


def test_the_forecast_tells_tasks_runs_and_what_is_left_out_of_the_bound() -> None:
    made = forecast(default_plan())
    assert (made.tasks, made.runs, made.backends) == (100, 9, len(DEFAULT_BACKENDS))
    assert "at most $" in made.bounds[0]
    assert made.left_out


# -- on the screen


async def open_setup(pilot: Any, key: str = "r") -> SetupScreen:
    await pilot.press(key)
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, SetupScreen)
    return screen


async def test_r_then_enter_starts_the_default_comparison(app_of: AppOf, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of()
    started: list[Plan] = []
    monkeypatch.setattr(app, "start", started.append)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_setup(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is app.bench
    assert started == [default_plan()]


async def test_what_was_chosen_last_is_there_the_next_time(app_of: AppOf, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of()
    monkeypatch.setattr(app, "start", lambda plan: setattr(app, "plan", plan))
    async with app.run_test(size=(120, 40)) as pilot:
        first = await open_setup(pilot)
        first.query_one("#at-params-size").focus()
        await pilot.press("2", "5", "0", "enter", "r")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, SetupScreen) and screen is not first
        assert screen.query_one("#at-params-size", Input).value == "250"
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.bench
    assert app.plan.params == {"size": 250}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Figures of another plan than the first one are held back until this is set."""
    there = threading.Event()

    def slow(plan: Plan) -> Forecast:
        assert plan == default_plan() or there.wait(60)
        return Forecast(tasks=100)

    monkeypatch.setattr(ahead, "forecast", slow)
    yield there
    there.set()


async def submitted(app: LbenchApp, pilot: Any) -> SetupScreen:
    """The set-up after 2, 5, 0 and Enter in the field of the size; the figures are awaited."""
    screen = await open_setup(pilot)
    while screen._forecast.stale or screen._forecast._forecast is None:
        await pilot.pause(0.01)
    screen.query_one("#at-params-size").focus()
    await pilot.press("2", "5", "0", "enter")
    while screen._submitted is None:
        await pilot.pause(0.01)
    return screen


async def test_keys_after_enter_reach_the_next_screen_and_not_the_form(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, figures: threading.Event
) -> None:
    app = app_of()
    started: list[Plan] = []
    monkeypatch.setattr(app, "start", started.append)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await submitted(app, pilot)
        await pilot.press("9", "down", "7", "4")
        app.post_message(events.Paste("8"))
        await pilot.pause(0.05)
        assert app.screen is screen and not started
        assert screen.query_one("#at-params-size", Input).value == "250"
        figures.set()
        await pilot.pause()
        assert [plan.params for plan in started] == [{"size": 250}]
        assert app.screen.name == "sessions"  # key 4, on the screen that came after the form


async def test_escape_does_not_wait_for_the_figures(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, figures: threading.Event
) -> None:
    app = app_of()
    started: list[Plan] = []
    monkeypatch.setattr(app, "start", started.append)
    async with app.run_test(size=(120, 40)) as pilot:
        await submitted(app, pilot)
        await pilot.press("4", "escape")
        await pilot.pause()
        assert app.screen is app.bench
        figures.set()
        await settled(pilot)
        assert app.screen is app.bench and not started


async def test_a_form_that_was_covered_while_it_waited_starts_once_it_is_back(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, figures: threading.Event
) -> None:
    app = app_of()
    started: list[Plan] = []
    monkeypatch.setattr(app, "start", started.append)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await submitted(app, pilot)
        monkeypatch.setattr(LbenchApp, "size", Size(20, 5))
        app.tick()
        assert app.screen is not screen
        figures.set()
        while screen._forecast.stale:
            await pilot.pause(0.01)
        assert not started
        monkeypatch.setattr(LbenchApp, "size", Size(120, 40))
        app.tick()
        await pilot.pause()
        assert [plan.params for plan in started] == [{"size": 250}]


async def test_keys_after_a_refused_enter_are_dropped(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        field = screen.query_one("#at-run-repeats", Input)
        field.focus()
        for key, character in (("0", "0"), ("enter", "\r"), ("5", "5"), ("7", "7")):  # in one burst
            app.post_message(events.Key(key, character))
        await pilot.pause()
        assert app.screen is screen and screen.focused is field
        assert field.value == "0"
        await pilot.press("end", "6")
        await pilot.pause()
        assert field.value == "06"


async def test_an_error_is_shown_below_its_field_and_enter_goes_to_it(app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        screen.query_one("#at-run-repeats", Input).value = "0"
        await pilot.pause()
        assert "✘ must be at least 1" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is screen
        assert screen.focused is not None and screen.focused.id == "at-run-repeats"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_an_error_of_a_backend_stands_in_its_line_and_whole_above_once_it_is_in_focus(
    size: tuple[int, int], app_of: AppOf, screen_text: ScreenText
) -> None:
    plan = Plan(workload="function", backends=[parse_backend(name, {}) for name in ("sequential", "processes")])
    app = app_of(plan=plan)
    async with app.run_test(size=size) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        focused = app.screen.focused
        assert focused is not None and focused.id == "backend-0"
        lines = screen_text(app).splitlines()
        assert "✘ function does not run on sequential" in lines[1]
        assert "handler=app.handler,code=FOLDER" in " ".join(lines[1:3])
        assert any("sequential" in line and "✘ function does not run" in line for line in lines[3:])
        assert any("processes" in line and "✘ function does not run" in line for line in lines[3:])


async def test_an_error_repeats_no_long_value_and_takes_few_lines(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_setup(pilot)
        index = [form.name for form in screen.draft.backends].index("emulated")
        screen.query_one(f"#backend-{index}").focus()
        await pilot.press("right")
        field = screen.query_one(f"#at-backend-{index}-region", Input)
        field.focus()
        field.value = LONG
        await settled(pilot)
        row = field.parent
        assert isinstance(row, FieldRow) and row.size.height <= 5
        words = " ".join(strip.text for strip in row.draw(row.size.width, row.size.height)).split()
        assert (
            " ".join(words[words.index("✘") :]).startswith("✘ no verified prices for region 'xxx") and words[-1] == "…"
        )


async def test_another_workload_brings_its_own_parameters(app_of: AppOf, screen_text: ScreenText) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot, "w")
        assert screen.focused is not None and screen.focused.id == "at-workload"
        await pilot.press("right")
        await settled(pilot)
        text = screen_text(app)
        assert "n trees" in text and "max iterations" not in text
        assert "data" in text


async def test_backends_are_chosen_with_space_and_opened_with_the_arrow(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_setup(pilot, "b")
        assert screen.focused is not None and screen.focused.id == "backend-0"
        await pilot.press("space")
        await pilot.pause()
        assert {form.name for form in screen.draft.backends if form.chosen} == {"processes", "emulated"}
        await pilot.press("right")
        await settled(pilot)
        assert screen.query_one("#at-backend-0-label", Input).value == "sequential"
        assert screen.focused is not None and screen.focused.id == "backend-0"
        await pilot.press("down", "x")
        await pilot.pause()
        assert screen.focused.id == "at-backend-0-label"
        assert screen.draft.backends[0].label == "x"


async def test_the_focus_goes_down_the_form_in_the_order_of_its_rows(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        seen: list[int] = []
        count = 1 + len(catalog.names()) + len(form_fields(registry.describe("mandelbrot").params))
        for _ in range(count + len(Draft(default_plan()).run_names)):
            assert screen.focused is not None
            above = (node for node in screen.focused.ancestors_with_self if isinstance(node, Widget))
            seen.append(sum(node.virtual_region.y for node in above if node is not screen))  # however it is scrolled
            await pilot.press("down")
        assert seen == sorted(seen)
        assert screen.focused is not None and screen.focused.id == "at-workload"  # and round again


async def test_a_busy_machine_is_warned_of(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, screen_text: ScreenText
) -> None:
    monkeypatch.setattr(ahead, "busy_notice", lambda: "other processes use 43% of this machine's CPU")
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_setup(pilot)
        await settled(pilot)
        assert "! other processes use 43% of this machine's CPU" in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_it_looks_as_it_did(
    size: tuple[int, int],
    app_of: AppOf,
    screen_text: ScreenText,
    same_as: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "names", lambda: ("mandelbrot", "random_forest", "probe"))
    app = app_of()
    async with app.run_test(size=size) as pilot:
        screen = await open_setup(pilot)
        screen._forecast.take(forecast(screen.draft.plan()))
        await settled(pilot)
        app.tick()
        await pilot.pause()
        same_as(f"setup-{size[0]}x{size[1]}", screen_text(app))


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,000", "1000"), ("1e3", "1000"), ("2.5e-1", "2.5e-1"), ("1_000_000", "1000000"), ("1,00", "1,00")],
)
def test_numbers_may_have_separators_and_exponents(text: str, number: str) -> None:
    assert plain_number(text) == number


def are_dimmed(screen: SetupScreen, why: str) -> bool:
    """Whether all figures are quiet, and a word says why, which also a terminal without colours shows."""
    first, *others = (line[1:] for line in screen._forecast.pieces[1:])
    *figures, said = first
    return (
        figures[0][0].startswith("100 tasks")
        and said == (f" · {why}", "text")
        and {role for line in (figures, *others) for _, role in line} == {"quiet"}
    )


async def test_figures_of_another_plan_are_dimmed_and_enter_waits_for_the_new_ones(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Plan] = []
    monkeypatch.setattr(LbenchApp, "start", lambda app, plan: started.append(plan))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        screen._forecast.take(Forecast(tasks=100))
        monkeypatch.setattr(screen._forecast, "_make_forecast", lambda plan: None)  # it takes its time
        await pilot.press("right")
        await pilot.pause()
        assert screen._forecast.stale
        assert are_dimmed(screen, "working it out")
        await pilot.press("enter")
        while screen._submitted is None:
            await pilot.pause(0.01)
        assert not started
        screen._forecast.take(Forecast(tasks=7))
        await pilot.pause()
        assert [plan.workload for plan in started] == [screen.draft.workload] != ["mandelbrot"]


async def test_figures_beside_a_form_with_errors_are_dimmed(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        screen._forecast.take(Forecast(tasks=100))
        screen.query_one("#at-run-repeats").focus()
        await pilot.press("x")
        await pilot.pause()
        assert "run.repeats" in screen._errors
        assert are_dimmed(screen, "before the errors")


@pytest.mark.parametrize(("key", "valid"), [("x", False), ("1", True)])
async def test_figures_that_come_after_an_edit_are_not_taken_for_those_of_the_form(
    key: str, valid: bool, app_of: AppOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(plan: Plan) -> Forecast:
        begun.set()
        may_end.wait(30)
        ended.set()
        return Forecast(tasks=7)

    monkeypatch.setattr(ahead, "forecast", slow)
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        while not begun.is_set():
            await pilot.pause(0.01)
        screen._forecast.take(Forecast(tasks=100))
        monkeypatch.setattr(ahead, "_QUIET_S", 3600.0)  # those of the form are not begun
        screen.query_one("#at-run-repeats").focus()
        await pilot.press("home", *["delete"] * 4, key)
        await pilot.pause()
        may_end.set()
        while not ended.is_set():
            await pilot.pause(0.01)
        await settled(pilot)
        assert screen._forecast.stale == valid and ("run.repeats" in screen._errors) != valid
        assert are_dimmed(screen, "working it out" if valid else "before the errors")


async def test_the_error_of_the_field_in_focus_stands_on_line_2_where_its_row_is_out_of_sight(
    app_of: AppOf, screen_text: Callable[[LbenchApp], str]
) -> None:
    app = app_of(plan=Plan("random_forest", backends=default_plan().backends))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_setup(pilot)
        screen.query_one("#at-run-encoding").focus()
        await pilot.press(*"latin")
        await pilot.pause()
        assert screen_text(app).splitlines()[1].startswith(" ✘ encoding: is of a data file")
        await pilot.press("up")
        await pilot.pause()
        assert screen_text(app).splitlines()[1].startswith(" ✘ 1 field cannot be used")


async def test_a_paste_of_several_lines_says_that_a_field_takes_the_first(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        screen.query_one("#at-run-seed").focus()
        for text, notes in (("7\n", 0), ("7\n8\n", 1)):
            app.post_message(events.Paste(text))
            await pilot.pause()
            assert len(app._notifications) == notes
        assert screen.query_one("#at-run-seed", Input).value == "77"
        screen.query_one("#at-workload").focus()
        app.post_message(events.Paste("a\nb"))  # goes nowhere
        await pilot.pause()
        assert len(app._notifications) == 1


async def test_a_workload_with_errors_has_no_figures_of_another(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_setup(pilot)
        screen._forecast.take(Forecast(tasks=100))
        await pilot.press(*["right"] * 5)
        await settled(pilot)
        assert screen.draft.workload == "function" and screen._errors
        assert not any("tasks" in text for line in screen._forecast.pieces for text, _ in line)


def test_runs_that_auto_may_add_are_counted_at_the_least() -> None:
    plan = Plan("mandelbrot", repeats="auto", backends=[parse_backend("sequential", {}), parse_backend("emulated", {})])
    texts = ["".join(text for text, _ in line) for line in forecast(plan).lines(200)]
    assert "at least 14 runs on 2 backends" in texts[0] and " in all" not in texts[1]
    fixed = msgspec.structs.replace(plan, repeats=3)
    texts = ["".join(text for text, _ in line) for line in forecast(fixed).lines(200)]
    assert texts[0].endswith("· 6 runs on 2 backends") and " in all" in texts[1]


async def test_figures_that_come_after_leaving_start_nothing(app_of: AppOf, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Plan] = []
    monkeypatch.setattr(LbenchApp, "start", lambda app, plan: started.append(plan))
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        screen = app.screen
        screen._forecast.take(Forecast(tasks=100))
        monkeypatch.setattr(screen._forecast, "_make_forecast", lambda plan: None)
        await pilot.press("right", "enter")
        screen.action_leave()
        screen._forecast.take(Forecast(tasks=7))
        await screen.action_start()
        await pilot.pause()
        assert not started and app.screen is app.bench


async def test_the_footer_offers_the_arrows_in_a_field_for_text(app_of: AppOf) -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        app.screen.query_one("#at-params-size").focus()
        await pilot.pause()
        assert ("↑↓", "field") in app.screen.query_one(Keys).entries()
        await pilot.press("down")
        assert app.focused is not None and app.focused.id == "at-params-width"
