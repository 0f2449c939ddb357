"""How long the model takes: 100,000 simulated invocations through the runner and the journal, on one core."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pairs import PairedRatios, figure

__all__ = ["run"]

_INVOCATIONS = 100_000
_FEWER = 25_000
_LIMIT_S = 60.0
_LIMIT_BYTES = 1024.0
_MOST_PAIRS = 5  # each takes half a minute
_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Three figures: CPU time, memory and journal of an invocation, and whether the time grows in proportion."""
    count = min(pairs, _MOST_PAIRS)
    many, few = [], []
    for _ in range(count):
        many.append(_measured(_INVOCATIONS))
        few.append(_measured(_FEWER))
    text = f"{_INVOCATIONS:,} simulated invocations on 1,000 environments"
    return [
        figure(
            f"{text}: CPU time", PairedRatios(tuple(one["cpu_s"] for one in many), (_LIMIT_S,) * count), at_most=1.0,
            of=f"{_LIMIT_S:g} s",
        ),
        figure(
            f"{text}: memory each", PairedRatios(tuple(one["bytes"] for one in many), (_LIMIT_BYTES,) * count),
            at_most=1.0, of="1 KB",
        ),
        figure(
            f"{text}: journal each", PairedRatios(tuple(one["journal"] for one in many), (_LIMIT_BYTES,) * count),
            at_most=1.0, of="1 KB",
        ),
        figure(
            f"CPU time of an invocation among {_INVOCATIONS:,}",
            PairedRatios(
                tuple(one["cpu_s"] / _INVOCATIONS for one in many), tuple(one["cpu_s"] / _FEWER for one in few)
            ),
            at_most=1.3, of=f"that among {_FEWER:,}",
        ),
    ]  # fmt: skip


def _measured(invocations: int) -> dict[str, float]:
    """In a process of its own: the greatest memory of a process never shrinks."""
    argv = [sys.executable, __file__, "--once", str(invocations)]
    found: dict[str, float] = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return found


def _once(invocations: int) -> dict[str, float]:
    from lbench.engine.backends.settings import SimulatedSettings
    from lbench.engine.backends.simulated.backend import SimulatedBackend
    from lbench.engine.journal.writer import JOURNAL_NAME, Journal
    from lbench.engine.plan.policy import Policy
    from lbench.engine.runner.runner import Runner
    from lbench.engine.virtual_time import VirtualTimeLoop
    from lbench.workloads.model import Task

    backend = SimulatedBackend(SimulatedSettings(), seed=1)

    def job() -> Any:
        return (yield [Task("probe.spin", number=number, seconds=1.0) for number in range(invocations)])

    async def main(folder: Path) -> None:
        journal = Journal(folder)
        runner = Runner("r1", backend, journal, Policy())
        runner.start_clock()
        await runner.run(job())
        journal.close()

    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as name:
        folder = Path(name)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began_s = time.process_time()
        with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(backend.begin_run())) as loop:
            loop.run(main(folder))
        cpu_s = time.process_time() - began_s
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * _UNIT_BYTES
        size = (folder / JOURNAL_NAME).stat().st_size
    return {"cpu_s": cpu_s, "bytes": grown / invocations, "journal": size / invocations}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(_once(int(sys.argv[2]))))
    else:
        print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=2))
