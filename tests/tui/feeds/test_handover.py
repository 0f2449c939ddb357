"""Leaving while the engine still starts: its plan is waited for, however slow the machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from lbench.engine.journal.events import RunPlanned, Warned
from lbench.engine.plan.plan import Plan
from lbench.errors import EngineLostError
from lbench.tui.app import _HANDOVER_S
from lbench.tui.feeds import live
from lbench.tui.feeds.live import EngineFeed

PLANNED = RunPlanned("r1", "probe", {}, 1, "threads", "threads", "measured", 0, False, "isolated")


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Callable[..., EngineFeed]]:
    """A feed with a plan, whose engine starts once the test is over, or fails to."""
    released = threading.Event()

    def make(error: Exception | None = None) -> EngineFeed:
        def opening() -> Any:
            if error is None:
                released.wait()
            raise error or EngineLostError("the test is over")

        feed = EngineFeed(opening, tmp_path)
        feed.start(Plan("probe"))
        return feed

    yield make
    released.set()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float, Any], None]:
    """`at(seconds, event)`: an event in the journal at that time of a clock that only sleeping moves on."""
    clock = SimpleNamespace(now_s=0.0)
    due: list[tuple[float, Any]] = []

    def sleep(seconds: float) -> None:
        clock.now_s += seconds
        while due and clock.now_s >= due[0][0]:
            with (tmp_path / "events.jsonl").open("ab") as file:
                file.write(msgspec.json.encode(due.pop(0)[1]) + b"\n")

    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock.now_s, sleep=sleep, time=lambda: 0.0))
    return lambda seconds, event: due.append((seconds, event))


def test_a_plan_is_waited_for_on_a_machine_with_much_else_to_do(
    starting: Callable[..., EngineFeed], at: Callable[[float, Any], None]
) -> None:
    at(30.0, PLANNED)
    assert starting().settle(_HANDOVER_S)


def test_a_plan_that_could_not_start_is_not_waited_for(
    starting: Callable[..., EngineFeed], at: Callable[[float, Any], None]
) -> None:
    at(1.0, Warned("busy", "others use the machine"))
    at(2.0, Warned("failed", "no such file"))
    assert starting().settle(_HANDOVER_S)
    assert live.time.monotonic() == pytest.approx(2.0, abs=0.1)


def test_an_engine_that_never_takes_it_up_is_reported(
    starting: Callable[..., EngineFeed], at: Callable[[float, Any], None]
) -> None:
    assert not starting().settle(_HANDOVER_S)


def test_an_engine_that_does_not_start_is_not_waited_for(
    starting: Callable[..., EngineFeed], at: Callable[[float, Any], None]
) -> None:
    feed = starting(EngineLostError("it did not start"))
    feed._thread.join()
    assert feed.settle(_HANDOVER_S) and live.time.monotonic() == 0.0
