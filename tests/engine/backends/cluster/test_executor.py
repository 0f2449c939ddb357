"""`executor`: any concurrent.futures.Executor, by the same wrapper and with the same records."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.cluster import executor
from lbench.engine.backends.cluster.backend import LostWorker
from lbench.engine.backends.cluster.executor import ExecutorWorkers, try_factory
from lbench.errors import BackendError, InputError

FACTORIES = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

def processes():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))

def threads():
    return ThreadPoolExecutor(2)

def loky():
    import loky
    return loky.get_reusable_executor(2)

def leaves():
    raise SystemExit(3)

def nothing():
    return 3

def broken():
    raise RuntimeError("no licence")

def needs(workers):
    return ThreadPoolExecutor(workers)
"""

MINE = """
from lbench import Task

def work(i: int) -> int:
    if i == 99:
        raise ValueError("odd one")
    return i + 1

def slow(i: int) -> int:
    while True:
        pass

def stuck(i: int) -> int:
    import time
    time.sleep(600)

def killed(i: int) -> int:
    import os, pathlib
    if i == 2:
        path = pathlib.Path(os.environ["LBENCH_TEST_MARKER"])
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), 9)
    return i + 1

def ends(i: int) -> int:
    import os
    os._exit(3)

def job(n: int = 6, kind: str = "work"):
    results = yield [Task({"work": work, "slow": slow, "stuck": stuck, "killed": killed}[kind], i=i) for i in range(n)]
    return sum(results)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "factories.py").write_text(FACTORIES)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def lbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lbench", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
        env=os.environ | {"LBENCH_TEST_MARKER": str(folder / "marker")},
    )


def test_the_answer_and_the_records_are_those_of_every_backend(folder: Path) -> None:
    there = _run(folder, "./mine.py:job", "processes")
    assert [call["status"] for call in there["invocations"]] == ["ok"] * 6
    assert all(call["started_s"] <= call["finished_s"] <= call["returned_s"] for call in there["invocations"])
    assert {call["environment"] for call in there["invocations"]} == {one["id"] for one in there["environments"]}
    assert there["cost"]["usd"] is None
    assert there["cost"]["unpriced"] == ["no price: usd_per_hour= was not given"]


def _run(folder: Path, workload: str, factory: str, *arguments: str, code: int = 0) -> Any:
    done = lbench(
        folder, "run", workload, "-b", f"executor:factory=./factories.py:{factory}", "--repeats", "1", "--json", *arguments
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)["runs"][0]


@pytest.mark.slow
@pytest.mark.parametrize("factory", ["threads", "loky", "processes"])
@pytest.mark.parametrize(
    "small",
    ["kmeans -p n_samples=2000", "map_reduce -p rows=2000", "map_reduce -p job=word_count -p rows=500",
     "map_reduce -p job=sort -p rows=500", "mandelbrot -p size=64", "random_forest -p n_trees=2 -p rows=400",
     "probe --tasks 5"],
)  # fmt: skip
def test_workloads_give_the_same_answer_on_an_executor(folder: Path, factory: str, small: str) -> None:
    if factory == "loky":
        pytest.importorskip("loky", reason="loky is not installed")
    done = lbench(
        folder, "run", *small.split(), "-b", "sequential", "-b", f"executor:factory=./factories.py:{factory}",
        "--repeats", "1", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert len({run["answer"]["digest"] for run in runs}) == 1


@pytest.mark.slow
def test_a_deadline_ends_the_task_also_one_that_never_returns_to_python(folder: Path) -> None:
    for kind in ("slow", "stuck"):
        run = _run(folder, "./mine.py:job", "processes", "-p", f"kind={kind}", "-p", "n=1", "--timeout", "1",
                   "--retries", "0", code=1)  # fmt: skip
        (call,) = run["invocations"]
        assert call["status"] == "timeout"


@pytest.mark.slow
def test_a_killed_worker_breaks_the_pool_which_is_replaced_and_its_calls_are_tried_again(folder: Path) -> None:
    run = _run(folder, "./mine.py:job", "processes", "-p", "kind=killed", "-p", "n=6")
    lost = [call for call in run["invocations"] if call["status"] == "error"]
    assert lost
    assert {call["error"]["type"] for call in lost} == {"WorkerLost"}
    assert sum(call["status"] == "ok" for call in run["invocations"]) == 6


@pytest.mark.slow
def test_a_thread_that_is_stuck_keeps_nobody_from_ending(folder: Path) -> None:
    run = _run(folder, "./mine.py:job", "threads", "-p", "kind=stuck", "-p", "n=1", "--timeout", "1", "--retries", "0",
               code=1)  # fmt: skip
    assert run["status"] == "failed"


@pytest.mark.slow
def test_mpi_gives_the_same_answer(folder: Path) -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install mpi4py")
    if shutil.which("mpiexec") is None:
        pytest.skip("there is no mpiexec: apt-get install mpich")
    try:
        from mpi4py import MPI  # noqa: F401
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"mpi4py finds no MPI library: {error}")
    page = (Path(__file__).parents[4] / "docs" / "clusters.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "mpiexec" in code]
    (folder / "mpi_pool.py").write_text(code)
    done = lbench(
        folder, "run", "kmeans", "-p", "n_samples=2000", "-b", "sequential", "-b", "executor:factory=./mpi_pool.py:pool",
        "--repeats", "1", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert len({run["answer"]["digest"] for run in runs}) == 1


@pytest.mark.parametrize(
    ("factory", "line"),
    [
        ("./factories.py:nothing", "must give a concurrent.futures.Executor, got int"),
        ("./factories.py:broken", "raised RuntimeError: no licence"),
        ("./factories.py:leaves", "raised SystemExit: 3"),
        (
            "./factories.py:needs",
            "is called without arguments, and needs workers: write a function",
        ),
        ("./factories.py:absent", "has no callable named 'absent'"),
        ("./nowhere.py:x", "nowhere.py"),
        ("no_such_module_here:x", "no module named 'no_such_module_here'"),
        ("plain", "must be module:callable"),
        ("", "must be module:callable"),
    ],
)
async def test_a_factory_that_cannot_be_used_is_refused_in_one_line(
    folder: Path, factory: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=r"^executor: [^\n]*$") as refused:
        await try_factory(factory)
    assert line in str(refused.value)


async def test_an_import_that_does_not_end_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(executor, "_MAKE_S", 0.2)
    may_end = threading.Event()
    monkeypatch.setattr(threading, "may_end", may_end, raising=False)
    (folder / "endless.py").write_text("import threading\nthreading.may_end.wait()\n")
    try:
        with pytest.raises(InputError, match=r"endless\.py:pool did not return within 0\.2 s"):
            await try_factory("./endless.py:pool")
        (thread,) = (one for one in threading.enumerate() if one.name == "factory")
        assert thread.daemon  # the engine's end does not wait for it
    finally:
        may_end.set()


class Scripted(Executor):
    """An executor whose calls end as a test wants it."""

    def __init__(self, end: Callable[[Any], object]) -> None:
        self._end = end

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Any = Future()
        return self._end(future) or future


async def sent(monkeypatch: pytest.MonkeyPatch, end: Callable[[Any], object]) -> bytes:
    """What a call gives whose executor ends it so."""
    monkeypatch.setattr(sys.modules[__name__], "scripted", lambda: Scripted(end), raising=False)
    monkeypatch.setitem(sys.modules, "a_factory_of_tests", sys.modules[__name__])
    workers = ExecutorWorkers("a_factory_of_tests:scripted", 1)
    await workers.open()
    try:
        return await workers.send("x0", {"call": "c"})
    finally:
        await workers.close()


def dropped(future: Any) -> None:
    future.cancel()
    future.set_running_or_notify_cancel()


@pytest.mark.parametrize(
    ("end", "error", "message"),
    [
        (dropped, LostWorker, "the executor dropped the call"),
        (lambda future: future.set_exception(KeyboardInterrupt()), LostWorker, "failed: KeyboardInterrupt"),
        (lambda future: future.set_exception(SystemExit(3)), LostWorker, "failed: SystemExit: 3"),
        (lambda future: future.set_exception(OSError("pipe")), LostWorker, "failed: OSError: pipe"),
        (lambda future: future.set_result("text"), BackendError, "a call returned str instead of its result"),
        (lambda future: "text", BackendError, "submit must return a concurrent.futures.Future, got str"),
    ],
    ids=["dropped", "interrupt", "exit", "transport", "result", "no future"],
)
async def test_a_call_that_an_executor_ends_in_its_own_way_is_a_lost_attempt_or_a_refusal(
    monkeypatch: pytest.MonkeyPatch, end: Callable[[Any], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await asyncio.wait_for(sent(monkeypatch, end), 60)


async def test_an_answer_may_arrive_as_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (bytes, bytearray, memoryview):
        assert await sent(monkeypatch, lambda future, kind=kind: future.set_result(kind(b"123"))) == b"123"


@pytest.mark.parametrize(("factory", "expected"), [
    ("threads", "lbench: the engine has died: it ended with exit code 3; its runs are marked interrupted, the results so "
     "far are in {folder}\nexecutor: if its factory gives threads, its tasks run in the engine's process, and os._exit, a "
     "signal or a crash there ends it: give a pool of processes, or run them with -b threads\n"),
    ("processes", "✘ executor: task 0, ends(i=1), failed"),
])  # fmt: skip
def test_a_task_that_ends_its_process_is_named_also_where_that_is_the_engines(
    folder: Path, factory: str, expected: str
) -> None:
    done = lbench(folder, "run", "./mine.py:ends", "--each", "i=1", "-b", f"executor:factory=./factories.py:{factory}",
                  "--repeats", "1", "--retries", "0", "--quiet")  # fmt: skip
    assert done.returncode == 1
    (session,) = (Path(os.environ["XDG_DATA_HOME"]) / "lbench" / "sessions").iterdir()
    assert expected.format(folder=session) in done.stderr, done.stderr


def test_a_refusal_is_exit_code_2(folder: Path) -> None:
    done = lbench(folder, "run", "probe", "--tasks", "2", "-b", "executor:factory=./factories.py:nothing", "--quiet")
    assert done.returncode == 2
    (message,) = done.stderr.splitlines()
    assert "must give a concurrent.futures.Executor, got int" in message
