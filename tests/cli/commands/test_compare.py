"""`lbench compare` by the real command: exit codes, what is refused, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lbench.engine.export.document import document, encode_document
from lbench.engine.model import Invocation
from tests.analysis.sweeps import sweep_session
from tests.cli.conftest import Lbench

BASE = (1.00, 1.01, 0.99, 1.02, 0.98, 1.00)
Write = Callable[..., str]


@pytest.fixture
def write(home: Path) -> Write:
    """`write("a", (1.0, 1.1))`: a document of a session of these makespans."""

    def make(name: str, times: Sequence[float], **more: Any) -> str:
        view = sweep_session([({"size": 1}, {"processes": times})], identity=name, sweep=False, **more)
        (home / f"{name}.json").write_bytes(encode_document(document(view)))
        return f"{name}.json"

    return make


@pytest.mark.parametrize(
    ("factor", "code", "word"),
    [(1.2, 1, "✘ probe, b processes: slower by more than 5 %"), (1.0, 0, "✔ "), (1.06, 0, "? ")],
)
def test_the_limit_fails_only_where_the_whole_interval_is_beyond_it(
    lbench: Lbench, write: Write, factor: float, code: int, word: str
) -> None:
    write("a", BASE), write("b", [factor * one for one in BASE])
    done = lbench("compare", "a.json", "b.json", "--fail-if-slower", "5%")
    assert (done.returncode, done.stderr) == (code, "")
    assert word in done.stdout
    assert ("would decide" in done.stdout) == (word == "? ")


def test_each_point_of_a_sweep_has_its_sentence(lbench: Lbench, home: Path) -> None:
    for name in ("a", "b"):
        view = sweep_session([({"size": size}, {"processes": BASE}) for size in (1, 2)], identity=name)
        (home / f"{name}.json").write_bytes(encode_document(document(view)))
    done = lbench("compare", "a.json", "b.json")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:2]] == ["probe size=1", "probe size=2"]


def test_json_has_the_effects_and_what_stands_apart(lbench: Lbench, write: Write) -> None:
    write("a", BASE), write("b", [2 * one for one in BASE])
    done = lbench("compare", "a.json", "b.json", "--json")
    found = json.loads(done.stdout)
    effect = found["jobs"][0]["rows"][1]["effect"]
    assert (effect["claim"], effect["ratio"]["value"], effect["test"]["exact"]) == ("slower", 0.5, True)
    assert done.returncode == 0 and found["jobs"][0]["apart"] == [] and found["slower"] is False
    for one in (effect["ratio"], effect["change"], found["jobs"][0]["rows"][1]["makespan_s"]):
        assert one["low"] <= one["value"] <= one["high"] and (one["kind"], one["count"]) == ("95 %", 6)
    limited = lbench("compare", "a.json", "b.json", "--json", "--fail-if-slower", "5%")
    assert limited.returncode == 1 and json.loads(limited.stdout)["slower"] is True


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("a.json",), "sessions to compare must be at least 2, got 1"),
        (("a.json", "a.json"), "is the same session as"),
        (("a.json", "none.json"), "none.json: no such file or folder"),
        (("a.json", "torn.json"), "torn.json is not an lbench session, or is torn"),
        (("a.json", "foreign.json"), "foreign.json is not an lbench session"),
        (("a.json", "other.json"), "no workload with the same parameters in common"),
        (("a.json", "b.json", "--fail-if-slower", "fast"), "--fail-if-slower must be a share from 0%"),
        (
            ("a.json", "b.json", "--fail-if-slower", "5"),
            "--fail-if-slower must be a share with its sign, for example 5%, got 5",
        ),
        (("a.json", "failed.json"), "nothing to compare: failed, processes: a task failed"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_2(
    lbench: Lbench, write: Write, home: Path, arguments: tuple[str, ...], why: str
) -> None:
    whole = (home / write("a", BASE)).read_bytes()
    write("b", BASE), write("other", BASE, workload="mandelbrot")
    write("failed", BASE, failed=[({"size": 1}, "processes")])
    (home / "torn.json").write_bytes(whole[: len(whole) // 2])
    (home / "foreign.json").write_text('{"format": "other", "version": 1}')
    done = lbench("compare", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr and done.stderr.count("\n") == 1


def test_which_of_several_files_is_damaged_is_said(lbench: Lbench, write: Write, home: Path) -> None:
    write("a", BASE), write("b", BASE)
    body = json.loads((home / "b.json").read_bytes())
    call = Invocation(stage=0, task=2**40, attempt=0, hedge_of=None, environment="w1", cold=None, status="ok", queued_s=0.0,
                      dispatched_s=0.0, started_s=0.0, finished_s=1.0, returned_s=1.0, usd=None,
                      request_id=None, log_tail=None, error=None)  # fmt: skip
    body["runs"][0]["invocations"] = [msgspec.to_builtins(call)]
    (home / "b.json").write_text(json.dumps(body))
    done = lbench("compare", "a.json", "b.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "b.json: the session is damaged: a number of b1 has too many digits" in done.stderr
