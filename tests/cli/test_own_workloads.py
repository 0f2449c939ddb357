"""A user's own workload by the real command: the same on every backend, with its errors in the report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from click.testing import CliRunner

from lbench.cli.main import command

Lbench = Callable[..., "CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
EVERYWHERE = ("-b", "sequential", "-b", "processes:concurrency=1", "-b", "emulated:concurrency=1", "--repeats", "1")
HERE = ("-b", "sequential", "-b", "threads:concurrency=2", "--repeats", "1")


def write(home: Path, name: str, text: str) -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)


def document(done: CompletedProcess[str]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_a_package_with_its_files_and_data_runs_the_same_on_every_backend(lbench: Lbench, home: Path) -> None:
    write(home, "pkg/__init__.py", "")
    write(home, "pkg/table.txt", "10")
    write(home, "pkg/helper.py", "def twice(x): return 2 * x\n")
    write(
        home,
        "pkg/mine.py",
        """
from pathlib import Path
from lbench import Task
from .helper import twice
print("noise")
def load(path): return {"x": [float(line) for line in open(path)]}
def f(i, data): return twice(i) + int(Path(__file__).with_name("table.txt").read_text()) + data["x"].sum()
def job(n: int = 3, tasks: int = 2):
    print("noise")
    first = yield [Task(f, i=i) for i in range(n)]
    second = yield [Task(f, i=sum(first)) for _ in range(tasks)]
    return second
def reference(data, n, tasks):
    more = 10 + data["x"].sum()
    return [2 * sum(2 * i + more for i in range(n)) + more] * tasks
def summary(answer): return {"first": answer[0]}
""",
    )
    write(home, "numbers.txt", "1\n2\n")
    done = lbench("run", "pkg/mine.py:job", "--data", "numbers.txt", "-p", "n=4", *EVERYWHERE, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    runs = document(done)["runs"]
    assert [run["answer"]["ok"] for run in runs] == [True] * 3
    assert {run["workload"] for run in runs} == {"mine.py:job"} and str(home) not in json.dumps(runs[0]["params"])
    assert len({run["code_digest"] for run in runs}) == 1
    assert len({run["answer"]["digest"] for run in runs}) == 1


def test_an_error_comes_back_with_its_call_and_place_from_every_backend(lbench: Lbench, home: Path) -> None:
    write(
        home,
        "mine.py",
        """
from lbench import Task
def inner(i):
    if i == 2:
        raise ValueError("too\\nlarge")
    return i
def f(i, label): return inner(i)
def job(n: int = 4): return (yield [Task(f, i=i, label="x" * 99) for i in range(n)])
""",
    )
    backends = [*EVERYWHERE, "-b", "threads:concurrency=1"]
    done = lbench("run", "./mine.py:job", *backends, "-o", "out.json")
    assert done.returncode == 1
    expected = "task 2, f(i=2, label='xxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxx'), failed: ValueError: too large"
    runs = json.loads((home / "out.json").read_text())["runs"]
    assert [run["error"] for run in runs] == [f"{expected} (mine.py, line 5 in inner)"] * 4
    for run in runs:
        (failed,) = [one for one in run["invocations"] if one["status"] == "error"]
        trace = failed["log_tail"]
        assert trace.startswith("f(i=2, label=") and 'File "mine.py", line 7, in f' in trace
        assert "worker.py" not in trace and "functions.py" not in trace and str(home) not in trace
    assert 'File "mine.py", line 5, in inner' in done.stdout and "Traceback (most" not in done.stderr
    # Where the file is gone, what was recorded can still be looked at.
    (home / "mine.py").unlink()
    assert lbench("export", "last", "-o", "again.json").returncode == 0
    assert json.loads((home / "again.json").read_text())["runs"] == runs
    assert "mine.py:job" in lbench("sessions").stdout


def test_with_keep_going_the_other_tasks_still_run(lbench: Lbench, home: Path) -> None:
    write(
        home,
        "mine.py",
        """
from lbench import Task
def f(i): return 10 // (i % 3)
def job(): return (yield [Task(f, i=i) for i in range(9)])
""",
    )
    stopped = lbench("run", "mine.py", "-b", "sequential", "--json", "--quiet")
    went_on = lbench("run", "mine.py", "-b", "sequential", "--json", "--quiet", "--keep-going")
    assert stopped.returncode == went_on.returncode == 1
    (first, *_), (second, *_) = document(stopped)["runs"], document(went_on)["runs"]
    assert len(first["invocations"]) == 1 and len(second["invocations"]) == 9
    assert second["error"].startswith("3 of 9 tasks failed; the first to fail: task 0, f(i=0), failed: ZeroDivision")


def test_without_a_reference_the_answers_are_compared_with_each_other(lbench: Lbench, home: Path) -> None:
    write(
        home,
        "mine.py",
        """
import os
from lbench import Task
def f(differ): return os.getpid() * differ
def job(differ: bool = False): return (yield [Task(f, differ=differ) for _ in range(4)])
""",
    )
    same = lbench("run", "mine.py", *HERE)
    assert same.returncode == 0 and same.stdout.count("= equal") == 2, same.stderr
    assert "compared with each other" in same.stdout
    differ = lbench("run", "mine.py", *HERE, "-p", "differ=yes")
    assert "the answers differ" in differ.stdout
    assert differ.returncode == 1 and differ.stdout.count("✘ differ") == 2


@pytest.mark.parametrize(
    ("text", "expected", "code"),
    [
        ("def job(): return (yield [Task(f, j=1)])", "unexpected keyword argument 'j'", 1),
        ("def job(): return (yield [Task(g)])", "a complex cannot be sent", 1),
        ("def job(): yield [Task(f, i=object())]", "a task's arguments cannot be sent: an object cannot be sent", 1),
        ("def job(): yield [Task(f, i=1)]; return object()", "could not be checked: an object cannot be sent", 1),
        ("def job(): yield [Task(h)]", "SystemExit: bye (mine.py, line 5 in h)", 1),
        ("import os\ndef job(): yield [Task(f, i=1)]; os._exit(3)", "mine.py:job runs in the engine's process", 1),
        (
            "import ctypes\ndef k(i): ctypes.string_at(0)\ndef job(): yield [Task(k, i=1)]",
            "was ended by SIGSEGV while it ran the task (mine.py, line 7 in k)",
            1,
        ),
        ("def job(): yield [Task(os.getcwd)]", "(mine.py, line 6 in job)", 1),
        ("def job(): return (yield [Task(f, i=1)])\ndef reference(): 1 / 0", "reference() failed: ZeroDivision", 1),
        ("def job(): return (yield [Task(f, i=1)])\ndef reference(): return [2]", "wrong answer", 1),
        ("def load(path): 1 / 0\ndef job(): yield []", "load() failed: ZeroDivisionError", 2),
    ],
)
def test_what_its_code_does_wrong_fails_its_run_and_nothing_else(
    lbench: Lbench, home: Path, text: str, expected: str, code: int
) -> None:
    preamble = "import sys\nfrom lbench import Task\ndef f(i): return i\ndef g(): return 1j\ndef h(): sys.exit('bye')\n"
    write(home, "mine.py", preamble + text)
    done = lbench("run", "./mine.py:job", "-b", "sequential", "--repeats", "1")
    assert done.returncode == code
    assert expected in done.stdout + done.stderr
    assert "fault in lbench" not in done.stderr and "Traceback" not in done.stderr
    assert not re.search(r'File ".*lbench/', done.stdout), done.stdout  # tracebacks show the user's files alone


def test_a_module_that_does_not_import_is_refused_before_anything_is_recorded(home: Path) -> None:
    write(home, "mine.py", "import nowhere_at_all\n")
    for line in ("run ./mine.py:job", "workloads ./mine.py", "package --workload ./mine.py:job", "run ./none.py:job"):
        result = CliRunner().invoke(command, line.split(), prog_name="lbench")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    sessions = home / "data" / "lbench" / "sessions"
    assert not sessions.exists() or not list(sessions.iterdir())


def test_workloads_shows_the_parameters_of_one(home: Path) -> None:
    write(home, "mine.py", "def job(n: int = 7):\n  'Sevens.'\n  yield []\n")
    (expected,) = json.loads(CliRunner().invoke(command, ["workloads", "./mine.py:job", "--json"]).stdout)
    assert (expected["name"], expected["summary"]) == ("mine.py:job", "Sevens")
    assert [(one["name"], one["default"]) for one in expected["parameters"]] == [("n", 7)]
    assert "Sevens" in CliRunner().invoke(command, ["workloads", "./mine.py"]).stdout


def test_code_that_reads_standard_input_finds_it_empty_wherever_it_runs(lbench: Lbench, home: Path) -> None:
    write(
        home,
        "mine.py",
        """
import os, subprocess, sys
from lbench import Task
GIVEN = sys.stdin.read()
def work(i): return [GIVEN, subprocess.check_output(["cat"], timeout=30), os.read(0, 9)]
def job(): return (yield [Task(work, i=1)]) + [sys.stdin.read()]
def reference(): return [work(1), sys.stdin.read()]
""",
    )
    done = lbench("run", "./mine.py:job", "-b", "sequential", "--repeats", "1", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert [run["answer"]["ok"] for run in document(done)["runs"]] == [True]


# -- a plain function

SIMULATE = """
import numpy as np
def simulate(seed: int, points: int = 10, alpha: float = 1.0):
    "Sums."
    return {"sum": alpha * (seed + points), "all": np.arange(seed) * 0.1}
def needs(a: int, b: int): return a
def job(n: int = 2): yield []
"""


def test_a_plain_function_is_a_task_for_each_value_on_every_backend(lbench: Lbench, home: Path) -> None:
    write(home, "mine.py", SIMULATE)
    write(home, "c.csv", "name,n\na,1\nb,2\nc,3\n")
    given = ("--each", "seed=@c.csv:n", "--each", "points=10,20", "-p", "alpha=0.5")
    done = lbench("run", "./mine.py:simulate", *given, *EVERYWHERE, "-b", "loop", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    read = document(done)
    runs = {run["backend"]: run for run in read["runs"]}
    assert len({run["answer"]["digest"] for run in runs.values()}) == 1
    assert [len(runs[name]["invocations"]) for name in ("sequential", "processes", "emulated", "loop")] == [6, 6, 6, 1]
    assert {run["workload"] for run in runs.values()} == {"mine.py:simulate"} and str(home) not in json.dumps(
        read["runs"]
    )
    each = runs["sequential"]["params"]["each"]
    assert each.startswith("seed=@c.csv:n%") and each.endswith(" points=10,20")
    # As it was recorded it can be measured again, in batches, without the file.
    (home / "c.csv").unlink()
    again = [word for part in each.split() for word in ("--each", part)]
    done = lbench("run", "./mine.py:simulate", *again, "-p", "alpha=0.5", *HERE, "--batch", "4", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert {run["answer"]["digest"] for run in document(done)["runs"]} == {runs["loop"]["answer"]["digest"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("./mine.py:simulat --each seed=1", "has no function 'simulat': there are: job; with --each, simulate"),
        ("./mine.py:simulate", "--each is required: mine.py:simulate is a plain function"),
        ("./mine.py:simulate --each sed=1", "--each: unknown parameter 'sed': did you mean 'seed'?"),
        ("./mine.py:simulate --each seed=3..1", "--each seed=3..1: the range is empty"),
        ("./mine.py:needs --each b=1", "parameter a: has no value: give -p a=VALUE, or --each a=VALUES"),
        ("./mine.py:simulate --each seed=1 --each seed=2", "seed is given twice"),
        ("./mine.py:simulate --each seed=1 -p seed=2", "parameter seed is set by --seed"),
        ("./mine.py:simulate --each seed=1 --each points=1 -p points=2", "points is given by -p and by --each"),
        ("./mine.py:simulate --each seed=1 -p beta=2", "unknown parameter 'beta'"),
        ("./mine.py:simulate --each seed=1..1000000 --each points=1,2", "must be at most 1,000,000 tasks"),
        ("./mine.py:job --each n=1", "--each is for a plain function of yours: mine.py:job makes its own tasks"),
        ("mandelbrot --each size=1", "--each is for a plain function of yours: mandelbrot makes its own tasks"),
        ("probe --each", "option '--each' requires an argument"),
    ],
)
def test_unusable_values_are_refused_before_anything_runs(home: Path, line: str, message: str) -> None:
    write(home, "mine.py", SIMULATE)
    result = CliRunner().invoke(command, ["run", *line.split()], prog_name="lbench")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr


def test_workloads_shows_all_parameters_of_a_plain_function(home: Path) -> None:
    write(home, "mine.py", SIMULATE)
    text = CliRunner().invoke(command, ["workloads", "./mine.py:simulate"]).stdout
    rows = [line.split()[:3] for line in text.splitlines()]
    assert ["seed", "required", "int"] in rows and ["alpha", "1", "float"] in rows and "Sums" in text


# -- lbench new


def test_a_new_workload_runs_and_passes_its_test_and_is_never_overwritten(lbench: Lbench, home: Path) -> None:
    made = lbench("new", "workload", "darts")
    assert made.returncode == 0 and "lbench run ./darts.py:job" in made.stdout
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_darts.py"],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0 and "3 passed" in tested.stdout, tested.stdout
    run = lbench("run", "./darts.py:job", "-p", "n=2", "-p", "darts=1000", *HERE)
    assert run.returncode == 0 and run.stdout.count("✔ same") == 2, run.stderr
    before = (home / "darts.py").read_text()
    again = lbench("new", "workload", "darts")
    assert again.returncode == 2 and "exists already" in again.stderr
    assert (home / "darts.py").read_text() == before


@pytest.mark.parametrize("name", ["my-job", "random", "numpy", "a/b", "", "1st"])
def test_a_new_workload_has_a_name_that_python_can_import(home: Path, name: str) -> None:
    result = CliRunner().invoke(command, ["new", "workload", name], prog_name="lbench")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert not list(home.glob("*.py"))


def test_a_new_workload_is_clean() -> None:
    """What it writes keeps this project's own rules."""
    from lbench.cli.commands import new

    for text in (new._MODULE, new._TEST):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E,F,I,B,UP", "--line-length=120", "-"],
            input=text.replace("{name}", "darts"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


# -- the examples


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("monte_carlo", ("--tasks", "2", "-p", "error=0.2", "-p", "paths=1000")),
        ("parameter_grid", ("-p", "degrees=1,3", "-p", "penalties=0.1", "-p", "rows=500")),
    ],
)
def test_the_examples_give_the_same_right_answer_everywhere(
    lbench: Lbench, name: str, options: tuple[str, ...]
) -> None:
    done = lbench("run", str(ROOT / "examples" / f"{name}.py:job"), *options, *EVERYWHERE, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    runs = document(done)["runs"]
    assert [run["answer"]["ok"] for run in runs] == [True] * 3
    assert len({run["answer"]["digest"] for run in runs}) == 1


def test_the_reference_is_measured_in_one_piece_where_there_is_one(lbench: Lbench, home: Path) -> None:
    source = """
from lbench import Task
def f(i): return i * i
def job(n: int = 3): return (yield [Task(f, i=i) for i in range(n)])
"""
    write(home, "mine.py", source + "def reference(n): return [i * i for i in range(n)]\n")
    done = lbench(
        "run", "mine.py", "-p", "n=5", "-b", "loop", "-b", "sequential", "--repeats", "1", "--json", "--quiet"
    )
    loop, sequential = document(done)["runs"]
    assert (loop["backend"], loop["tasks"], sequential["tasks"]) == ("loop", 1, 5)
    assert loop["answer"]["ok"] and loop["answer"]["digest"] == sequential["answer"]["digest"]
    write(home, "bare.py", source)
    refused = lbench("run", "bare.py", "-b", "loop", "--quiet")
    assert refused.returncode == 2 and "add a function reference() to" in refused.stderr
