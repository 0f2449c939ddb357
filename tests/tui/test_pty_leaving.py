"""However the real program is left, the terminal is as before, and the engine does as on_hangup says."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Program = Callable[..., Any]


@pytest.fixture
def in_mid_run(program: Program, mid_run: Callable[[Any], None], workers: Callable[[signal.Signals], None]) -> Program:
    """The program with tasks that have returned, and others that end no sooner than `engine_end` is called."""

    def start(**more: Any) -> Any:
        terminal = program(**more)
        mid_run(terminal)
        workers(signal.SIGSTOP)
        return terminal

    return start


def journal_has(home: Path, part: bytes) -> Callable[[], bool]:
    return lambda: any(part in path.read_bytes() for path in sessions(home).glob("*/events.jsonl"))


def sessions(home: Path) -> Path:
    return home / "data/lbench/sessions"


def only_session(home: Path) -> Path:
    (folder,) = sessions(home).iterdir()
    return folder


def last_event(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "events.jsonl").read_bytes().splitlines()[-1]))


def engine_pid(folder: Path) -> int:
    return int(json.loads((folder / "engine.json").read_bytes())["pid"])


def test_leaving_before_any_run_says_nothing(program: Program) -> None:
    terminal = program()
    terminal.wait_for("quit")
    terminal.send("q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []
    assert terminal.last_line() == ""


def test_leaving_in_mid_run_tells_the_way_back_and_the_engine_finishes(
    in_mid_run: Program, tmp_path: Path, engine_end: Callable[[Path], None]
) -> None:
    terminal = in_mid_run()
    terminal.send("q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []
    folder = only_session(tmp_path)
    assert terminal.last_line() == f"lbench attach {folder.name}"
    engine_end(folder)
    assert last_event(folder) == {"event": "end", "complete": True}


@pytest.mark.parametrize("number", [None, signal.SIGHUP])
def test_leaving_while_the_engine_still_starts_hands_the_plan_over(
    program: Program, tmp_path: Path, engine_end: Callable[[Path], None], number: signal.Signals | None
) -> None:
    terminal = program()
    terminal.wait_for("quit")
    terminal.send("r")
    terminal.wait_for("start")
    terminal.send("\r" if number else "\rq")
    if number:
        taken_up = journal_has(tmp_path, b'"planned"')
        terminal.wait_until(lambda: "starting the engine" in terminal.text() or taken_up(), "the plan's sending")
        terminal.signal(number)
    assert terminal.wait() == (129 if number else 0)
    assert terminal.left_on() == []
    folder = only_session(tmp_path)
    assert terminal.last_line() == f"lbench attach {folder.name}"
    engine_end(folder)
    assert last_event(folder) == {"event": "end", "complete": True}
    assert b'"returned"' in (folder / "events.jsonl").read_bytes()


def test_leaving_while_the_engine_still_starts_leaves_nothing_where_it_shall_stop(
    program: Program, tmp_path: Path, engine_end: Callable[[Path], None]
) -> None:
    terminal = program(on_hangup="stop")
    terminal.wait_for("quit")
    terminal.send("r")
    terminal.wait_for("start")
    terminal.send("\rq")
    assert terminal.wait() == 0
    assert terminal.last_line() == ""
    engine_end(only_session(tmp_path))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_restores_the_terminal(
    in_mid_run: Program, tmp_path: Path, engine_end: Callable[[Path], None], number: signal.Signals, code: int
) -> None:
    terminal = in_mid_run()
    terminal.signal(number)
    assert terminal.wait() == code
    assert terminal.left_on() == []
    folder = only_session(tmp_path)
    assert terminal.last_line() == f"lbench attach {folder.name}"
    engine_end(folder)
    assert last_event(folder)["complete"]


@pytest.mark.parametrize(("on_hangup", "complete"), [("finish", True), ("stop", False)])
def test_when_the_terminal_is_closed_the_engine_does_as_on_hangup_says(
    in_mid_run: Program, tmp_path: Path, engine_end: Callable[[Path], None], on_hangup: str, complete: bool
) -> None:
    terminal = in_mid_run(on_hangup=on_hangup)
    terminal.close()
    assert terminal.wait() == 129
    folder = only_session(tmp_path)
    engine_end(folder)
    assert last_event(folder)["complete"] is complete


def test_a_killed_screen_costs_the_engine_nothing(
    in_mid_run: Program, tmp_path: Path, engine_end: Callable[[Path], None]
) -> None:
    terminal = in_mid_run()
    terminal.signal(signal.SIGKILL)
    assert terminal.wait() == -signal.SIGKILL
    folder = only_session(tmp_path)
    engine_end(folder)
    assert last_event(folder) == {"event": "end", "complete": True}


def test_a_signal_ends_it_though_the_terminal_reads_no_more(in_mid_run: Program, tmp_path: Path) -> None:
    terminal = in_mid_run(size=(200, 60), on_hangup="stop")
    for width in (199, 200) * 30:  # each a whole screen, and nobody reads
        terminal.resize(width, 60)
        terminal.signal(signal.SIGWINCH)
    terminal.signal(signal.SIGTERM)
    while terminal.poll() is None:  # without reading
        pass
    assert terminal.poll() == 143


@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_leaves_where_nothing_runs(program: Program, how: str) -> None:
    terminal = program()
    terminal.wait_for("quit")
    terminal.send("\x03") if how == "key" else terminal.signal(signal.SIGINT)
    assert terminal.wait() == 0
    assert terminal.left_on() == []


@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_in_mid_run_cancels_and_stays(in_mid_run: Program, tmp_path: Path, how: str) -> None:
    terminal = in_mid_run()
    terminal.send("\x03") if how == "key" else terminal.signal(signal.SIGINT)
    terminal.wait_until(journal_has(tmp_path, b'"status":"cancelled"'), "the cancellation")
    terminal.wait_for("stopped")
    assert terminal.poll() is None
    terminal.send("\x03")  # nothing runs any more
    assert terminal.wait() == 0
    assert terminal.last_line() == ""


@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_twice_leaves_at_once(in_mid_run: Program, tmp_path: Path, how: str) -> None:
    terminal = in_mid_run()
    engine = engine_pid(only_session(tmp_path))
    os.kill(engine, signal.SIGSTOP)  # it does not answer
    try:
        for _ in range(2):
            terminal.send("\x03") if how == "key" else terminal.signal(signal.SIGINT)
            if how == "signal":
                terminal.wait_for("once more leaves")
        assert terminal.wait() == 130
        assert terminal.left_on() == []
    finally:
        os.kill(engine, signal.SIGCONT)


@pytest.mark.parametrize("how", ["key", "signal"])
def test_a_stopped_job_gives_the_terminal_back_and_comes_back(
    program: Program, tmp_path: Path, engine_end: Callable[[Path], None], how: str
) -> None:
    terminal = program(shell=True)
    terminal.wait_for("quit")
    if how == "key":
        terminal.send("\x1a")
    else:
        terminal.signal_child(signal.SIGTSTP)
    terminal.wait_for("same modes: stopped")
    assert terminal.left_on() == []
    before = len(terminal.seen)
    terminal.send("\n")
    terminal.wait_for("quit", after=before)  # drawn anew
    terminal.send("q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []


def test_ctrl_z_without_a_shell_that_could_continue_it_stops_nothing(program: Program) -> None:
    terminal = program()
    terminal.wait_for("quit")
    before = len(terminal.seen)
    terminal.send("\x1a")
    terminal.wait_until(lambda: b"\x1b[?1049h" in terminal.seen[before:], "the screens' own screen again")
    terminal.wait_for("quit", after=terminal.seen.rindex(b"\x1b[?1049h"))
    terminal.send("q")
    assert terminal.wait() == 0


def test_a_fault_of_the_screens_is_one_line(program: Program) -> None:
    terminal = program(
        script="from lbench.tui.screens.bench import BenchScreen\n"
        "def broken(self, frame): raise KeyError('made up')\n"
        "BenchScreen.show_frame = broken\n"
        "from lbench.cli import main; main()\n"
    )
    assert terminal.wait() == 1
    assert terminal.left_on() == []
    assert "internal error" in terminal.last_line() and "'made up'" in terminal.last_line()
    assert "Traceback" not in terminal.text()


def test_a_disk_without_room_for_a_session_is_reported_on_the_screen(program: Program, tmp_path: Path) -> None:
    terminal = program()
    terminal.wait_for("quit")
    (tmp_path / "data").rename(tmp_path / "away") if (tmp_path / "data").exists() else None
    (tmp_path / "data").write_text("no folder")
    terminal.send("r")
    terminal.wait_for("start")
    terminal.send("\r")
    terminal.wait_for("cannot create the folder")
    terminal.send("q")
    assert terminal.wait() == 0


_READ_ONLY = """
import os, sys
mount = 'mount --bind "$XDG_DATA_HOME" "$XDG_DATA_HOME" && mount -o remount,ro,bind "$XDG_DATA_HOME"'
space = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
os.execvp("unshare", [*space, "sh", "-c", mount + ' && exec "$0" -P -m lbench', sys.executable])
"""


@pytest.fixture
def mounts(tmp_path: Path) -> None:
    """Skips where nothing can be mounted in a namespace of one's own."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    space = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        done = subprocess.run([*space, "mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)], capture_output=True)
    except OSError as error:
        pytest.skip(f"no unshare here: {error.strerror}")
    if done.returncode:
        pytest.skip(f"this user may mount nothing: {done.stderr.decode(errors='replace').strip()}")


@pytest.mark.usefixtures("mounts")
def test_a_read_only_disk_is_reported_when_writing_and_can_be_read(program: Program, recorded: Path) -> None:
    terminal = program(script=_READ_ONLY)
    terminal.wait_for("quit")
    terminal.send("4")
    terminal.wait_for("1 comparison")
    terminal.wait_for("complete")
    terminal.send("d")
    terminal.wait_for("comparison?")
    terminal.send("y")
    terminal.wait_for("Read-only file system")
    assert recorded.is_dir()
    terminal.send("\r")  # it opens all the same
    terminal.wait_for("whole")
    terminal.send("r")
    terminal.wait_for("starts it")
    terminal.send("\r")
    terminal.wait_for("cannot record a session")
    terminal.send("q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []


_NO_ROOM_FOR_THE_JOURNAL = """
import resource
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui import launch
from lbench.tui.main import run

class Limited(launch.Engine):
    def __init__(self, *arguments, **options):
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
        super().__init__(*arguments, **options)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

launch.Engine = Limited
params = {"size": 64, "max_iterations": 20}
plan = Plan(workload="mandelbrot", params=params, tasks=16, repeats=1, backends=[parse_backend("sequential", {})])
raise SystemExit(run(plan=plan))
"""


@pytest.mark.parametrize("then", ["", "4"])
def test_a_session_that_the_disk_has_no_room_for_is_written_elsewhere_on_leaving(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    terminal = program(script=_NO_ROOM_FOR_THE_JOURNAL, size=(200, 40))
    terminal.wait_for("quit")
    terminal.send("r")
    terminal.wait_for("starts it")
    terminal.send("\r")
    terminal.wait_for("x exports it")
    for columns in range(199, 139, -1):
        mark = len(terminal.seen)
        terminal.resize(columns, 40)  # everything is written anew
        terminal.wait_for("quit", after=mark)
        terminal.read(0.5)
        if "16/16" in terminal.text(mark):
            break
    terminal.send(then + "q")
    assert terminal.wait() == 0
    assert terminal.left_on() == []
    (written,) = (tmp_path / "cwd").glob("lbench-*.json")
    assert terminal.last_line() == (
        f"the disk had no room for all of {only_session(tmp_path)}: the complete session is in {written}"
    )
    exported = json.loads(written.read_bytes())
    assert [(run["label"], len(run["invocations"])) for run in exported["runs"]] == [("sequential", 16)]
    assert exported["complete"] is True
