"""The bills of runs under way, as they are shown while they grow: an amount that was shown does not fall."""

from __future__ import annotations

from decimal import Decimal

from lbench.engine.billing.bill import run_bill
from lbench.engine.cost.charges import RunCost
from lbench.engine.session.view import RunView

__all__ = ["RunningBills"]


class RunningBills:
    """`run_bill`, but that of a running run is never less than before; at its end it is what the run has cost.

    A call in flight is counted by its time so far; when it returns it may prove to have waited, or not to have run.
    Keep one for each sequence of moments that goes forward.
    """

    def __init__(self) -> None:
        self._most: dict[str, RunCost] = {}

    def __call__(self, run: RunView, now_s: float | None = None) -> RunCost:
        """The bill at a moment (seconds since the run's start)."""
        bill = run_bill(run, now_s)
        if run.status != "running":
            self._most.pop(run.id, None)
            return bill
        most = self._most.get(run.id, bill)
        if (bill.usd or Decimal(0)) >= (most.usd or Decimal(0)):
            most = self._most[run.id] = bill
        return most
