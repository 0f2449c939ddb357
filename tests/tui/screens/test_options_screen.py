"""Before a run: every option for the job in the set-up, as `lbench estimate` prints it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.plan.plan import Plan
from lbench.tui.screens.options import OptionsScreen, estimate_arguments
from lbench.tui.screens.setup import SetupScreen


def test_the_job_of_the_set_up_is_what_is_estimated() -> None:
    plan = Plan("mandelbrot", params={"size": 250, "window": [-2.0, 0.5, -1.0, 1.0]}, seed=7, tasks=30)
    assert estimate_arguments(plan) == [
        *("mandelbrot", "--seed", "7", "--tasks", "30", "-p", "size=250", "-p", "window=-2,0.5,-1,1")
    ]


def test_values_of_an_own_function_reach_the_estimate_as_they_are(tmp_path: Path) -> None:
    """A mapping is JSON, and the values of `each` are an option of their own."""
    (tmp_path / "mine.py").write_text("def f(seed: int, deep: dict, of: list) -> int:\n    return seed\n")
    params = {"each": "seed=0..9", "deep": {"a": [1, "b"]}, "of": [1, 2]}
    arguments = estimate_arguments(Plan(f"{tmp_path}/mine.py:f", params=params))
    assert arguments[-6:] == ["--each", "seed=0..9", "-p", 'deep={"a":[1,"b"]}', "-p", "of=[1,2]"]


class _Process:
    """A command that has printed something, or waits."""

    def __init__(self, code: int | None, output: bytes, errors: bytes) -> None:
        self.returncode = code
        self.terminated = False
        self._printed = output, errors

    async def communicate(self) -> tuple[bytes, bytes]:
        if self.returncode is None:
            await asyncio.Event().wait()
        return self._printed

    def terminate(self) -> None:
        self.terminated = True


@pytest.fixture
def prints(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(code: int | None, output: bytes = b"", errors: bytes = b"") -> tuple[_Process, list[Any]]:
        process, called = _Process(code, output, errors), []

        async def start(*arguments: str, **more: Any) -> _Process:
            called.append((arguments, more))
            return process

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        return process, called

    return use


async def _opened(pilot: Any) -> OptionsScreen:
    await pilot.press("r")
    await pilot.pause()
    assert isinstance(pilot.app.screen, SetupScreen)
    await pilot.press("ctrl+o")
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, OptionsScreen)
    return screen


async def test_the_options_are_shown_and_escape_comes_back(app_of: Any, screen_text: Any, prints: Any) -> None:
    _, called = prints(0, b"OPTION  TIME\nthis machine, 2 workers  1.20 s\n\nThis machine is first.\n")
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await _opened(pilot)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "this machine, 2 workers  1.20 s" in screen_text(app)
        assert "This machine is first." in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, SetupScreen)
    (arguments, more) = called[0]
    assert arguments[3:6] == ("lbench", "estimate", "mandelbrot")
    assert more["env"]["COLUMNS"] == "114"


async def test_the_text_is_made_again_for_another_width(app_of: Any, screen_text: Any, prints: Any) -> None:
    _, called = prints(0, b"OPTION  TIME\n")
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot, asyncio.timeout(60):
        await _opened(pilot)
        await app.workers.wait_for_complete()
        for width, texts in ((84, 2), (84, 2), (100, 3)):
            await pilot.resize_terminal(width, 30)
            while len(called) < texts:
                await pilot.pause()
            await app.workers.wait_for_complete()
    assert [more["env"]["COLUMNS"] for _, more in called] == ["114", "78", "94"]


async def test_an_error_is_shown_in_its_line(app_of: Any, screen_text: Any, prints: Any) -> None:
    prints(2, b"", b"lbench: running a sample of mine.py:job here ...\nlbench: mine.py:job: task 1 of 1 fails\n")
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await _opened(pilot)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "task 1 of 1 fails" in screen_text(app)
        assert "running a sample" not in screen_text(app)


async def test_leaving_ends_the_command(app_of: Any, prints: Any) -> None:
    process, _ = prints(None)
    app = app_of()
    async with app.run_test(size=(120, 40)), asyncio.timeout(60):
        screen = OptionsScreen(Plan("mandelbrot"))
        app.push_screen(screen)
        while screen._process is None:  # noqa: ASYNC110 - the command never ends: the app is never at rest
            await asyncio.sleep(0.01)
        screen.dismiss()
        while not process.terminated:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
