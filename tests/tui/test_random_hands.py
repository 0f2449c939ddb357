"""Random keys, bursts, pastes, clicks and resizes over all screens crash nothing, and what was typed is what is stored."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import random
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.service.client import Engine
from lbench.engine.session.labels import read_meta
from lbench.tui import launch
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.screens.sessions import SessionsScreen
from lbench.tui.terminal.capabilities import Terminal
from lbench.tui.widgets import plan_forecast
from lbench.tui.widgets.session_table import SessionTable

TINY = Plan(
    workload="mandelbrot",
    params={"size": 32, "max_iterations": 20},
    tasks=4,
    repeats=1,
    backends=[parse_backend("threads:concurrency=2", {}), parse_backend("sequential", {})],
)
NAMED = {"/": "slash", "+": "plus", "-": "minus", "[": "left_square_bracket", "]": "right_square_bracket"}
NAMED |= {"?": "question_mark", "<": "less_than_sign", ">": "greater_than_sign", " ": "space", ".": "full_stop"}
NAMED |= {"_": "underscore", ",": "comma", ":": "colon", "#": "number_sign", "=": "equals_sign", "~": "tilde"}
LETTERS = "12345rpcwbxvtaendhjklfsmuyz0+-[]<>?/, "
SPECIAL = ["enter", "escape", "tab", "shift+tab", "up", "down", "left", "right", "pageup", "pagedown", "home", "end"]
SPECIAL += ["backspace", "delete", "ctrl+t", "ctrl+p", "f5", "ctrl+j", "ctrl+s", "shift+left", "shift+right"]
SIZES = [(80, 24), (100, 30), (120, 40), (200, 60), (40, 12), (20, 5), (99, 23), (171, 41), (1, 1)]

key = st.one_of(st.sampled_from(LETTERS), st.sampled_from(SPECIAL))
text = st.text(alphabet="0123456789abcdefxyz.-_/e+ ", min_size=1, max_size=12)
step = st.one_of(
    st.tuples(st.just("keys"), st.lists(key, min_size=1, max_size=8)),
    st.tuples(st.just("keys"), st.lists(key, min_size=1, max_size=8)),
    st.tuples(st.just("keys"), text.map(lambda typed: [*typed, "enter"])),
    st.tuples(st.just("paste"), st.text(max_size=30)),
    st.tuples(st.just("size"), st.sampled_from(SIZES)),
    st.tuples(st.just("click"), st.tuples(st.integers(0, 199), st.integers(0, 59))),
    st.tuples(st.just("pause"), st.sampled_from([0.0, 0.0, 0.01, 0.05])),
)
burst = st.tuples(st.just("keys"), st.lists(key, min_size=10, max_size=10))
steps_of_170_keys = st.lists(st.tuples(burst, step), min_size=17, max_size=17).map(lambda pairs: sum(pairs, ()))


def key_event(name: str) -> events.Key:
    """A key as the terminal's parser gives it."""
    if len(name) == 1:
        return events.Key(NAMED.get(name, name), name)
    return events.Key(name, {"enter": "\r", "tab": "\t", "escape": "\x1b", "backspace": "\x7f"}.get(name))


class Hands:
    """What random hands have done in one process: keys, the longest wait for one of them, and the memory held."""

    EVERY = 1000  # keys between two figures of the memory

    def __init__(self) -> None:
        self.keys = 0
        self.longest_s = 0.0
        self.held_mb: list[float] = []  # at the start, then after each thousand keys

    def pressed(self, keys: int) -> None:
        """Count keys, and look at the memory now and then."""
        self.keys += keys
        while len(self.held_mb) <= self.keys // self.EVERY:
            self.held_mb.append(resident_mb())

    def waited(self, seconds: float) -> None:
        """The time that one input took."""
        self.longest_s = max(self.longest_s, seconds)

    @property
    def report(self) -> str:
        """The figures in a line."""
        held = " ".join(f"{value:.0f}" for value in self.held_mb)
        return f"{self.keys:,} keys, the longest took {self.longest_s:.1f} s; MB for each thousand keys: {held}"


HANDS = Hands()


def resident_mb() -> float:
    """The memory of this process; 0 where the kernel does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def send(app: LbenchApp, names: list[str]) -> None:
    """Keys in one burst: nothing is waited for between them."""
    HANDS.pressed(len(names))
    for name in names:
        app.post_message(key_event(name))


_INPUT_S = 600.0  # for one input: a process that gets a twentieth of the cores takes 40 s for what takes 1.6


def awaited_by(task: asyncio.Task[Any]) -> str:
    """The functions of a suspended task, the outermost first: `print_stack` knows the outermost alone."""
    names: list[str] = []
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)) is not None:
        names.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return " > ".join(names)


async def settled(app: LbenchApp) -> None:
    """Wait until every input was handled: what was posted first, then what waits behind it.

    The limit is for each input: a burst of hundreds may take a busy machine minutes.
    """
    posted = asyncio.Event()
    app.call_later(posted.set)
    inputs = app._inputs
    handled, since_s = inputs._admitted, time.monotonic()
    while not app._exit and not (posted.is_set() and inputs.empty):
        await asyncio.sleep(0.002)
        waited_s = time.monotonic() - since_s
        if inputs._admitted is not handled:
            HANDS.waited(waited_s)
            handled, since_s = inputs._admitted, time.monotonic()
        elif waited_s > _INPUT_S:
            faulthandler.dump_traceback(sys.__stderr__)
            for task in asyncio.all_tasks():
                print(task.get_name(), "waits in", awaited_by(task), file=sys.__stderr__)
            raise AssertionError(f"{handled} has taken {waited_s:.0f} s on {app.screen_stack}, focus {app.focused}")


def resize(app: LbenchApp, width: int, height: int) -> None:
    """A terminal of another size."""
    assert isinstance(app._driver, HeadlessDriver)
    app._driver._size = Size(width, height)
    app.post_message(events.Resize(app._driver._size, app._driver._size))


def click(app: LbenchApp, x: int, y: int) -> None:
    """Press and release the left button."""
    for kind, button in ((events.MouseDown, 1), (events.MouseUp, 1)):
        app.post_message(kind(None, x, y, 0, 0, button, False, False, False, screen_x=x, screen_y=y))


async def play(app: LbenchApp, steps: list[Any]) -> None:
    """Carry steps out; ends when the app was left."""
    for kind, value in steps:
        if app._exit:
            return
        if kind == "keys":
            send(app, value)
        elif kind == "paste":
            app.post_message(events.Paste(value))
        elif kind == "size":
            resize(app, *value)
        elif kind == "click":
            click(app, value[0] % app.size.width, value[1] % app.size.height)
        else:
            await asyncio.sleep(value)
        app.tick()
    await settled(app)


class Shelf:
    """A folder of sessions for each run, and an app on one of them or on an engine of its own."""

    def __init__(
        self, making: ModuleType, sweeps: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, explored: Path
    ) -> None:
        self._making, self._root, self._patch, self._explored = making, root, monkeypatch, explored
        self._sweeps = sweeps
        self._count = 0
        self._engines: list[Engine] = []
        engines = self._engines

        class Counted(Engine):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                engines.append(self)

        monkeypatch.setattr(launch, "Engine", Counted)

    def tidy(self) -> None:
        """Wait for the engines of the app that was left."""
        for thread in threading.enumerate():
            if thread.name == "opening":
                thread.join(30)
        for engine in self._engines:
            engine.let_go()
            assert engine.wait(30) is not None
        self._engines.clear()

    def app(self, kind: str) -> LbenchApp:
        """An app: before its first run with a real engine to start, on a record, or on an explored one."""
        self._count += 1
        here = self._root / f"run{self._count}"
        (here / "cwd").mkdir(parents=True)
        self._patch.setenv("XDG_DATA_HOME", str(here / "data"))
        self._patch.setenv("XDG_CACHE_HOME", str(here / "cache"))
        self._patch.chdir(here / "cwd")
        sessions = here / "data/lbench/sessions"
        for number in range(2):
            identity = f"2026110{number + 1}-000000-000{number}"
            self._making.write_session(sessions / identity, self._making.events(identity=identity, repeats=1))
        self._sweeps.write_sweep(self._making, sessions / "20261103-000000-0003", places=(1, 4), repeats=2)
        feed = None
        if kind == "record":
            feed = RecordedFeed.of(sessions / "20261101-000000-0000")
        elif kind == "explored":
            feed = RecordedFeed.of(self._explored)
        app = LbenchApp(feed, plan=TINY, terminal=Terminal(fps=30), on_hangup="stop")
        app.animation_level = "none"
        return app


@pytest.fixture
def shelf(
    making: ModuleType,
    sweeps: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    explored_session: Callable[[Path], Path],
) -> Shelf:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing may leave this machine
    monkeypatch.setattr(plan_forecast, "busy_notice", lambda: None)
    explored = explored_session(tmp_path / "explored/20261122-120000-e0e0")
    return Shelf(making, sweeps, tmp_path, monkeypatch, explored)


KINDS = ["record", "explored", "engine"]
QUICK = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
)


async def one_run(shelf: Shelf, kind: str, steps: list[Any]) -> None:
    """One app from its start to its end."""
    app = shelf.app(kind)
    async with app.run_test(size=(120, 40)) as pilot:
        await play(app, steps)
        if not app._exit:
            app.action_leave()
            await pilot.pause()
    shelf.tidy()


@pytest.mark.parametrize("kind", KINDS)
def test_no_sequence_of_inputs_crashes(kind: str, shelf: Shelf) -> None:
    @settings(QUICK, max_examples=3)
    @given(steps=steps_of_170_keys)
    def check(steps: list[Any]) -> None:
        asyncio.run(one_run(shelf, kind, steps))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("share", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_no_sequence_of_many_inputs_crashes(kind: str, share: int, shelf: Shelf) -> None:
    @seed(share)
    @settings(QUICK, max_examples=25, derandomize=False)
    @given(steps=st.lists(step, min_size=75, max_size=75))
    def check(steps: list[Any]) -> None:
        asyncio.run(one_run(shelf, kind, steps))

    try:
        check()
    finally:
        print(HANDS.report)


# -- what was typed is what is stored, however fast it was typed

digits = st.integers(1, 10_000).map(str)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that were started, in place of engines."""
    plans: list[Plan] = []
    monkeypatch.setattr(LbenchApp, "start", lambda app, plan: plans.append(plan))
    return plans


@settings(QUICK, max_examples=6)
@given(tasks=digits, repeats=digits, usd=st.decimals("0.01", "99", places=2).map(str))
def test_enter_never_overtakes_characters_in_the_set_up(
    tasks: str, repeats: str, usd: str, shelf: Shelf, started: list[Plan]
) -> None:
    async def check() -> None:
        app = shelf.app("engine")
        async with app.run_test(size=(120, 40)):
            send(app, ["r"])
            await settled(app)
            app.screen.query_one("#at-run-max_usd").focus()
            send(app, list(usd))
            await settled(app)
            app.screen.query_one("#at-run-tasks").focus()
            send(app, [*tasks, "down", *repeats, "enter"])
            await settled(app)
        plan = started.pop()
        assert (plan.tasks, plan.repeats, plan.max_usd) == (int(tasks), int(repeats), float(usd))

    asyncio.run(check())


@settings(QUICK, max_examples=6)
@given(
    name=st.text(alphabet="abc-xyz019_", min_size=1, max_size=20), tag=st.text(alphabet="abxz", min_size=1, max_size=8)
)
def test_enter_never_overtakes_characters_in_a_prompt(name: str, tag: str, shelf: Shelf) -> None:
    async def check() -> None:
        app = shelf.app("engine")
        async with app.run_test(size=(120, 40)) as pilot:
            send(app, ["4"])
            await settled(app)
            screen = app.screen
            assert isinstance(screen, SessionsScreen)
            while screen._loading:
                await pilot.pause(0.01)
            folder = screen.query_one(SessionTable).chosen.folder
            send(app, ["n", *name, "enter", "t", *tag, "enter", "x", "ctrl+u", *f"{tag}.json", "enter"])
            await settled(app)
            await app.workers.wait_for_complete()
        meta = read_meta(folder)
        assert (meta.name, meta.tags) == (name, [tag])

    asyncio.run(check())
    assert Path(f"{tag}.json").is_file()


def test_keys_that_open_and_start_arrive_in_one_burst(shelf: Shelf, started: list[Plan]) -> None:
    async def check() -> None:
        app = shelf.app("engine")
        async with app.run_test(size=(120, 40)):
            send(app, ["r", "enter"])
            await settled(app)
        assert [plan.workload for plan in started] == ["mandelbrot"]

    asyncio.run(check())


def test_the_palette_is_asked_for_again_while_another_screen_covers_it(shelf: Shelf) -> None:
    steps = [("keys", ["ctrl+p"]), ("size", (20, 5)), ("keys", ["ctrl+p", "ctrl+p"]), ("size", (120, 40))]
    asyncio.run(one_run(shelf, "record", [*steps, ("keys", ["escape", "ctrl+p", "escape"])]))


def test_a_screen_that_is_dismissed_twice_takes_no_other_with_it(shelf: Shelf) -> None:
    async def check() -> None:
        app = shelf.app("record")
        async with app.run_test(size=(120, 40)) as pilot:
            await app.action_go("sessions")
            below = app.screen
            send(app, ["?"])
            await settled(app)
            helping = app.screen
            assert helping is not below
            helping.dismiss()
            helping.dismiss()
            await pilot.pause()
            assert app.screen is below

    asyncio.run(check())


def test_clicks_beside_a_palette_that_another_screen_has_covered_do_nothing(shelf: Shelf) -> None:
    async def check() -> None:
        app = shelf.app("record")
        async with app.run_test(size=(120, 40)) as pilot:
            send(app, ["ctrl+p"])
            await settled(app)
            palette = app.screen
            resize(app, 20, 5)
            await pilot.pause()
            app.tick()
            await pilot.pause()
            cover = app.screen
            assert cover is not palette
            palette.dismiss()
            palette.dismiss()
            await pilot.pause()
            assert app.screen_stack[-2:] == [palette, cover]

    asyncio.run(check())


def test_a_switch_of_screens_that_waits_while_the_app_is_left_does_nothing(shelf: Shelf) -> None:
    async def check() -> None:
        app = shelf.app("record")
        async with app.run_test(size=(80, 24)) as pilot:
            await app._switching.acquire()
            switch = asyncio.create_task(app.action_go("sessions"))
            await pilot.pause()
            app.action_leave()
        app._switching.release()
        await switch

    asyncio.run(check())


@pytest.mark.parametrize(
    "keys", [["3", "?", "3", "?", "3", "1", "3", "4", "3"], ["3", "t", "w", "w", "t", "w", "right", "enter"]]
)
def test_screens_and_workloads_change_in_quick_succession(keys: list[str], shelf: Shelf) -> None:
    asyncio.run(one_run(shelf, "engine", [("keys", keys), ("pause", 0.3), ("keys", keys)]))


@pytest.mark.slow
def test_many_inputs_in_a_real_terminal_crash_nothing(program: Callable[..., Any], recorded: Path) -> None:
    """Five thousand keys as bytes, in bursts of random length; the program still answers, and leaves as it should."""
    terminal = program()
    terminal.wait_for("quit")
    hands = random.Random(1)
    special = ["\r", "\x1b", "\t", "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x7f", "\n"]
    letters = LETTERS.replace("c", "").replace("d", "")
    for _ in range(1000):
        terminal.send("".join(hands.choice(letters if hands.random() < 0.7 else special) for _ in range(5)))
        terminal.read(hands.choice([0.0, 0.01, 0.05]))
        if hands.random() < 0.02:
            terminal.resize(*hands.choice(SIZES[:4]))
        assert terminal.poll() is None, terminal.text()[-2000:]
    terminal.resize(120, 40)
    for key in ("\x1b", "\x1b", "\x1b", "1", "\x03", "\x03"):
        terminal.send(key)
        terminal.read(0.5)
    assert terminal.wait() in (0, 130)
    assert terminal.left_on() == []


@pytest.mark.slow
def test_exploring_keeps_its_memory_flat(shelf: Shelf) -> None:
    """After forty updates, forty more make what is held grow by less than 6 KB each."""

    async def check() -> None:
        app = shelf.app("engine")
        async with app.run_test(size=(80, 24)) as pilot:
            send(app, ["3"])
            await settled(app)
            held: list[int] = []
            for _ in range(2):
                for number in range(40):
                    send(app, ["right" if number % 2 else "left"])
                    await settled(app)
                    while app.exploring.waits(app.screen.maker.run, 0) and not app.exploring.feed.over:
                        app.tick()
                        await pilot.pause(0.01)
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
            app.action_leave()
        assert held[1] - held[0] < 250_000, held

    tracemalloc.start()
    try:
        asyncio.run(check())
    finally:
        tracemalloc.stop()
    shelf.tidy()
