"""`lbench estimate` by the real command: the table, the kept sample, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbench.cli.main import command

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]

_PROBE = ("probe", "-p", "kind=spin", "-p", "seconds=0.01", "--tasks", "7")  # too few for advice about their size


def test_the_options_at_80_columns_and_again_from_the_kept_sample(
    lbench: Lbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = lbench("estimate", *_PROBE)
    assert done.returncode == 0, done.stderr
    table = done.stdout.split("\n\n")[0].splitlines()
    assert table[0].split()[:2] == ["OPTION", "TIME"]
    assert max(map(len, table)) <= 80
    for name in ("this machine, 1 worker", "Lambda 1,769 MB cold", "EC2 c7i.xlarge", "Fargate"):
        assert any(name in line for line in table), name
    assert "depends most on the assumed values of" in done.stdout
    assert "AWS's free tier" in done.stdout

    again = json.loads(lbench("estimate", *_PROBE, "--runs", "10/day", "--json").stdout)
    assert again["sample"]["complete"]
    assert again["sample"]["created"] in done.stdout  # the same sample: nothing was measured
    assert {one["basis"] for one in again["options"]} == {"predicted", "model"}
    assert len(again["sensitivity"]) == 3
    assert len(again["sentences"]) == 2
    table = lbench("estimate", *_PROBE, "--runs", "always").stdout.split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert "95 %" in table[0] and "BASIS" not in table[0]  # no time without its interval
    assert all(one["usd_day"] is not None for one in again["options"] if one["kind"] != "local")


def test_a_cluster_on_which_this_job_was_recorded_is_an_option(
    lbench: Lbench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "pool.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\ndef threads():\n    return ThreadPoolExecutor(2)\n"
    )
    where = "executor:factory=./pool.py:threads"
    for backend in (f"{where},usd_per_hour=36@rented", f"{where}@ours"):
        done = lbench("run", *_PROBE, "-b", backend, "--repeats", "3", "--quiet")
        assert done.returncode == 0, done.stderr
    found = json.loads(lbench("estimate", *_PROBE, "--json").stdout)["options"]
    rows = [row for row in found if row["kind"] == "cluster"]
    assert {row["name"].partition(",")[0] for row in rows} == {"rented", "ours"}
    for row in rows:
        assert (row["basis"], row["places"]) == ("measured", 2)
        assert row["name"].endswith(f", 2 workers {row['temperature']}, {row['measured']}")
        if row["name"].startswith("rented"):
            assert float(row["usd"]) == pytest.approx(2 * 0.01 * row["makespan_s"], rel=0.2)
        else:
            assert (row["usd"], row["priced"]) == (None, False)
    monkeypatch.setenv("COLUMNS", "80")
    page = lbench("estimate", *_PROBE).stdout
    assert " INTERVAL " in page.splitlines()[0]  # two warm repeats have no 95 %
    lines = [line for line in page.splitlines() if line.startswith("▌ours, 2 workers")]
    assert lines and all("no price" in line and len(line) <= 80 for line in lines)
    assert "of this job (session " in page
    other = json.loads(lbench("estimate", *_PROBE[:-1], "6", "--json").stdout)["options"]
    assert not [row for row in other if row["kind"] == "cluster"]


def test_tasks_too_small_for_emulated_lambda_get_its_batch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hand_overs(names: tuple[str, ...]) -> dict[str, float]:
        asked.append(names)
        return dict.fromkeys(names, 0.5)  # long beside a task, however busy the machine

    monkeypatch.setattr("lbench.engine.sampling.overhead.hand_overs", hand_overs)
    arguments = ["estimate", "probe", "-p", "kind=spin", "-p", "seconds=0.005", "--tasks"]
    done = CliRunner().invoke(command, [*arguments, "100"])
    assert done.exit_code == 0, done.output
    assert "! emulated: tasks take" in done.output and "handing one over takes 500 ms: --batch " in done.output
    found = json.loads(CliRunner().invoke(command, [*arguments, "100", "--json"]).stdout)
    assert found["sample"]["hand_overs_s"]["emulated"] == 0.5
    assert found["sample"]["hand_overs_s"]["processes"] == found["sample"]["hand_over_s"]
    few = CliRunner().invoke(command, [*arguments, "3", "--json"])
    assert "emulated" not in json.loads(few.stdout)["sample"]["hand_overs_s"]
    assert asked == [("emulated",)] * 2


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--runs", "3"), "--runs must be 1, N/day"),
        (("--what-if", "speed=2"), "the model has no parameter 'speed'"),
        (("--what-if", "core_ratio"), "--what-if must be NAME=NUMBER"),
        (("--what-if", "core_ratio=1e300"), "--what-if core_ratio must be from"),
        (("--what-if", "core_ratio=nan"), "--what-if core_ratio must be from"),
        (("--what-if", "core_ratio=-1"), "--what-if core_ratio must be from"),
        (("--memory", "5"), "--memory must be a whole number from 128"),
        (("--for", "0"), "--for must be above 0"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_measured(
    home: Path, args: tuple[str, ...], line: str
) -> None:
    done = CliRunner().invoke(command, ["estimate", "mandelbrot", *args])
    assert done.exit_code == 2
    assert line in done.stderr
    assert not done.stdout


def test_jobs_that_fail_or_never_end_get_one_line(lbench: Lbench, home: Path) -> None:
    (home / "mine.py").write_text(
        "import time\nfrom lbench import Task\n"
        "def bad(i):\n    raise ValueError('no')\n"
        "def fails():\n    yield [Task(bad, i=1)]\n"
        "def slow(i):\n    time.sleep(600)\n"
        "def never():\n    yield [Task(slow, i=1)]\n"
    )
    fails = lbench("estimate", "./mine.py:fails")
    assert (fails.returncode, fails.stdout) == (2, "")
    assert "task 1 of 1 fails on this machine: ValueError: no" in fails.stderr
    never = lbench("estimate", "./mine.py:never", "--for", "1")
    assert (never.returncode, never.stdout) == (2, "")
    assert "no task ended within 1 s: does one ever? --for SECONDS gives them longer" in never.stderr


def test_prices_are_of_the_region_that_a_run_on_aws_would_have(lbench: Lbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def priced(*options: str) -> tuple[str, str]:
        done = lbench("estimate", *_PROBE, *options)
        assert done.returncode == 0, done.stderr
        found = json.loads(lbench("estimate", *_PROBE, *options, "--json").stdout)
        where = f"list prices: Lambda's of {found['region']} ({found['architecture']})"
        assert where in " ".join(done.stdout.split())
        return found["region"], next(row["usd"] for row in found["options"] if row["kind"] == "lambda")

    usual, usual_usd = priced()
    assert usual == "us-east-1"
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    assert priced() == priced("--region", "sa-east-1")
    assert priced()[0] == "sa-east-1" and priced()[1] != usual_usd
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    assert priced() == (usual, usual_usd)  # no estimate needs AWS's configuration
