"""An engine that measures nothing: it writes a made-up run at a given rate, through the real journal and socket.

python benchmarks/made_up_engine.py FOLDER ENVIRONMENTS EVENTS_PER_S SECONDS

It prints a line when it can be reached, waits for one on its standard input, then writes the run in real time (or, with
EVENTS_PER_S 0, SECONDS * 1,000 invocations at once), prints another line, and waits until its input is closed.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from lbench.config.folders import runtime_folder
from lbench.config.prices import rates
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Dispatched,
    Event,
    Returned,
    RunPlanned,
    RunStarted,
    SessionStarted,
    StageStarted,
)
from lbench.engine.journal.lock import FolderLock
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.fingerprint import fingerprint
from lbench.engine.model import Pricing
from lbench.engine.service.control import Command, ControlServer

_STEP_S = 0.02
_INIT_S = 0.3


class Run:
    """The events of a run on environments that are always busy."""

    def __init__(self, environments: int, per_s: float) -> None:
        self._environments = environments
        self._task_s = 2 * environments / per_s
        self._random = random.Random(1)
        self._started = 0
        self._ends: list[tuple[float, int, int, float]] = []  # when, n, environment, when it began
        self._free: list[tuple[float, int]] = [
            (self._task_s * number / environments, number) for number in range(environments)
        ]
        self._cold = set(range(environments))

    def until(self, now_s: float) -> list[Event]:
        """What has happened since the last call; times in seconds since the run's start."""
        events: list[Event] = []
        rest = []
        for end in self._ends:
            if end[0] <= now_s:
                events.append(self._returned(*end))
                self._free.append((end[0], end[2]))
            else:
                rest.append(end)
        self._ends = rest
        waiting = []
        for free_s, environment in self._free:
            if free_s > now_s:
                waiting.append((free_s, environment))
                continue
            n = self._started
            self._started += 1
            events.append(Dispatched("r1", n, stage=0, task=n, attempt=0, queued_s=0.0, dispatched_s=round(free_s, 6)))
            init_s = _INIT_S if environment in self._cold else 0.0
            took_s = init_s + self._task_s * self._random.uniform(0.8, 1.2)
            self._ends.append((free_s + took_s, n, environment, free_s))
        self._free = waiting
        return events

    def _returned(self, end_s: float, n: int, environment: int, begun_s: float) -> Event:
        cold = environment in self._cold
        self._cold.discard(environment)
        init_s = _INIT_S if cold else 0.0
        return Returned(
            "r1",
            n,
            status="ok",
            returned_s=round(end_s, 6),
            environment=f"2026/11/22/[$LATEST]{environment:032x}",
            cold=cold,
            started_s=round(begun_s + init_s, 6),
            finished_s=round(end_s - 0.001, 6),
            init_ms=init_s * 1000 or None,
            fetch_ms=1.0,
            compute_ms=(end_s - begun_s - init_s) * 1000 - 2,
            billed_ms=int((end_s - begun_s) * 1000) + 1,
            billed_source="report",
            memory_mb=1769,
            max_memory_mb=130,
            request_bytes=400,
            response_bytes=900,
            request_id=str(uuid.UUID(int=self._random.getrandbits(128))),
        )


async def main(folder: Path, environments: int, per_s: float, seconds: float) -> None:
    lock = FolderLock(folder)
    journal = Journal(folder)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = SessionStarted(
        id=folder.name,
        name=folder.name,
        created=now,
        lbench_version="0",
        environment=fingerprint(),
        format="lbench.journal",
        version=JOURNAL_VERSION,
    )
    journal.write(head)

    async def refuse(command: Command) -> None:
        pass

    where = runtime_folder() / f"made-up-{os.getpid()}.sock"
    control = ControlServer(where, journal, refuse)
    await control.start()
    record = {"pid": os.getpid(), "host": socket.gethostname(), "socket": str(where)}
    (folder / "engine.json").write_bytes(msgspec.json.encode(record))
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def listen() -> None:
        while line := sys.stdin.readline():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=listen, daemon=True).start()
    print("up", flush=True)
    if await lines.get():
        run = Run(environments, per_s or 5000.0)
        count = int(seconds * (per_s / 2 if per_s else 1000))
        params = {"size": 1000, "width": None, "height": None, "max_iterations": 500, "assignment": "interleaved"}
        for event in (
            RunPlanned("r1", "mandelbrot", params, 1, "emulated", "emulated", "emulated", 0, False, "isolated", count),
            RunStarted(
                "r1",
                datetime.now(UTC).isoformat(timespec="milliseconds"),
                0.1,
                {},
                "direct",
                False,
                "0",
                "0",
                Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769, bound_usd="9.9"),
                capacity=environments,
            ),
            StageStarted("r1", 0, count, 0.0),
        ):
            journal.write(event)
        if per_s:
            start_s = time.monotonic()
            while (now_s := time.monotonic() - start_s) < seconds:
                for event in run.until(now_s):
                    journal.write(event)
                await asyncio.sleep(_STEP_S)
        else:
            now_s = written = 0.0
            while written < 2 * count:
                now_s += _STEP_S
                for event in run.until(now_s):
                    journal.write(event)
                    written += 1
                await asyncio.sleep(0)
        await journal.settled()
        print("ended", flush=True)
        await lines.get()
    await control.close()
    journal.close()
    (folder / "engine.json").unlink(missing_ok=True)
    lock.release()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
