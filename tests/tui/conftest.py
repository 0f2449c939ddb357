"""Made-up journals, and screens as text that is compared with what was stored."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from textual.pilot import Pilot

from lbench.analysis.comparison import Comparison
from lbench.engine.journal.lock import is_live
from lbench.engine.session.view import RunView
from lbench.tui.app import LbenchApp
from lbench.tui.bench import prediction
from lbench.tui.feeds.feed import Frame, now_of
from lbench.tui.feeds.fold import Fold
from lbench.tui.terminal.capabilities import Terminal

HERE = Path(__file__).parent


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lbench_tests_tui_{path.stem}", path)
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


async def nothing_to_do(min_sleep: float = 0.0, max_sleep: float = 10.0) -> None:
    """Wait until the event loop has nothing to call, a few turns in a row.

    Stands for Textual's `wait_for_idle`, which compares the process's CPU time with the clock: 20 ms or more for each key.
    """
    loop: Any = asyncio.get_running_loop()
    end_s = loop.time() + max_sleep
    turns = 0
    while turns < 5 and loop.time() < end_s:
        await asyncio.sleep(0)
        turns = 0 if loop._ready else turns + 1


@pytest.fixture(autouse=True)
def patient_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pilot.pause()` lasts until every input is handled and every worker has ended, however busy the machine is.

    Textual's own pause ends once the process idles for a moment, which a busy machine makes it do at any time. A test that
    holds a worker back gives a delay, which is all that it waits then.
    """
    monkeypatch.setattr("textual.pilot.wait_for_idle", nothing_to_do)
    monkeypatch.setattr("textual.app.wait_for_idle", nothing_to_do)
    monkeypatch.setattr(Pilot._wait_for_screen, "__defaults__", (180.0,))
    textual_pause = Pilot.pause

    async def pause(pilot: Pilot[Any], delay: float | None = None) -> None:
        await textual_pause(pilot, delay)
        app = pilot.app
        if delay is not None or not isinstance(app, LbenchApp):
            return
        async with asyncio.timeout(180):
            while not app._exit and (not app._inputs.empty or any(not one.is_finished for one in app.workers)):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        await textual_pause(pilot)

    monkeypatch.setattr(Pilot, "pause", pause)


@pytest.fixture(scope="session")
def making() -> ModuleType:
    """The module that makes journals up."""
    return _load(HERE / "making.py")


@pytest.fixture(scope="session")
def sweeps() -> ModuleType:
    """The module that makes sweeps up."""
    return _load(HERE / "sweeps.py")


@pytest.fixture
def swept(making: ModuleType, sweeps: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Writes a recorded sweep among the sessions; a second name writes another session."""
    write = sweeps.write_sweep
    sessions = tmp_path / "data/lbench/sessions"
    return lambda name="20261123-120000-5ee9", **options: Path(write(making, sessions / name, **options))


@pytest.fixture
def tuned(making: ModuleType, swept: Callable[..., Path]) -> Path:
    """A recorded tuning of memory and tasks on emulated."""
    points = ((1769, 8), (885, 8), (512, 8), (1769, 32), (3538, 8))
    return swept(
        "20261124-120000-7e5d",
        sweep="tune-0001",
        repeats=4,
        kinds=[kind for kind in making.USUAL if kind.remote],
        points=tuple({"memory": memory, "tasks": tasks} for memory, tasks in points),
    )


@pytest.fixture(scope="session")
def explored_session(making: ModuleType) -> Callable[[Path], Path]:
    """Writes a recorded exploring session into a folder."""
    write = _load(HERE / "explored.py").write_explored
    return lambda folder: Path(write(making, folder))


@pytest.fixture
def recorded(making: ModuleType, tmp_path: Path) -> Path:
    """The folder of a finished session: sequential, processes and emulated, three repeats each."""
    return Path(making.write_session(tmp_path / "data/lbench/sessions/20261122-120000-abcd", making.events()))


class Still:
    """A feed that stands at one moment of a made-up session, or goes on to another on request."""

    kind = "still"

    def __init__(self, events: list[Any], start: Any, at_s: float | None, folder: Path | None) -> None:
        self._events = events
        self._start = start
        self._fold = Fold()
        self._next = 0
        self._folder = folder
        self.go_to(at_s)

    def go_to(self, at_s: float | None) -> None:
        """Move on; None: to the end."""
        self._at_s = at_s
        while self._next < len(self._events):
            at, event = self._events[self._next]
            if at_s is not None and (at - self._start).total_seconds() > at_s:
                return
            self._fold.take(event)
            self._next += 1

    def frame(self, budget_s: float = 0.0) -> Frame:
        """What there is at that moment."""
        over = self._next == len(self._events)
        now = {} if self._at_s is None else now_of(self._fold.view, self._start.timestamp() + self._at_s)
        return self._fold.frame("done" if over else "live", now, folder=self._folder)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def still(making: ModuleType, tmp_path: Path) -> Callable[..., Still]:
    """A feed at a moment (seconds since the session's beginning; None: its end), with a picture if wished."""

    def make(at_s: float | None = None, *, picture: bool = True, **options: Any) -> Still:
        events = making.events(**options)
        folder = tmp_path / "made"
        if picture:
            events = making.with_pictures(events, folder)
        return Still(events, making.START, at_s, folder)

    return make


@pytest.fixture
def app_of() -> Callable[..., LbenchApp]:
    """An app on a feed, whose clock is moved by the test (`app.tick()`), not by a timer."""

    def make(feed: Any = None, **options: Any) -> LbenchApp:
        app = LbenchApp(feed, terminal=Terminal(fps=0.001), **options)
        app.animation_level = "none"  # a test would wait for the end of each
        return app

    return make


@pytest.fixture
def screen_text() -> Callable[[LbenchApp], str]:
    """What the screen shows, as text."""

    def text(app: LbenchApp) -> str:
        _, height = app.size
        strips = app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips[:height]) + "\n"

    return text


@pytest.fixture
def same_as() -> Callable[[str, str], None]:
    """Compare with a stored screen; UPDATE_SNAPSHOTS=1 stores this one instead."""

    def compare(name: str, text: str) -> None:
        path = HERE / "snapshots" / f"{name}.txt"
        if os.environ.get("UPDATE_SNAPSHOTS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.is_file(), f"no stored screen {name}: run with UPDATE_SNAPSHOTS=1 and look at it"
        assert text == path.read_text(encoding="utf-8")

    return compare


# What the pty tests run where they need a run that is short, and the same on any machine.
_SCRIPT = """
import sys
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.main import run
params = {"kind": "sleep", "seconds": 0.1}  # five seconds: a busy machine draws two frames a second
plan = Plan(workload="probe", params=params, tasks=100, repeats=1, backends=[parse_backend("threads:concurrency=2", {})])
sys.exit(run(plan=plan, on_hangup=ON_HANGUP))
"""


@pytest.fixture(autouse=True)
def no_prediction(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No prediction comes to a screen at a time of its own, but where a test is about it."""
    if "predictions" not in request.fixturenames:
        monkeypatch.setattr(prediction, "predicted_texts", lambda comparison, runs: [])


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The comparisons that are predicted, by their first backend's label; then predictions are made."""
    made: list[str] = []
    predict = prediction.predicted_texts

    def counted(comparison: Comparison, runs: list[RunView]) -> list[str]:
        made.append(comparison.summaries[0].label)
        assert threading.current_thread() is not threading.main_thread()
        return predict(comparison, runs)

    monkeypatch.setattr(prediction, "predicted_texts", counted)
    return made


@pytest.fixture
def ptys() -> ModuleType:
    """The module with terminals of our own."""
    return _load(HERE / "ptys.py")


@pytest.fixture
def program(ptys: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """The real program on a pty: the screens with a short plan, or `lbench ARGUMENTS`, or a script."""
    terminals: list[Any] = []

    def start(
        *arguments: str,
        script: str | None = None,
        on_hangup: str = "finish",
        size: tuple[int, int] = (120, 40),
        shell: bool = False,
        **environ: str,
    ) -> Any:
        code = script or _SCRIPT.replace("ON_HANGUP", repr(on_hangup))
        argv = [sys.executable, "-P", *(("-m", "lbench", *arguments) if arguments else ("-c", code))]
        usual = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        terminal = ptys.Terminal(argv, environ={**os.environ, **usual, **environ}, size=size, shell=shell)
        terminals.append(terminal)
        return terminal

    yield start
    for terminal in terminals:
        terminal.__exit__(None, None, None)
    for found in tmp_path.glob("data/lbench/sessions/*/engine.json"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(json.loads(found.read_bytes())["pid"]), signal.SIGTERM)


@pytest.fixture
def workers(tmp_path: Path) -> Callable[[signal.Signals], None]:
    """`workers(SIGSTOP)` holds what computes tasks, so that a run outlasts slow screens; SIGCONT lets them go on."""

    def give(number: signal.Signals) -> None:
        for found in tmp_path.glob("data/lbench/sessions/*/engine.json"):
            with contextlib.suppress(psutil.Error, OSError):
                for child in psutil.Process(json.loads(found.read_bytes())["pid"]).children(recursive=True):
                    if any(word.endswith("backends.local.worker") for word in child.cmdline()):
                        child.send_signal(number)

    return give


@pytest.fixture
def engine_end(workers: Callable[[signal.Signals], None]) -> Callable[[Path], None]:
    """Let the tasks go on, and wait until the engine of a session has gone."""

    def wait(folder: Path) -> None:
        workers(signal.SIGCONT)
        deadline_s = time.monotonic() + 180
        while is_live(folder):
            assert time.monotonic() < deadline_s, f"the engine of {folder} does not end"
            time.sleep(0.02)

    return wait


@pytest.fixture
def mid_run(tmp_path: Path) -> Callable[[Any], None]:
    """Start the program's plan by its two keys, and wait until tasks return."""

    def start(terminal: Any) -> None:
        def returned() -> bool:
            journals = tmp_path.glob("data/lbench/sessions/*/events.jsonl")
            return any(b'"returned"' in journal.read_bytes() for journal in journals)

        terminal.wait_for("quit")
        terminal.send("r")
        terminal.wait_for("start")
        terminal.send("\r")
        terminal.wait_until(returned, "the first task's end")
        terminal.wait_for("▶")

    return start
