"""Leave and come back: an engine that goes on is found again, by one viewer or by several, and nothing is missed."""

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.service.client import Engine, Follower, new_session_folder

Program = Callable[..., Any]


def engine_of(tasks: int) -> Iterator[Engine]:
    """An engine that carries out a hundred tasks a second and then ends."""
    engine = Engine(new_session_folder(), on_hangup="finish")
    follower = Follower(engine.folder, engine.socket)
    plan = Plan(
        workload="probe",
        params={"kind": "sleep", "seconds": 0.02},
        tasks=tasks,
        repeats=1,
        backends=[parse_backend("threads:concurrency=2", {})],
    )
    follower.start(plan, last=True)
    yield engine
    follower.close()
    engine.let_go()
    engine.process.terminate()
    engine.process.wait()


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Two seconds of tasks."""
    yield from engine_of(200)


@pytest.fixture
def long_engine() -> Iterator[Engine]:
    """More tasks than a test waits for."""
    yield from engine_of(100_000)


def test_what_was_left_is_found_again_with_nothing_missed(
    program: Program, mid_run: Callable[[Any], None], workers: Callable[[signal.Signals], None]
) -> None:
    first = program()
    mid_run(first)
    workers(signal.SIGSTOP)
    first.send("q")
    assert first.wait() == 0
    back = first.last_line()
    workers(signal.SIGCONT)
    again = program(*back.removeprefix("lbench ").split())
    again.wait_for("100/100")
    again.wait_for("same")
    again.send("q")
    assert again.wait() == 0
    assert again.last_line() == ""  # it is done: nothing to come back to


def test_two_viewers_look_at_one_engine(program: Program, engine: Engine) -> None:
    viewers = [program("attach"), program("attach", engine.folder.name)]
    for viewer in viewers:
        viewer.wait_for("200/200")
    for viewer in viewers:
        viewer.send("q")
        assert viewer.wait() == 0


def test_a_viewer_that_leaves_during_a_run_sees_the_way_back_and_stops_nothing(
    program: Program, engine: Engine
) -> None:
    viewer = program("attach")
    viewer.wait_for("/200")
    viewer.send("q")
    assert viewer.wait() == 0
    assert viewer.last_line() in (f"lbench attach {engine.folder.name}", "")
    assert engine.process.wait(60) == 0
    last = json.loads((engine.folder / "events.jsonl").read_bytes().splitlines()[-1])
    assert last == {"event": "end", "complete": True}


def test_a_viewer_can_cancel(program: Program, long_engine: Engine) -> None:
    viewer = program("attach")
    viewer.wait_for("▶")
    viewer.send("c")
    viewer.wait_until(lambda: viewer.text().count("cancel the runs?") or "stopped" in viewer.text(), "an answer to c")
    viewer.send("y")  # on a machine that needs ten seconds for this it was asked first
    viewer.wait_for("stopped")
    assert long_engine.process.wait(60) == 0
