"""Hedging: the time that it saved, and its cost."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.comparison import by_label
from lbench.analysis.format import seconds_text
from lbench.engine.cost import charges as cost
from lbench.engine.cost.format import usd_short
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView
from lbench.errors import count_text

__all__ = ["Hedges", "hedges_of", "hedges_sentence", "hedging_lines"]

_OK, _SUPERSEDED = STATUSES.index("ok"), STATUSES.index("superseded")


class Hedges(msgspec.Struct, frozen=True):
    """Hedging in one or several runs."""

    tasks: int  # with a duplicate attempt
    won: int  # tasks whose duplicate answered first
    compared: int  # tasks won whose first attempt has a known end
    saved_s: float  # total time by which these first attempts ended later
    usd: Decimal | None  # cost of the attempts that lost, known or estimated; None: free
    running: int = 0  # losing attempts that were abandoned: they may run on, and cost more
    assumed: bool = False  # whether the cost counts anything at another region's price


def hedges_of(runs: Iterable[RunView]) -> Hedges | None:
    """Hedging in these runs; None where no task had a duplicate."""
    tasks = won = compared = running = 0
    saved_s = 0.0
    bills: list[cost.RunCost] = []
    for run in runs:
        columns = run.columns
        if not columns.hedge_of:
            continue
        doubles = np.array(list(columns.hedge_of), dtype=np.int64)
        firsts = np.array(list(columns.hedge_of.values()), dtype=np.int64)
        status, returned, billed = columns["status"], columns["returned_s"], columns["billed_ms"]
        # The end of an abandoned attempt is when it was abandoned: only attempts that answered have an end to compare.
        answered = (billed >= 0) | ~np.isnan(columns["finished_s"]) | ~np.isnan(columns["compute_ms"])
        better = status[doubles] == _OK
        known = better & (status[firsts] == _SUPERSEDED) & answered[firsts]
        tasks += len(doubles)
        won += int(better.sum())
        compared += int(known.sum())
        saved_s += float((returned[firsts] - returned[doubles])[known].sum())
        both = np.concatenate([doubles, firsts])
        running += int(((status[both] == _SUPERSEDED) & (billed[both] < 0)).sum())
        if (bill := _lost_bill(run, both)) is not None:
            bills.append(bill)
    if not tasks:
        return None
    usd = cost.total_usd(bill.usd for bill in bills)
    return Hedges(tasks, won, compared, max(0.0, saved_s), usd, running, any(bill.assumed for bill in bills))


def _lost_bill(run: RunView, rows: NDArray[np.int64]) -> cost.RunCost | None:
    """The bill of the superseded attempts among these rows."""
    assert run.started is not None
    pricing, columns = run.started.pricing, run.columns
    if pricing.rates is None or pricing.memory_mb is None:
        return None
    lost = rows[columns["status"][rows] == _SUPERSEDED]
    billed = columns["billed_ms"][lost].astype(np.int64)
    elapsed = np.ceil((columns["returned_s"][lost] - columns["dispatched_s"][lost]) * 1000).astype(np.int64)
    ms = np.where(billed >= 0, billed, np.clip(elapsed, 0, cost.worst_ms(pricing.deadline_s)))
    return cost.run_cost(pricing.rates, ms, memory_mb=pricing.memory_mb, ephemeral_mb=pricing.ephemeral_mb)


def hedging_lines(runs: Iterable[RunView]) -> list[str]:
    """A sentence for each backend of these runs that duplicated tasks, without its warm-up runs."""
    measured = by_label(run for run in runs if not run.planned.warmup)
    found = {label: (group, hedges_of(group)) for label, group in measured.items()}
    return [
        hedges_sentence(label, hedges, sum(run.known_tasks for run in group))
        for label, (group, hedges) in found.items()
        if hedges is not None
    ]


def hedges_sentence(label: str, hedges: Hedges, all_tasks: int) -> str:
    """One line: duplicates, time saved, cost."""
    parts = [
        f"hedging on {label}: {hedges.tasks} of {count_text(all_tasks, 'task')} duplicated, "
        f"{count_text(hedges.won, 'duplicate')} answered first"
    ]
    if hedges.compared:
        saved = f"{seconds_text(hedges.saved_s)} of waiting for {count_text(hedges.compared, 'task')}"
        parts.append(f"{'it' if hedges.won == 1 else 'they'} saved {saved}")
    if (left := hedges.won - hedges.compared) > 0:
        whose = f"{left} of them" if hedges.compared else "them" if left > 1 else "it"
        first = "its first attempt was" if left == 1 else "their first attempts were"
        parts.append(f"time saved by {whose} is unknown: {first} abandoned")
    if hedges.usd is not None:
        usd = usd_short(hedges.usd, assumed=hedges.assumed)
        parts.append(f"the losing attempts cost {usd}{' so far' * (hedges.running > 0)}")
    return "; ".join(parts)
