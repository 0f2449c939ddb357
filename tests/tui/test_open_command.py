"""`lbench open` refuses in one line what it cannot show, before any screen opens."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import lbench.cli.commands.open as open_command
import lbench.tui.main
from lbench.cli.main import command
from lbench.cli.screens import show
from lbench.engine.plan.plan import Plan
from lbench.errors import InputError
from lbench.tui.app import default_plan
from lbench.tui.feeds.replay import RecordedFeed


def opened(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[tuple[RecordedFeed | None, dict[str, object]]]:
    """What would be shown."""
    shown: list[tuple[RecordedFeed | None, dict[str, object]]] = []

    def show(feed: RecordedFeed | None = None, **options: object) -> int:
        shown.append((feed, options))
        return 0

    monkeypatch.setattr(open_command, "show", show)
    monkeypatch.setattr(open_command, "can_show", lambda: True)
    result = CliRunner().invoke(command, ["open", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return shown


def test_a_session_is_opened_by_id_beginning_or_path(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (recorded.name, recorded.name[:8], "last", str(recorded), str(recorded / "events.jsonl")):
        [(feed, _)] = opened(monkeypatch, name)
        assert feed is not None and feed.source == recorded
        assert feed.frame().speed is None


def test_a_speed_replays_it(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(feed, _)] = opened(monkeypatch, "last", "--speed", "2.5")
    assert feed is not None and feed.frame().speed == 2.5


def test_options_of_the_screens_may_stand_before_the_command(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, object]] = []
    monkeypatch.setattr(open_command, "show", lambda feed, **options: shown.append(options) or 0)
    monkeypatch.setattr(open_command, "can_show", lambda: True)
    for arguments in (
        ["--theme", "light", "--no-mouse", "open", "last"],
        ["--theme", "dark", "open", "last", "--theme", "light", "--no-mouse"],
    ):
        CliRunner().invoke(command, arguments, standalone_mode=False)
    assert shown == [{"theme": "light", "no_mouse": True}] * 2


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_an_invalid_speed_is_refused(speed: str, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--speed"):
        opened(monkeypatch, "last", f"--speed={speed}")


def test_a_session_that_is_not_there_is_refused(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError):
        opened(monkeypatch, "nowhere")


def test_without_a_terminal_it_says_so(recorded: Path) -> None:
    result = CliRunner().invoke(command, ["open", "last"], standalone_mode=False)
    assert isinstance(result.exception, InputError)
    assert "needs a terminal" in str(result.exception)


def test_the_set_up_begins_with_what_was_set_once_for_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr(lbench.tui.main, "run", lambda *_, plan, **__: plans.append(plan) or 0)
    show(no_mouse=False, theme="dark")
    monkeypatch.setenv("LBENCH_REPEATS", "7")
    monkeypatch.setenv("LBENCH_MEMORY", "512")
    show(no_mouse=False, theme="dark")
    assert plans[0] == msgspec.structs.replace(default_plan(), repeats="auto")
    assert (plans[1].repeats, plans[1].backends[-1].settings["memory"]) == (7, 512)
