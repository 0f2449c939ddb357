"""What runs in a worker of a cluster, by itself: a process that gets calls as bytes."""

from __future__ import annotations

import json
import subprocess
import sys

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
