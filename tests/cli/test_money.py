"""Money on the command line: asked before it is spent, limited, and priced with source and age."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from lbench.config.prices import STALE_DAYS, Snapshot, SnapshotRow, save_snapshot

DEAR = ("run", "probe", "--tasks", "6000", "-b", "lambda", "--region", "us-east-1")


def test_a_script_that_would_spend_money_must_say_yes(lbench):
    done = lbench(*DEAR)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("lbench: cannot estimate the cost on lambda") and "--yes" in line and "at most $" in line


def test_nothing_is_asked_of_what_is_emulated_or_limited_below_the_threshold(lbench, monkeypatch):
    monkeypatch.setenv("LBENCH_ASK_ABOVE_USD", "0")
    assert lbench("run", "probe", "--tasks", "2", "--repeats", "1", "-b", "emulated", "--quiet").returncode == 0


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_on_a_terminal_a_person_is_asked_and_no_is_the_default(home, answer):
    leader, follower = pty.openpty()
    argv = [sys.executable, "-m", "lbench", *DEAR]
    process = subprocess.Popen(argv, stdin=follower, stdout=subprocess.PIPE, stderr=follower, cwd=home)
    os.close(follower)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(leader, 4096)
    os.write(leader, answer.encode())
    end = time.monotonic() + 180
    while b"nothing is spent" not in shown and time.monotonic() < end:
        shown += os.read(leader, 4096)
    assert process.wait(60) == 2
    assert process.stdout is not None
    process.stdout.close()
    os.close(leader)
    assert b"nothing was started" in shown and b"Traceback" not in shown
    assert not list((home / "data").glob("lbench/sessions/*"))


def test_the_budget_stops_a_run_with_exit_code_3_and_saves_what_was_measured(lbench, home):
    done = lbench(
        *(
            "run",
            "probe",
            "--tasks",
            "80",
            "-p",
            "kind=sleep",
            "-p",
            "seconds=0.1",
            "--repeats",
            "2",
            "--timeout",
            "1",
        ),
        *("-b", "emulated:arch=x86_64", "-b", "sequential", "--max-usd", "0.0012", "-o", "out.json"),
    )
    assert done.returncode == 3, done.stderr
    document = json.loads((home / "out.json").read_bytes())
    first = document["runs"][0]
    assert first["status"] == "over_budget" and "stopped by --max-usd $0.0012" in first["error"]
    assert any(one["status"] == "ok" for one in first["invocations"])
    assert 0 < Decimal(first["cost"]["usd"]) <= Decimal("0.0009")
    assert [run["status"] for run in document["runs"][1:]] == ["ok", "ok"]  # local runs cost nothing
    assert first["cost"]["items"]["logs"] is not None
    assert any(text.startswith("logs:") for text in first["cost"]["estimated"])


def test_a_limit_that_no_attempt_fits_in_starts_nothing_and_says_so(lbench):
    done = lbench("run", "probe", "--repeats", "1", "-b", "emulated", "--max-usd", "0.0001")
    assert done.returncode == 3
    assert "another attempt may cost" in done.stdout and "lower --timeout" in done.stdout


def test_hedging_is_off_where_it_would_take_cores_and_a_note_says_so(lbench):
    done = lbench("run", "probe", "--tasks", "4", "--repeats", "1", "-b", "processes", "--hedge", "0.95", "--json")
    assert done.returncode == 0
    (run,) = json.loads(done.stdout)["runs"]
    assert any("hedging is off" in note for note in run["notes"])
    assert all(one["hedge_of"] is None for one in run["invocations"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("--hedge", "1"), ("--hedge", "x"), ("--max-usd", "0"), ("--max-usd", "nan"), ("--max-usd", "x")],
)
def test_nonsense_gets_one_line(lbench, option, value):
    done = lbench("run", "probe", "-b", "sequential", option, value)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert option in line


def test_what_was_measured_before_is_expected_beside_what_it_can_be_at_most(lbench):
    same = ("run", "probe", "--tasks", "4", "--repeats", "1")
    assert "expected: not known yet" in lbench(*same, "-b", "emulated").stderr
    again = lbench(*same, "-b", "emulated").stderr
    assert "AWS would charge about $" in again and "at most $" in again
    assert "emulated: the expected cost is from the time emulated on this machine (session " in again


def test_a_region_with_unknown_prices_is_charged_the_dearest_known_and_marked(lbench, home):
    done = lbench(
        *("run", "probe", "--tasks", "3", "--repeats", "1", "--max-usd", "1"),
        *("-b", "emulated:region=eu-west-1", "-o", "out.json"),
    )
    assert done.returncode == 0
    note = "* no price is known for eu-west-1; the dearest known is taken: "
    (before,) = [line for line in done.stderr.splitlines() if line.startswith(note)]
    assert "s3 (sa-east-1)" in before and "logs (ap-northeast-1)" in before and "transfer (sa-east-1)" in before
    assert any("at most $" in line and "*" in line for line in done.stderr.splitlines())
    (after,) = [line for line in done.stdout.splitlines() if line.startswith(note)]
    assert "logs (ap-northeast-1)" in after and "* a run on AWS" in done.stdout
    cost = json.loads((home / "out.json").read_bytes())["runs"][0]["cost"]
    assert cost["items"]["logs"] and cost["unpriced"] == []
    assert any(text.startswith("logs: no price is known for eu-west-1") for text in cost["assumed"])


# -- lbench prices


def test_prices_are_shown_with_source_and_age(lbench):
    done = lbench("prices", "--region", "us-east-1")
    assert done.returncode == 0
    assert "0.0000166667" in done.stdout and "AWS Price List" in done.stdout and "2026-09-19" in done.stdout
    document = json.loads(lbench("prices", "--region", "us-east-1", "--json").stdout)
    assert document["region"] == "us-east-1"
    request = next(row for row in document["prices"] if row["name"] == "request")
    assert (request["usd"], request["refreshed"]) == ("0.0000002", False)
    assert request["age_days"] >= 0


def test_old_prices_are_marked_in_the_list_and_before_a_run(lbench, home):
    import datetime

    import lbench.config.prices as module

    old = datetime.date(2001, 1, 1)
    text = Path(module.__file__).with_name("prices.toml").read_text()
    rows = {"duration_x86_64_per_gb_s": "0.00001", "request": "0.0000001", "storage_per_gb_s": "0.00000001"}
    assert "me-south-1" not in text.split("Facts collected")[1]
    save_snapshot(Snapshot("me-south-1", old, {name: SnapshotRow(usd, "AWSLambda") for name, usd in rows.items()}))
    done = lbench("prices", "--region", "me-south-1")
    assert "! " in done.stdout and f"older than {STALE_DAYS} days" in done.stdout
    assert "0.76*" in done.stdout and "* not known for me-south-1: the dearest known price is taken" in done.stdout
    ran = lbench("run", "probe", "--tasks", "2", "--repeats", "1", "-b", "emulated:region=me-south-1,arch=x86_64")
    assert ran.returncode == 0 and "! the prices of me-south-1 are" in ran.stderr
    assert "list prices of 2001-01-01" in ran.stdout
    arm = lbench("run", "probe", "-b", "emulated:region=me-south-1,arch=arm64")
    assert arm.returncode == 2 and "no price for arm64" in arm.stderr


@pytest.mark.parametrize(
    "args", [("--region", "mars-north-1"), ("--region", "../../etc"), ("--nonsense",), ("--region", "")]
)
def test_another_region_is_refused_in_one_line(lbench, args):
    done = lbench("prices", *args)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
