"""The forecast of a plan: tasks, runs, expected cost and upper bound. Slow: not for the event loop."""

from __future__ import annotations

import msgspec

from lbench.analysis.format import basis_text, quote_text
from lbench.config.settings import load
from lbench.engine.billing.estimate import quotes
from lbench.engine.billing.quote import question
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.machine.monitor import busy, machine_notices
from lbench.engine.plan.plan import Plan, fixed_repeats, planned_runs, resolve_params
from lbench.errors import count_text
from lbench.tui.draw.ink import Piece, sentence_lines, shorter
from lbench.workloads import registry

__all__ = ["Forecast", "busy_notice", "forecast", "money_question"]


class Forecast(msgspec.Struct, frozen=True):
    """The values below the form."""

    tasks: int | None = None
    sure: bool = True  # whether it is so many tasks, not only at most
    runs: int = 0
    open: bool = False  # whether more runs may follow: `auto`
    backends: int = 0
    bounds: list[str] = []  # a line for each backend that AWS would charge for
    basis: list[str] = []  # where what is expected comes from
    left_out: list[str] = []
    spends: bool = False  # money, on AWS
    origin: str = "emulated"  # where nothing is spent
    problem: str | None = None

    def lines(self, width: int, most: int = 9) -> list[list[Piece]]:
        """The lines, wrapped; if these are more than `most`, each text is cut to its first clauses."""
        if self.problem is not None:
            return [[(text, "wrong")] for text in sentence_lines(f"✘ {self.problem}", width, indent="  ")]
        few = "" if self.sure else "at most "
        tasks = "tasks: not known before it runs" if self.tasks is None else few + count_text(self.tasks, "task")
        least = "at least " if self.open else ""
        head: Piece = (f" · {least}{count_text(self.runs, 'run')} on {count_text(self.backends, 'backend')}", "text")
        out = f"not in it: {'; '.join(self.left_out)}" if self.left_out else ""
        notes = ". ".join(
            filter(None, (*self.basis, "" if self.spends else f"{self.origin} here: nothing is spent", out))
        )
        bounds = [part for line in self.bounds for part in sentence_lines(line, width, indent="  ")]
        rest = sentence_lines(notes, width)[:3] if self.bounds else []
        if 1 + len(bounds) + len(rest) > most:
            bounds = [shorter(line, width) for line in self.bounds]
            rest = [shorter(notes, width)] if self.bounds else []
        return [[(tasks, "bright!"), head], *([(one, "text")] for one in bounds), *([(one, "quiet")] for one in rest)]


def forecast(plan: Plan) -> Forecast:
    """Forecast a plan. Imports the workload.

    Raises:
        InputError: a parameter or a region is invalid.
    """
    params = resolve_params(plan)
    limits = registry.limits(registry.describe(plan.workload), params)
    runs = planned_runs(plan)
    made = quotes(plan, limits)
    left_out: list[str] = []
    for quote in made:
        left_out += [text for text in quote.left_out if text not in left_out]
    return Forecast(
        tasks=limits.tasks,
        sure=limits.sure,
        runs=runs * len(plan.backends),
        open=fixed_repeats(plan) is None,
        backends=len(plan.backends),
        bounds=[quote_text(quote) for quote in made],
        basis=[text for text in map(basis_text, made) if text is not None],
        left_out=left_out,
        spends=any(quote.spends for quote in made),
        origin=" and ".join(sorted({quote.origin for quote in made if not quote.spends})),
    )


def money_question(plan: Plan) -> str | None:
    """The question to ask before this plan starts; None: there is no need. Slow, as `forecast`.

    Raises:
        InputError: a parameter, a region or a setting is invalid.
    """
    if not any(choice.name == "lambda" for choice in plan.backends):
        return None
    limits = registry.limits(registry.describe(plan.workload), resolve_params(plan))
    return question(quotes(plan, limits), load().values.ask_above_usd, plan.max_usd)


def busy_notice() -> str | None:
    """A warning if others use this machine's CPU now. Measures for a moment."""
    notices = machine_notices(Environment(), busy())
    return next((notice.text for notice in notices if notice.code == "machine_busy"), None)
