"""The set-up takes a file of one's own: its parameters come into the form, and what is wrong stands at its field."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec
import pytest
from textual import events

from lbench.cli.plan_options import plan_of_options, plan_options
from lbench.engine.journal.events import RunPlanned
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan, resolve_params
from lbench.engine.plan.sweep import SweepPlan
from lbench.engine.session.view import load_folder
from lbench.tui.app import LbenchApp
from lbench.tui.bench.clipboard import command_line
from lbench.tui.bench.session_plan import offered_plan
from lbench.tui.run_form import OWN_FILE, Draft, OwnWorkload, read_own
from lbench.tui.screens.setup import SetupScreen
from lbench.tui.widgets import plan_forecast as ahead
from lbench.tui.widgets import setup_form
from lbench.tui.widgets.path_input import PathInput
from lbench.workloads.own import describe as own_describe

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]
LONG = 0.05  # of a pause that does not wait for workers

JOB = '''
def simulate(seed: int, points: int = 1000): return seed

def job(n: int = 8, größe: float = 0.5):
    """Squares of numbers."""
    yield [(simulate, i) for i in range(n)]
'''


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file in it."""
    monkeypatch.setattr(ahead, "busy_notice", lambda: None)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "mine.py").write_text(JOB, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that were started."""
    plans: list[Plan] = []
    monkeypatch.setattr(LbenchApp, "start", lambda app, plan: plans.append(plan))
    return plans


async def opened(pilot: Any, plan: Plan | None = None) -> SetupScreen:
    """The set-up; without a plan, with the own file chosen and its path in focus."""
    screen = SetupScreen(plan or Plan(workload="probe", backends=[parse_backend("sequential", {})]))
    pilot.app.push_screen(screen, lambda chosen: chosen is None or pilot.app.start(chosen))
    await pilot.pause()
    if plan is None:
        await pilot.press("right", "right", "down")
        await pilot.pause()
        assert screen.draft.workload == OWN_FILE and screen.focused is path_of(screen)
    return screen


def path_of(screen: SetupScreen) -> PathInput:
    return screen.query_one("#at-own-file", PathInput)


async def read(pilot: Any, screen: SetupScreen) -> None:
    """Wait until the file that is named was read."""
    async with asyncio.timeout(60):
        while screen.draft.unread:
            await pilot.pause(0.01)
    await pilot.pause()


def params_of(screen: SetupScreen) -> dict[str, str]:
    return {row.name_shown: row.value for row in screen.query("#params FieldRow").results(setup_form.FieldRow)}


async def test_a_path_that_is_completed_brings_its_parameters_and_enter_starts_it(
    app_of: AppOf, files: Path, screen_text: ScreenText, started: list[Plan]
) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert "name a Python file" in screen.draft.errors()["own.file"]
        await pilot.press(*"./m", "tab")
        assert path_of(screen).value == "./mine.py"
        await read(pilot, screen)
        assert params_of(screen) == {"n": "8", "größe": "0.5"}
        assert "Squares of numbers" in screen_text(app)
        assert re.search(r"\n    n +8 +a whole number\n    größe +0.5 +a number\n", screen_text(app))
        await pilot.press("enter")  # at the path: to its parameters
        await pilot.pause()
        assert not started and screen.focused is screen.query_one("#at-params-n")
        await pilot.press("5", "enter")
        await pilot.pause()
    assert [(plan.workload, plan.params) for plan in started] == [(f"{files}/mine.py:job", {"n": 5})]


async def test_a_fault_while_a_file_is_read_ends_the_screens_and_does_not_wait_for_ever(
    app_of: AppOf, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(typed: str) -> None:
        raise TypeError("a fault of ours")

    app = app_of()
    with pytest.raises(TypeError, match="a fault of ours"):
        async with app.run_test(size=(120, 40)) as pilot, asyncio.timeout(60):
            await opened(pilot)
            monkeypatch.setattr(setup_form, "read_own", fails)
            await pilot.press("x", "enter")
            while app._exception is None:
                await pilot.pause(0.01)


async def test_a_fault_in_a_forecast_ends_the_screens(app_of: AppOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(plan: Plan) -> None:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(ahead, "forecast", fails)
    app = app_of()
    with pytest.raises(TypeError, match="a fault of ours"):
        async with app.run_test(size=(120, 40)) as pilot, asyncio.timeout(60):
            await pilot.press("r")
            while app._exception is None:
                await pilot.pause(0.01)


async def test_a_plain_function_has_its_values_in_the_form(app_of: AppOf, files: Path, started: list[Plan]) -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press(*"mine.py:simulate", "enter")
        await read(pilot, screen)
        assert params_of(screen) == {"points": "1000", "each": ""}
        assert screen.focused is screen.query_one("#at-params-each")  # what it needs comes first
        problem = screen.draft.errors()["params.each"]
        assert (
            "is a plain function; write NAME=VALUES, a task for each value" in problem
        )  # no option of the command line
        screen.query_one("#at-params-each").focus()
        await pilot.press(*"seed=0..9", "enter")
        await pilot.pause()
    (plan,) = started
    assert plan.workload == f"{files}/mine.py:simulate"
    assert command_line(plan).startswith(f"lbench run {files}/mine.py:simulate -b sequential --each seed=0..9")
    assert Draft(plan).own == {"file": f"{files}/mine.py:simulate"}


@pytest.mark.parametrize(
    ("typed", "content", "problem"),
    [
        ("nowhere.py", None, "there is no such file"),
        ("mine.py:nothing", None, "has no function 'nothing'"),
        ("wrong.py", "def job(:", "invalid Python"),
        ("wrong.py", "import nowhere_at_all", "No module named"),
        ("wrong.py", "raise SystemExit(3)", "wrong.py"),
        ("wrong.py", "import os; os._exit(3)", "ended its process"),
        ("recorded:nothing", None, "no such recording"),
        ("kmean", None, "did you mean 'kmeans'"),
        ("~nobody-at-all/x.py", None, "there is no such file"),
        ("a\0b.py", None, "there is no such file"),
        (f"{'x' * 5000}.py", None, "there is no such file"),
        ("recorded:~nobody-at-all/x", None, "no recording in that folder"),
        (f"recorded:{'x' * 5000}", None, "no such recording"),
        (".", None, "unknown workload"),
        ("kmeans", None, "choose it in the line of workloads"),
        ("function", None, "choose it in the line of workloads"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_the_field(
    typed: str, content: str | None, problem: str, files: Path
) -> None:
    if content is not None:
        (files / "wrong.py").write_text(content)
    draft = Draft(Plan(workload="./mine.py", backends=[parse_backend("sequential", {})]))
    draft.own["file"] = typed
    assert draft.unread
    assert draft.take_own(read_own(typed))
    assert list(draft.errors()) == ["own.file"]
    assert problem in draft.errors()["own.file"] and "\n" not in draft.errors()["own.file"]


async def test_an_error_stands_at_the_field_and_enter_does_not_start(
    app_of: AppOf, screen_text: ScreenText, started: list[Plan]
) -> None:
    app = app_of()
    async with app.run_test(size=(80, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press(*"mine.py", "enter")
        await read(pilot, screen)
        path_of(screen).focus()
        await pilot.press("end", *":nothing", "enter", "x")  # what follows a refused Enter is dropped
        await read(pilot, screen)
        assert "✘ mine.py has no function 'nothing'" in screen_text(app)
        assert path_of(screen).value == "mine.py:nothing" and path_of(screen).has_focus
        assert params_of(screen) == {} and not started
        await pilot.press("up", "left")  # another workload is not concerned
        await pilot.pause()
        assert screen.draft.errors() != {} and "own.file" not in screen.draft.errors()


async def test_values_stay_where_the_edited_file_still_has_the_parameter(
    app_of: AppOf, files: Path, started: list[Plan]
) -> None:
    plan = Plan(
        workload=f"{files}/mine.py:job", params={"n": 3, "größe": 0.75}, backends=[parse_backend("sequential", {})]
    )
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, plan)
        await read(pilot, screen)
        assert params_of(screen) == {"n": "3", "größe": "0.75"}
        assert screen.draft.plan() == plan
        (files / "mine.py").write_text(JOB.replace("größe: float = 0.5", "more: bool = True"), encoding="utf-8")
        await pilot.press("enter")  # reads the file again
        await pilot.pause()
    assert [one.params for one in started] == [{"n": 3}]


def test_values_of_another_workload_are_not_taken_over(files: Path) -> None:
    draft = Draft(Plan(workload="probe", params={"n": 3}, backends=[parse_backend("sequential", {})]))
    draft.workload, draft.own["file"] = OWN_FILE, "mine.py"
    assert draft.take_own(read_own("mine.py"))
    assert draft.params[OWN_FILE] == {"n": "8", "größe": "0.5"}
    assert draft.errors() == {} and draft.plan().params == {}


async def test_a_field_that_is_about_to_go_gives_no_value(app_of: AppOf, files: Path) -> None:
    plan = Plan(workload=f"{files}/mine.py:job", params={"n": 3}, backends=[parse_backend("sequential", {})])
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, plan)
        await read(pilot, screen)
        (files / "mine.py").write_text(
            JOB.replace("n: int = 8", "m: int = 8").replace("range(n)", "range(m)"), encoding="utf-8"
        )
        screen.draft.take_own(read_own(plan.workload))  # its fields come a moment later
        screen.form.collect()
        assert screen.draft.errors() == {} and screen.draft.plan().params == {}


async def test_a_missing_file_is_named_at_its_field_when_the_plan_is_repeated(
    app_of: AppOf, screen_text: ScreenText
) -> None:
    plan = Plan(workload="/nowhere/mine.py:job", params={"n": 3}, backends=[parse_backend("sequential", {})])
    app = app_of(plan=plan)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("s")  # a sweep of it
        await pilot.pause()
        assert app.screen is app.bench
        await pilot.press("r")
        await pilot.pause()
        assert isinstance(app.screen, SetupScreen)
        await read(pilot, app.screen)
        assert path_of(app.screen).value == "/nowhere/mine.py:job"
        assert "there is no such file" in screen_text(app)


async def test_a_file_that_takes_its_time_holds_up_nothing_and_only_the_last_path_counts(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, started: list[Plan]
) -> None:
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[str] = asyncio.Queue()
    answers: dict[str, asyncio.Future[OwnWorkload]] = {}

    def slow(typed: str) -> OwnWorkload:
        async def answer() -> OwnWorkload:
            answers[typed] = loop.create_future()
            asked.put_nowait(typed)
            return await answers[typed]

        return asyncio.run_coroutine_threadsafe(answer(), loop).result(60)

    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.pause()
        monkeypatch.setattr(setup_form, "read_own", slow)
        path_of(screen).value = "old.py"
        assert await asyncio.wait_for(asked.get(), 60) == "old.py"
        path_of(screen).value = "new.py"
        assert await asyncio.wait_for(asked.get(), 60) == "new.py"
        answers["old.py"].set_result(OwnWorkload("old.py", problem="the old one"))
        answers["new.py"].set_result(OwnWorkload("new.py", problem="the new one"))
        await read(pilot, screen)
        assert screen.draft.errors() == {"own.file": "the new one"}
        await screen.action_start()
        assert await asyncio.wait_for(asked.get(), 60) == "new.py"
        assert not screen._answered.is_set()
        screen.action_leave()  # escape
        assert screen._answered.is_set()
        answers["new.py"].set_result(OwnWorkload("new.py", problem="the new one"))
        await pilot.pause()
        assert app.screen is screen and not started
        screen.action_leave()
        await pilot.pause()
        assert app.screen is app.bench


Endless = tuple[Callable[[str], OwnWorkload], threading.Event]


@pytest.fixture
def endless() -> Endless:
    """A reading of an own file that goes on until the event is set."""
    may_end = threading.Event()

    def reading(typed: str) -> OwnWorkload:
        assert may_end.wait(60)
        return OwnWorkload(typed, problem="it did not end")

    return reading, may_end


async def test_escape_right_behind_enter_gives_up_the_file_too(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, started: list[Plan], endless: Endless
) -> None:
    reading, may_end = endless
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        with monkeypatch.context() as patched:
            patched.setattr(setup_form, "read_own", reading)
            for key, character in (("a", "a"), ("enter", "\r"), ("z", "z"), ("escape", None), ("b", "b")):
                app.post_message(events.Key(key, character))
            async with asyncio.timeout(60):
                # What stands before Escape is dropped, and what is behind it is not.
                while path_of(screen).value != "ab":
                    await pilot.pause(0.01)
        assert app.screen is screen and not started
        may_end.set()


async def test_a_file_that_never_ends_keeps_nobody_from_editing_its_path(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, screen_text: ScreenText, started: list[Plan], endless: Endless
) -> None:
    reading, may_end = endless
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        with monkeypatch.context() as patched:
            patched.setattr(setup_form, "read_own", reading)
            await pilot.press(*"loop.py", "enter")
            await pilot.pause(LONG)
            assert "reading loop.py, which is given up after 120 s · esc goes back to the form" in screen_text(app)
            await pilot.press("x")  # waits for what Enter leads to, and is dropped by Escape
            await pilot.press("escape")
            await pilot.pause(LONG)
            assert app.screen is screen and path_of(screen).value == "loop.py"
        await pilot.press("ctrl+u", *"mine.py", "enter")
        await read(pilot, screen)
        assert params_of(screen) == {"n": "8", "größe": "0.5"} and not started
        may_end.set()


def test_the_process_of_the_screens_never_runs_the_file(files: Path) -> None:
    where = files / "pids"
    (files / "mine.py").write_text(f"import os\nopen({str(where)!r}, 'a').write(f'{{os.getpid()}} ')\n" + JOB)
    found = read_own("mine.py")
    assert found.problem == ""
    assert str(os.getpid()) not in where.read_text().split()


def test_the_repeated_plan_of_a_record_names_the_file_that_was_started(making: ModuleType, files: Path) -> None:
    events = []
    for at, event in making.events():
        if isinstance(event, RunPlanned):
            event = msgspec.structs.replace(event, workload="mine.py:job", params={"n": 100, "größe": 0.5})
        events.append((at, event))
    folder = making.write_session(files / "20261122-120000-abcd", events)
    runs = list(load_folder(folder).runs.values())
    elsewhere = offered_plan(runs, Plan(workload="/somewhere/mine.py:job", tasks=7, retries=0))
    assert elsewhere is not None
    assert (elsewhere.workload, elsewhere.tasks, elsewhere.retries) == ("/somewhere/mine.py:job", 7, 0)
    other = offered_plan(runs, Plan(workload="/somewhere/other.py:job"))
    assert other is not None and other.workload == "mine.py:job"
    started = offered_plan(runs, Plan(workload=f"{files}/mine.py:job"))
    assert started is not None
    line = command_line(started)
    assert line.startswith(f"lbench run {files}/mine.py:job -b sequential") and " -p n=100 " in line
    assert "größe" not in line  # as usual


@pytest.mark.parametrize(
    "params",
    [
        {"each": "seed=0..3 points=1,2"},
        {"each": "seed=0..3 'name=a b,c'", "points": 3},
        {"each": "seed=0..3", "points": 3, "how": {"deep": [1, "two"]}, "name": "$x's"},
        {"each": "seed=0..3", "points": 3, "how": [1, 2]},
    ],
)
def test_the_copied_line_gives_the_same_plan_on_the_command_line(files: Path, params: dict[str, Any]) -> None:
    (files / "mine.py").write_text("def simulate(seed: int, points: int, how=None, name='x'): return seed\n")
    plan = Plan(
        workload=f"{files}/mine.py:simulate",
        params=params,
        backends=[parse_backend("sequential", {})],
        repeats=1,
        timeout_s=20.0,
        retries=0,
        for_s=10.0,
    )
    made: list[Plan] = []

    @click.command
    @click.argument("workload")
    @plan_options
    def run(workload: str, **options: Any) -> None:
        made.append(plan_of_options(workload, options)[0])

    words = shlex.split(command_line(plan))
    assert words[:2] == ["lbench", "run"]
    run.main(words[2:], standalone_mode=False)
    (plan_typed,) = made
    assert plan_typed.params.keys() == params.keys()
    assert resolve_params(plan_typed) == resolve_params(plan)
    assert msgspec.structs.replace(plan_typed, params=params) == plan
    draft = Draft(plan)
    assert draft.take_own(read_own(draft.own["file"]))
    assert draft.plan() == plan


async def test_a_sweep_of_an_own_file_is_asked_for_without_reading_it_on_the_event_loop(
    app_of: AppOf, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[threading.Thread] = []
    go_on = threading.Event()
    gather = own_describe.gather

    def counted(located: Any) -> Any:
        readers.append(threading.current_thread())
        assert go_on.wait(60)
        return gather(located)

    monkeypatch.setattr(own_describe, "gather", counted)
    sweeps: list[SweepPlan] = []
    monkeypatch.setattr(LbenchApp, "start_sweep", lambda app, sweep: sweeps.append(sweep))
    app = app_of(plan=Plan(workload=f"{files}/mine.py:job", backends=[parse_backend("sequential", {})]))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("s", "ctrl+u", *"n=2,4", "enter", "1")
        await pilot.pause(0.1)
        assert app.screen is app.bench and readers
        app.tick()  # it draws meanwhile
        go_on.set()
        await pilot.pause()
        assert app.screen is app.bench
    (sweep,) = sweeps
    assert [axis.values for axis in sweep.axes] == [(2, 4)]
    assert threading.main_thread() not in readers
    assert app.plan.workload == f"{files}/mine.py:job"  # and r offers its file


async def test_escape_gives_up_a_sweep_whose_file_is_being_read(
    app_of: AppOf, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(own_describe, "gather", lambda located: go_on.wait(60))
    app = app_of(plan=Plan(workload=f"{files}/mine.py:job", backends=[parse_backend("sequential", {})]))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("s", "x")
        await pilot.pause(0.1)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.bench
        go_on.set()
        await pilot.press("4")
        await pilot.pause()
        assert app.screen.name == "sessions"


async def test_an_own_file_that_is_gone_is_one_line_when_a_sweep_is_asked_for(app_of: AppOf, files: Path) -> None:
    app = app_of(plan=Plan(workload=f"{files}/gone.py:job", backends=[parse_backend("sequential", {})]))
    async with app.run_test(size=(120, 40)) as pilot:
        app.tick()
        await pilot.press("s", "1")
        await pilot.pause()
        assert app.screen is app.bench
        assert ["gone.py" in note.message for note in app._notifications if note.severity == "error"] == [True]
