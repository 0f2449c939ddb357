"""`lbench run function`: somebody's deployed function measured from the command line, and its code here beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_is_called_with_the_events_in_turn_and_has_no_answer(theirs: Any, lbench: Lbench, home: Path) -> None:
    (home / "events.jsonl").write_text('{"a": 1}\n\n{"fail": 1}\n')
    arguments = ("-p", "name=theirs", "-p", "payload=@events.jsonl", "-p", "invocations=20")
    session = document(lbench("run", "function", *arguments, "-b", "lambda:concurrency=2", "--json", "--quiet"))
    (run,) = session["runs"]  # once: repeats are asked for, never by default
    assert (run["status"], run["answer"], run["origin"]) == ("ok", None, "measured")
    assert run["backend_settings"]["memory"] == 256 and run["backend_settings"]["region"] == "us-east-1"
    invocations = run["invocations"]
    assert len(invocations) == 20 and sum(one["status"] == "error" for one in invocations) == 10
    assert {one["attempt"] for one in invocations} == {0}  # an error of the function is a result
    assert {one["request_bytes"] for one in invocations} == {8, 11}
    cold = [one for one in invocations if one["cold"]]
    assert 1 <= len(cold) <= 2 and all(one["init_ms"] for one in cold)
    assert all(one["billed_source"] == "report" and one["memory_mb"] == 256 for one in invocations)
    assert float(run["cost"]["usd"]) > 0


def test_standard_input_is_read_and_the_report_tells_cold_and_warm_apart(theirs: Any, home: Path) -> None:
    argv = [sys.executable, "-m", "lbench", "run", "function", "-p", "name=theirs", "-p", "payload=@-"]
    argv += [
        "-p",
        "invocations=6",
        "-b",
        "lambda:concurrency=1",
        "-b",
        f"emulated:handler=app.handler,code={theirs.code}",
    ]
    argv += ["--concurrency", "1"]
    done = subprocess.run(
        argv, input='{"n": 1}\n{"fail": 2}\n', capture_output=True, text=True, cwd=home, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("▌")]
    calls = [row[:3] for row in rows if row[2].isdigit()]  # the other table is of runs
    assert [row[:2] for row in calls] == [
        ["▌lambda", "cold"],
        ["▌lambda", "warm"],
        ["▌emulated", "cold"],
        ["▌emulated", "warm"],
    ]
    assert [row[2] for row in calls[2:]] == ["1", "5"]
    assert sum(int(row[2]) for row in calls[:2]) == 6
    assert "3 calls ended in an error of the function (ValueError 3)" in done.stdout
    assert "MB of 256 MB used at most" in done.stdout  # the code here has the same memory
    assert "not checked" not in done.stdout and "retried" not in done.stdout


def test_every_call_is_cold_where_that_is_forced_and_the_function_is_as_it_was(theirs: Any, lbench: Lbench) -> None:
    arguments = ("-p", "name=theirs", "-p", "invocations=4", "-b", "lambda:concurrency=2", "--json", "--quiet")
    session = document(lbench("run", "function", *arguments, "--force-cold", "--allow-update"))
    (run,) = session["runs"]
    kept = [one for one in run["invocations"] if one["status"] == "ok"]
    assert len(kept) == 4 and all(one["cold"] for one in kept)
    assert {one["status"] for one in run["invocations"] if not one["cold"]} <= {"superseded"}
    assert theirs.now == theirs.variables


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_function_is_put_back_after_an_interrupt_and_by_gc_after_a_kill(
    way: signal.Signals, theirs: Any, started: Callable[..., subprocess.Popen[str]], lbench: Lbench, home: Path
) -> None:
    arguments = ("-p", "name=theirs", "-p", "invocations=100000", "-b", "lambda:concurrency=1", "--force-cold")
    process = started("run", "function", *arguments, "--allow-update", "--quiet", "--yes")
    assert process.stdout is not None and process.stderr is not None
    while theirs.now == theirs.variables:
        assert process.poll() is None, process.stderr.read()
    if way == signal.SIGINT:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    else:
        (engine,) = children_of(process.pid)
        os.kill(engine, signal.SIGKILL)
        process.wait(30)
        assert theirs.now != theirs.variables
        done = lbench("gc", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
    assert theirs.now == theirs.variables
    assert not list((home / "data" / "lbench" / "forced").glob("*.json"))


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


BAD = {
    "no name": (("-b", "lambda"), "the function's name is missing: pass -p name="),
    "not a name": (("-p", "name=a b", "-b", "lambda"), "parameter name must be a Lambda function's name or ARN, got"),
    "not a name of what is here": (
        ("-p", "name=a b", "-b", "emulated:handler=app.handler,code=."),
        "parameter name must be a Lambda function's name or ARN, got",
    ),
    "data, before AWS is asked": (("-p", "name=nobody", "--data", "a.csv"), "function reads no data"),
    "a picture, before AWS is asked": (("-p", "name=nobody", "--picture", "a.png"), "function has no picture"),
    "hedges, before AWS is asked": (("-p", "name=nobody", "--hedge", "0.9"), "only when no answer came"),
    "not there": (("-p", "name=nobody", "-b", "lambda"), "is it deployed in us-east-1?"),
    "another region": (
        ("-p", "name=arn:aws:lambda:eu-west-1:123456789012:function:f", "--region", "us-east-1", "-b", "lambda"),
        "the function is in eu-west-1",
    ),
    "a local backend": (("-p", "name=theirs", "-b", "processes"), "function does not run on processes"),
    "no code": (("-b", "emulated"), "emulated:handler=app.handler,code=FOLDER"),
    "no folder": (("-b", "emulated:handler=app.handler,code=nowhere"), "there is no such folder"),
    "no module": (("-b", "emulated:handler=app.handler,code=."), "there is no app.py"),
    "no handler": (("-b", "emulated:handler=app,code=."), "handler must be MODULE.FUNCTION"),
    "no file": (("-p", "name=theirs", "-p", "payload=@nowhere.json", "-b", "lambda"), "the file cannot be read"),
    "no JSON": (("-p", "name=theirs", "-p", "payload={", "-b", "lambda"), "invalid JSON"),
    "tasks": (("-p", "name=theirs", "--tasks", "4", "-b", "lambda"), "-p invocations=N"),
    "other memory": (
        ("-p", "name=theirs", "-b", "lambda:memory=512"),
        "must be the function's 256 MB, got 512",
    ),
    "another timeout": (
        ("-p", "name=theirs", "-b", "lambda", "--timeout", "5"),
        "--timeout must be the function's own 1 s",
    ),
    "too many": (
        ("-p", "name=theirs", "-b", "lambda:concurrency=2000"),
        "--concurrency must be at most 1000, got 2000",
    ),
    "not allowed": (("-p", "name=theirs", "-b", "lambda", "--force-cold"), "pass --allow-update"),
    "an alias": (
        ("-p", "name=theirs:live", "-b", "lambda", "--force-cold", "--allow-update"),
        "an alias takes traffic",
    ),
    "nothing to allow": (
        ("-p", "name=theirs", "-b", "lambda", "--allow-update"),
        "--allow-update requires --force-cold",
    ),
    "an audit": (
        ("-p", "name=theirs", "-b", "lambda", "--audit"),
        "--audit does not apply to function",
    ),
    "another transport": (("-p", "name=theirs", "-b", "lambda", "--transport", "event"), "called directly"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_measured_is_one_line_and_exit_2(name: str, theirs: Any, home: Path) -> None:
    from click.testing import CliRunner

    from lbench.cli.main import command
    from lbench.errors import InputError

    arguments, expected = BAD[name]
    result = CliRunner().invoke(command, ["run", "function", *arguments], standalone_mode=False)
    assert isinstance(result.exception, InputError), result.exception
    assert expected in str(result.exception) and "\n" not in str(result.exception)


def test_forcing_is_for_this_workload_only(lbench: Lbench) -> None:
    done = lbench("run", "probe", "--force-cold")
    assert done.returncode == 2 and "--force-cold works with `lbench run function` only" in done.stderr
    done = lbench("run", "probe", "-b", "emulated:handler=a.b,code=.")
    assert done.returncode == 2 and "are for `lbench run function`" in done.stderr


def test_without_credentials_it_is_one_line_and_exit_2(lbench: Lbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = lbench("run", "function", "-p", "name=theirs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lbench: no AWS credentials: set AWS_PROFILE") and done.stderr.count("\n") == 1
