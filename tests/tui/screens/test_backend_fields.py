"""Nonsense in the fields of a backend's settings is an error at that field, at once, and never a fault."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from lbench.engine.backends import catalog
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.app import LbenchApp, default_plan
from lbench.tui.run_form import Draft, form_fields
from lbench.tui.screens.setup import SetupScreen
from lbench.tui.widgets import plan_forecast as ahead

AppOf = Callable[..., LbenchApp]
NONSENSE = ["x" * 50_000, "9" * 400, "-1", "nan", "1e400", "folder", "pipe", "/dev/zero", "binary", "nowhere/at all"]
NONSENSE += [
    "tcp://",
    "tcp://127.0.0.1:x",
    "tcp://127.0.0.1:99999",
    "://",
    "é 漢字 🦊",
    "a\x1b[31mb",
    "\0",
    "=",
    ",",
    "a=b,c",
    "'",
    '"x',
]
NONSENSE += ["./folder:x", "./pipe:x", "/dev/zero:x", "./binary.py:x", ":x", "a:", "a b:c", "\u202eabc"]
# What has this type takes any text, or what some of the nonsense is.
TAKES_ALL = {"handler", "stack", "label"}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ahead, "busy_notice", lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "scheduler.json").write_text('{"address": "tcp://127.0.0.1:9"}')
    return tmp_path


def errors_with(name: str, setting: str, text: str) -> dict[str, str]:
    """The errors of a plan on this backend alone, without the number of its line."""
    draft = Draft(default_plan())
    for index, form in enumerate(draft.backends):
        form.chosen = form.name == name
        if form.chosen:
            chosen = index
            form.settings |= {"factory": "a:b"} if "factory" in form.settings else {}
            form.settings[setting] = text
    return {place.replace(f"backend.{chosen}.", ""): why for place, why in draft.errors().items()}


@pytest.mark.parametrize("name", catalog.names())
def test_nonsense_is_an_error_of_its_field(name: str) -> None:
    for field in form_fields(catalog.settings_type(name)):
        if field.type in ("choice", "yes or no") or field.name in TAKES_ALL:
            continue
        for text in NONSENSE:
            found = errors_with(name, field.name, text)
            assert list(found) in ([field.name], []), (field.name, text[:30], found)
            if field.type in ("int", "float") and text not in ("-1", "9" * 400):
                assert found, (field.name, text[:30])


@pytest.mark.parametrize(
    ("name", "setting", "text", "why"),
    [
        ("dask", "scheduler", "nowhere", "must be tls://host:port, got 'nowhere'"),
        ("dask", "scheduler", "tcp://10.1.2.3:8786", "is not encrypted"),
        ("dask", "scheduler", "tcp://127.0.0.1:99999", "must be tls://host:port"),
        ("dask", "scheduler", "tls://127.0.0.1:8786", None),
        ("dask", "scheduler_file", "binary", "is not a scheduler file"),
        ("dask", "scheduler_file", "folder", "that is a folder"),
        ("dask", "scheduler_file", "pipe", "it is not a regular file"),
        ("dask", "scheduler_file", "/dev/zero", "it is not a regular file"),
        ("dask", "ca", "nowhere", "there is no such file"),
        ("dask", "store", "pipe", "there is no such folder"),
        ("dask", "store", "x" * 5000, "there is no such folder"),
        ("dask", "store", "http://a", "must be a folder or s3://bucket/prefix"),
        ("executor", "factory", "", "must be module:callable or ./file.py:callable"),
        ("executor", "factory", "./mine.py", "must be module:callable or ./file.py:callable"),
        ("executor", "factory", "./nowhere.py:pool", "there is no such file"),
        ("emulated", "code", "folder", "are for `lbench run function`"),
    ],
)
def test_what_needs_no_connection_is_said_at_the_field(name: str, setting: str, text: str, why: str | None) -> None:
    found = errors_with(name, setting, text)
    if why is None:
        assert list(found) == ["ca"]  # is what it lacks
    else:
        assert list(found) == [setting] and why in found[setting]


@pytest.mark.parametrize(
    ("name", "setting", "text"),
    [
        ("dask", "scheduler", "tcp://127.0.0.1:9"),
        ("dask", "scheduler_file", "scheduler.json"),
        ("dask", "store", "folder"),
        ("executor", "factory", "concurrent.futures:ThreadPoolExecutor"),
    ],
)
def test_what_only_a_connection_or_an_import_can_tell_is_left_to_the_run(name: str, setting: str, text: str) -> None:
    assert errors_with(name, setting, text) == {}


async def test_a_factory_that_is_missing_is_asked_for_below_its_field(
    app_of: AppOf, screen_text: Callable[[LbenchApp], str]
) -> None:
    plan = Plan("mandelbrot", backends=[parse_backend("executor:factory=a:b", {})])
    app = app_of(plan=plan)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        screen: Any = app.screen
        assert isinstance(screen, SetupScreen)
        index = next(at for at, form in enumerate(screen.draft.backends) if form.chosen)
        await screen.form.go_to(f"backend.{index}.factory")
        await pilot.pause()
        await pilot.press("backspace", *"./no.py:pool", "enter")
        await pilot.pause()
        assert app.screen is screen
        assert screen.query_one(f"#at-backend-{index}-factory", Input).value == "./no.py:pool"
        assert "there is no such file" in screen_text(app)
