"""The whole way from the command line: deploy, run, destroy, with the very zip that was deployed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lbench.config.manifest import host_architecture
from lbench.config.pythons import find_python


def lbench(*line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lbench", *line],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=os.environ["XDG_RUNTIME_DIR"],
    )


def test_what_is_deployed_runs_and_goes_again(
    aws_lambda: Any, package_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(package_cache))
    arch = host_architecture()
    python = next((one for one in ("3.13", "3.12", "3.14") if find_python(one)), None)
    if arch is None or python is None:
        pytest.skip("there is no Python of Lambda's here: install 3.12, 3.13 or 3.14")
    target = ("--arch", arch)
    deployed = lbench("deploy", "--workload", "mandelbrot", "--python", python, *target)
    if "cannot be downloaded" in deployed.stderr:
        pytest.skip("the libraries cannot be had")
    assert deployed.returncode == 0, deployed.stderr
    outputs = aws_lambda.adopt("lbench" if arch == "x86_64" else "lbench-arm64")
    assert hashlib.sha256(aws_lambda.package.read_bytes()).hexdigest() == outputs["PackageDigest"]

    done = lbench(
        "run", "mandelbrot", "-p", "size=50", "--tasks", "2", "--repeats", "1", "-b", "sequential",
        "-b", "lambda", "-b", "lambda:transport=event@event", "--json", "--yes", *target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert {run["status"] for run in runs} == {"ok"}
    assert len({run["answer"]["digest"] for run in runs}) == 1
    there = [run for run in runs if run["backend"] == "lambda"]
    assert {run["package_digest"] for run in there} == {outputs["PackageDigest"]}
    stack = there[0]["backend_settings"]["stack"]
    assert {(name, kind) for name, kind, _ in aws_lambda.invoked} == {
        (f"{stack}-1769", "RequestResponse"),
        (f"{stack}-1769", "Event"),
    }
    assert all(float(run["cost"]["usd"]) > 0 for run in there)

    gone = lbench("destroy", "--yes", *target)
    assert gone.returncode == 0, gone.stderr
    assert aws_lambda.client("s3").list_buckets()["Buckets"] == []
    assert lbench("run", "mandelbrot", "-b", "lambda", "--yes", *target).returncode == 2
