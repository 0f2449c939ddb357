"""`lbench run -b lambda` from the command line: the engine in its own process, one endpoint for the emulator and moto."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def lbench(*line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lbench", *line],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "150"},
        cwd=os.environ["XDG_RUNTIME_DIR"],
    )


def test_a_job_runs_on_aws_beside_this_machine_and_is_checked(aws_lambda: Any) -> None:
    bucket = aws_lambda.deploy()
    aws_lambda.quota = 20
    aws_lambda.conditions = {"throttle_rate": 0.4, "seed": 2}
    done = lbench(
        "run", "mandelbrot", "-p", "size=100", "--tasks", "8", "--repeats", "2", "-b", "sequential", "-b", "lambda",
        "--json", "--yes",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    runs = {(run["label"], run["repeat"]): run for run in document["runs"]}
    assert {run["status"] for run in runs.values()} == {"ok"}
    there = runs["lambda", 0]
    assert (there["origin"], there["transport"], there["schedule"]) == ("measured", "direct", "concurrent")
    assert there["overlaps"] == [runs["sequential", 0]["id"]]  # beside what runs here, which is alone otherwise
    assert there["package_digest"] == "0" * 64
    assert there["backend_settings"]["concurrency"] == 8
    ended = {one["status"]: one for one in there["invocations"]}
    failed = [one["error"] for one in there["invocations"] if one["status"] == "error"]
    assert set(ended) == {"ok", "throttled"}, failed  # none was lost, and what was refused is not billed
    assert (ended["ok"]["billed_source"], ended["throttled"]["billed_ms"]) == ("report", None)
    assert sum(one["status"] == "ok" for one in there["invocations"]) == 8
    assert float(there["cost"]["usd"]) > 0 and there["cost"]["architecture"] == "x86_64"
    assert there["answer"]["digest"] == runs["sequential", 0]["answer"]["digest"]
    assert aws_lambda.keys(bucket) == []


def test_an_audit_replaces_what_was_estimated(aws_lambda: Any) -> None:
    aws_lambda.deploy()
    aws_lambda.tails = False  # they get lost on their way
    line = ("run", "probe", "--tasks", "3", "--repeats", "1", "-b", "lambda", "--json", "--yes")
    estimated = json.loads(lbench(*line).stdout)["runs"][0]["invocations"]
    assert {one["billed_source"] for one in estimated} == {"estimated"}
    done = lbench(*line, "--audit")
    assert done.returncode == 0, done.stderr
    audited = json.loads(done.stdout)["runs"][0]["invocations"]
    assert {one["billed_source"] for one in audited} == {"audit"}
    assert all(one["billed_ms"] > 0 and one["max_memory_mb"] for one in audited)


def test_what_cannot_run_is_one_line_and_exit_code_2_and_nothing_is_recorded(aws_lambda: Any) -> None:
    missing = lbench("run", "probe", "-b", "lambda", "--yes")
    assert missing.returncode == 2
    assert "nothing is deployed as lbench in us-east-1: run `lbench deploy --region us-east-1`" in missing.stderr
    aws_lambda.deploy()
    aws_lambda.quota = 10
    much = lbench("run", "probe", "-b", "lambda", "--concurrency", "11", "--yes")
    assert much.returncode == 2
    assert "--concurrency must be at most 10, got 11: that is the account's limit in us-east-1" in much.stderr
    for refused in (missing, much):
        assert refused.stdout == "" and "Traceback" not in refused.stderr
    assert json.loads(lbench("sessions", "--json").stdout) == []


def test_without_the_permission_to_invoke_nothing_is_recorded_and_the_action_is_named(aws_lambda: Any) -> None:
    aws_lambda.deploy()
    aws_lambda.may_invoke = False
    done = lbench("run", "probe", "--tasks", "3", "--repeats", "1", "-b", "lambda", "--yes", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "user/me may not do lambda:InvokeFunction" in line
    assert aws_lambda.invoked == [] and not list(Path(os.environ["XDG_DATA_HOME"]).glob("lbench/sessions/*"))


def test_the_same_job_fails_behind_the_front_and_succeeds_without_it() -> None:
    done = lbench(
        "run", "probe", "-p", "kind=sleep", "-p", "seconds=1.2", "--tasks", "1", "--repeats", "1", "--concurrency", "1",
        "-b", "emulated:transport=direct@direct", "-b", "emulated:transport=event@event",
        "-b", "emulated:transport=http-api,front_timeout=0.8@front",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "✔ same" in done.stdout
    line = "front: task 0 failed: FrontTimeout: the HTTP API timed out after 0.8 s, while the function continues"
    assert line in " ".join(done.stdout.split())
    assert "use --transport direct or event" in " ".join(done.stdout.split())
    assert "failed: front." in " ".join(done.stdout.split())


def test_what_a_cancel_leaves_running_on_aws_is_counted_and_shown_with_its_cost(aws_lambda: Any) -> None:
    bucket = aws_lambda.deploy()
    line = [
        "run",
        "probe",
        "-p",
        "kind=sleep",
        "-p",
        "seconds=20",
        "--tasks",
        "4",
        "--repeats",
        "1",
        "--concurrency",
        "2",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "lbench", *line, "-b", "lambda", "--json", "--yes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.environ["XDG_RUNTIME_DIR"],
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "2 at once" in line:
                break
        sessions = Path(os.environ["XDG_DATA_HOME"]) / "lbench/sessions"
        deadline_s = time.monotonic() + 180
        while sum(path.read_bytes().count(b'"dispatched"') for path in sessions.glob("*/events.jsonl")) < 2:
            assert time.monotonic() < deadline_s and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    (run,) = json.loads(output)["runs"]
    assert run["status"] == "cancelled"
    assert [one["status"] for one in run["invocations"]] == ["cancelled"] * 2  # the other two were never sent
    assert float(run["cost"]["usd"]) > 0
    assert any("2 abandoned invocations" in text for text in run["cost"]["estimated"])
    assert aws_lambda.keys(bucket) == []
