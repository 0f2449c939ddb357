"""Makes an exploring session up. Loaded by path (tests are no packages)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from lbench.config.prices import rates
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Dispatched,
    Event,
    Previewed,
    Pricing,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionEnded,
    SessionStarted,
    StageEnded,
    StageStarted,
    encode_lines,
)
from lbench.engine.model import Interaction
from lbench.workloads.encoding import encode

SPEEDS = {"sequential": 0.081, "processes": 0.043, "emulated": 0.064}  # seconds that an update takes


class Record:
    """Makes an explored session up: by hand on processes, then the same script on each backend."""

    def __init__(self, making: Any, folder: Path) -> None:
        self._making = making
        self._now = making.START
        self._previews = bytearray()
        self._number = 0
        self.events: list[tuple[Any, Event]] = []
        self.folder = folder
        self._add(
            SessionStarted(
                id=folder.name,
                name="looking around",
                created=making.START.isoformat(timespec="milliseconds"),
                lbench_version="0.1.0",
                environment=making.MACHINE,
                format="lbench.journal",
                version=JOURNAL_VERSION,
            )
        )

    def _add(self, event: Event, at_s: float = 0.0) -> None:
        self.events.append((self._now + timedelta(seconds=at_s), event))

    def update(
        self, backend: str, generation: int, step: int | None = None, *, warmup: bool = False, cancelled: bool = False
    ) -> None:
        """One interaction: a coarse task, and two of fine rows."""
        self._number += 1
        run = f"x{self._number}"
        took_s = SPEEDS[backend] * (1 + 0.1 * ((self._number * 7) % 5)) * (9 if warmup else 1)
        remote = backend == "emulated"
        params = self._making.MANDELBROT | {
            "width": 120, "height": 90, "window": [-1.5 + 0.02 * generation, 0.7 + 0.02 * generation, -0.8, 0.85],
        }  # fmt: skip
        self._add(
            RunPlanned(
                run=run,
                workload="mandelbrot",
                params=params,
                seed=1,
                backend=backend,
                label=backend,
                origin="emulated" if remote else "measured",
                repeat=self._number,
                warmup=warmup,
                schedule="isolated",
                tasks=2,
                interaction=Interaction(generation, step, 1),
            )
        )
        self._add(
            RunStarted(
                run=run,
                started=self._now.isoformat(timespec="milliseconds"),
                setup_s=None,
                settings={},
                transport=None,
                oversubscribed=False,
                code_digest="c0de",
                package_digest=None,
                pricing=Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769) if remote else Pricing(),
                notes=["explored: the answer was not checked"],
                capacity=2,
            )
        )
        self._add(StageStarted(run=run, index=0, tasks=3, at_s=0.001), 0.001)
        for task in range(3):
            self._add(Dispatched(run=run, n=task, stage=0, task=task, attempt=0, queued_s=0.001, dispatched_s=0.001))
        for task in range(3):
            at_s = 0.006 if task == 0 else took_s - 0.001
            status = "cancelled" if cancelled and task else "ok"
            self._add(
                Returned(
                    run=run,
                    n=task,
                    status=status,  # type: ignore[arg-type]
                    returned_s=at_s,
                    environment=f"w{task % 2}",
                    compute_ms=at_s * 900,
                    billed_ms=round(at_s * 1000) if remote else None,
                    memory_mb=1769 if remote else None,
                ),
                at_s,
            )
            if status == "ok":
                self._add(self._block(run, task), at_s)
        if not cancelled:
            self._add(StageEnded(run=run, index=0, at_s=took_s), took_s)
        self._now += timedelta(seconds=took_s + 0.01)
        ended = RunEnded(
            run=run, status="cancelled" if cancelled else "ok", makespan_s=None if cancelled else took_s, driver=None
        )
        self._add(ended)

    def _block(self, run: str, task: int) -> Previewed:
        picture = self._making._counts(120)[15:105]
        first, step = (0, 1) if task == 0 else (task - 1, 2)
        values = picture[::4, ::4] if task == 0 else picture[first::step]
        height, width = (23, 30) if task == 0 else (90, 120)
        block = {"kind": "rows", "width": width, "height": height, "first": first, "step": step}
        data = encode({**block, "values": np.ascontiguousarray(values)})
        event = Previewed(run, 0, task, len(self._previews), len(data))
        self._previews += data
        return event

    def write(self) -> Path:
        """The session's folder."""
        self._add(SessionEnded(complete=True))
        self.folder.mkdir(parents=True)
        (self.folder / "events.jsonl").write_bytes(encode_lines([event for _, event in self.events]))
        (self.folder / "previews.bin").write_bytes(self._previews)
        return self.folder


def write_explored(making: Any, folder: Path) -> Path:
    """A warm-up, six updates by hand of which two were overtaken, and a script of eight on each backend."""
    record = Record(making, folder)
    record.update("processes", 1, warmup=True)
    for generation in range(2, 8):
        record.update("processes", generation, cancelled=generation in (3, 5))
    step = 0
    for number in range(9):
        for backend in SPEEDS:
            record.update(backend, 8, step, warmup=not number and backend != "processes")
            step += 1
    return record.write()
