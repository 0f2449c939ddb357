"""The screens ask before money is spent, and show the budget beside what it costs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from textual.widgets import Input

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.app import LbenchApp
from lbench.tui.bench.board import EMPTY
from lbench.tui.bench.forecast import Forecast, forecast, money_question
from lbench.tui.run_form import Draft
from lbench.tui.screens import setup
from lbench.tui.screens.prompts import AskYes
from lbench.tui.screens.setup import SetupScreen
from lbench.tui.widgets import plan_forecast as ahead

AppOf = Callable[..., LbenchApp]
ScreenText = Callable[[LbenchApp], str]

LAMBDA = "lambda:region=us-east-1,arch=x86_64"


def plan(backend: str = LAMBDA, **fields: object) -> Plan:
    return Plan("probe", backends=[parse_backend(backend, {})], tasks=100, **fields)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "busy_notice", lambda: None)


def test_bound_and_expectation_stand_side_by_side() -> None:
    (line,) = forecast(plan()).bounds
    assert line.startswith("lambda: AWS charges at most $") and line.endswith("expected: not known yet")


def test_only_what_aws_is_paid_for_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    assert money_question(plan("emulated")) is None
    assert "this job has not run yet" in str(money_question(plan()))
    assert money_question(plan(max_usd=0.2)) is None
    monkeypatch.setenv("LBENCH_ASK_ABOVE_USD", "1000")
    assert money_question(plan()) is None


def test_hedging_and_budget_are_fields_of_the_form() -> None:
    draft = Draft(plan(hedge=0.95, max_usd=0.5))
    assert (draft.run["hedge"], draft.run["max_usd"]) == ("0.95", "0.5")
    assert draft.plan() == plan(hedge=0.95, max_usd=0.5)
    draft.run |= {"hedge": "2", "max_usd": "x"}
    assert set(draft.errors()) == {"run.hedge", "run.max_usd"}
    draft.run |= {"hedge": "", "max_usd": ""}
    assert (draft.plan().hedge, draft.plan().max_usd) == (None, None)


async def answered(app: LbenchApp, screen_text: ScreenText, key: str) -> list[Plan]:
    """Set up `app.plan`, press Enter, answer; what was started."""
    app.plan = plan()
    begun: list[Plan] = []
    async with app.run_test(size=(120, 40)) as pilot:
        app.push_screen(SetupScreen(app.plan), lambda chosen: begun.append(chosen) if chosen else None)
        await pilot.pause()
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, AskYes)
        assert "it costs money" in screen_text(app) and "at most $" in screen_text(app)
        await pilot.press("enter")  # no answer
        await pilot.pause()
        assert isinstance(app.screen, AskYes)
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, SetupScreen) == (key == "n")
    return begun


async def test_yes_starts_it(app_of: AppOf, screen_text: ScreenText) -> None:
    assert await answered(app_of(), screen_text, "y") == [plan()]


async def test_no_goes_back_to_the_set_up(app_of: AppOf, screen_text: ScreenText) -> None:
    assert await answered(app_of(), screen_text, "n") == []


async def test_what_starts_is_what_was_asked_about_whatever_is_typed_meanwhile(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = threading.Event()

    def slow(asked: Plan) -> str:
        assert typed.wait(180)
        return f"{asked.repeats} repeats"

    monkeypatch.setattr(setup, "money_question", slow)
    app = app_of()
    begun: list[Plan] = []
    async with app.run_test(size=(120, 40)) as pilot:
        app.push_screen(SetupScreen(plan()), lambda chosen: begun.append(chosen) if chosen else None)
        await pilot.pause()
        app.screen.query_one("#at-run-repeats").focus()
        await pilot.pause()
        await pilot.press("enter", "end", "0", "0")
        assert app.screen.query_one("#at-run-repeats", Input).value == "3"
        typed.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, AskYes)
        await pilot.press("y")
        await pilot.pause()
    assert begun == [plan()]


async def test_a_late_forecast_does_not_take_the_place_of_a_newer_one(
    app_of: AppOf, monkeypatch: pytest.MonkeyPatch, screen_text: ScreenText
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def expected(of: Plan) -> Forecast:
        if of.repeats == 3:
            asked.set()
            assert answer.wait(180)
        return Forecast(tasks=of.repeats)

    monkeypatch.setattr(ahead, "forecast", expected)
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = SetupScreen(plan())
        app.push_screen(screen)
        await pilot.pause(0)
        while not asked.is_set():
            await pilot.pause(0.01)
        screen._forecast._make_forecast(plan(repeats=7))
        while "7 tasks" not in screen_text(app):
            await pilot.pause(0.01)
        answer.set()
        await pilot.pause()
        assert "7 tasks" in screen_text(app)


def test_a_board_without_a_budget_has_none() -> None:
    assert EMPTY.budget_usd is None
    assert msgspec.structs.replace(EMPTY, budget_usd=Decimal(1)).budget_usd == 1
