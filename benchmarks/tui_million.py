"""`lbench open` on a recorded session of 1,000,000 invocations: the first frame with it, all of it, and how fast it scrolls.

python benchmarks/tui_million.py [PAIRS]

Each figure is wall time from the start of Python; `cpu_s` is the CPU time of the process up to there. Scrolling is zooming
and panning a timeline: a key, and the cells that it changes.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from large_session import write_large_session
from pairs import PairedRatios, figure
from screens import Screens, own_folders

__all__ = ["run"]

_INVOCATIONS = 1_000_000
_FIRST_S, _WHOLE_S, _FRAME_S = 1.5, 6.0, 0.1
_KEYS = "+>+>+>+<-<-<->" * 3  # zoom in and pan, and back


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Three figures."""
    count = max(3, pairs // 5)
    with own_folders() as home:
        folder = write_large_session(home / "data" / "lbench" / "sessions" / "20260101-000000-1a46", _INVOCATIONS)
        measured = [_opened(folder) for _ in range(count)]
    names = ("the first frame", "all of it", "a frame while a timeline is zoomed and panned")
    rows = []
    for number, (name, limit_s) in enumerate(zip(names, (_FIRST_S, _WHOLE_S, _FRAME_S), strict=True)):
        seconds, cpu_s = zip(*(one[number] for one in measured), strict=True)
        row = figure(
            f"1,000,000 invocations on the screens: {name}", PairedRatios(seconds, (limit_s,) * count), at_most=1.0,
            of=f"{limit_s:g} s",
        )  # fmt: skip
        rows.append({**row, "cpu_s": statistics.median(cpu_s)})
    return rows


def _opened(folder: Path) -> list[tuple[float, float]]:
    """(wall, CPU) seconds until the first frame, until all is shown, and of a frame while scrolling."""
    begun = time.perf_counter()
    screens = Screens("open", str(folder))
    try:
        found = []
        for text in ("reading the record", "handing one over"):  # a warning: these are computed last
            found.append((screens.wait_for(text) - begun, screens.cpu_s))
        found.append(_scrolled(screens))
        return found
    finally:
        screens.kill()


def _scrolled(screens: Screens) -> tuple[float, float]:
    terminal = screens.terminal
    terminal.send("\t")
    while terminal.read(0.5):
        pass
    begun, cpu_s = time.perf_counter(), screens.cpu_s
    for key in _KEYS:
        terminal.send(key)
        while not terminal.read(5.0):
            raise RuntimeError(f"the key {key} changed nothing")
        while terminal.read(0.0):
            pass
    return (time.perf_counter() - begun) / len(_KEYS), (screens.cpu_s - cpu_s) / len(_KEYS)


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(row)
