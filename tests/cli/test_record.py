"""`lbench record`: the script ends as it would by itself, and its calls are measured against what they returned."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lbench.cli.main import command

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]
HERE = ("-b", "sequential", "-b", "processes:concurrency=1", "--repeats", "1", "--json", "--quiet")

FUTURES = """
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
import numpy as np
from helpers.tools import twice

@dataclass
class Point:
    x: int
    y: tuple = ()

def f(x, y=1): return twice(x) * y
def move(p): return Point(p.x + 1, (p.y, {1: 2}))
def change(a):
    a[0] = 5
    return a.sum()

if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        print(sum(pool.map(f, range(10), chunksize=3)), sys.argv[1:])
        print(sorted(one.result() for one in as_completed([pool.submit(f, i, y=2) for i in range(5)])))
        print(pool.submit(move, Point(1, (2,))).result())
    with ThreadPoolExecutor(2) as pool:
        print(list(pool.map(change, [np.arange(3.0)] * 3)))
    print("ähem", file=sys.stderr)
    sys.exit(3)
"""

POOLS = """
import math, multiprocessing
from multiprocessing.pool import Pool, ThreadPool
scale = None
def begin(by):
    global scale
    scale = by
def f(x, y=1): return x * y
def scaled(x): return x * scale
def main():
    with Pool(2) as pool:
        print(pool.map(f, range(4)), pool.starmap(f, [(1, 2), (3, 4)]))
        print(list(pool.imap(f, iter(range(5)), 2)), sorted(pool.imap_unordered(math.factorial, range(3))))
        print(pool.apply_async(f, (3,), {"y": 4}).get(), pool.apply(f, (2,)), pool.map_async(f, [7]).get())
    with Pool(1, begin, (10,)) as pool:
        print(pool.map(scaled, [1, 2]))
    with ThreadPool(2) as pool:
        print(pool.map(f, [1]))
if __name__ == "__main__": main()
"""

JOBLIB = """
from functools import partial
from joblib import Parallel, delayed
from math import sqrt
def sq(x): return x * x
print(Parallel(n_jobs=2)(delayed(sqrt)(i ** 2) for i in range(10)))
print(Parallel(n_jobs=1)(delayed(partial(pow, 2))(i) for i in range(4)))
LIMIT = 4
print(Parallel(n_jobs=2, backend="threading")([delayed(sq)(i) for i in range(LIMIT)]))
print(list(Parallel(n_jobs=2, return_as="generator")(delayed(sq)(i) for i in range(LIMIT))))
"""


def plain(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=home, timeout=120, check=False)


def manifest(home: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((home / "data/lbench/recordings" / name / "manifest.json").read_text())
    return read


def without_ours(stderr: str) -> str:
    return "".join(line for line in stderr.splitlines(keepends=True) if not line.startswith("lbench: "))


def answers(done: subprocess.CompletedProcess[str]) -> list[tuple[bool, int]]:
    assert done.returncode == 0, done.stderr
    return [(run["answer"]["ok"], len(run["invocations"])) for run in json.loads(done.stdout)["runs"]]


@pytest.mark.parametrize(
    ("text", "stages", "functions"),
    [
        (FUTURES, [10, 5, 1, 3], {"mine:f": 15, "mine:move": 1, "mine:change": 3}),
        (POOLS, [4, 2, 5, 3, 1, 1, 1, 2, 1], {"mine:f": 15, "math:factorial": 3, "mine:scaled": 2}),
        (JOBLIB, [10, 4, 4, 4], {"math:sqrt": 10, "builtins:pow": 4, "mine:sq": 8}),
    ],
    ids=["futures", "multiprocessing", "joblib"],
)
def test_a_script_is_recorded_unchanged_and_measured(
    lbench: Lbench, home: Path, text: str, stages: list[int], functions: dict[str, int]
) -> None:
    (home / "helpers").mkdir()
    (home / "helpers/tools.py").write_text("def twice(x): return 2 * x\n")
    (home / "mine.py").write_text(text)
    expected, done = plain(home, "mine.py", "-a", "--name"), lbench("record", "mine.py", "-a", "--name")
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout)
    assert without_ours(done.stderr) == expected.stderr
    recorded = manifest(home, "mine")
    assert (recorded["functions"], recorded["left_out"]) == (functions, [])
    assert recorded["stages"] == stages
    count = sum(stages)
    (home / "mine.py").unlink()
    assert answers(lbench("run", "recorded:mine", *HERE)) == [(True, count), (True, count)]


def test_a_recording_runs_on_emulated_lambda_and_wherever_it_is_copied(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(JOBLIB)
    assert lbench("record", "--name", "first", "mine.py").returncode == 0
    shutil.move(home / "data/lbench/recordings/first", home / "ordner ü")
    done = lbench("run", "./ordner ü", "-b", "sequential")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    emulated = ("-b", "emulated:concurrency=1", "--repeats", "1", "--json", "--quiet")
    assert answers(lbench("run", "recorded:./ordner ü", *emulated)) == [(True, 22)]
    assert "22 calls of mine.py" in lbench("workloads", "recorded:./ordner ü").stdout


def test_what_cannot_travel_is_named_with_its_line_and_the_way_out(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        """
from concurrent.futures import ThreadPoolExecutor
class Thing:
    pass
def f(x): return 1
def none(x): return Thing()
def main():
    def inner(x): return x
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda x: x, [1, 2]))
        pool.submit(inner, 1)
        pool.submit(f, Thing())
        pool.submit(f, (i for i in range(3)))
        pool.submit(none, 1)
        pool.submit(f, 1)
        pool.submit(divmod, 1, 0)
if __name__ == "__main__":
    def guarded(x): return x
    with ThreadPoolExecutor(2) as pool:
        pool.submit(guarded, 1)
    main()
"""
    )
    done = lbench("record", "mine.py")
    assert done.returncode == 0 and done.stdout == ""
    lines = {line.partition("left out: ")[2] for line in done.stderr.splitlines()}
    for part in (
        "2 calls of main.<locals>.<lambda> (mine.py, line 10), handed over at mine.py, line 10: a lambda (mine.py, line 10)",
        "handed over at mine.py, line 11: the function inner (mine.py, line 8), which is defined inside main",
        "handed over at mine.py, line 12: an object of class Thing (mine.py, line 3): make the class a dataclass",
        "handed over at mine.py, line 13: a generator (mine.py, line 13): it can be read once, and only here: pass a list",
        "1 call of mine:none: its result: an object of class Thing",
        "1 call of builtins:divmod: it raised ZeroDivisionError",
        "1 call of guarded: it is defined under if __name__ == '__main__' (line 18)",
    ):
        assert any(part in line for line in lines), (part, done.stderr)
    assert manifest(home, "mine")["functions"] == {"mine:f": 1}
    done = lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1")
    assert done.returncode == 0 and "calls of the script that are not in the recording" in done.stdout + done.stderr


ENDINGS = {
    "exception": "def f(x): raise ValueError(x)\nlist(pool.map(f, [1]))",
    "joblib": "from joblib import Parallel, delayed\ndef f(x): raise ValueError(x)\nParallel()(delayed(f)(i) for i in [1])",
    "shut down": "pool.shutdown()\npool.submit(print, 1)",
    "exit": "pool.submit(pow, 2, 2).result(); import os; os._exit(7)",
    "signal": "pool.submit(pow, 2, 2).result(); import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "logged": "import logging, traceback\nfrom joblib import Parallel, delayed\ndef f(x): raise ValueError(x)\n"
    "try: Parallel()(delayed(f)(i) for i in [1])\nexcept ValueError: logging.exception('joblib')\npool.shutdown()\n"
    "try: pool.submit(f, 1)\nexcept RuntimeError as error: traceback.print_exc(); print(traceback.format_exception(error))",
    "thread": "pool.shutdown()\nimport threading\nthread = threading.Thread(target=pool.submit, args=(abs, 1))\n"
    "thread.start()\nthread.join()",
    "async": "import asyncio\nprint(asyncio.run(asyncio.to_thread(pow, 2, 3)))",
    "interrupt": "pool.submit(pow, 2, 2).result(); import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "syntax": "def",
    "nothing": "print(1)",
}


@pytest.mark.parametrize("text", ENDINGS.values(), ids=ENDINGS)
def test_a_script_ends_as_it_does_by_itself(lbench: Lbench, home: Path, text: str) -> None:
    (home / "mine.py").write_text(
        f"from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\n{text}\n"
    )
    expected, done = plain(home, "mine.py"), lbench("record", "mine.py")
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout)
    assert without_ours(done.stderr) == expected.stderr


READ = """
import sys
from joblib import Parallel, delayed
from multiprocessing.pool import ThreadPool

class Shown:  # as a progress bar
    def __init__(self, items): self.items = items
    def __len__(self): return len(self.items)
    def __iter__(self):
        for item in self.items:
            print("item", file=sys.stderr)
            yield item

class Turning:  # as a loader that shuffles: in another order each time
    items = [1, 2, 3, 4, 5, 6, 7]
    def __len__(self): return len(self.items)
    def __iter__(self):
        self.items.append(self.items.pop(0))
        return iter(list(self.items))

def double(x): return 2 * x
def add(a, b): return a + b

if __name__ == "__main__":
    with ThreadPool(2) as pool:
        print(pool.map(double, Shown([1, 2, 3])), pool.map(double, Turning()), pool.starmap(add, Shown([(1, 2)])))
        print(pool.starmap(add, [iter((1, 2))]), pool.apply(add, iter((3, 4))))
    print(Parallel(n_jobs=1)(Shown([delayed(double)(i) for i in range(3)])), Parallel(n_jobs=1)([]))
"""


def test_what_a_script_hands_over_is_read_once(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(READ)
    expected, done = plain(home, "mine.py"), lbench("record", "mine.py")
    assert (done.returncode, done.stdout) == (0, expected.stdout)
    assert without_ours(done.stderr) == expected.stderr == "item\n" * 7
    assert (
        "2 calls of add (mine.py, line 22), handed over at mine.py, line 27: arguments in a tuple_iterator"
        in done.stderr
    )
    assert manifest(home, "mine")["functions"] == {"mine:double": 13, "mine:add": 1}
    assert answers(lbench("run", "recorded:mine", "-b", "sequential", *HERE[-4:])) == [(True, 14)]


NESTED = """
from joblib import Parallel, delayed
def inner(x): return x + 1
def outer(x): return sum(Parallel(n_jobs=1)(delayed(inner)(i) for i in range(x)))
if __name__ == "__main__": print(list(Parallel(n_jobs=1, return_as="generator")(delayed(outer)(i) for i in (1, 2))))
"""


def test_a_call_within_a_task_that_runs_when_its_result_is_read_belongs_to_the_task(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(NESTED)
    assert lbench("record", "mine.py").stdout == "[1, 3]\n"
    assert manifest(home, "mine")["functions"] == {"mine:outer": 2}


THREADS = """
import threading
from concurrent.futures import ThreadPoolExecutor
def f(x): return x
pool, ready = ThreadPoolExecutor(1), threading.Barrier(8)
def work(x):
    ready.wait()
    pool.submit(f, x).result()
threads = [threading.Thread(target=work, args=(x,)) for x in range(8)]
for one in threads: one.start()
for one in threads: one.join()
"""


def test_calls_that_several_threads_make_first_are_all_recorded(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(THREADS)
    assert lbench("record", "mine.py").returncode == 0
    assert manifest(home, "mine")["functions"] == {"mine:f": 8}


UNGUARDED = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
def f(x): return x + BASE
BASE = int("1")
manager = multiprocessing.Manager()
lock = manager.Lock()
pool = multiprocessing.Pool(1)
print("workers", pool._processes)
executor = ProcessPoolExecutor(1)
print(pool.map(f, [1, 2]))
print(list(executor.map(f, [3])))
pool.terminate()
executor.shutdown()
"""


def test_the_copy_of_a_script_starts_no_processes(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(UNGUARDED)
    assert lbench("record", "mine.py").stdout.endswith("[2, 3]\n[4]\n")
    kept = [line for line in (home / "data/lbench/recordings/mine/code/mine.py").read_text().splitlines() if line]
    assert kept == [*UNGUARDED.splitlines()[1:4], 'BASE = int("1")']
    assert answers(lbench("run", "recorded:mine", "-b", "sequential", *HERE[-4:])) == [(True, 3)]


def test_a_signal_reaches_the_script_and_what_was_recorded_stays(
    home: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    (home / "mine.py").write_text(
        """
import signal, sys
from concurrent.futures import ThreadPoolExecutor
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
with ThreadPoolExecutor(1) as pool:
    print(pool.submit(pow, 2, 3).result(), flush=True)
signal.pause()
"""
    )
    process = started("record", "mine.py")
    assert process.stdout is not None and process.stdout.readline() == "8\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 9
    assert manifest(home, "mine")["functions"] == {"builtins:pow": 1}


def test_the_scripts_environment_is_the_callers(lbench: Lbench, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import os, sys, json, subprocess\nprint(json.dumps([sys.argv, sys.path, sorted(os.environ.items())]))\n"
    (home / "mine.py").write_text(
        text + "print(subprocess.check_output([sys.executable, '-c', 'import sys; print(sys.path)']))"
    )
    for before in (None, "", f"{home}{os.pathsep}/nowhere"):
        if before is None:
            monkeypatch.delenv("PYTHONPATH", raising=False)
        else:
            monkeypatch.setenv("PYTHONPATH", before)
        assert lbench("record", "mine.py", "x y").stdout == plain(home, "mine.py", "x y").stdout


def test_a_module_of_a_package_with_relative_imports_is_recorded(lbench: Lbench, home: Path) -> None:
    (home / "pkg/sub").mkdir(parents=True)
    (home / "pkg/sub/__init__.py").write_text("")
    (home / "pkg/__init__.py").write_text("")
    (home / "pkg/wörk.py").write_text(
        "import functools\n@functools.cache\ndef g(x): return x + 1\ndef h(x): return g(x)\n"
    )
    (home / "pkg/sub/run.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\nfrom ..wörk import h\ndef f(x): return h(x)\n"
        "with ThreadPoolExecutor(1) as p: print(list(p.map(f, [1])), list(p.map(h, [2])))\n"
    )
    done = lbench("record", "-m", "pkg.sub.run")
    assert (done.returncode, done.stdout) == (0, "[2] [3]\n"), done.stderr
    assert answers(lbench("run", "recorded:run", *HERE)) == [(True, 2), (True, 2)]


BAD = {
    "record none.py": "none.py: there is no such file",
    "record .": ".: that is a folder",
    "record": "missing argument",
    "record --name a/b mine.py": "a recording's name must be 1 to 64 letters",
    "record --name= mine.py": "a recording's name must be 1 to 64 letters, digits or . _ + -, got ''",
    "record --nam x mine.py": "no such option '--nam'. Did you mean '--name'?",
    "run recorded:": "name a recording",
    "run recorded:nothing": "no such recording: there are: changed, damaged, lost, mine, other, torn, unsound",
    "run recorded:./nowhere": "no recording in that folder",
    "run recorded:mine -p n=1": "unknown parameter 'n'",
    "run recorded:mine --each n=1": "--each is for a plain function of yours",
    "workloads recorded:other": "recording of version 99, and this lbench reads version 1: record",
    "run recorded:torn": "the recording is not whole",
    "run recorded:damaged": "manifest.json is damaged",
    "run recorded:unsound": "manifest.json is damaged",
    "run recorded:lost": "lost: code/mine.py is missing: copy the recording again",
    "run recorded:changed": "changed: code/mine.py is not what was recorded: copy the recording again",
}


def test_bad_input_gets_one_line(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text("from multiprocessing.pool import ThreadPool\nThreadPool(1).map(abs, [1])\n")
    assert lbench("record", "mine.py").returncode == 0
    recordings = home / "data/lbench/recordings"
    for name in ("other", "torn", "damaged", "unsound", "lost", "changed"):
        shutil.copytree(recordings / "mine", recordings / name)
    (recordings / "unsound/manifest.json").write_text(
        json.dumps(manifest(home, "mine") | {"stages": [], "functions": {}})
    )
    shutil.rmtree(recordings / "lost/code")
    (recordings / "changed/code/mine.py").write_text("def f(")
    text = (recordings / "mine/manifest.json").read_text().replace('"version": 1,', '"version": 99, "new": 1,')
    (recordings / "other/manifest.json").write_text(text)
    (recordings / "torn/results.bin").write_bytes(b"")
    (recordings / "damaged/manifest.json").write_text("{")
    for line, message in BAD.items():
        result = CliRunner().invoke(command, line.split(), prog_name="lbench")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), line
        assert message in result.stderr


def test_a_wrong_result_is_found(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\nimport os, time\n"
        "def f(x): return {'pid': os.environ.get('MINE', 'other'), 'time': time.time()}\n"
        "with ThreadPoolExecutor(1) as p: p.submit(f, 1)\n"
    )
    os.environ["MINE"] = "recorded"
    try:
        assert lbench("record", "mine.py").returncode == 0
    finally:
        del os.environ["MINE"]
    done = lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1")
    assert done.returncode == 1
    assert (
        "the result['pid'] of call 0, of mine:f, differs from the recorded one, and does so too where the call is made by "
        "itself: it depends on what else the script had done"
    ) in done.stdout + done.stderr
    assert "not compared, as it varies by itself: ['time']" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_grid_search_of_scikit_learn_is_recorded_and_measured(lbench: Lbench, home: Path) -> None:
    (home / "grid.py").write_text(
        """
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
X, y = make_classification(120, random_state=0)
search = GridSearchCV(SVC(), {"C": [0.1, 1], "kernel": ["rbf", "linear"]}, cv=3, n_jobs=2).fit(X, y)
print(search.best_params_, search.best_score_)
print(RandomForestClassifier(4, n_jobs=2, random_state=0).fit(X, y).feature_importances_.sum())
"""
    )
    expected, done = plain(home, "grid.py"), lbench("record", "grid.py")
    assert (done.returncode, done.stdout) == (0, expected.stdout) and without_ours(done.stderr) == expected.stderr
    functions = manifest(home, "grid")["functions"]
    assert functions["sklearn.model_selection._validation:_fit_and_score"] == 12
    assert functions["sklearn.ensemble._forest:_parallel_build_trees"] == 4
    assert "scikit-learn" in manifest(home, "grid")["requirements"]
    done = lbench("run", "recorded:grid", *HERE, "-b", "emulated:concurrency=1")
    assert {ok for ok, _ in answers(done)} == {True}
    assert "varies by itself: ['fit_time'], ['score_time']" in json.loads(done.stdout)["runs"][0]["answer"]["check"]


BLOCK = """
import lbench
from concurrent.futures import ThreadPoolExecutor
def f(x): return x + 1
with ThreadPoolExecutor(1) as pool:
    pool.submit(f, 1)
    with lbench.record("block"):
        print(list(pool.map(f, range(3))))
    pool.submit(f, 1)
print("end")
"""


def test_a_block_of_a_script_is_recorded(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(BLOCK)
    done = plain(home, "mine.py")
    assert (done.returncode, done.stdout) == (0, "[1, 2, 3]\nend\n"), done.stderr
    assert (
        done.stderr == "lbench: recorded 3 calls in 1 stage (f 3): lbench run recorded:block -b processes -b emulated\n"
    )
    assert answers(lbench("run", "recorded:block", *HERE)) == [(True, 3), (True, 3)]


def test_a_block_of_a_script_that_is_recorded_itself_is_recorded_too(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        BLOCK.replace(
            "with ThreadPoolExecutor(1) as pool:\n    pool.submit(f, 1)\n", "with ThreadPoolExecutor(1) as pool:\n", 1
        )
    )
    done = lbench("record", "mine.py")
    assert (done.returncode, done.stdout) == (0, "[1, 2, 3]\nend\n"), done.stderr
    assert manifest(home, "block")["functions"] == {"mine:f": 3}
    assert manifest(home, "mine")["functions"] == {"mine:f": 1}


def test_a_call_within_a_copy_of_the_context_is_recorded_as_the_call(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        "import asyncio\ndef f(x, y=1): return x + y\nprint(asyncio.run(asyncio.to_thread(f, 2, y=3)))\n"
    )
    assert lbench("record", "mine.py").stdout == "5\n"
    assert (manifest(home, "mine")["functions"], manifest(home, "mine")["left_out"]) == ({"mine:f": 1}, [])
    assert answers(lbench("run", "recorded:mine", *HERE)) == [(True, 1), (True, 1)]


def test_what_a_function_needs_and_only_the_running_script_sets_is_named(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        """
from multiprocessing.pool import ThreadPool
import os
BASE = 1
def scaled(x): return helper(x) * BASE
def helper(x, by=BASE):
    os.getpid()
    local = x
    return local * FACTOR
def unused(): return FACTOR
def begin(): global SET; SET = 1
if __name__ == "__main__":
    FACTOR = int("3")
    SET = local = 2
    print(ThreadPool(2).map(scaled, [1, 2]))
"""
    )
    done = lbench("record", "mine.py")
    assert done.stdout == "[3, 6]\n"
    (line,) = [line for line in done.stderr.splitlines() if "will fail" in line]
    assert line == (
        "lbench: will fail elsewhere: helper (line 6) needs FACTOR, which the script sets at line 13 only when it "
        "runs itself: pass it as an argument, or set it further up"
    )
    failed = lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1")
    assert failed.returncode == 1 and "name 'FACTOR' is not defined" in failed.stdout + failed.stderr


def test_a_function_that_a_decorator_has_made_an_object_is_recorded_by_its_name(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        """
from functools import update_wrapper
from multiprocessing.pool import ThreadPool
class Counted:
    def __init__(self, function): self.function = function; update_wrapper(self, function)
    def __call__(self, x): return self.function(x)
@Counted
def f(x): return x + 1
if __name__ == "__main__": print(ThreadPool(2).map(f, [1, 2]))
"""
    )
    done = lbench("record", "mine.py")
    assert done.stdout == "[2, 3]\n"
    assert (manifest(home, "mine")["functions"], manifest(home, "mine")["left_out"]) == ({"mine:f": 2}, [])
    assert answers(lbench("run", "recorded:mine", *HERE)) == [(True, 2), (True, 2)]


def test_a_recording_of_other_versions_runs_and_names_them(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text("from multiprocessing.pool import ThreadPool\nThreadPool(1).map(abs, [1])\n")
    assert lbench("record", "mine.py").returncode == 0
    file = home / "data/lbench/recordings/mine/manifest.json"
    read = manifest(home, "mine")
    file.write_text(json.dumps(read | {"python": "3.1.4", "packages": {"numpy": "0.9", "no-such-package": "1"}}))
    done = lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1", "--json", "--quiet")
    assert done.returncode == 0
    (run,) = json.loads(done.stdout)["runs"]
    (line,) = [note for note in run["notes"] if "recorded with other versions" in note]
    assert "Python 3.1 (here 3." in line and "numpy 0.9 (here " in line and "no-such-package 1 (here none)" in line


NOTEBOOK = """
import sys, types
shell = types.SimpleNamespace(user_ns=globals(), transform_cell=lambda cell: cell.replace("%time ", ""))
In = ["", "def f(x): return x + K", "K = 2", "%time big = [f(1)]", "def", "print(f(3))"]
for cell in In[1:3]: exec(cell)
def get_ipython(): return shell
import lbench
from multiprocessing.pool import ThreadPool
with lbench.record("cells", quiet=True):
    print(ThreadPool(1).map(f, [1, 2]))
"""


def test_a_notebooks_functions_are_recorded_with_its_definitions(lbench: Lbench, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-"], input=NOTEBOOK, capture_output=True, text=True, timeout=60, cwd=home, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[3, 4]\n", "")
    code = (home / "data/lbench/recordings/cells/code/notebook.py").read_text()
    assert code == "def f(x):\n    return x + K\nK = 2\n"
    assert answers(lbench("run", "recorded:cells", *HERE)) == [(True, 2), (True, 2)]


def test_at_a_prompt_a_function_must_be_in_a_file(home: Path) -> None:
    text = NOTEBOOK.replace("def get_ipython", "def other").replace("quiet=True", "quiet=False")
    done = subprocess.run(
        [sys.executable, "-"], input=text, capture_output=True, text=True, timeout=60, cwd=home, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[3, 4]\n")
    assert "nothing to record: 2 calls of f" in done.stderr and "put it into a .py file and import it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_where_nothing_can_travel_each_reason_is_named(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        "from multiprocessing.pool import ThreadPool\nwith ThreadPool(1) as pool:\n"
        "    pool.map(lambda x: x, [1, 2])\n    pool.map(sum, [(i for i in [1])])\n"
    )
    done = lbench("record", "mine.py")
    first, second = done.stderr.splitlines()
    assert first.startswith("lbench: nothing to record: 2 calls of <lambda> (mine.py, line 3)")
    assert second.startswith("lbench: left out: 1 call of sum, handed over at mine.py, line 4: a generator")


ARGUMENTS = """
import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, wraps
import numpy as np
parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=int, required=True)
scale = parser.parse_args().scale
table = np.arange(20_000.0)

def logged(function):
    @wraps(function)
    def call(*args): return function(*args)
    return call

class Model:
    def __init__(self, by): self.by = by
    def __getstate__(self): return {"by": self.by}
    @logged
    def apply(self, x): return x * self.by * scale
    @staticmethod
    def plain(x): return x
    @classmethod
    def named(cls, x): return cls.__name__

@lru_cache
def cached(x): return x + scale
@logged
def summed(x, row): return float(x.sum()) + row

pool = ProcessPoolExecutor(2)
print(list(pool.map(Model(3).apply, [1, 2])), list(pool.map(Model.plain, [1])), list(pool.map(Model.named, [1])))
print(list(pool.map(cached, [1])), list(pool.map(int, ["7"])), list(pool.map(np.sqrt, [4.0])))
print([one.result() for one in [pool.submit(summed, table, row) for row in range(5)]])
print([one.result().shape for one in [pool.submit(np.multiply, table, 2)]])
pool.shutdown()
undefined_elsewhere = [parser.parse_args().scale]
print(undefined_elsewhere)
"""


def test_a_call_sees_the_arguments_of_its_script_when_it_runs(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        "import sys\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def f(): return sys.argv[1:]\n"
        "with ThreadPoolExecutor(1) as pool: print(pool.submit(f).result())\n"
    )
    assert lbench("record", "mine.py", "--by", "3").stdout == "['--by', '3']\n"
    assert answers(lbench("run", "recorded:mine", *HERE)) == [(True, 1)] * 2


def test_a_script_without_a_guard_that_reads_its_arguments_is_recorded(lbench: Lbench, home: Path) -> None:
    (home / "my script-ü.py").write_text(ARGUMENTS)
    done = lbench("record", "my script-ü.py", "--scale", "2")
    assert (done.returncode, done.stdout.count("\n")) == (0, 5), done.stderr
    recorded = manifest(home, "my_script_ü")
    assert recorded["left_out"] == [] and recorded["arrays"] == 2
    folder = home / "data/lbench/recordings/my_script_ü"
    assert (folder / "calls.bin").stat().st_size < 400_000  # the table stands there once
    assert "parser.parse_args().scale]" not in (folder / "code/my_script_ü.py").read_text()
    assert answers(lbench("run", "recorded:my_script_ü", *HERE)) == [(True, 13), (True, 13)]
    assert "recorded:my_script_ü  13 calls of my script-ü.py in" in lbench("workloads").stdout


def test_results_that_only_vary_cannot_be_checked(lbench: Lbench, home: Path) -> None:
    text = "from concurrent.futures import ThreadPoolExecutor\nimport time\n"
    text += "with ThreadPoolExecutor(1) as p: p.submit(time.time)\n"
    (home / "mine.py").write_text(text)
    assert lbench("record", "mine.py").returncode == 0
    done = lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1", "--json", "--quiet")
    assert json.loads(done.stdout)["runs"][0]["answer"] is None
    assert "there is nothing to compare" in done.stdout
    (home / "mine.py").write_text(text + "with ThreadPoolExecutor(1) as p: p.submit(abs, -1)\n")
    assert lbench("record", "mine.py").returncode == 0
    assert answers(lbench("run", "recorded:mine", *HERE)) == [(True, 2), (True, 2)]


def test_pools_with_initializers_of_their_own_are_replayed_each_with_its_own(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        """
from multiprocessing.pool import ThreadPool
base = 0
def begin(x): global base; base = x
def add(x): return x + base
if __name__ == "__main__":
    for number in (5, 7, 5):
        with ThreadPool(1, begin, (number,)) as pool: print(pool.map(add, [1, 2]))
"""
    )
    assert lbench("record", "mine.py").stdout == "[6, 7]\n[8, 9]\n[6, 7]\n"
    assert answers(lbench("run", "recorded:mine", "-b", "sequential", *HERE[-4:])) == [(True, 6)]


LOKY = """
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
def sq(x, by=2): return x ** by
if __name__ == "__main__":
    pool = get_reusable_executor(1)
    print(list(pool.map(sq, range(5), chunksize=2)), pool.submit(sq, 5, by=3).result())
    print(Parallel(n_jobs=1)(delayed(sq)(i) for i in range(3)))
    pool.shutdown()
"""


def test_lokys_executor_is_recorded_and_joblibs_use_of_it_once(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(LOKY)
    done = lbench("record", "mine.py")
    assert (done.returncode, done.stdout) == (0, "[0, 1, 4, 9, 16] 125\n[0, 1, 4]\n"), done.stderr
    assert (manifest(home, "mine")["functions"], manifest(home, "mine")["stages"]) == ({"mine:sq": 9}, [5, 1, 3])


def test_a_recorded_call_that_fails_is_named_as_the_script_made_it(
    lbench: Lbench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "mine.py").write_text(
        "import os\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def f(x, n=1):\n    if 'MINE' not in os.environ: raise ValueError('not here')\n"
        "with ThreadPoolExecutor(1) as p: p.submit(f, 3, n=2)\n"
    )
    monkeypatch.setenv("MINE", "1")
    assert lbench("record", "mine.py").returncode == 0
    monkeypatch.delenv("MINE")
    done = lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1")
    assert done.returncode == 1
    assert "task 0, f(3, n=2), failed: ValueError: not here (mine.py, line 4 in f)" in done.stdout + done.stderr


@pytest.mark.parametrize("free", [0, 1])
def test_a_full_disk_ends_the_recording_and_is_named(
    lbench: Lbench, home: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """No file of the log, or none after the first, finds room: nothing is said that the script did not do."""
    (home / "mine.py").write_text(
        "import os\n"
        "free = int(os.environ['FREE'])\n"
        "def f(x):\n    return x\n"
        "if __name__ == '__main__':\n"
        "    from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor(1) as pool:\n"
        "        for size in (3, 2_000_000, 3):\n"
        "            pool.submit(f, bytes(size)).result()\n"
    )
    startup = home / "startup"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text(
        "import errno, os\n"
        "free, found = int(os.environ['FREE']), os.posix_fallocate\n"
        "def full(*arguments):\n"
        "    global free\n"
        "    free -= 1\n"
        "    if free < 0:\n"
        "        raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    return found(*arguments)\n"
        "os.posix_fallocate = full\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(startup))
    monkeypatch.setenv("FREE", str(free))
    done = lbench("record", "mine.py")
    assert done.returncode == 0 and "there is no room on the disk" in done.stderr, done.stderr
    assert "handed nothing" not in done.stderr
    if free:
        assert "left out: all that was handed over later: there is no room" in done.stderr
        assert manifest(home, "mine")["functions"] == {"mine:f": 1}
        kept = {path.name for path in (home / "data/lbench/recordings/mine").iterdir()}
        assert kept == {"calls.bin", "code", "manifest.json", "results.bin"}
        assert (
            "not in the recording: all that was handed over later" in lbench("run", "recorded:mine", *HERE[:2]).stdout
        )
    else:
        assert not list((home / "data/lbench/recordings").iterdir())


@pytest.mark.parametrize("at_import", [False, True], ids=["by a call", "by the module"])
def test_a_recording_that_misses_a_file_says_where_to_put_it(lbench: Lbench, home: Path, at_import: bool) -> None:
    read = "Path(__file__).with_name('table.txt').read_text()"
    (home / "mine.py").write_text(
        "from pathlib import Path\nfrom concurrent.futures import ThreadPoolExecutor\n"
        + (f"TABLE = {read}\ndef f(): return TABLE\n" if at_import else f"def f(): return {read}\n")
        + "with ThreadPoolExecutor(1) as p: print(p.submit(f).result())\n"
    )
    (home / "table.txt").write_text("7")
    assert lbench("record", "mine.py").stdout == "7\n"
    done = lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1")
    assert done.returncode == 1 and "(put them into a recording's folder code)" in done.stdout + done.stderr
    (home / "data" / "lbench" / "recordings" / "mine" / "code" / "table.txt").write_text("7")
    assert lbench("run", "recorded:mine", "-b", "sequential", "--repeats", "1").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_recording_that_another_user_put_there_is_not_run(lbench: Lbench, home: Path) -> None:
    """After `su`, say, the data folder may be another user's. Its code would run here."""
    theirs = home / "data/lbench/recordings/theirs"
    theirs.mkdir(parents=True)
    (theirs / "manifest.json").write_text("{}")
    for place in (home / "data/lbench", theirs):
        os.chown(place, 12345, 12345)
    done = lbench("run", "recorded:theirs")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "belongs to another user; set XDG_DATA_HOME to a folder that you own" in done.stderr
