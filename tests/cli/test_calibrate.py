"""`lbench calibrate`: finds the parameters that made a session, and refuses what cannot be fitted."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def parameters(home: Path) -> Path:
    """A model unlike lbench's own."""
    path = home / "other.toml"
    path.write_text(
        "[init_s]\nmedian = 0.5\nsigma = 0.1\n[environment_sigma]\nvalue = 0.1\n[task_sigma]\nvalue = 0.03\n"
        "[start_delay_s]\nmedian = 0.2\nsigma = 0.3\n[rtt_s]\nvalue = 0.1\n[allocation_s]\nmedian = 1.0\nsigma = 0.2\n"
    )
    return path


def test_the_parameters_that_made_a_session_are_found_again(lbench: Lbench, parameters: Path, home: Path) -> None:
    backend = f"simulated:model={parameters}"
    made = lbench(
        "run", "probe", "-b", backend, "-p", "kind=spin", "-p", "seconds=1", "--tasks", "200", "--cold-repeats", "2"
    )
    assert made.returncode == 0, made.stderr
    result = lbench("calibrate", "last", "--backend", "simulated", "--json", "-o", "fitted.toml")
    assert result.returncode == 0, result.stderr
    found = {one["name"]: one for one in json.loads(result.stdout)["fitted"]}
    assert found["init_s"]["value"] == pytest.approx(0.5, rel=0.05)
    assert found["init_s"]["sigma"] == pytest.approx(0.1, rel=0.25)
    assert found["environment_sigma"]["low"] <= 0.1 <= found["environment_sigma"]["high"]
    assert found["task_sigma"]["low"] <= 0.03 <= found["task_sigma"]["high"]
    assert found["rtt_s"]["value"] + found["start_delay_s"]["value"] == pytest.approx(0.3, rel=0.05)
    assert found["start_delay_s"]["low"] < found["start_delay_s"]["value"] < found["start_delay_s"]["high"]
    assert (
        found["rtt_s"]["value"] < 0.18
    )  # of 0.1: a wait of little skewness; the least of the times would be above 0.2
    assert found["allocation_s"]["value"] == pytest.approx(1.0, rel=0.1)
    assert "core_ratio" not in found
    untold = json.loads(result.stdout)["untold"]
    assert any(text.startswith("core_ratio") for text in untold)
    assert tomllib.loads((home / "fitted.toml").read_text())["init_s"]["median"] == pytest.approx(0.5, rel=0.05)
    again = lbench("run", "probe", "-b", "simulated:model=fitted.toml", "--tasks", "10")
    assert again.returncode == 0, again.stderr
    table = lbench("calibrate", "last", "--backend", "simulated")
    assert "the data cannot tell:" in table.stdout


def test_what_cannot_be_fitted_is_refused_in_one_line(lbench: Lbench, home: Path) -> None:
    assert lbench("run", "probe", "-b", "simulated", "--tasks", "3").returncode == 0
    (home / "torn.json").write_text('{"format": "lbench.session", "version": 1, "runs": [')
    for args, message in (
        (("last",), "no finished run on AWS Lambda to calibrate with: the backends here are simulated"),
        (("last", "--backend", "simulated"), "must be at least 5, got 3"),
        (("sebs_120.csv",), "calibrate reads sessions of lbench. Public recordings"),
        (("torn.json",), "is not an lbench session, or is torn"),
        (("last", "--backend", "threads"), "--backend must be one of"),
    ):
        result = lbench("calibrate", *args)
        assert result.returncode == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
