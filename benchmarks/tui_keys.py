"""How soon a key is on the screen while every core is busy, and what idle screens cost.

python benchmarks/tui_keys.py [PAIRS]

The screens show a record; the keys zoom and pan a timeline. A key's time is that from the write to the terminal until the
first cells that it changes come back. Beside it a loop runs on every core, at the same priority.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from pairs import PairedRatios, figure
from screens import Screens, from_tests, own_folders

from lbench.engine.machine.fingerprint import usable_cores

__all__ = ["run"]

_TASKS = 200  # of each of nine runs
_KEYS = "+>+>+>+><-<-<-<-+><-"  # 20 for each of the 15 pairs: 300 have a p99
_SETTLE_S, _IDLE_S = 3.0, 10.0
_MEDIAN_S, _P99_S, _IDLE_SHARE, _IDLE_BYTES = 0.1, 0.3, 0.01, 80e6


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Four figures; of the keys' p99 there is one value in all."""
    with own_folders() as home:
        making = from_tests("making")
        folder = home / "data" / "lbench" / "sessions" / "20261122-120000-abcd"
        screens = Screens("open", str(making.write_session(folder, making.events(tasks=_TASKS))))
        try:
            screens.wait_for("quit")
            _go_to_a_timeline(screens)
            _drain(screens, _SETTLE_S)
            screens.terminal.seen.clear()
            idle = [_idle(screens) for _ in range(max(3, pairs // 5))]
            memory = float(screens.memory_bytes)
            with _busy():
                times = [[_pressed(screens, key) for key in _KEYS] for _ in range(pairs)]
        finally:
            screens.kill()
    medians = tuple(statistics.median(one) for one in times)
    every = sorted(value for one in times for value in one)
    p99_s = every[int(0.99 * (len(every) - 1))]
    return [
        figure("a key on the screen, busy cores: median", PairedRatios(medians, (_MEDIAN_S,) * len(medians)), at_most=1.0,
               of=f"{_MEDIAN_S:g} s"),
        figure(f"the same: p99 of {len(every)}", PairedRatios((p99_s,), (_P99_S,)), at_most=1.0, of=f"{_P99_S:g} s"),
        figure("CPU of idle screens", PairedRatios(tuple(idle), (_IDLE_SHARE,) * len(idle)), at_most=1.0,
               of=f"{_IDLE_SHARE:.0%} of a core"),
        figure("memory of idle screens", PairedRatios((memory,), (_IDLE_BYTES,)), at_most=1.0,
               of=f"{_IDLE_BYTES / 1e6:g} MB"),
    ]  # fmt: skip


def _go_to_a_timeline(screens: Screens) -> None:
    """Move the focus until the footer offers to zoom."""
    for _ in range(10):
        screens.terminal.seen.clear()
        screens.terminal.send("\t")
        _drain(screens, 0.5)
        if b"zoom" in screens.terminal.seen:
            return
    raise RuntimeError("no part of the screen offers to zoom")


def _drain(screens: Screens, seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        screens.terminal.read(0.05)


def _idle(screens: Screens) -> float:
    """The share of a core."""
    begun_s, cpu_s = time.perf_counter(), screens.cpu_s
    _drain(screens, _IDLE_S)
    return (screens.cpu_s - cpu_s) / (time.perf_counter() - begun_s)


@contextlib.contextmanager
def _busy() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(max(1, int(usable_cores())))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _pressed(screens: Screens, key: str) -> float:
    """Seconds until what it changes comes back."""
    terminal = screens.terminal
    begun_s = time.perf_counter()
    terminal.send(key)
    if not terminal.read(10.0):
        raise RuntimeError(f"the key {key} changed nothing")
    took_s = time.perf_counter() - begun_s
    _drain(screens, 0.1)
    terminal.seen.clear()
    return took_s


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(row)
