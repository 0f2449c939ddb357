"""`lbench run map_reduce` on every backend that is here: equal answers, counted requests, nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from lbench.engine.model import EXCHANGES

Lbench = Callable[..., "CompletedProcess[str]"]
SMALL = ("run", "map_reduce", "-p", "rows=2000", "-p", "reducers=3", "--tasks", "4", "--repeats", "1", "--quiet")


def left(home: Path) -> list[Path]:
    """What lies in the sessions' folders of objects."""
    return list(home.rglob("objects"))


@pytest.mark.parametrize(
    ("job", "backends"),
    [
        ("group_by", ("sequential", "threads", "processes", "emulated")),
        ("word_count", ("sequential", "emulated")),
        ("sort", ("processes", "emulated")),
    ],
)
def test_every_backend_gives_the_same_bytes(lbench: Lbench, home: Path, job: str, backends: tuple[str, ...]) -> None:
    chosen = [part for name in backends for part in ("-b", name)]
    done = lbench(*SMALL, "-p", f"job={job}", *chosen, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [run["label"] for run in document["runs"]] == list(backends)
    assert len({run["answer"]["digest"] for run in document["runs"]}) == 1
    assert all(run["answer"]["ok"] and len(run["invocations"]) == 7 for run in document["runs"])
    assert all(run["answer"]["summary"]["reducers"] == 3 for run in document["runs"])
    assert all((EXCHANGES in run["notes"]) == (run["backend"] != "emulated") for run in document["runs"])
    emulated = document["runs"][-1]
    # Each of 4 mappers gets its split, and one more an environment the data set's header; 12 objects are put and got;
    # the data set is put, the objects are listed once when they are deleted. Deleting is free.
    environments = len(emulated["environments"])
    usd = (12 + 1 + 1) * 0.000005 + (4 + environments + 12) * 0.0000004
    assert 0 < float(emulated["cost"]["items"]["s3"]) - usd < 1e-9  # the rest: what the bytes cost while they lay there
    assert left(home) == []


def test_retries_and_duplicates_change_nothing(lbench: Lbench, home: Path) -> None:
    rough = "emulated:duplicate_rate=0.3,lost_rate=0.2,condition_seed=5"
    done = lbench(*SMALL, "-b", "sequential", "-b", rough, "--retries", "20", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert max(row["attempt"] for row in document["runs"][1]["invocations"]) > 0
    assert len({run["answer"]["digest"] for run in document["runs"]}) == 1


def test_what_a_killed_engine_leaves_the_next_one_removes(
    lbench: Lbench, home: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started("run", "map_reduce", "-b", "processes", "-p", "rows=500000", "--tasks", "100", "--quiet")
    while not (folders := [path for path in left(home) if any(path.glob("*/o*"))]):
        assert process.poll() is None
    where = json.loads((folders[0].parent / "engine.json").read_bytes())
    os.kill(where["pid"], signal.SIGKILL)
    process.wait(60)
    assert left(home) == folders
    assert lbench("run", "probe", "-b", "sequential", "--tasks", "1", "--repeats", "1", "--quiet").returncode == 0
    assert left(home) == []


def test_impossible_settings_get_one_line_and_exit_code_2(lbench: Lbench, home: Path) -> None:
    (home / "latin.txt").write_bytes(b"good\n" * 100 + b"caf\xe9\n")
    (home / "table.csv").write_text("city,price\nRome,1\n")
    (home / "notes.csv").write_text("# by hand\ncity,price\nRome,1\n")
    for more, expected in (
        (
            ("--data", "notes.csv", "-p", "by=city", "-p", "column=price"),
            "column by= 'city': the first line begins with #",
        ),
        (("-p", "job=word_count", "--data", "latin.txt"), "line 101, byte 4: 0xe9 is not UTF-8"),
        (("--data", "table.csv", "-p", "by=town", "-p", "column=price"), "unknown column by= 'town'"),
        (("--data", "table.csv"), "-p by="),
        (("-p", "job=sort", "--data", "table.csv"), "reads no file"),
    ):
        done = lbench(*SMALL, "-b", "sequential", *more)
        assert done.returncode == 2 and expected in done.stderr
        assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_an_own_job_that_exchanges_objects_is_noted_as_such_by_what_it_does(lbench: Lbench, home: Path) -> None:
    (home / "exchange.py").write_text(
        "from lbench import Task\n"
        "from lbench.workloads.objects import RUN_STORE, open_store\n"
        "def put(store, n):\n"
        "    open_store(store).put(str(n), bytes(n))\n"
        "def get(store, n):\n"
        "    return len(open_store(store).get(str(n)))\n"
        "def job(stored: bool = True):\n"
        "    if not stored:\n"
        "        return 0\n"
        "    yield [Task(put, store=RUN_STORE, n=3)]\n"
        "    return sum((yield [Task(get, store=RUN_STORE, n=3)]))\n"
    )
    own = ("run", "./exchange.py:job", "-b", "sequential", "--repeats", "1", "--quiet")
    stored = lbench(*own, "--json")
    assert stored.returncode == 0, stored.stderr
    document = json.loads(stored.stdout)
    assert document["runs"][0]["notes"] == [EXCHANGES]
    assert all(one["parameters"]["exchanges"] for one in document["predictions"])
    assert f"sequential: {EXCHANGES}" in lbench(*own).stdout
    assert json.loads(lbench(*own, "-p", "stored=no", "--json").stdout)["runs"][0]["notes"] == []
