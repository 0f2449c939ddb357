"""Before money is spent: a person is asked on a terminal; a script must have said --yes."""

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
    """Go on, where nothing is spent, little is expected, or the answer is yes.

    Raises:
        InputError: the answer is no; or there is nobody to ask.
    """
    if yes or not any(choice.name == "lambda" for choice in plan.backends):
        return
    limits = registry.limits(registry.describe(plan.workload), resolve_params(plan))
    why = question(quotes(plan, limits), ask_above_usd, plan.max_usd)
    if why is None:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"{why}: start it with --yes, or limit it with --max-usd")
    if not click.confirm(f"{why}. Start it?", err=True, default=False):
        raise InputError("nothing was started, nothing is spent; --max-usd sets a limit")
