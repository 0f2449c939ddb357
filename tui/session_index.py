"""The recorded sessions with their results. Reading one takes a while, so results are cached.

A journal is append-only: while its size and time are the same, the cached result holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from lbench.analysis.comparison import compare
from lbench.analysis.format import times_text
from lbench.config.folders import cache_folder
from lbench.engine.billing.bill import run_bill
from lbench.engine.cost.charges import total_usd
from lbench.engine.cost.format import usd_text
from lbench.engine.journal.lock import is_live
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.index import Recorded, recorded, session_folders
from lbench.engine.session.labels import read_meta
from lbench.engine.session.view import RunView, load_folder
from lbench.errors import LbenchError

__all__ = ["Backend", "Entry", "entries", "verdict_of"]

_VERSION = 4


class Backend(msgspec.Struct, frozen=True):
    """One backend's result in a session."""

    backend: str
    label: str
    speedup: str | None = None  # "1.94×"
    failed: bool = False
    wrong: bool = False
    baseline: bool = False


class Entry(msgspec.Struct, frozen=True):
    """A session in the list."""

    recorded: Recorded
    usd: str | None = None  # what AWS charged or would charge, all runs
    assumed: bool = False  # some of it at another region's price
    charged: bool = False  # some of that by AWS itself; else it is emulated
    verdict: list[Backend] = []  # of its last comparison
    invocations: int = 0
    worked_out: bool = False  # whether the four above are known
    explored: int = 0  # updates of a session that was explored: runs that are no comparison

    @property
    def folder(self) -> Path:
        return Path(self.recorded.path)

    @property
    def state(self) -> str:
        """One of complete, running, stopped, damaged."""
        if self.recorded.error is not None:
            return "damaged"
        if self.recorded.running:
            return "running"
        return "complete" if self.recorded.complete else "stopped"


class _Kept(msgspec.Struct):
    version: int
    size: int
    mtime_ns: int
    entry: Entry


def entries() -> Iterator[Entry]:
    """All sessions, the newest first: each at once as it is known, then a second time those that had to be read.

    Raises:
        InputError: there is no place for sessions.
    """
    todo: list[Entry] = []
    for folder in session_folders():
        entry = _kept(folder) or Entry(recorded(folder))
        if not entry.worked_out and entry.recorded.error is None:
            todo.append(entry)
        yield entry
    for entry in todo:
        yield _worked_out(entry)


def _stamp(folder: Path) -> tuple[int, int]:
    found = (folder / JOURNAL_NAME).stat()
    return found.st_size, found.st_mtime_ns


def _cache_file(folder: Path) -> Path:
    return cache_folder("sessions") / f"{folder.name}.json"


def _kept(folder: Path) -> Entry | None:
    """The cached entry, if it still holds. Name and tags are read anew."""
    try:
        kept = msgspec.json.decode(_cache_file(folder).read_bytes(), type=_Kept)
        if (kept.version, kept.entry.recorded.path) != (_VERSION, str(folder)) or (kept.size, kept.mtime_ns) != _stamp(
            folder
        ):
            return None
        if is_live(folder):
            return None
    except (OSError, LbenchError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    meta = read_meta(folder)
    record = kept.entry.recorded
    name = meta.name if meta.name is not None else record.name
    return msgspec.structs.replace(kept.entry, recorded=msgspec.structs.replace(record, name=name, tags=meta.tags))


def _worked_out(entry: Entry) -> Entry:
    folder = entry.folder
    try:
        stamp = _stamp(folder)
        view = load_folder(folder)
    except LbenchError as error:
        return Entry(msgspec.structs.replace(entry.recorded, error=str(error)))
    except OSError as error:
        return Entry(msgspec.structs.replace(entry.recorded, error=f"it cannot be read: {error.strerror}"))
    runs = list(view.runs.values())
    bills = [(run, run_bill(run)) for run in runs if run.started is not None]
    usd = total_usd(bill.usd for _, bill in bills)
    done = msgspec.structs.replace(
        entry,
        usd=None if usd is None else usd_text(Decimal(usd)),
        charged=any(bill.usd is not None and run.planned.origin == "measured" for run, bill in bills),
        assumed=any(bill.assumed for _, bill in bills),
        verdict=verdict_of(_last_comparison(runs)),
        invocations=sum(len(run.columns) for run in runs),
        explored=sum(run.planned.interaction is not None for run in runs),
        worked_out=True,
    )
    if not entry.recorded.running:
        # The name is a person's, and read anew each time: what is kept is the journal's.
        head = view.header.name if view.header is not None else None
        bare = msgspec.structs.replace(done, recorded=msgspec.structs.replace(done.recorded, name=head, tags=[]))
        with contextlib.suppress(OSError, LbenchError):  # a full or read-only disk only costs time
            _cache_file(folder).write_bytes(msgspec.json.encode(_Kept(_VERSION, *stamp, bare)))
    return done


def _last_comparison(runs: list[RunView]) -> list[RunView]:
    """The runs of the newest plan. A repeat that was there before begins another plan."""
    last: list[RunView] = []
    seen: set[tuple[str, int, bool]] = set()
    for run in runs:
        planned = run.planned
        key = (planned.label, planned.repeat, planned.warmup)
        other = last and (last[0].planned.workload, last[0].planned.params) != (planned.workload, planned.params)
        if key in seen or other:
            last, seen = [], set()
        last.append(run)
        seen.add(key)
    return last


def verdict_of(runs: list[RunView]) -> list[Backend]:
    """The result of a comparison, backend by backend."""
    if not any(run.started is not None and run.planned.interaction is None for run in runs):
        return []
    comparison = compare(runs, run_bill)
    return [
        Backend(
            backend=one.backend,
            label=one.label,
            speedup=None if one.speedup is None or one.makespan_s is None else times_text(one.speedup.value),
            failed=one.error is not None,
            wrong=one.answer == "wrong",
            baseline=one.label == comparison.baseline,
        )
        for one in comparison.summaries
    ]
