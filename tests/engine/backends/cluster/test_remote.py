"""What runs in a worker of a cluster, by itself: a process that gets calls as bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil

CALLS = """
import json, sys
from lbench.engine.backends.cluster import remote
from lbench.workloads.encoding import decode, encode

answers = []
for workload, task in json.loads(sys.argv[1]):
    request = {"call": "c", "task": encode(task), "deadline_s": 60.0, "blas": 1, "workload": workload}
    answers.append(decode(remote.run(encode(request))))
print(json.dumps([[one["cold"], "error" in one] for one in answers]))
"""


def test_a_worker_s_first_task_of_each_workload_is_a_cold_start() -> None:
    nothing = ["probe.noop", {"number": 1}]
    count = ["no such function", {}]
    calls = [["probe", nothing], ["probe", nothing], ["map_reduce", count], ["map_reduce", count], ["probe", nothing]]
    done = subprocess.run(
        [sys.executable, "-c", CALLS, json.dumps(calls)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    unknown = True
    assert json.loads(done.stdout) == [[True, False], [False, False], [True, unknown], [False, unknown], [False, False]]


OWN = """
from lbench.engine.backends.cluster import remote
from lbench.workloads.encoding import decode, encode
from lbench.workloads.own.tracebacks import place_in

files = {"pkg/mine.py": b"def f(x):\\n    raise ValueError(x)\\n", "lbench-own.json": b'{"modules": ["pkg.mine"]}'}
code = {"digest": "0123456789abcdef" * 2, "module": "pkg.mine", "function": "f", "files": files}
task = encode(["pkg.mine:f", {"x": 7}])
request = {"call": "c", "task": task, "deadline_s": 60.0, "blas": 1, "workload": "w", "code": code}
kind, message, trace = decode(remote.run(encode(request)))["error"]
print(kind, message, place_in(trace))
"""


def test_an_error_of_a_user_s_code_has_its_place_in_their_file() -> None:
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "ValueError 7 pkg/mine.py, line 2 in f\n", done.stderr


POOL = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
from lbench.engine.backends.cluster import remote
from lbench.workloads.encoding import encode

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    task = encode(["probe.noop", {"number": 1}])
    request = {"call": "c", "task": task, "deadline_s": 60.0, "blas": 1, "workload": "probe", "parent": os.getpid()}
    pool.submit(remote.run, encode(request)).result()
    print(*pool._processes, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_the_workers_of_an_engine_s_own_pool_end_with_it(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    done = subprocess.run([sys.executable, "pool.py"], stdout=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert done.returncode == -9
    workers = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    assert not psutil.wait_procs(workers, timeout=60)[1]


FOLDER = """
from concurrent.futures import ProcessPoolExecutor
from lbench.engine.backends.cluster import remote

def scratch():
    return str(remote._process.scratch())

if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        print(pool.submit(scratch).result())
    print(scratch())
"""


def test_a_worker_s_folder_goes_with_its_process_also_a_pool_s(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(FOLDER)
    argv = [sys.executable, str(tmp_path / "own.py")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    made = [Path(line) for line in done.stdout.splitlines()]
    assert len({*made}) == 2 and not any(path.exists() for path in made), done.stderr
