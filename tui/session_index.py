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
from lbench.analysis.format import ratio_text, times_interval_text
from lbench.config.folders import cache_folder, is_there
from lbench.engine.billing.bill import run_bill
from lbench.engine.cost.charges import total_usd
from lbench.engine.cost.format import usd_text
from lbench.engine.journal.lock import is_live
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.model import point_text
from lbench.engine.service.discovery import ENGINE_LOG
from lbench.engine.session.index import Recorded, recorded, session_folders
from lbench.engine.session.labels import read_meta
from lbench.engine.session.view import RunView
from lbench.errors import LbenchError
from lbench.tui.bench.board_builder import data_text
from lbench.tui.feeds.fold import Fold

__all__ = ["ONCE", "Backend", "Entry", "entries", "has_sweep", "last_result", "verdict_of"]

ONCE = "once"  # in place of an interval: measured one time
_VERSION = 7
_LOOKED_AT = 3  # sessions, for the last result
_SMALL_BYTES = 2_000_000  # of a journal that is read for it


class Backend(msgspec.Struct, frozen=True):
    """One backend's result in a session."""

    backend: str
    label: str
    speedup: str | None = None  # "1.94×"
    spread: str = ""  # of it: "1.90–1.97", or `ONCE`
    failed: bool = False
    wrong: bool = False
    baseline: bool = False


class Entry(msgspec.Struct, frozen=True):
    """A comparison in the list; a session that was explored is one entry."""

    recorded: Recorded  # the session, with the workload, backends and runs of this comparison alone
    part: int | None = None  # which of the session's comparisons; None: its only one, or not read yet
    data: str = ""  # name and size of the data file
    point: str = ""  # of a sweep: "n_trees=4"
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
    def key(self) -> tuple[str, int]:
        """What tells it from all others."""
        return self.recorded.path, self.part or 0


class _Kept(msgspec.Struct):
    version: int
    size: int
    mtime_ns: int
    entries: list[Entry]


_decoder = msgspec.json.Decoder(_Kept)  # made here: threads that make one at once crash in msgspec 0.22


def entries() -> Iterator[Entry]:
    """All sessions, the newest first: each at once as it is known, then a second time those that had to be read.

    Raises:
        InputError: there is no place for sessions.
    """
    todo: list[Entry] = []
    for folder in session_folders():
        if _begins(folder):
            continue
        known = _kept(folder) or [Entry(recorded(folder))]
        yield from known
        todo += [entry for entry in known if not entry.worked_out and entry.recorded.error is None]
    for entry in todo:
        yield from _worked_out(entry)


def _begins(folder: Path) -> bool:
    """Whether an engine was started there that has recorded nothing yet."""
    return not is_there(folder / JOURNAL_NAME) and is_there(folder / ENGINE_LOG)


def last_result() -> Entry | None:
    """The newest comparison with a result, if it is known or quick to read."""
    try:
        folders = session_folders()
    except LbenchError:
        return None
    for folder in folders[:_LOOKED_AT]:
        known = _kept(folder)
        if known is None and not is_live(folder) and _is_small(folder):
            known = _worked_out(Entry(recorded(folder)))
        found = [entry for entry in known or [] if entry.verdict]
        if found:
            return found[-1]
    return None


def has_sweep(folder: Path) -> bool | None:
    """Whether a comparison of a session is a point of a sweep; None: it was not read yet, or has changed since."""
    known = _kept(folder)
    return None if known is None else any(entry.point for entry in known)


def _is_small(folder: Path) -> bool:
    try:
        return _stamp(folder)[0] < _SMALL_BYTES
    except OSError:
        return False


def _stamp(folder: Path) -> tuple[int, int]:
    found = (folder / JOURNAL_NAME).stat()
    return found.st_size, found.st_mtime_ns


def _cache_file(folder: Path) -> Path:
    return cache_folder("sessions") / f"{folder.name}.json"


def _kept(folder: Path) -> list[Entry] | None:
    """The cached entries, if they still hold. Name and tags are read again."""
    try:
        kept = _decoder.decode(_cache_file(folder).read_bytes())
        if kept.version != _VERSION or (kept.size, kept.mtime_ns) != _stamp(folder) or is_live(folder):
            return None
        if not kept.entries or kept.entries[0].recorded.path != str(folder):
            return None
    except (OSError, LbenchError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    meta = read_meta(folder)
    return [_labelled(entry, meta.name, meta.tags) for entry in kept.entries]


def _labelled(entry: Entry, name: str | None, tags: list[str]) -> Entry:
    record = entry.recorded
    record = msgspec.structs.replace(record, name=name if name is not None else record.name, tags=tags)
    return msgspec.structs.replace(entry, recorded=record)


def _worked_out(entry: Entry) -> list[Entry]:
    """The comparisons of a session, the first one first."""
    folder = entry.folder
    try:
        stamp = _stamp(folder)
        fold = Fold()
        for event in read_events(folder / JOURNAL_NAME):
            fold.take(event)
    except LbenchError as error:
        return [Entry(msgspec.structs.replace(entry.recorded, error=str(error)))]
    except OSError as error:
        return [Entry(msgspec.structs.replace(entry.recorded, error=f"it cannot be read: {error.strerror}"))]
    view = fold.view
    if not entry.recorded.running:
        view.engine_gone()
    groups = [[view.runs[one.run] for one in plan] for plan in fold.plans]
    if any(run.planned.interaction is not None for run in view.runs.values()):
        groups = [list(view.runs.values())]
    several = len(groups) > 1
    done = [_comparison(entry, runs, part if several else None) for part, runs in enumerate(groups or [[]])]
    if not entry.recorded.running:
        # The name is a person's, and read each time: what is kept is the journal's.
        head = view.header.name if view.header is not None else None
        bare = [
            msgspec.structs.replace(one, recorded=msgspec.structs.replace(one.recorded, name=head, tags=[]))
            for one in done
        ]
        with contextlib.suppress(OSError, LbenchError):  # a full or read-only disk only costs time
            _cache_file(folder).write_bytes(msgspec.json.encode(_Kept(_VERSION, *stamp, bare)))
    return done


def _comparison(entry: Entry, runs: list[RunView], part: int | None) -> Entry:
    record = entry.recorded
    started = [run for run in runs if run.started is not None]
    if part is not None:
        record = msgspec.structs.replace(
            record,
            created=started[0].started.started if started and started[0].started is not None else record.created,
            workloads=list(dict.fromkeys(run.planned.workload for run in runs)),
            backends=list(dict.fromkeys(run.planned.label for run in runs)),
            runs=len(runs),
            runs_ended=sum(run.ended is not None for run in runs),
            runs_stopped=sum(run.status == "cancelled" for run in runs),
            complete=all(run.ended is not None for run in runs),
        )
    bills = [(run, run_bill(run)) for run in started]
    usd = total_usd(bill.usd for _, bill in bills)
    return msgspec.structs.replace(
        entry,
        recorded=record,
        part=part,
        data=data_text(started),
        point="" if not runs or runs[0].planned.sweep is None else point_text(runs[0].planned.sweep.point),
        usd=None if usd is None else usd_text(Decimal(usd)),
        charged=any(bill.usd is not None and run.planned.origin == "measured" for run, bill in bills),
        assumed=any(bill.assumed for _, bill in bills),
        verdict=verdict_of(runs),
        invocations=sum(len(run.columns) for run in runs),
        explored=sum(run.planned.interaction is not None for run in runs),
        worked_out=True,
    )


def verdict_of(runs: list[RunView]) -> list[Backend]:
    """The result of a comparison, backend by backend."""
    if not any(run.started is not None and run.planned.interaction is None for run in runs):
        return []
    comparison = compare(runs, run_bill)
    return [
        Backend(
            backend=one.backend,
            label=one.label,
            speedup=None if one.speedup is None or one.makespan_s is None else ratio_text(one.speedup),
            spread=ONCE if one.speedup is None or one.speedup.interval is None else times_interval_text(one.speedup),
            failed=one.error is not None,
            wrong=one.answer == "wrong",
            baseline=one.label == comparison.baseline,
        )
        for one in comparison.summaries
    ]
