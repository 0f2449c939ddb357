"""Signals and closed terminals in mid-run: the results so far are saved, and no process stays."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]
Started = Callable[..., "subprocess.Popen[str]"]
LONG = (
    "run",
    "probe",
    "-b",
    "processes",
    "-p",
    "kind=sleep",
    "-p",
    "seconds=0.05",
    "--tasks",
    "4000",
    "--repeats",
    "2",
)


def wait_for_journal(home: Path, part: bytes) -> Path:
    """The session's folder, once its journal holds `part`."""
    deadline_s = time.monotonic() + 180
    while time.monotonic() < deadline_s:
        for journal in (home / "data" / "lbench" / "sessions").glob("*/events.jsonl"):
            if part in journal.read_bytes():
                return journal.parent
        time.sleep(0.02)
    raise AssertionError(f"no journal with {part!r}")


def engine_pid(folder: Path) -> int:
    return int(json.loads((folder / "engine.json").read_bytes())["pid"])


def is_gone(pid: int, within_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_keeps_what_was_measured(
    started: Started, lbench: Lbench, home: Path, number: signal.Signals, code: int
) -> None:
    process = started(*LONG)
    folder = wait_for_journal(home, b'"returned"')
    engine = engine_pid(folder)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert str(folder) in out + err
    assert "Traceback" not in out + err
    assert is_gone(engine)
    assert lbench("export", "last", "-o", "out.json").returncode == 0
    document = json.loads((home / "out.json").read_text())
    assert document["complete"] is False
    (run,) = document["runs"]
    assert run["status"] == "cancelled"
    assert any(invocation["status"] == "ok" for invocation in run["invocations"])


def test_a_second_ctrl_c_ends_at_once(started: Started, home: Path) -> None:
    process = started(*LONG)
    folder = wait_for_journal(home, b'"returned"')
    engine = engine_pid(folder)
    os.kill(engine, signal.SIGSTOP)  # it does not answer
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert str(folder) in process.stderr.read()
    os.kill(engine, signal.SIGCONT)
    assert is_gone(engine)


def test_an_interrupt_before_the_measurement_is_one_line(started: Started, home: Path) -> None:
    (home / "mine.py").write_text(
        "import pathlib, time\n"
        f"pathlib.Path({str(home / 'began')!r}).touch()\n"
        "time.sleep(300)\n"
        "def f(x: int): return x\n"
    )
    process = started("run", "./mine.py:f", "--each", "x=1,2", "-b", "sequential", "--quiet", "-o", "out.json")
    while not (home / "began").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120) == ("", "lbench: interrupted\n")
    assert process.returncode == 130 and not (home / "out.json").exists()


def test_a_run_during_which_the_engine_was_stopped_is_marked_and_counts_in_no_figure(
    started: Started, lbench: Lbench, home: Path
) -> None:
    process = started(
        *("run", "probe", "-b", "processes", "-p", "kind=sleep", "-p", "seconds=0.5", "--tasks", "8"),
        *("--concurrency", "2", "--repeats", "2", "-o", "out.json"),
    )
    engine = engine_pid(wait_for_journal(home, b'"returned"'))
    os.kill(engine, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(engine, signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    document = json.loads((home / "out.json").read_text())
    assert [run["paused"] for run in document["runs"]] == [True, False]
    assert [warning["run"] for warning in document["warnings"] if warning["code"] == "paused"] == ["r1"]
    assert "‖ 1/2" in out and "measured once" in out
    assert "was under way while the engine stood still" in out
    assert "1 repeat has no interval and cannot show a drift; 1 other was paused: measure again" in " ".join(
        out.split()
    )


def test_an_engine_that_dies_leaves_an_interrupted_run(started: Started, lbench: Lbench, home: Path) -> None:
    process = started(*LONG)
    folder = wait_for_journal(home, b'"returned"')
    os.kill(engine_pid(folder), signal.SIGKILL)
    _out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the engine has died" in err and str(folder) in err
    lbench("export", "last", "-o", "out.json")
    assert json.loads((home / "out.json").read_text())["runs"][0]["status"] == "interrupted"


def test_when_run_is_killed_the_engine_stops(started: Started, home: Path) -> None:
    process = started(*LONG)
    engine = engine_pid(wait_for_journal(home, b'"returned"'))
    process.kill()
    assert is_gone(engine)


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, home: Path, *args: str, term: str = "xterm-256color") -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        argv = [sys.executable, "-m", "lbench", *args]
        environment = {**os.environ, "TERM": term}
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, cwd=home, env=environment)
        os.close(slave)

    def read(self, until: str | None = None) -> str:
        """What it writes, until that is in it, or to its end."""
        output = b""
        deadline_s = time.monotonic() + 180
        while until is None or until not in output.decode(errors="replace"):
            assert time.monotonic() < deadline_s, output.decode(errors="replace")
            if not select.select([self.master], [], [], 0.2)[0]:
                if self.process.poll() is not None:
                    break
                continue
            try:
                block = os.read(self.master, 65536)
            except OSError:  # the other end is closed
                break
            output += block
        return output.decode(errors="replace")

    def close(self) -> int:
        os.close(self.master)
        return self.process.wait(timeout=120)


SHORT = ("run", "probe", "-b", "sequential", "-b", "processes", "-p", "kind=sleep", "--tasks", "60", "--repeats", "1")


def test_a_terminal_gets_a_picture_that_is_gone_afterwards(home: Path) -> None:
    terminal = Terminal(home, *SHORT)
    output = terminal.read()
    assert terminal.close() == 0
    assert "━" in output and "▶ " in output
    assert "\x1b[?25l" in output and "\x1b[?25h" in output  # the cursor is back
    table = output[output.rindex("BACKEND") :]
    assert "✔ same" in table and "SPEEDUP" in table


def test_a_dumb_terminal_and_no_color_get_plain_text(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(home, *SHORT, term="dumb")
    output = terminal.read()
    assert terminal.close() == 0
    assert "\x1b" not in output and "sequential 1/1: ✔" in output
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal(home, *SHORT)
    output = terminal.read()
    assert terminal.close() == 0
    assert "\x1b[38" not in output and "━" in output


def test_closing_the_terminal_stops_and_saves(home: Path) -> None:
    script = "import os, sys; os.setsid(); import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    script += "os.execv(sys.executable, [sys.executable, '-m', 'lbench', *sys.argv[1:]])"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script, *LONG],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=home,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(slave)
    folder = wait_for_journal(home, b'"returned"')
    engine = engine_pid(folder)
    os.close(master)
    assert process.wait(timeout=120) == 129
    assert is_gone(engine)
    assert b'"end"' in (folder / "events.jsonl").read_bytes()
