"""The Bench screen drives `lambda`: the real program on a terminal, the emulator and moto behind one endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SCRIPT = """
import sys
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.main import run
backends = [parse_backend(name, {}) for name in ("sequential", "lambda")]
plan = Plan(workload="mandelbrot", params={"size": 100}, tasks=4, repeats=1, timeout_s=10, backends=backends)
sys.exit(run(plan=plan, on_hangup="stop"))
"""


def test_a_comparison_with_aws_is_measured_on_the_bench(
    aws_lambda: Any, program: Callable[..., Any], mid_run: Callable[[Any], None], tmp_path: Path
) -> None:
    bucket = aws_lambda.deploy()
    terminal = program(script=_SCRIPT)
    mid_run(terminal)
    terminal.wait_for("✔ same")
    events = [
        json.loads(line)
        for journal in tmp_path.glob("data/lbench/sessions/*/events.jsonl")
        for line in journal.read_bytes().splitlines()
    ]
    started = {event["run"]: event for event in events if event["event"] == "started"}
    planned = {event["label"]: event for event in events if event["event"] == "planned"}
    there = started[planned["lambda"]["run"]]
    assert planned["lambda"]["origin"] == "measured"
    assert there["settings"]["stack"] == "lbench" and there["pricing"]["rates"]["region"] == "us-east-1"
    assert len(aws_lambda.invoked) == 4
    terminal.send("q")
    assert terminal.wait() == 0
    assert aws_lambda.keys(bucket) == []


def test_what_is_missing_on_aws_is_reported_on_the_bench(aws_lambda: Any, program: Callable[..., Any]) -> None:
    terminal = program(script=_SCRIPT)
    terminal.wait_for("quit")
    terminal.send("r")
    terminal.wait_for("start")
    terminal.send("\r")
    terminal.wait_for("nothing is deployed as lbench")
    terminal.send("q")
    assert terminal.wait() == 0
