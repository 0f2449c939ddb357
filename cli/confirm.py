"""Confirmation before money is spent: a question on a terminal; a script must pass --yes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from lbench.engine.backends import catalog
from lbench.engine.billing.estimate import quotes
from lbench.engine.billing.quote import question
from lbench.engine.plan.plan import Plan, resolve_params
from lbench.errors import InputError
from lbench.workloads import registry

__all__ = ["ask_about"]


def ask_about(plans: Sequence[Plan], ask_above_usd: float, *, yes: bool) -> None:
    """Return if the plans, which share the limit of --max-usd, are free or cheap together, or if the user confirms them.

    Raises:
        InputError: the user declines, or no terminal can ask.
    """
    paid = [plan for plan in plans if any(catalog.is_paid(choice.name) for choice in plan.backends)]
    if yes or not paid:
        return
    all_quotes = [
        quote
        for plan in paid
        for quote in quotes(plan, registry.limits(registry.describe(plan.workload), resolve_params(plan)))
    ]
    why = question(all_quotes, ask_above_usd, plans[0].max_usd)
    if why is None:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"{why}. Pass --yes to start it, or --max-usd to limit it")
    if not click.confirm(f"{why}. Start it?", err=True, default=False):
        raise InputError("nothing was started, nothing is spent. --max-usd sets a limit")
