"""`lbench run`, the real command: what it prints where, its exit code, and what it leaves."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import jsonschema
import pytest

from lbench.engine.model import Invocation

Lbench = Callable[..., "CompletedProcess[str]"]
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "session.schema.json").read_text())
SMALL = ("run", "probe", "-b", "sequential", "-b", "processes", "--tasks", "12", "--repeats", "2")


def valid(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    jsonschema.validate(document, SCHEMA)
    return document


def test_a_run_prints_a_table_and_an_answer_and_is_recorded(lbench: Lbench, home: Path) -> None:
    done = lbench(*SMALL, "--warmup", "1", "-p", "kind=sleep", "-o", "out.json")
    assert done.returncode == 0, done.stderr
    for part in ("MAKESPAN", "SPEEDUP", "✔ 2/2", "✔ same", "sequential", "session "):
        assert part in done.stdout
    assert "processes 1/2: ✔" in done.stderr
    assert "processes, warm-up 1/1: started, 12 tasks, " in done.stderr
    document = valid((home / "out.json").read_text())
    assert document["complete"] is True
    assert [run["warmup"] for run in document["runs"]] == [True, False, False] * 2
    assert [run["repeat"] for run in document["runs"]] == [0, 0, 1] * 2
    assert all(run["status"] == "ok" and run["answer"]["ok"] for run in document["runs"])
    assert all(run["cost"]["usd"] is None and run["cost"]["items"]["machine_rent"] for run in document["runs"])
    assert all(len(run["invocations"]) == 12 for run in document["runs"])


def test_json_is_alone_on_stdout_and_quiet_is_quiet(lbench: Lbench) -> None:
    done = lbench(*SMALL, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    valid(done.stdout)
    assert done.stderr == ""
    loud = lbench(*SMALL, "--json")
    valid(loud.stdout)
    assert "session " in loud.stderr


def test_an_option_that_nothing_of_the_run_knows_is_named_as_ignored(lbench: Lbench) -> None:
    idle = ("--memory", "885", "--region", "eu-west-1", "--arch", "arm64", "--client", "fast", "--for", "5")
    done = lbench(*SMALL, "--json", "--quiet", *idle, "--s3-endpoint", "http://127.0.0.1:9000")
    assert done.returncode == 0, done.stderr
    valid(done.stdout)
    assert done.stderr.splitlines() == [
        "lbench: --memory is ignored: it is for emulated, lambda and simulated",
        "lbench: --arch is ignored: it is for emulated, lambda and simulated",
        "lbench: --region is ignored: it is for emulated, lambda and simulated",
        "lbench: --client is ignored: it is for emulated and lambda",
        "lbench: --s3-endpoint is ignored: it is for emulated and lambda",
        "lbench: --for is ignored: it is for --repeats auto",
    ]


def test_a_recorded_session_is_listed_and_exported_in_both_formats(lbench: Lbench, home: Path) -> None:
    first = valid(lbench(*SMALL, "--json", "--quiet").stdout)
    (listed,) = json.loads(lbench("sessions", "--json").stdout)
    assert {"id", "name", "created", "complete", "path"} <= set(listed)
    assert listed["id"] == first["id"] and listed["complete"] is True
    assert first["id"] in lbench("sessions").stdout
    exported = lbench("export", "last", "--format", "json", "-o", "again.json")
    assert exported.returncode == 0, exported.stderr
    assert valid((home / "again.json").read_text()) == first
    assert lbench("export", "again.json", "-o", "out.csv").returncode == 0  # from the document, too
    rows = list(csv.DictReader((home / "out.csv").read_text().splitlines()))
    assert len(rows) == sum(len(run["invocations"]) for run in first["runs"])
    assert set(Invocation.__struct_fields__) - {"error"} <= set(rows[0])
    assert {row["run"] for row in rows} == {run["id"] for run in first["runs"]}
    assert all(row["status"] == "ok" and row["usd"] == "" for row in rows)


def test_settings_from_the_environment_serve_as_defaults(lbench: Lbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBENCH_REPEATS", "1")
    monkeypatch.setenv("LBENCH_SEED", "9")
    document = valid(
        lbench("run", "probe", "-b", "threads:concurrency=3@t3", "--tasks", "3", "--json", "--quiet").stdout
    )
    (run,) = document["runs"]
    assert (run["label"], run["seed"], run["backend_settings"]["concurrency"]) == ("t3", 9, 3)


def test_an_emulated_figure_is_marked_and_nothing_is_spent(lbench: Lbench) -> None:
    done = lbench("run", "probe", "-b", "emulated:concurrency=1", "--tasks", "4", "--repeats", "1")
    assert done.returncode == 0, done.stderr
    assert "AWS would charge at most $" in done.stderr and "nothing is spent" in done.stderr
    assert "would cost $" in done.stdout and "emulated here" in done.stdout
    assert "list prices of" in done.stdout


def test_a_picture_is_written(lbench: Lbench, home: Path) -> None:
    done = lbench(
        "run", "mandelbrot", "-p", "size=32", "-b", "sequential", "--repeats", "1", "--picture", "set.png", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    assert (home / "set.png").read_bytes().startswith(b"\x89PNG")


def test_a_failed_run_is_exit_code_1_with_its_reason(lbench: Lbench) -> None:
    done = lbench(
        "run", "probe", "-b", "processes", "-p", "kind=sleep", "-p", "seconds=30", "--timeout", "0.2",
        "--tasks", "2", "--retries", "0", "--repeats", "1", "--quiet",
    )  # fmt: skip
    assert done.returncode == 1
    assert "processes" in done.stderr and "Traceback" not in done.stderr


def test_data_that_cannot_be_used_is_one_line_and_leaves_no_session(lbench: Lbench, home: Path) -> None:
    (home / "loans.csv").write_text("colour,taste\nred,sweet\n")
    done = lbench("run", "random_forest", "-b", "sequential", "--data", "loans.csv", "--quiet")
    assert done.returncode == 2
    assert done.stderr.startswith("lbench: ") and done.stderr.count("\n") == 1
    assert json.loads(lbench("sessions", "--json").stdout) == []


def test_an_output_that_cannot_take_it_does_not_lose_the_session(lbench: Lbench, home: Path) -> None:
    (home / "full.json").symlink_to("/dev/full")
    done = lbench(*SMALL, "-o", "full.json", "--quiet")
    assert done.returncode == 1
    assert "full.json cannot be written: No space left on device" in done.stderr
    assert "session " in done.stdout
    (listed,) = json.loads(lbench("sessions", "--json").stdout)
    assert listed["complete"] is True


def test_a_disk_that_fills_in_mid_run_loses_nothing(home: Path) -> None:
    limited = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "os.execv(sys.executable, [sys.executable, '-m', 'lbench', *sys.argv[1:]])"
    )
    argv = [sys.executable, "-c", limited, *SMALL, "--tasks", "200", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=home, check=False)
    assert done.returncode == 0, done.stderr
    assert "the journal cannot be written" in done.stderr
    assert "the disk had no room for all" in done.stderr
    document = valid(done.stdout)
    assert [len(run["invocations"]) for run in document["runs"]] == [200] * 4
    assert "disk" in {warning["code"] for warning in document["warnings"]}
