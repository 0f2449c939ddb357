"""`dask` on a real cluster: separate processes, TLS, killed and late workers, own code, data."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.base import Call
from lbench.engine.backends.cluster.backend import ClusterBackend
from lbench.engine.backends.settings import DaskSettings
from lbench.workloads import registry
from lbench.workloads.encoding import encode

pytest.importorskip("distributed", reason="the extra lbench[dask] is not installed")

from lbench.engine.backends.cluster.dask import DaskWorkers, look_at_cluster

pytestmark = pytest.mark.slow

MINE = """
import os
import time
from lbench import Task

def work(i: int, seconds: float) -> int:
    time.sleep(seconds)
    return i * i

def job(n: int = 12, seconds: float = 0.2):
    results = yield [Task(work, i=i, seconds=seconds) for i in range(n)]
    return sum(results)
"""
_SMALL = {
    "mandelbrot": ("mandelbrot", "-p", "width=64", "-p", "height=48"),
    "random_forest": ("random_forest", "-p", "n_trees=4", "-p", "rows=400"),
    "kmeans": ("kmeans", "-p", "n_samples=2000"),
    "group_by": ("map_reduce", "-p", "rows=2000"),
    "word_count": ("map_reduce", "-p", "job=word_count", "-p", "rows=500"),
    "sort": ("map_reduce", "-p", "job=sort", "-p", "rows=500"),
    "probe": ("probe", "--tasks", "5"),
}


def lbench(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "lbench", *arguments],
        capture_output=True, text=True, timeout=300, check=False, cwd=cwd, env=os.environ | (env or {}),
    )  # fmt: skip


def document(done: Any) -> dict[str, Any]:
    assert done.stdout, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def settings(cluster: Any, **others: Any) -> DaskSettings:
    return DaskSettings(scheduler=cluster.address, **cluster.tls, **others)


def test_a_user_s_workload_runs_over_tls_with_full_records_and_the_price_of_all_workers(
    cluster: Any, tmp_path: Path
) -> None:
    cluster.add_worker()
    cluster.add_worker()
    (tmp_path / "mine.py").write_text(MINE)
    done = lbench(
        "run", "./mine.py:job", "-p", "n=8", "-p", "seconds=0.01", "-b", f"{cluster.settings},usd_per_hour=0.5",
        "--repeats", "1", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = document(done)["runs"]
    calls = run["invocations"]
    assert len(calls) == 8
    for call in calls:
        assert call["queued_s"] <= call["dispatched_s"] <= call["started_s"] <= call["finished_s"] <= call["returned_s"]
    assert {call["environment"] for call in calls} <= {one["id"] for one in run["environments"]}
    assert sum(call["cold"] for call in calls) == len(run["environments"])
    assert not {"ca", "cert", "key"} & set(run["backend_settings"])
    assert run["worker_s"] == pytest.approx(2 * run["makespan_s"], rel=0.01)
    rent = Decimal(run["cost"]["items"]["machine_rent"])
    assert float(rent) == pytest.approx(0.5 * run["worker_s"] / 3600, rel=1e-3)
    assert "idle time included" in run["cost"]["machine_rent_basis"]


def test_every_workload_is_listed() -> None:
    assert {line[0] for line in _SMALL.values()} == {*registry.names()}


@pytest.mark.parametrize("workload", sorted(_SMALL))
def test_a_workload_has_the_answer_that_it_has_here(cluster: Any, workload: str, tmp_path: Path) -> None:
    cluster.add_worker()
    cluster.add_worker()
    done = lbench(
        "run", *_SMALL[workload], "-b", "sequential", "-b", f"{cluster.settings},store={tmp_path}",
        "--repeats", "1", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = document(done)["runs"]
    assert len({run["answer"]["digest"] for run in runs}) == 1
    assert not list(tmp_path.glob("lbench-*"))
    there = next(run for run in runs if run["backend"] == "dask")
    assert there["cost"]["usd"] is None
    assert there["cost"]["items"]["machine_rent"] is None
    assert there["cost"]["unpriced"] == ["no price: usd_per_hour= was not given"]


def test_the_call_of_a_killed_worker_is_a_failed_attempt_that_is_tried_again(cluster: Any, tmp_path: Path) -> None:
    cluster.add_worker()
    victim = cluster.add_worker()
    # Whoever runs on the victim first ends it, so that exactly one worker is lost.
    body = f"time.sleep(seconds)\n    if os.getpid() == {victim.pid}: os.kill(os.getpid(), 9)"
    (tmp_path / "mine.py").write_text(MINE.replace("time.sleep(seconds)", body))
    done = lbench("run", "./mine.py:job", "-b", cluster.settings, "--repeats", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = document(done)["runs"]
    assert victim.wait(10) == -signal.SIGKILL
    lost = [call for call in run["invocations"] if call["status"] == "error"]
    assert lost
    assert {call["error"]["type"] for call in lost} == {"WorkerLost"}
    for call in lost:
        again = [one for one in run["invocations"] if one["task"] == call["task"] and one["attempt"] > call["attempt"]]
        assert again
    assert sum(call["status"] == "ok" for call in run["invocations"]) == 12


def test_a_worker_whose_memory_is_full_is_lost_and_its_task_is_tried_again(cluster: Any, tmp_path: Path) -> None:
    for _ in range(2):  # how soon the lost one is replaced is not tested: it takes long on a busy machine
        cluster.add_worker(nanny=True, memory="500MB")
    marker = tmp_path / "tried"
    once = f"i == 1 and not os.path.exists({str(marker)!r})"
    hog = f"if {once}: open({str(marker)!r}, 'w'); full = b'x' * 2**30; time.sleep(60)"
    (tmp_path / "mine.py").write_text(MINE.replace("    time.sleep(seconds)", f"    {hog}"))
    done = lbench("run", "./mine.py:job", "-p", "n=3", "-b", cluster.settings, "--repeats", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = document(done)["runs"]
    lost = [call for call in run["invocations"] if call["status"] != "ok"]
    assert [call["task"] for call in lost].count(1) == 1
    assert {call["error"]["type"] for call in lost} == {"WorkerLost"}


def test_a_dead_scheduler_is_a_failed_run_within_ten_seconds(cluster: Any, tmp_path: Path) -> None:
    cluster.add_worker()
    killed = tmp_path / "killed"
    kill = f"open({str(killed)!r}, 'w').close(); os.kill({cluster.scheduler.pid}, 9)"
    (tmp_path / "mine.py").write_text(
        MINE.replace("time.sleep(seconds)", f"time.sleep(seconds)\n    if i == 1: {kill}")
    )
    done = lbench("run", "./mine.py:job", "-b", cluster.settings, "--repeats", "1", "--json", cwd=tmp_path)
    ended = time.time()
    assert done.returncode == 1
    (run,) = document(done)["runs"]
    assert run["status"] == "failed"
    assert "lost the connection to the scheduler" in run["error"]
    assert ended - killed.stat().st_mtime < 10 + 10  # the engine's own end comes after the run's


async def test_a_scheduler_that_hangs_is_taken_for_lost(cluster: Any) -> None:
    cluster.add_worker()
    backend = ClusterBackend(DaskWorkers(settings(cluster)), workload="probe")
    async with backend:
        os.kill(cluster.scheduler.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(Exception, match="lost the connection to the scheduler"):
            await backend.invoke(call())
        assert time.monotonic() - began < 10


def call(seconds: float = 0.0, deadline_s: float = 60.0) -> Call:
    task = encode(["probe.sleep", {"number": 1, "seconds": seconds}])
    return Call(task, 0, 0, 0, deadline_s)


async def test_a_worker_that_joins_late_is_used_and_one_of_another_version_is_not(cluster: Any) -> None:
    cluster.add_worker()
    workers = DaskWorkers(settings(cluster))
    backend = ClusterBackend(workers, workload="probe")
    grown = asyncio.Event()
    backend.on_growth = grown.set
    async with backend:
        assert backend.capacity == backend.workers == 1
        began_s = asyncio.get_running_loop().time()
        cluster.add_worker()
        await asyncio.wait_for(grown.wait(), 60)
        assert backend.capacity == backend.workers == 2
        ended_s = asyncio.get_running_loop().time()
        assert ended_s - began_s < backend.worker_seconds(began_s, ended_s) < 2 * (ended_s - began_s)
        cluster.add_foreign_worker()
        while not any("0.0.1" in note for note in workers.notes):  # noqa: ASYNC110 - the test has a time limit
            await asyncio.sleep(0.05)
        assert backend.capacity == 2


async def test_another_version_is_refused_or_named(cluster: Any) -> None:
    from lbench.errors import BackendError

    cluster.add_foreign_worker()
    workers = DaskWorkers(settings(cluster, any_versions=True))
    await workers.open()
    assert any("lbench 0.0.1" in note for note in workers.notes)
    await workers.close()
    with pytest.raises(BackendError, match=r"lbench 0\.0\.1 .*make them equal, or pass --any-versions"):
        await DaskWorkers(settings(cluster)).open()


async def test_a_task_that_never_returns_to_python_ends_at_its_deadline_with_its_worker() -> None:
    backend = ClusterBackend(DaskWorkers(DaskSettings(), workers=1), workload="probe")
    async with backend:
        first = await backend.invoke(call())
        assert first.failure is None, first.failure
        outcome = await backend.invoke(call(seconds=600, deadline_s=0.5))
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"
        again = await backend.invoke(call())  # a nanny has replaced it
        assert again.failure is None, again.failure
        assert again.cold
        assert again.environment != first.environment


def test_what_cannot_be_reached_or_trusted_is_one_line_and_exit_code_2(
    cluster: Any, other_certificates: dict[str, str]
) -> None:
    cluster.add_worker()
    theirs = other_certificates
    wrong_ca = f"dask:scheduler={cluster.address},ca={theirs['ca']},cert={theirs['cert']},key={theirs['key']}"
    plain = f"dask:scheduler={cluster.address.replace('tls://', 'tcp://')}"
    for backend, text in (
        (wrong_ca, "certificate"),
        (plain, "cannot connect"),
        (cluster.settings.replace(cluster.address, "tls://127.0.0.1:1"), "cannot connect"),
    ):
        done = lbench("run", "probe", "--tasks", "2", "-b", backend, "--repeats", "1", "--quiet")
        assert done.returncode == 2, (backend, done.stderr)
        (line,) = done.stderr.splitlines()
        assert text in line.lower() or "cannot connect" in line
        assert "Traceback" not in done.stderr


def test_a_scheduler_file_and_the_variable_name_a_cluster_and_doctor_shows_it(cluster: Any, tmp_path: Path) -> None:
    worker = cluster.add_worker()
    tls = ",".join(f"{name}={path}" for name, path in cluster.tls.items())
    by_file = lbench(
        "run", "probe", "--tasks", "2", "-b", f"dask:scheduler_file={cluster.file},{tls}", "--repeats", "1", "--json"
    )
    assert by_file.returncode == 0, by_file.stderr
    variable = {"DASK_SCHEDULER_ADDRESS": cluster.address}
    by_variable = lbench("run", "probe", "--tasks", "2", "-b", f"dask:{tls}", "--repeats", "1", "--json", env=variable)
    assert by_variable.returncode == 0, by_variable.stderr
    facts = asyncio.run(look_at_cluster(settings(cluster)))
    assert len(facts) == 1
    assert facts[0].threads == 1
    assert not facts[0].differing
    done = lbench("doctor", "--cluster", cluster.settings)
    assert facts[0].address in done.stdout, done.stdout + done.stderr
    assert worker.poll() is None


def test_without_an_address_a_local_cluster_is_started_and_a_killed_engine_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        MINE.replace(
            "time.sleep(seconds)", f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n    time.sleep(60)"
        )
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "lbench", "run", "./mine.py:job", "-b", "dask:concurrency=1", "--repeats", "1"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    import psutil

    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert running.poll() is None
        time.sleep(0.05)
    worker = psutil.Process(int((tmp_path / "pid").read_text()))
    engine = next(
        one
        for one in worker.parents()
        if "lbench.engine" in one.cmdline() and "local_cluster" not in " ".join(one.cmdline())
    )
    family = engine.children(recursive=True)
    engine.kill()
    _, alive = psutil.wait_procs(family, timeout=120)
    assert not alive
    assert list(tmp_path.glob("lbench-dask-*")) == []  # the guardian was among them
    running.wait(30)
