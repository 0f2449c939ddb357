"""Made-up journals, and screens as text that is compared with what was stored."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lbench.tui.app import LbenchApp
from lbench.tui.terminal import Terminal

HERE = Path(__file__).parent


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lbench_tests_tui_making", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or touches the sessions of whoever runs it."""
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    for name in ("NO_COLOR", "SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def making() -> ModuleType:
    """The module that makes journals up."""
    return _load(HERE / "making.py")


@pytest.fixture
def recorded(making: ModuleType, tmp_path: Path) -> Path:
    """The folder of a finished session: sequential, processes and emulated, three repeats each."""
    return Path(making.write_session(tmp_path / "data/lbench/sessions/20261122-120000-abcd", making.events()))


@pytest.fixture
def app_of() -> Callable[..., LbenchApp]:
    """An app on a feed, whose clock is moved by the test (`app.tick()`), not by a timer."""

    def make(feed: Any = None, **options: Any) -> LbenchApp:
        return LbenchApp(feed, terminal=Terminal(fps=0.001), **options)

    return make


@pytest.fixture
def screen_text() -> Callable[[LbenchApp], str]:
    """What the screen shows, as text."""

    def text(app: LbenchApp) -> str:
        width, height = app.size
        strips = app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips[:height]) + "\n"

    return text


@pytest.fixture
def same_as() -> Callable[[str, str], None]:
    """Compare with a stored screen; LBENCH_UPDATE_SNAPSHOTS=1 stores this one instead."""

    def compare(name: str, text: str) -> None:
        path = HERE / "snapshots" / f"{name}.txt"
        if os.environ.get("LBENCH_UPDATE_SNAPSHOTS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.is_file(), f"no stored screen {name}: run with LBENCH_UPDATE_SNAPSHOTS=1 and look at it"
        assert text == path.read_text(encoding="utf-8")

    return compare
