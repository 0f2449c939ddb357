"""A sweep against the same runs by hand: one `lbench sweep` of three points, and an `lbench run` for each of them.

python benchmarks/sweep_overhead.py [PAIRS]

Wall time of the whole commands, processes and all, in alternation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pairs import alternate, figure, timed

__all__ = ["run"]

_SECONDS = ("0.02", "0.04", "0.08")
_COMMON = ("-p", "kind=sleep", "--tasks", "8", "-b", "sequential", "-b", "threads:concurrency=2", "--repeats", "3")
_QUIET = ("--quiet", "--no-predict")


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """One figure: the sweep's time over that of the runs."""
    ratios = alternate(timed(_sweep), timed(_by_hand), pairs)
    return [figure("lbench sweep of three points", ratios, at_most=1.02, of="lbench run of each")]


def _lbench(*arguments: str) -> None:
    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder:
        environment = os.environ | {f"XDG_{name}_HOME": f"{folder}/{name}" for name in ("DATA", "CACHE", "CONFIG")}
        command = [sys.executable, "-m", "lbench", *arguments, *_COMMON, *_QUIET]
        subprocess.run(command, env=environment, check=True, capture_output=True, cwd=Path(folder))


def _sweep() -> None:
    _lbench("sweep", "probe", "--over", f"seconds={','.join(_SECONDS)}")


def _by_hand() -> None:
    for seconds in _SECONDS:
        _lbench("run", "probe", "-p", f"seconds={seconds}")


if __name__ == "__main__":
    for one in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(one)
