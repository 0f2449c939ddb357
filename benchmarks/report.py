"""`lbench report` on a recorded session of 100,000 invocations: seconds, CPU seconds, and the size of the file.

python benchmarks/report.py [PAIRS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from large_session import write_large_session
from pairs import PairedRatios, figure
from screens import own_folders

__all__ = ["run"]

_INVOCATIONS = 100_000
_LIMIT_S, _LIMIT_BYTES = 10.0, 5_000_000


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Two figures."""
    count = max(3, pairs // 5)
    with own_folders() as home:
        folder = write_large_session(home / "data" / "lbench" / "sessions" / "20260101-000000-1a46", _INVOCATIONS)
        measured = [_written(folder, home / "report.html") for _ in range(count)]
        size = (home / "report.html").stat().st_size
    seconds, cpu_s = zip(*measured, strict=True)
    times = figure(
        "report of 100,000 invocations", PairedRatios(seconds, (_LIMIT_S,) * count), at_most=1.0, of=f"{_LIMIT_S:g} s"
    )
    sizes = figure(
        "bytes of that report", PairedRatios((float(size),), (float(_LIMIT_BYTES),)), at_most=1.0,
        of=f"{_LIMIT_BYTES / 1e6:g} MB",
    )  # fmt: skip
    return [{**times, "cpu_s": statistics.median(cpu_s)}, sizes]


def _written(folder: Path, out: Path) -> tuple[float, float]:
    """(wall, CPU) seconds of the command."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run(
        [sys.executable, "-m", "lbench", "report", str(folder), "-o", str(out)], check=True, stdout=subprocess.DEVNULL
    )
    after = os.times()
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - begun, cpu_s


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(row)
