"""Alternating pairs: the one way in which these benchmarks compare two things on a noisy machine.

Two times taken minutes apart on a shared machine differ by its load, not by the code. So both sides run in
turn, within one run, the order changing from pair to pair (ours theirs, theirs ours, ...); the figure is
the median of the pairs' ratios, with an interval that assumes nothing about their distribution.

The module is also what a peer's script imports in its own venv, so it needs the standard library only.

    with Peer(peer_venv("numba", ["numba==0.68.1"]), HERE / "peer_numba.py") as peer:
        ratios = alternate(timed(ours), lambda: peer.call(size=1000)["seconds"], pairs=15)
        row = figure("mandelbrot, numpy kernel against numba", ratios, at_most=2.5, of="numba's time")
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["PairedRatios", "Peer", "PeerError", "alternate", "figure", "peer_venv", "serve", "timed"]

_HERE = Path(__file__).resolve().parent
_PEERS = _HERE.parent / "build" / "peers"


class PeerError(RuntimeError):
    """A peer could not be installed or started, or failed at a request; the message names it and the reason."""


@dataclass(frozen=True)
class PairedRatios:
    """The times of both sides, pair by pair (s); `ratios[i]` is `first_s[i] / second_s[i]`."""

    first_s: tuple[float, ...]
    second_s: tuple[float, ...]

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.first_s)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each pair, in the order measured."""
        return [first / second for first, second in zip(self.first_s, self.second_s, strict=True)]

    @property
    def median(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """A 95 % confidence interval of the median ratio.

        Between two order statistics: the k-th smallest and the k-th largest ratio hold the median between
        them with probability 1 - 2 P(Binomial(n, 1/2) < k), whatever the distribution (David & Nagaraja,
        Order Statistics, 7.1). k is the largest that keeps 95 %; for 15 pairs that is 4. Under 6 pairs no k
        does: the extremes are returned, and the coverage is less.
        """
        ordered = sorted(self.ratios)
        k = _rank(len(ordered))
        return ordered[k - 1], ordered[-k]

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.interval[1]


def _rank(n: int) -> int:
    below, k = 0.0, 0  # below: P(Binomial(n, 1/2) < k)
    while k < n // 2 and 2 * (below + math.comb(n, k) / 2**n) <= 0.05:
        below += math.comb(n, k) / 2**n
        k += 1
    return max(k, 1)


def alternate(
    ours: Callable[[], float], theirs: Callable[[], float], pairs: int = 15, *, warmup: int = 1
) -> PairedRatios:
    """Measure both sides in turn; `ratio` is ours over theirs.

    Each function runs its side once and returns the seconds that it measured itself (`timed` makes one of a
    plain function; a `Peer` measures in its own process). Each side is first run `warmup` times, not
    recorded. The side that goes first changes from pair to pair, so that neither profits from what the
    other left in the caches.
    """
    for _ in range(warmup):
        ours()
        theirs()
    first: list[float] = []
    second: list[float] = []
    for pair in range(pairs):
        for mine in (True, False) if pair % 2 == 0 else (False, True):
            (first if mine else second).append(ours() if mine else theirs())
    return PairedRatios(tuple(first), tuple(second))


def timed(function: Callable[[], object]) -> Callable[[], float]:
    """A function that runs `function` and returns the wall seconds that it took."""

    def run() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run


def figure(
    text: str,
    ratios: PairedRatios,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    of: str,
) -> dict[str, Any]:
    """One row of the benchmarks' table and JSON: figure, goal, ratio (median), low, high, pairs, met.

    Exactly one bound is given. A goal is met when the median is within it; the interval shows how certain that is. The
    two medians (s) are added.
    """
    if (at_most is None) == (at_least is None):
        raise ValueError("give at_most or at_least")
    low, high = ratios.interval
    if at_most is not None:
        goal, met = f"<= {at_most:g} x {of}", ratios.median <= at_most
    else:
        assert at_least is not None
        goal, met = f">= {at_least:g} x {of}", ratios.median >= at_least
    return {
        "figure": text,
        "goal": goal,
        "ratio": ratios.median,
        "low": low,
        "high": high,
        "pairs": ratios.pairs,
        "met": met,
        "first_s": statistics.median(ratios.first_s),
        "second_s": statistics.median(ratios.second_s),
    }


def peer_venv(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a venv that holds `requirements`, made under build/peers/NAME the first time.

    It is made anew when the requirements or this Python change. Pin them: a figure is against one version.

    Raises:
        PeerError: it could not be installed (no network?).
    """
    folder = _PEERS / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "lbench-peer.json"  # written last: a venv without it is half made
    wanted = json.dumps({"requirements": list(requirements), "python": sys.version})
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", *quiet, *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            raise PeerError(f"the peer {name} could not be installed ({' '.join(requirements)}): {last[0]}")
    stamp.write_text(wanted)
    return python


class Peer:
    """A peer in a process of its own that answers one request a line, so that its start is not measured.

    The script, run by the peer's Python, calls `serve` (it can import this module). Closing its input ends
    it.
    """

    def __init__(self, python: Path, script: Path, *, env: Mapping[str, str] | None = None) -> None:
        self._name = script.name
        self._process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {}), "PYTHONPATH": str(_HERE)},
        )

    def call(self, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for its answer: a dict with at least `seconds`.

        Raises:
            PeerError: the peer raised, or has ended.
        """
        assert self._process.stdin and self._process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(arguments) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"{self._name} ended with code {self._process.wait()}: see its messages above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self._name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the peer; it is killed if it has not ended after 10 s."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(function: Callable[..., dict[str, Any]]) -> None:
    """A peer script's main loop: answer each request (a JSON object a line) with `function(**request)`.

    Whatever else writes to standard output goes to standard error, so that it cannot be taken for an
    answer. If the answer has no `seconds`, the call's wall time is put in.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for request in _lines():
        start = time.perf_counter()
        try:
            answer = function(**request)
        except Exception as error:  # goes to the caller as an answer; nothing is hidden
            answer = {"error": f"{type(error).__name__}: {error}"}
        answer.setdefault("seconds", time.perf_counter() - start)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _lines() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)
