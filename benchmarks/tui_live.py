"""What the screens cost while an engine measures: makespan, CPU, bytes to the terminal, memory.

python benchmarks/tui_live.py [PAIRS]

The screens run on a pty that is read at once; what a terminal's own drawing costs is not in it.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from pairs import PairedRatios, alternate, figure
from screens import Screens, made_up_engine, own_folders

from lbench.engine.journal.events import RunEnded
from lbench.engine.machine import fingerprint as machine
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.service.client import Engine, Follower, new_session_folder

__all__ = ["run"]

_TASKS_PER_S = 100  # each is begun and ended: 200 events a second
_RUN_S = 4.0
_LOAD_S = 6.0
_SETTLE_S = 1.5  # until the first frames are drawn and paid for
_FEW, _MANY = 20_000, 120_000  # invocations


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Five figures."""
    with own_folders() as home:
        return [
            *_beside_a_run(pairs),
            *(_load(home, 1000, 5000.0, pairs)),
            _memory(home, pairs),
        ]


class _Measured:
    """An engine, and the makespan of a run of it with and without screens beside it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._follower = Follower(engine.folder, engine.socket)
        self._follower.follow()
        cores = max(1, int(machine.usable_cores()))
        self._plan = Plan(
            workload="probe",
            params={"kind": "spin", "seconds": cores / _TASKS_PER_S},
            tasks=int(_RUN_S * _TASKS_PER_S),
            repeats=1,
            backends=[parse_backend("processes", {})],
        )
        self.cpu_s: list[float] = []
        self.makespans_s: list[float] = []

    def headless(self) -> float:
        """Seconds without anyone who draws."""
        self._follower.start(self._plan, last=False)
        makespan_s: float | None = None
        while makespan_s is None:
            for event in self._follower.receive(0.1):
                if isinstance(event, RunEnded):
                    if event.makespan_s is None:
                        raise RuntimeError(f"the run failed: {event.error}")
                    makespan_s = event.makespan_s
            if self._follower.problems():  # the plan before is not quite over
                time.sleep(0.05)
                self._follower.start(self._plan, last=False)
        return makespan_s

    def with_screens(self) -> float:
        """Seconds with the screens open."""
        screens = Screens()
        try:
            screens.wait_for("quit")
            screens.watch()
            time.sleep(_SETTLE_S)
            before_s = screens.cpu_s
            seconds = self.headless()
            self.cpu_s.append(screens.cpu_s - before_s)
            self.makespans_s.append(seconds)
        finally:
            screens.close()
        return seconds


def _beside_a_run(pairs: int) -> list[dict[str, Any]]:
    engine = Engine(new_session_folder(), on_hangup="stop")
    try:
        measured = _Measured(engine)
        ratios = alternate(measured.with_screens, measured.headless, pairs)
    finally:
        engine.let_go()
        engine.wait(30)
    shares = PairedRatios(tuple(measured.cpu_s[1:]), tuple(measured.makespans_s[1:]))
    return [
        figure("makespan with the screens open, processes, 200 events/s", ratios, at_most=1.03, of="headless"),
        figure("CPU of the screens at 200 events/s on busy cores", shares, at_most=0.03, of="a core"),
    ]


def _load(home: Any, environments: int, per_s: float, pairs: int) -> list[dict[str, Any]]:
    cpu: list[float] = []
    sent: list[float] = []
    seconds: list[float] = []
    for number in range(2 * pairs):
        ssh = bool(number % 2)
        with made_up_engine(home, environments, per_s, _LOAD_S) as engine:
            screens = Screens(size=(80, 24) if ssh else (120, 40), ssh=ssh)
            try:
                screens.wait_for("lbench")
                screens.watch()
                time.sleep(_SETTLE_S)
                engine.begin()
                time.sleep(_SETTLE_S)
                begun_s, cpu_s, written = time.perf_counter(), screens.cpu_s, screens.bytes_written
                engine.wait_for_end()
                took_s = time.perf_counter() - begun_s
                if ssh:
                    sent.append((screens.bytes_written - written) / 1024 / 8 / took_s)
                else:
                    cpu.append(screens.cpu_s - cpu_s)
                    seconds.append(took_s)
            finally:
                screens.close()
    ones = (1.0,) * len(sent)
    return [
        figure(
            "CPU of the screens at 5,000 events/s, 1,000 environments",
            PairedRatios(tuple(cpu), tuple(seconds)),
            at_most=0.15,
            of="a core",
        ),
        figure("bytes to 80x24 over SSH, the same load", PairedRatios(tuple(sent), ones), at_most=1.0, of="8 KiB/s"),
    ]


def _memory(home: Any, pairs: int) -> dict[str, Any]:
    def bytes_with(invocations: int) -> int:
        with made_up_engine(home, 100, 0, invocations / 1000) as engine:
            screens = Screens()
            try:
                screens.wait_for("quit")
                engine.begin()
                screens.watch()
                engine.wait_for_end()
                before = -1.0
                while screens.cpu_s - before > 0.2:  # still folding
                    before = screens.cpu_s
                    time.sleep(1.0)
                return screens.memory_bytes
            finally:
                screens.close()

    each = [(bytes_with(_MANY) - bytes_with(_FEW)) / (_MANY - _FEW) for _ in range(pairs)]
    ratios = PairedRatios(tuple(each), (250.0,) * len(each))
    row = figure("memory an invocation", ratios, at_most=1.0, of="250 bytes")
    return {**row, "bytes": statistics.median(each)}


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(row)
