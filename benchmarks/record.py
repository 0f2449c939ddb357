"""What recording costs a script: 1,000 tasks of 10 ms in a ProcessPoolExecutor, with and without `lbench record`.

python benchmarks/record.py [PAIRS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pairs import alternate, figure, timed

__all__ = ["run"]

_TASKS, _TASK_S = 1000, 0.01
_GOAL = 1.1
_SCRIPT = f"""
import time
from concurrent.futures import ProcessPoolExecutor

def work(number):
    end = time.perf_counter() + {_TASK_S}
    while time.perf_counter() < end:
        pass
    return number

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        print(sum(pool.map(work, range({_TASKS}))))
"""


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """One figure (see `pairs.figure`): the whole command's time over the plain script's."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "work.py").write_text(_SCRIPT)
        environ = os.environ | {"XDG_DATA_HOME": folder}

        def started(*words: str) -> Callable[[], None]:
            def once() -> None:
                done = subprocess.run(
                    [sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True, check=True
                )
                if done.stdout != f"{sum(range(_TASKS))}\n":
                    raise RuntimeError("the script printed something else than by itself")

            return once

        ratios = alternate(timed(started("-m", "lbench", "record", "work.py")), timed(started("work.py")), pairs)
    return [
        figure(
            f"record: a script of {_TASKS:,} tasks of {_TASK_S * 1000:.0f} ms",
            ratios,
            at_most=_GOAL,
            of="the plain script's time",
        )
    ]


if __name__ == "__main__":
    for one in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(one)
