"""The golden table: tasks of known length on every backend that needs no account, each figure recomputed from the exports.

The figures are those of the table (makespan, speedup, their intervals or ranges, quantiles, cold starts, peak memory, cost),
the quantiles and rents below it, and each amount of money in the exports; tests/golden.py computes them without lbench.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]
GOLDEN = Path(__file__).parents[1] / "golden.py"
LENGTHS_S = [("sleep", 0.006), ("spin", 0.002), ("sleep", 0.012), ("spin", 0.004)]  # of the tasks, in turn

WORKLOAD = f"""
import time
from lbench import Task

def sleep(seconds):
    time.sleep(seconds)
    return seconds

def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds

def lengths(tasks):
    known = {LENGTHS_S}
    return [known[number % len(known)] for number in range(tasks)]

def job(tasks: int = 8):
    return (yield [Task(sleep if kind == "sleep" else spin, seconds=seconds) for kind, seconds in lengths(tasks)])

def reference(tasks):
    return [(sleep if kind == "sleep" else spin)(seconds) for kind, seconds in lengths(tasks)]
"""


POOLS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def processes():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
"""


def shown_table(report: str) -> dict[str, dict[str, str]]:
    """The table of a report: each line's name and its cells by column; an interval goes by the column before it."""
    lines = report.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("BACKEND"))
    titles: list[str] = []
    for title in re.split(r"\s{2,}", lines[first].strip()):
        titles.append(f"{titles[-1]} interval" if title in ("95 %", "RANGE", "95 % OR RANGE") else title)
    table = {}
    for line in lines[first + 1 :]:
        if not line.startswith("▌"):
            break
        cells = re.split(r"\s{2,}", line[1:].strip())
        assert len(cells) == len(titles), line
        table[cells[0]] = dict(zip(titles[1:], cells[1:], strict=True))
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backends", "tasks", "options"),
    [
        ("sequential loop threads processes emulated", 16, ("--repeats", "6", "--cold-repeats", "2")),
        ("sequential processes threads", 104, ("--repeats", "3", "--schedule", "isolated")),
        ("threads loop", 8, ("--repeats", "21", "--schedule", "isolated")),
        ("processes sequential emulated", 52, ("--repeats", "7", "--warmup", "1")),
        ("simulated sequential", 16, ("--repeats", "3", "--memory", "885")),
        ("sequential dask executor:factory=./pools.py:processes@pool", 52, ("--repeats", "7")),
        (
            "sequential executor:factory=./pools.py:processes,usd_per_hour=0.5@pool dask:usd_per_hour=0.25",
            16,
            ("--repeats", "3"),
        ),
    ],
    ids=["everywhere", "ranges", "bootstrap", "p99", "simulated", "clusters", "priced clusters"],
)
def test_every_figure_of_the_report_follows_from_the_exports(
    lbench: Lbench, home: Path, monkeypatch: pytest.MonkeyPatch, backends: str, tasks: int, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "250")  # a narrow table leaves columns out
    if "dask" in backends:
        pytest.importorskip("distributed", reason="the extra lbench[dask] is not installed")
    (home / "known.py").write_text(WORKLOAD)
    (home / "pools.py").write_text(POOLS)
    asked = [part for name in backends.split() for part in ("-b", name)]
    done = lbench(
        *("run", "known.py:job", *asked, "--concurrency", "2", "--tasks", str(tasks), *options),
        *("--no-predict", "--quiet", "-o", "session.json"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert lbench("export", "session.json", "-o", "session.csv").returncode == 0

    recomputed = subprocess.run(
        [sys.executable, str(GOLDEN), "session.json", "session.csv"], capture_output=True, text=True
    )
    assert recomputed.returncode == 0, recomputed.stderr
    golden = json.loads(recomputed.stdout)
    assert golden["wrong"] == []
    table = shown_table(done.stdout)
    assert table.keys() == golden["table"].keys()
    for name, cells in table.items():
        assert cells == {title: golden["table"][name][title] for title in cells}, name
        hidden = golden["table"][name].keys() - cells.keys()
        assert {golden["table"][other][title] for title in hidden for other in table} <= {"–"}, hidden
    for sentence in golden["text"]:
        assert sentence in done.stdout
    for (
        name,
        cells,
    ) in table.items():  # the answer in words has the table's figures; none compares a backend with itself
        label, speedup = name.split()[0], cells["SPEEDUP"]
        if label != golden["base"]:
            assert re.search(rf"{label}\b.*{re.escape(speedup)}", done.stdout.split("\n\n")[1]), name

    document = json.loads((home / "session.json").read_text())
    with (home / "session.csv").open(encoding="utf-8", newline="") as file:
        check_lengths(document, list(csv.DictReader(file)), tasks)


def check_lengths(document: dict[str, Any], rows: list[dict[str, str]], tasks: int) -> None:
    """No time is shorter than what is known to have passed, and the best measured one hardly longer."""
    known_ms = [1000 * LENGTHS_S[number % len(LENGTHS_S)][1] for number in range(tasks)]
    excess: dict[tuple[str, str], float] = {}
    for row in rows:
        number = int(row["task"])
        whole = row["backend"] == "loop"
        kind = "loop" if whole else LENGTHS_S[number % len(LENGTHS_S)][0]
        over = float(row["compute_ms"]) - (sum(known_ms) if whole else known_ms[number])
        assert over > -0.01, row
        assert 1000 * (float(row["finished_s"]) - float(row["started_s"])) > float(row["compute_ms"]) - 0.01
        excess[row["label"], kind] = min(over, excess.get((row["label"], kind), over))
    measured = [over for (label, kind), over in excess.items() if kind != "loop" and label != "simulated"]
    assert max(measured) < 5, excess
    for run in document["runs"]:
        lanes = 1 if run["backend"] in ("sequential", "loop", "simulated") else 2
        assert 1000 * run["makespan_s"] > sum(known_ms) / lanes
