"""`lbench check` by the real command: a job of a user's own, what it does besides, and jobs that cannot be sampled."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]

_JOBS = """
import os, socket, subprocess, tempfile
from lbench import Task

def work(i):
    block = b"x" * (120 << 20)
    with tempfile.NamedTemporaryFile() as file:
        file.write(block[: 20 << 20])
        file.flush()
        for _ in range(200_000):
            pass
        import time
        time.sleep(0.3)
    subprocess.run(["true"])
    try:
        socket.create_connection(("127.0.0.1", 9), timeout=0.1)
    except OSError:
        pass
    try:
        open("/proc/lbench-no-such-file", "w")
    except OSError:
        pass
    for name in (os.path.join(os.environ["HOME"], "mine.db"), "relative.txt", "/tmp/lbench-test-of-check"):
        with open(name, "w") as file:
            file.write("x")
    os.unlink(name)
    return bytes(i)

def job(n: int = 2):
    return (yield [Task(work, i=i) for i in range(n)])

def plain(i):
    return i

def clean(n: int = 5):
    return sum((yield [Task(plain, i=i) for i in range(n)]))

def slow_first(i, seen=[]):
    import time
    time.sleep(0.01 if seen else 0.4)
    seen.append(i)
    return i

def imports(n: int = 4):
    return (yield [Task(slow_first, i=i) for i in range(n)])

def empty():
    return (yield [])

def never():
    while True:
        pass
    yield []

def endless():
    while True:
        yield [Task(plain, i=1)]

def slow(i, seconds):
    import time
    time.sleep(seconds)
    return i

def slow_stages():
    while True:
        yield [Task(slow, i=1, seconds=0.6)]

def spin(i):
    import time
    if i == 1:
        time.sleep(600)
    end = time.thread_time() + 0.25
    while time.thread_time() < end:
        pass

def cut_off():
    yield [Task(spin, i=i) for i in range(3)]

def stuck(i):
    import time
    time.sleep(600)

def stuck_job():
    yield [Task(stuck, i=1), Task(stuck, i=2)]

def bad(i):
    raise ValueError("no\\nsuch thing")

def fails():
    yield [Task(bad, i=1)]
"""


@pytest.fixture
def jobs(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(home))
    (home / "mine.py").write_text(_JOBS)
    return home


def test_what_tasks_do_besides_computing_is_measured_and_named(lbench: Lbench, jobs: Path) -> None:
    done = lbench("check", "./mine.py:job", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    rows = {row["what"]: row for row in found["rows"]}
    assert rows["peak memory"]["value"] >= 120
    assert rows["files in /tmp"]["value"] >= 20
    assert rows["programs started"]["measured"] == "true"
    assert rows["files written"]["detail"] == f"{jobs}/mine.db, working folder: relative.txt"
    assert "network" not in rows
    assert rows["ports of this machine"]["measured"] == "127.0.0.1:9"
    assert found["sample"]["complete"]
    assert not found["possible"]


def test_a_table_of_80_columns_has_the_limit_and_the_verdict(
    lbench: Lbench, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = lbench("check", "./mine.py:clean")
    assert done.returncode == 0, done.stderr
    head = done.stdout.splitlines()[0].split()
    assert head == ["WHAT", "MEASURED", "LIMIT", "HEADROOM", "VERDICT"]
    table = done.stdout.split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "mine.py:clean can run on AWS Lambda" in done.stdout


def test_what_only_the_first_task_does_is_no_long_task(lbench: Lbench, jobs: Path) -> None:
    done = lbench("check", "./mine.py:imports", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    longest = next(row for row in found["rows"] if row["what"] == "longest task")
    assert longest["value"] < 0.3
    assert not any("cut it into smaller ones" in note for note in found["notes"])


def test_a_stage_that_ends_with_the_time_is_a_sample_and_what_follows_is_not_counted(
    lbench: Lbench, jobs: Path
) -> None:
    done = lbench("estimate", "./mine.py:slow_stages", "--for", "1")
    assert done.returncode == 0, done.stderr
    assert "the job had not ended after 1 s: what follows its first " in " ".join(done.stdout.split())


def test_a_task_that_is_cut_off_does_not_make_the_others_wait(lbench: Lbench, jobs: Path) -> None:
    done = lbench("estimate", "./mine.py:cut_off", "--for", "12", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["sample"]
    assert found["sampled_tasks"] < 3
    assert found["stages"][0]["wait"] < 0.3


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("./mine.py:never", "--for", "1"), "does it ever?"),
        (("./mine.py:endless", "--for", "1"), "does it ever end?"),
        (("./mine.py:stuck_job", "--for", "1"), "no task ended within 1 s: does one ever?"),
        (("./mine.py:empty",), "the job has ended without a task"),
        (("./mine.py:fails",), "task 1 of 1 fails on this machine: ValueError: no such thing"),
        (("mandelbrot", "--for", "0"), "--for must be above 0"),
        (("mandelbrot", "--for", "soon"), "--for must be a number"),
        (("mandelbrot", "--data", "x.csv"), "reads no data"),
        (("function",), "lbench run function"),
        (("mandelbro",), "did you mean"),
    ],
)
def test_a_job_that_cannot_be_sampled_gets_one_line(
    lbench: Lbench, jobs: Path, args: tuple[str, ...], line: str
) -> None:
    done = lbench("check", *args)
    assert done.returncode == 2
    assert line in done.stderr
    lines = [text for text in done.stderr.splitlines() if not text.endswith(" ...")]  # what was under way
    assert len(lines) == 1 or "Traceback" in done.stderr  # a user's own traceback may stand above
    assert done.stdout == ""
