"""Confirmation before money is spent: a question on a terminal; a script must pass --yes."""

from __future__ import annotations

import sys

import click

from lbench.engine.billing.estimate import quotes
from lbench.engine.billing.quote import question
from lbench.engine.plan.plan import Plan, resolve_params
from lbench.errors import InputError
from lbench.workloads import registry

__all__ = ["ask"]


def ask(plan: Plan, ask_above_usd: float, *, yes: bool) -> None:
    """Return if the plan is free or cheap, or if the user confirms it.

    Raises:
        InputError: the user declines, or no terminal can ask.
    """
    if yes or not any(choice.name == "lambda" for choice in plan.backends):
        return
    limits = registry.limits(registry.describe(plan.workload), resolve_params(plan))
    why = question(quotes(plan, limits), ask_above_usd, plan.max_usd)
    if why is None:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"{why}. Pass --yes to start it, or --max-usd to limit it")
    if not click.confirm(f"{why}. Start it?", err=True, default=False):
        raise InputError("nothing was started, nothing is spent. --max-usd sets a limit")
