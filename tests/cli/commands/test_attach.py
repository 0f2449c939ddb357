"""`lbench attach` where there are no screens: plain lines, a report, and one line where no engine runs."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lbench.engine.service.client import Follower
from lbench.engine.service.discovery import engine_socket

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]
Started = Callable[..., "subprocess.Popen[str]"]
RUN = ("run", "probe", "-b", "threads:concurrency=2", "-p", "kind=sleep", "-p", "seconds=0.02", "--repeats", "1")


def running_session(home: Path) -> Path:
    """The session's folder, once tasks return."""
    deadline_s = time.monotonic() + 180
    while time.monotonic() < deadline_s:
        for journal in (home / "data/lbench/sessions").glob("*/events.jsonl"):
            if b'"returned"' in journal.read_bytes():
                return journal.parent
        time.sleep(0.02)
    raise AssertionError("no task has returned")


def attach_in_mid_run(started: Started, folder: Path) -> "subprocess.Popen[str]":
    """A viewer that follows; the run is paused until it does, so that it cannot end before."""
    control = Follower(folder, engine_socket(folder))
    control.command("pause")
    viewer = started("attach")
    assert viewer.stderr is not None and "started" in viewer.stderr.readline()
    control.command("resume")
    control.close()
    return viewer


def test_without_an_engine_there_is_one_line(lbench: Lbench) -> None:
    done = lbench("attach")
    assert done.returncode == 2
    assert done.stderr == "lbench: no engine is running: lbench sessions lists what was recorded\n"


def test_a_session_that_is_over_gets_one_line(lbench: Lbench) -> None:
    lbench(*RUN, "--tasks", "2", "--quiet")
    done = lbench("attach", "last")
    assert done.returncode == 2
    assert "no engine is running for session" in done.stderr and done.stderr.count("\n") == 1


def test_an_unknown_session_gets_one_line(lbench: Lbench) -> None:
    done = lbench("attach", "nonsense")
    assert done.returncode == 2 and "no session 'nonsense'" in done.stderr


def test_an_engine_of_another_machine_is_named(lbench: Lbench, home: Path) -> None:
    folder = home / "data/lbench/sessions/20260101-000000-abcd"
    folder.mkdir(parents=True)
    (folder / "engine.json").write_text(json.dumps({"pid": 1, "host": "elsewhere", "socket": "/tmp/x"}))
    done = lbench("attach", folder.name)
    assert done.returncode == 2 and "runs on elsewhere: attach to it there" in done.stderr


def test_on_a_pipe_it_follows_to_the_end_and_reports(started: Started, home: Path) -> None:
    measuring = started(*RUN, "--tasks", "200")
    folder = running_session(home)
    viewer = attach_in_mid_run(started, folder)
    stdout, stderr = viewer.communicate(timeout=60)
    assert viewer.returncode == 0, stderr
    assert "threads" in stdout and folder.name in stdout
    assert "Traceback" not in stderr
    measuring.communicate(timeout=60)
    assert measuring.returncode == 0


def test_a_run_that_the_budget_stopped_has_the_exit_code_of_that(started: Started, home: Path) -> None:
    job = ("run", "probe", "-b", "emulated:concurrency=1,arch=x86_64", "-p", "kind=sleep", "-p", "seconds=0.3")
    measuring = started(*job, "--tasks", "100", "--repeats", "1", "--timeout", "1", "--max-usd", "0.0013")
    viewer = attach_in_mid_run(started, running_session(home))
    stdout, stderr = viewer.communicate(timeout=60)
    assert viewer.returncode == 3, stdout + stderr
    assert "stopped by --max-usd" in stdout
    measuring.communicate(timeout=60)
    assert measuring.returncode == 3


def test_leaving_early_leaves_the_engine_alone(started: Started, home: Path) -> None:
    measuring = started(*RUN, "--tasks", "300")
    folder = running_session(home)
    viewer = attach_in_mid_run(started, folder)
    viewer.send_signal(signal.SIGINT)
    _, stderr = viewer.communicate(timeout=120)
    assert viewer.returncode == 130
    assert f"lbench attach {folder.name}" in stderr
    measuring.communicate(timeout=60)
    assert measuring.returncode == 0
