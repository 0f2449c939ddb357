"""Runs of a job on a cluster, as the sessions of this machine have recorded them."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from lbench.engine.cost.rent import rent_usd
from lbench.engine.journal.events import (
    Answered,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionStarted,
    decode_event,
)
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.index import session_folders

__all__ = ["ClusterRuns", "recorded_clusters"]

_SESSIONS = 500  # the newest, which are looked through
_OF_A_CLUSTER = b'"worker_s":'  # in the end of each run on a cluster, and nowhere else
_WANTED = tuple(b'{"event":"' + name + b'"' for name in (b"session", b"planned", b"started", b"ended", b"answer"))
_WHERE = ("scheduler", "scheduler_file", "factory")  # the settings that name a cluster


class ClusterRuns(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one session on one cluster, cold or warm, in their order. Each list has an item for each run."""

    session: str
    created: str  # ISO 8601
    label: str
    workers: int
    cold: bool | None  # whether its workers were new to the job; None: not known
    setup_s: float | None  # until the first worker was there
    makespans_s: list[float]
    usd: list[Decimal] | None  # None: no price was given
    unpriced: list[str]  # why, or what a price leaves out


def recorded_clusters(wanted: Callable[[RunPlanned, RunStarted], bool]) -> list[ClusterRuns]:
    """The newest right runs of each cluster and number of workers that are wanted. What cannot be read is passed over.

    Raises:
        InputError: the folder of sessions cannot be read.
    """
    found: dict[tuple[Any, ...], ClusterRuns] = {}
    for folder in session_folders()[:_SESSIONS]:
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
            for key, runs in _of_session(folder, wanted):
                found.setdefault(key, runs)
    return list(found.values())


def _of_session(
    folder: Path, wanted: Callable[[RunPlanned, RunStarted], bool]
) -> Iterator[tuple[tuple[Any, ...], ClusterRuns]]:
    head: SessionStarted | None = None
    planned: dict[str, RunPlanned] = {}
    started: dict[str, RunStarted] = {}
    ended: dict[str, RunEnded] = {}
    wrong: set[str] = set()
    for line in _lines(folder / JOURNAL_NAME):
        match event := decode_event(line):
            case SessionStarted():
                head = event
            case RunPlanned():
                planned[event.run] = event
            case RunStarted():
                started[event.run] = event
            case RunEnded():
                ended[event.run] = event
            case Answered() if event.answer.ok is False:
                wrong.add(event.run)
    groups: dict[tuple[Any, ...], list[tuple[RunPlanned, RunStarted, RunEnded]]] = {}
    for run, end in ended.items():
        plan, start = planned.get(run), started.get(run)
        if plan is None or start is None or plan.warmup or run in wrong or not end.makespan_s or not end.worker_s:
            continue
        if wanted(plan, start):
            where = tuple(start.settings.get(name) for name in _WHERE)
            groups.setdefault((plan.backend, plan.label, where, _workers(end), end.cold), []).append((plan, start, end))
    for key, runs in groups.items():
        if head is not None:
            yield key, _together(head, runs)


def _together(head: SessionStarted, runs: list[tuple[RunPlanned, RunStarted, RunEnded]]) -> ClusterRuns:
    prices = [start.pricing.worker_usd_per_hour for _, start, _ in runs]
    usd = [
        rent_usd(Decimal(price), end.worker_s or 0.0) for price, (_, _, end) in zip(prices, runs, strict=True) if price
    ]
    return ClusterRuns(
        session=head.id,
        created=head.created,
        label=runs[0][0].label,
        workers=_workers(runs[0][2]),
        cold=runs[0][2].cold,
        setup_s=next((start.setup_s for _, start, _ in runs if start.setup_s is not None), None),
        makespans_s=[end.makespan_s or 0.0 for _, _, end in runs],
        usd=usd if len(usd) == len(runs) else None,
        unpriced=runs[-1][1].pricing.unpriced,
    )


def _workers(end: RunEnded) -> int:
    """How many there were, on average: they join and leave."""
    return max(1, round((end.worker_s or 0.0) / (end.makespan_s or 1.0)))


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a journal that are about whole runs; none where no run was on a cluster."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(_OF_A_CLUSTER) < 0:
            return
        for line in iter(content.readline, b""):
            if line.startswith(_WANTED) and line.endswith(b"\n"):
                yield line
