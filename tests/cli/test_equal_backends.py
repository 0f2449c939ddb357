"""Sessions of equal backends on this machine: their answer must seldom claim a difference (docs/statistics.md, "Claims")."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]

SESSIONS = 20
MOST = 3  # more false ones would be found in at most 2 % of so many sessions if 5 % of all sessions made one
SERIES = ("--repeats", "6", "--quiet", "--no-predict")


def claims(report: str) -> int:
    """How many clauses of the answer claim a difference: the line after the table, on a wide terminal."""
    answer = report.split("\n\n")[1].splitlines()[0]
    return sum(
        "not settled" not in clause and "cannot be distinguished" not in clause
        for clause in answer.split("as fast")[:-1]
    )


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ("b is 1.90× (95 %: 1.85–1.95) as fast as a; c is 0.50× (95 %: 0.49–0.51) as fast.", 2),
        (
            "b is 1.90× (95 %: 1.85–1.95) as fast as a; c cannot be distinguished from a: 1.00× (95 %: 0.9–1.1) as fast.",
            1,
        ),
        ("b is 1.10× (once each: not settled) as fast as a.", 0),
    ],
)
def test_the_claims_of_an_answer_are_counted(answer: str, count: int) -> None:
    assert claims(f"\nBACKEND\n▌a\n▌b\n\n{answer}\n! c: 5 % of what is as fast as it was\n") == count


@pytest.mark.slow
def test_equal_backends_are_seldom_called_different_on_this_machine(
    lbench: Lbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2, 3, 4 and 5 backends in turns, all of them one worker process with the same tasks."""
    monkeypatch.setenv("COLUMNS", "1000")
    false = []
    for number in range(SESSIONS):
        asked = [part for name in "abcde"[: 2 + number % 4] for part in ("-b", f"sequential@{name}")]
        work = ("-p", "kind=spin", "-p", "seconds=0.005", "--tasks", "4", "--seed", str(number + 1))
        done = lbench("run", "probe", *asked, *work, *SERIES)
        assert done.returncode == 0, done.stderr
        if claims(done.stdout):
            false.append(done.stdout)
    assert len(false) <= MOST, "\n".join(false)


@pytest.mark.slow
def test_backends_that_differ_are_called_different_in_each_session(
    lbench: Lbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a fourth one that is not equal: eight sleeping tasks on four threads take a quarter of the time."""
    monkeypatch.setenv("COLUMNS", "1000")
    asked = [part for name in "abc" for part in ("-b", f"sequential@{name}")]
    work = ("-p", "kind=sleep", "-p", "seconds=0.02", "--tasks", "8")
    for seed in (1, 2, 3):
        done = lbench("run", "probe", *asked, "-b", "threads:concurrency=4@d", *work, "--seed", str(seed), *SERIES)
        assert done.returncode == 0, done.stderr
        assert claims(done.stdout) >= 1 and "d is " in done.stdout, done.stdout
