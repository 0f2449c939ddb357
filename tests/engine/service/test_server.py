"""The engine as a process: what is left when it, what started it, or what it started is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lbench.engine.journal.events import Returned, RunEnded, RunStarted, SessionEnded, SessionStarted
from lbench.engine.journal.lock import is_live
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.service.client import Engine, Follower, new_session_folder
from lbench.engine.session.view import SessionView, load_folder
from lbench.errors import EngineLostError, InputError

_HANG_S = 180.0  # no measure of speed: a test that waits so long has failed


def plan(seconds: float = 0.02, tasks: int = 20, backend: str = "processes:concurrency=2", repeats: int = 1) -> Plan:
    params = {"kind": "sleep", "seconds": seconds}
    return Plan("probe", params, tasks=tasks, backends=[parse_backend(backend, {})], repeats=repeats)


class Session:
    """An engine process and a viewer of it."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder, self.socket = folder, socket
        self.view = SessionView()
        self.lost = False
        self.follower = Follower(folder, socket)
        self.follower.follow()

    @property
    def pid(self) -> int:
        return int(self.socket.stem.rpartition("-")[2])

    def until(self, wanted: Callable[[object], bool]) -> object:
        """Follow up to an event."""
        end = time.monotonic() + _HANG_S
        while time.monotonic() < end:
            found = None
            try:
                for event in self.follower.receive(1.0):
                    self.view.apply(event)
                    found = event if found is None and wanted(event) else found
            except EngineLostError:
                self.lost = True
            if found is not None:
                return found
            if self.lost:
                raise EngineLostError("the engine has ended")
        raise AssertionError("nothing like that happened")

    def running(self) -> list[psutil.Process]:
        """Follow until tasks run; the engine and all its processes."""
        self.until(lambda event: isinstance(event, Returned) and event.status == "ok")
        engine = psutil.Process(self.pid)
        return [engine, *engine.children(recursive=True)]

    def recorded(self) -> None:
        """Wait until the file, too, holds a finished task: a thread writes it, and a viewer may be ahead of it."""
        end = time.monotonic() + _HANG_S
        while not any(run.finished_tasks for run in load_folder(self.folder).runs.values()):
            assert time.monotonic() < end
            time.sleep(0.02)

    def to_the_end(self) -> SessionView:
        with contextlib.suppress(EngineLostError):
            self.until(lambda event: False)
        assert self.lost
        return self.view


def gone(processes: list[psutil.Process]) -> bool:
    """Wait until all have ended; one that nobody has reaped yet has."""
    end = time.monotonic() + _HANG_S
    for process in processes:
        while True:
            try:
                if process.status() == psutil.STATUS_ZOMBIE or not process.is_running():
                    break
            except psutil.NoSuchProcess:
                break
            if time.monotonic() > end:
                return False
            time.sleep(0.02)  # processes that are not ours can only be polled
    return True


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[Engine, Session]]]:
    started: list[tuple[Engine, Session]] = []

    def make(on_hangup: str = "stop") -> tuple[Engine, Session]:
        engine = Engine(new_session_folder(), on_hangup=on_hangup)
        session = Session(engine.folder, engine.socket)
        started.append((engine, session))
        return engine, session

    yield make
    for engine, session in started:
        session.follower.close()
        engine.let_go()
        engine.process.kill()
        engine.process.wait()


_LAUNCHER = """
import sys
from lbench.engine.service.client import Engine, Follower, new_session_folder
import msgspec
from lbench.engine.plan.plan import Plan
engine = Engine(new_session_folder(), on_hangup=sys.argv[1])
follower = Follower(engine.folder, engine.socket)
follower.start(msgspec.json.decode(sys.argv[2], type=Plan), last=sys.argv[3] == "last")
print(engine.folder, engine.socket, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def launched(on_hangup: str, what: Plan, last: bool = True) -> Iterator[tuple[subprocess.Popen[str], Session]]:
    """A process that has started an engine, as `lbench run` does."""
    import msgspec

    argv = [
        sys.executable,
        "-P",
        "-c",
        _LAUNCHER,
        on_hangup,
        msgspec.json.encode(what).decode(),
        "last" if last else "",
    ]
    launcher = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert launcher.stdin is not None and launcher.stdout is not None
    with launcher.stdin, launcher.stdout:
        folder, socket = launcher.stdout.readline().split()
        session = Session(Path(folder), Path(socket))
        try:
            yield launcher, session
        finally:
            launcher.kill()
            launcher.wait()
            session.follower.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(session.pid, signal.SIGKILL)


def log_of(session: Session) -> str:
    return (session.folder / "engine.log").read_text()


# -- the straight way


def test_a_plan_is_carried_out_and_the_engine_leaves_nothing_but_the_record(start):
    engine, session = start()
    session.follower.start(plan(), last=True)
    everyone = session.running()
    view = session.to_the_end()
    assert engine.wait(_HANG_S) == 0
    assert view.complete and view.end == SessionEnded(True)
    assert view.runs["r1"].status == "ok" and view.runs["r1"].answer.ok is True
    assert gone(everyone) and len(everyone) >= 3
    assert not session.socket.exists()
    assert sorted(path.name for path in session.folder.iterdir()) == ["engine.log", JOURNAL_NAME, "lock"]
    assert log_of(session) == ""


def test_a_viewer_sees_what_the_file_holds(start):
    engine, session = start()
    session.follower.start(plan(tasks=50), last=True)
    session.to_the_end()
    engine.wait(_HANG_S)
    assert session.view.events == load_folder(session.folder).events
    columns = load_folder(session.folder).runs["r1"].columns
    assert [columns.row(n) for n in range(50)] == [session.view.runs["r1"].columns.row(n) for n in range(50)]


def test_the_socket_and_the_folder_are_their_owners_only(start):
    _, session = start()
    assert stat.S_IMODE(session.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(session.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((session.folder / JOURNAL_NAME).stat().st_mode) == 0o600


def test_an_invalid_plan_is_refused_and_the_engine_goes_on(start):
    _, session = start()
    bad = [
        Plan("mandelbrotx", backends=[BackendChoice("processes", "p")]),
        Plan("probe"),
        Plan("probe", backends=[BackendChoice("emulated", "e", {"region": "mars-north-1"})]),
        Plan("probe", {"seconds": -1}, backends=[BackendChoice("processes", "p")]),
    ]
    refusals: list[str] = []
    for each in bad:
        session.follower.start(each, last=True)
        while not (problems := session.follower.problems()):
            for event in session.follower.receive(_HANG_S):
                session.view.apply(event)
        refusals += problems
    assert [text.split(":")[0] for text in refusals] == [
        "unknown workload 'mandelbrotx'", "no backend to run on", refusals[2].split(":")[0], "parameter seconds=-1",
    ]  # fmt: skip
    assert "mars-north-1" in refusals[2]
    session.follower.start(plan(), last=True)
    assert session.to_the_end().complete


def test_a_second_plan_is_refused_while_the_first_runs(start):
    _, session = start()
    session.follower.start(plan(seconds=30), last=False)
    session.until(lambda event: isinstance(event, RunStarted))
    session.follower.start(plan(), last=True)
    while not (problems := session.follower.problems()):
        list(session.follower.receive(_HANG_S))
    assert "cancel it first" in problems[0]


def test_cancel_keeps_the_engine_for_the_next_plan(start):
    _, session = start()
    session.follower.start(plan(seconds=0.05, tasks=2000), last=False)
    session.until(lambda event: isinstance(event, Returned))
    session.follower.command("cancel")
    session.until(lambda event: isinstance(event, RunEnded))
    assert session.view.runs["r1"].status == "cancelled"
    session.until(lambda event: type(event).__name__ == "Phase" and event.text == "")
    session.follower.command("cancel")  # nothing runs: nothing happens, to the next plan neither
    problems = ["again"]
    while problems:  # the first plan's backends may still be closing
        session.follower.start(plan(), last=True)
        session.until(lambda event: True)
        problems = session.follower.problems()
    view = session.to_the_end()
    assert view.runs["r2"].status == "ok"
    assert not view.complete


def test_a_cancel_right_after_a_start_is_not_lost(start):
    _, session = start()
    session.follower.start(plan(seconds=30), last=True)
    session.follower.command("cancel")
    view = session.to_the_end()
    assert view.end == SessionEnded(False, "cancelled")
    assert all(run.started is None for run in view.runs.values())


def test_an_engine_in_a_locked_folder_is_an_error_of_one_line(start):
    _, session = start()
    with pytest.raises(InputError, match="another engine is writing to"):
        Engine(session.folder, on_hangup="stop")
    assert is_live(session.folder)


def test_an_engine_does_not_write_into_an_old_session(start):
    engine, session = start()
    session.follower.command("stop")
    session.to_the_end()
    engine.wait(_HANG_S)
    with pytest.raises(InputError, match="holds a session already"):
        Engine(session.folder, on_hangup="stop")


def test_a_name_may_look_like_an_option():
    engine = Engine(new_session_folder(), on_hangup="stop", name="--name")
    session = Session(engine.folder, engine.socket)
    session.until(lambda event: isinstance(event, SessionStarted))
    assert session.view.header.name == "--name"
    session.follower.close()
    engine.let_go()
    assert engine.wait(_HANG_S) == 0


# -- what started it goes


def test_when_the_launcher_is_killed_the_engine_stops_and_leaves_nothing(start):
    with launched("stop", plan(seconds=0.2, tasks=500)) as (launcher, session):
        everyone = session.running()
        launcher.kill()
        view = session.to_the_end()
        assert gone(everyone)
        assert view.runs["r1"].status == "cancelled"
        assert view.end == SessionEnded(False, "the launching process exited")
        assert not session.socket.exists() and not is_live(session.folder)
        read = load_folder(session.folder)
        assert read.runs["r1"].status == "cancelled"
        assert read.runs["r1"].in_flight == 0
        assert log_of(session) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing would end the guard with the engine")
def test_an_engine_whose_loop_stands_still_is_killed_once_its_launcher_is_gone():
    """C code in a job that keeps the interpreter's lock: neither the end of the launcher nor a signal is noticed."""
    code = (
        "import asyncio, sys\n"
        "from lbench.engine import __main__ as engine\n"
        "engine._STUCK_S = 0.1\n"
        "async def stuck(*arguments):\n"
        "    print('begun', flush=True)\n"
        "    sum(range(10**15))\n"
        "engine._run = stuck\n"
        "sys.argv = ['engine', '/nowhere', '--on-hangup', 'stop']\n"
        "engine.main()\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert engine.stdin is not None and engine.stdout is not None
    assert engine.stdout.readline() == b"begun\n"
    everyone = psutil.Process(engine.pid).children()
    assert len(everyone) == 1 and engine.poll() is None
    engine.stdin.close()
    assert engine.wait(_HANG_S) == -signal.SIGKILL
    assert gone(everyone)
    engine.stdout.close()


def test_when_the_launcher_is_killed_before_the_first_run_the_engine_stops_as_well():
    with launched("stop", plan(seconds=30)) as (launcher, session):
        engine = psutil.Process(session.pid)
        launcher.kill()
        assert gone([engine, *engine.children(recursive=True)])
        assert not is_live(session.folder)
        assert not load_folder(session.folder).complete


@pytest.mark.parametrize("last", [True, False])
def test_an_engine_with_on_hangup_finish_finishes_and_ends(last):
    with launched("finish", plan(seconds=0.05, tasks=40), last) as (launcher, session):
        everyone = session.running()
        launcher.kill()
        view = session.to_the_end()
        assert gone(everyone)
        assert view.runs["r1"].status == "ok" and view.complete
        assert not session.socket.exists()


def test_an_idle_engine_ends_with_its_launcher_and_its_session_is_complete(start):
    engine, session = start("finish")
    session.follower.start(plan(), last=False)
    session.until(lambda event: type(event).__name__ == "Answered")
    session.until(lambda event: type(event).__name__ == "Phase" and event.text == "")
    engine.let_go()
    view = session.to_the_end()
    assert engine.wait(_HANG_S) == 0
    assert view.runs["r1"].status == "ok"


def test_an_engine_that_was_left_before_anything_was_asked_of_it_leaves_no_session(start):
    engine, session = start()
    engine.let_go()
    with pytest.raises(EngineLostError):
        session.until(lambda event: False)
    assert engine.wait(_HANG_S) == 0
    assert not session.folder.exists()


# -- it goes itself


def test_when_the_engine_is_killed_its_processes_end_and_the_session_can_be_read(start):
    engine, session = start()
    session.follower.start(plan(seconds=0.2, tasks=500), last=True)
    everyone = session.running()
    session.recorded()
    engine.process.kill()
    with pytest.raises(EngineLostError):
        session.until(lambda event: False)
    engine.wait(_HANG_S)
    assert gone(everyone) and len(everyone) >= 3
    view = load_folder(session.folder)
    assert view.runs["r1"].status == "interrupted"
    assert view.runs["r1"].finished_tasks > 0 and not view.complete
    assert session.view.events >= view.events > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_engine_with_a_complete_record(start, number):
    engine, session = start()
    session.follower.start(plan(seconds=0.2, tasks=500), last=True)
    everyone = session.running()
    engine.process.send_signal(number)
    view = session.to_the_end()
    assert engine.wait(_HANG_S) == 0
    assert gone(everyone)
    assert view.end == SessionEnded(False, f"the engine got {number.name}")
    assert view.runs["r1"].status == "cancelled" and view.runs["r1"].in_flight == 0
    assert not session.socket.exists()
    assert log_of(session) == ""


def test_a_hangup_signal_is_ignored(start):
    engine, session = start()
    session.follower.start(plan(seconds=0.02, tasks=40), last=True)
    session.running()
    engine.process.send_signal(signal.SIGHUP)
    assert session.to_the_end().complete


# -- what it started goes


@pytest.mark.parametrize("backend", ["processes:concurrency=2", "sequential", "threads:concurrency=2"])
def test_when_a_worker_is_killed_its_task_runs_again_and_the_run_is_saved(start, backend):
    _, session = start()
    session.follower.start(plan(seconds=0.1, tasks=30, backend=backend), last=True)
    engine, *workers = session.running()
    victim = next(
        worker for worker in workers if any(word.endswith("backends.local.worker") for word in worker.cmdline())
    )
    victim.kill()
    view = session.to_the_end()
    run = view.runs["r1"]
    assert run.status == "ok" and run.answer.ok is True and view.complete
    assert run.failed_attempts >= 1 and run.finished_tasks == 30
    lost = [row for row in map(run.columns.row, range(len(run.columns))) if row["status"] == "error"]
    assert {row["error"].type for row in lost} == {"WorkerDied"}
    assert all(row["error"].retriable for row in lost)
    assert gone([engine, *workers])
