"""What hedging has gained in a run, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.format import count_text, seconds_text
from lbench.engine.cost import charges as cost
from lbench.engine.cost.format import usd_short
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView

__all__ = ["Hedges", "hedges_of", "hedges_sentence"]

_OK, _SUPERSEDED = STATUSES.index("ok"), STATUSES.index("superseded")


class Hedges(msgspec.Struct, frozen=True):
    """One or several runs' hedging."""

    tasks: int  # issued once more
    won: int  # of those, the second attempt answered first
    compared: int  # of those won, the first attempt's end is known
    saved_s: float  # so much later did these end: what was not waited for, over all of them
    usd: Decimal | None  # the attempts that lost, known or estimated; None: nothing is charged
    running: int = 0  # of these, those that were given up: they may run on, and cost more


def hedges_of(runs: Iterable[RunView]) -> Hedges | None:
    """The hedging of these runs together; None where nothing was issued once more."""
    tasks = won = compared = running = 0
    saved_s = 0.0
    amounts: list[Decimal | None] = []
    for run in runs:
        columns = run.columns
        if not columns.hedge_of:
            continue
        doubles = np.array(list(columns.hedge_of), dtype=np.int64)
        firsts = np.array(list(columns.hedge_of.values()), dtype=np.int64)
        status, returned, billed = columns["status"], columns["returned_s"], columns["billed_ms"]
        # An attempt that was given up has an end too, which is when it was given up: only one that answered can tell.
        answered = (billed >= 0) | ~np.isnan(columns["finished_s"]) | ~np.isnan(columns["compute_ms"])
        better = status[doubles] == _OK
        known = better & (status[firsts] == _SUPERSEDED) & answered[firsts]
        tasks += len(doubles)
        won += int(better.sum())
        compared += int(known.sum())
        saved_s += float((returned[firsts] - returned[doubles])[known].sum())
        both = np.concatenate([doubles, firsts])
        running += int(((status[both] == _SUPERSEDED) & (billed[both] < 0)).sum())
        amounts.append(_lost_usd(run, both))
    return Hedges(tasks, won, compared, max(0.0, saved_s), cost.total_usd(amounts), running) if tasks else None


def _lost_usd(run: RunView, rows: NDArray[np.int64]) -> Decimal | None:
    """What the attempts of these that were superseded cost."""
    assert run.started is not None
    pricing, columns = run.started.pricing, run.columns
    if pricing.rates is None or pricing.memory_mb is None:
        return None
    lost = rows[columns["status"][rows] == _SUPERSEDED]
    billed = columns["billed_ms"][lost].astype(np.int64)
    elapsed = np.ceil((columns["returned_s"][lost] - columns["dispatched_s"][lost]) * 1000).astype(np.int64)
    ms = np.where(billed >= 0, billed, np.clip(elapsed, 0, cost.worst_ms(pricing.deadline_s)))
    return cost.run_cost(pricing.rates, ms, memory_mb=pricing.memory_mb, ephemeral_mb=pricing.ephemeral_mb).usd


def hedges_sentence(label: str, told: Hedges, all_tasks: int) -> str:
    """One line: how many, what was gained, what it cost."""
    parts = [
        f"hedging on {label}: {told.tasks} of {count_text(all_tasks, 'task')} issued once more, {told.won} answered first"
    ]
    if told.compared:
        parts.append(f"{seconds_text(told.saved_s)} less to wait for {told.compared} of them")
    if (left := told.won - told.compared) > 0:
        parts.append(f"how long the other {left} would have taken is not known: they were given up")
    if told.usd is not None:
        parts.append(f"the attempts that lost cost {usd_short(told.usd)}{' so far' * (told.running > 0)}")
    return "; ".join(parts)
