"""What a task needs is imported before the clock: neither a first task nor a whole answer imports a module."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = [
    ("mandelbrot", {"size": 40}),
    pytest.param("mandelbrot", {"size": 40, "kernel": "python"}, marks=pytest.mark.slow),
    ("kmeans", {"n_samples": 600, "k": 3}),
    pytest.param("random_forest", {"n_trees": 2, "rows": 300}, marks=pytest.mark.slow),
    ("map_reduce", {"rows": 300}),
    pytest.param("map_reduce", {"rows": 300, "job": "word_count"}, marks=pytest.mark.slow),
    pytest.param("map_reduce", {"rows": 300, "job": "sort"}, marks=pytest.mark.slow),
    ("probe", {"kind": "spin", "seconds": 0}),
    pytest.param("probe", {"kind": "carry", "size_bytes": 10}, marks=pytest.mark.slow),
]

JOB = """
import pickle, sys, tempfile
from pathlib import Path
from lbench.workloads import dataset, parameters, registry
from lbench.workloads.encoding import encode
from lbench.workloads.functions import call
from lbench.workloads.objects import RUN_STORE, Place

name, given, folder = sys.argv[1], eval(sys.argv[2]), Path(sys.argv[3])
description = registry.describe(name)
workload = registry.load(description)
params = parameters.parse(description.params, given, tasks=2)
data = workload.load(params, None)
if data is not None:
    dataset.write_dataset(data, folder / "data")
(folder / "store").mkdir()
(folder / "calls").mkdir()
steps, results = workload.job(params, data), None
for stage in range(2):
    try:
        tasks = next(steps) if results is None else steps.send(results)
    except StopIteration:
        break
    place = Place(folder=str(folder / "store"))
    results = []
    for number, task in enumerate(tasks):
        arguments = {key: place if value is RUN_STORE else value for key, value in task.arguments.items()}
        (folder / "calls" / f"{stage}-{number}").write_bytes(encode([task.function, arguments]))
        results.append(call(task.function, arguments, data))
(folder / "calls" / "whole").write_bytes(encode(["whole.run", {
    "workload": name, "params": parameters.settable(params), "tasks": 2, "seed": 1}]))
"""

WORKER = """
import inspect, sys
from pathlib import Path
from lbench.engine.backends.local import worker  # all that a worker process imports by itself
from lbench.workloads import functions
from lbench.workloads.encoding import decode, encode
from lbench.workloads.dataset import open_dataset

name, folder, whole = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "whole"
functions.preload(functions.WHOLE + name if whole else name)
data = open_dataset(folder / "data") if (folder / "data").exists() else None
known = set(sys.modules)
for path in sorted((folder / "calls").iterdir()):
    if (path.name == "whole") == whole:
        function, arguments = decode(path.read_bytes())
        if "data" in inspect.signature(functions.find(function)[0]).parameters:
            arguments["data"] = data
        encode(functions.find(function)[0](**arguments))
        late = sorted(set(sys.modules) - known)
        assert not late, f"{function} imports {late}"
"""


@pytest.mark.parametrize(("name", "params"), CASES)
def test_the_first_task_imports_nothing(name, params, tmp_path):
    job = subprocess.run([sys.executable, "-c", JOB, name, repr(params), str(tmp_path)], capture_output=True, text=True)
    assert job.returncode == 0, job.stderr
    for what in ("tasks", "whole"):
        worker = subprocess.run(
            [sys.executable, "-c", WORKER, name, str(tmp_path), what], capture_output=True, text=True
        )
        assert worker.returncode == 0, worker.stderr[-400:]
