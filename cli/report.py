"""Text before a measurement (its possible cost) and the report after it: table, answer, warnings."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from rich.text import Text

from lbench.analysis.causes_text import reason_texts
from lbench.analysis.comparison import Comparison, Line, Summary, by_label, compare, price_basis, warm_quantiles
from lbench.analysis.format import (
    assumed_text,
    basis_text,
    interval_text,
    interval_title,
    listed,
    ms_spread_text,
    ms_text,
    percent_text,
    quote_text,
    ratio_text,
    seconds_text,
    times_interval_text,
)
from lbench.analysis.hedging import hedging_lines
from lbench.analysis.prediction import (
    LABEL,
    Predicted,
    PredictedLine,
    predict_comparison,
    predicted_sentence,
    unpredicted_text,
)
from lbench.analysis.series import Point
from lbench.analysis.statistics import FULL_INTERVAL
from lbench.analysis.verdict import answer_sentence
from lbench.analysis.warnings import order_text
from lbench.cli.console import BRIGHT, QUIET, RIGHT, WARN, WRONG, accent, console
from lbench.cli.function_report import call_columns, call_lines
from lbench.cli.progress import place_text
from lbench.cli.tables import Column, backend_cell, print_line, print_table
from lbench.cli.warning_lines import warning_lines
from lbench.config.prices import STALE_DAYS, age_days
from lbench.engine.backends import catalog
from lbench.engine.backends.settings import LambdaSettings
from lbench.engine.billing.bill import run_bill
from lbench.engine.billing.estimate import quotes
from lbench.engine.billing.pricing import rates_of
from lbench.engine.cost.format import usd_short
from lbench.engine.model import Document
from lbench.engine.plan.plan import Plan, resolve_params, settings_of
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import count_text
from lbench.workloads import registry
from lbench.workloads.parameters import settable

__all__ = ["bound_lines", "failures", "print_report", "result_columns", "runs_mark", "traces"]

_ANSWERS = {
    "same": ("✔ same", RIGHT),
    "wrong": ("✘ wrong", WRONG),
    "equal": ("= equal", RIGHT),
    "differ": ("✘ differ", WRONG),
    "unchecked": ("? not checked", WARN),
    "uncomputed": ("not computed", QUIET),
    "none": ("–", QUIET),
}


def bound_lines(plan: Plan) -> list[str]:
    """The job, and the expected and highest cost on each Lambda-like backend.

    Raises:
        InputError: a region without verified prices.
    """
    params = resolve_params(plan)
    description = registry.describe(plan.workload)
    limits = registry.limits(description, params)
    most = "" if limits.sure else "at most "
    tasks = "" if limits.tasks is None else f" · {most}{count_text(limits.tasks, 'task')}"
    given = " ".join(f"{name}={value}" for name, value in settable(params).items() if name in plan.params)
    lines = [f"{description.name}{' ' + given if given else ''}{tasks} · seed {plan.seed}"]
    made = quotes(plan, limits)
    for quote in made:
        here = "" if quote.spends else f"{quote.origin} here: nothing is spent"
        out = f"excluding {'; '.join(quote.left_out)}" if quote.left_out else ""
        aside = "; ".join(filter(None, (here, out)))
        lines.append(f"{quote_text(quote)}{f' ({aside})' if aside else ''}")
        if (basis := basis_text(quote)) is not None:
            lines.append(basis)
    assumed = [text for quote in made for text in (*quote.assumed, *(quote.expected.assumed if quote.expected else ()))]
    if (note := assumed_text(assumed)) is not None:
        lines.append(note)
    if plan.max_usd is not None:
        lines.append(
            f"stops before all runs together cost more than {usd_short(Decimal(str(plan.max_usd)))} (--max-usd)"
        )
    return [*lines, *stale_lines(plan)]


def stale_lines(plan: Plan) -> list[str]:
    """A warning for each region whose prices are old."""
    lines = {}
    for choice in plan.backends:
        settings = settings_of(choice)
        if isinstance(settings, LambdaSettings):
            found = rates_of(settings)
            if (days := age_days(found.price_date)) > STALE_DAYS:
                remedy = f"`lbench prices --refresh --region {found.region}`"
                lines[found.region] = f"! the prices of {found.region} are {days} days old: {remedy}"
    return list(lines.values())


def print_report(view: SessionView, document: Document, saved: str, *, predict: bool = True) -> None:
    """Print the report on standard output; `predict` adds the line of what Lambda would do."""
    out = console()
    comparison = compare(view.runs.values(), run_bill)
    predicted = predict_comparison(comparison, view.runs.values()) if predict else None
    unpredicted = unpredicted_text(comparison) if predict and predicted is None else None
    if any(line.makespan_s is not None or line.paused for _, line in comparison.rows):
        out.print()
        print_table(out, result_columns(comparison, predicted))
        out.print()
        print_line(out, Text(answer_sentence(comparison), style=BRIGHT))
        if predicted is not None:
            print_line(out, Text(predicted_sentence(predicted, comparison.baseline), style=accent("predicted")))
    if called := [run for run in view.started_runs if not run.has_answer]:
        out.print()
        print_table(out, call_columns(called))
        out.print()
        for line in call_lines(called):
            print_line(out, Text(line, style=BRIGHT))
    for line in _unfinished(view):
        print_line(out, Text(line))
    for line in failures(view):
        print_line(out, Text(line, style=WRONG))
    for line in traces(view):
        out.print(Text(f"  {line}", style=QUIET), soft_wrap=True)
    for line in warning_lines(document.warnings):
        print_line(out, Text(line, style=WARN))
    for line in [
        *_ends(view),
        *reason_texts(view, [run for run in view.started_runs if run.has_answer])[0],
        *hedging_lines(view.started_runs),
        *_quantiles(run for run in view.started_runs if run.has_answer),
        *_conditions(comparison),
        *filter(None, [order_text(view)]),
        *([] if predicted is None else [predicted.conditions]),
        *([unpredicted] if unpredicted is not None else []),
        *_estimated(document),
        *_notes(view),
    ]:
        print_line(out, Text(line, style=QUIET))
    out.print(Text(saved, style=QUIET), soft_wrap=True)


def result_columns(comparison: Comparison, predicted: PredictedLine | None = None) -> list[Column]:
    """A row for each line; on a narrow terminal the columns of the highest rank are left out."""
    foreseen = [] if predicted is None else [one for _, one in predicted.lines]
    times = [line.makespan_s for _, line in comparison.rows] + [one.makespan_s for one in foreseen]
    speedups = [line.speedup for _, line in comparison.rows]
    speedups += [predicted.speedup(one) for one in foreseen if predicted is not None]
    columns = {
        "backend": Column("BACKEND"),
        "runs": Column("RUNS", justify="right"),
        "makespan": Column("MAKESPAN", justify="right"),
        "interval": Column(interval_title(times), rank=2, justify="right"),
        "speedup": Column("SPEEDUP", justify="right"),
        "speedup_interval": Column(interval_title(speedups), rank=5, justify="right"),
        "p50": Column("p50", rank=4, justify="right"),
        "p99": Column("p99", rank=3, justify="right"),
        "cv": Column("CV", rank=6, justify="right"),
        "cold": Column("COLD", rank=1, justify="right"),
        "init": Column("INIT", rank=7, justify="right"),
        "memory": Column("PEAK", rank=8, justify="right"),
        "cost": Column("COST", justify="right"),
        "answer": Column("ANSWER"),
    }
    for summary, line in comparison.rows:
        for name, cell in _cells(summary, line).items():
            columns[name].add(cell)
    if predicted is not None:
        for temperature, one in predicted.lines:
            for name, cell in _predicted_cells(temperature, one, predicted).items():
                columns[name].add(cell)
    return list(columns.values())


def _predicted_cells(temperature: str, one: Predicted, line: PredictedLine) -> dict[str, str | Text]:
    """A predicted row: what only a measurement has is empty."""
    colour = accent("predicted")
    speedup = line.speedup(one)
    cells: dict[str, str | Text] = dict.fromkeys(
        ("runs", "p50", "p99", "cv", "init", "memory", "answer"), Text("–", style=QUIET)
    )
    return cells | {
        "backend": backend_cell("predicted", LABEL, f" {temperature}"),
        "makespan": Text(seconds_text(one.makespan_s.value), style=colour),
        "interval": Text(interval_text(one.makespan_s), style=QUIET),
        "speedup": Text("–" if speedup is None else ratio_text(speedup), style=colour),
        "speedup_interval": Text(times_interval_text(speedup), style=QUIET),
        "cold": Text(str(line.environments) if temperature == "cold" else "0", style=QUIET),
        "cost": Text(usd_short(one.usd, assumed=bool(one.assumed)), style=colour),
    }


def _cells(one: Summary, line: Line) -> dict[str, str | Text]:
    mark, style = runs_mark(line)
    origin = f" {one.origin}" if one.origin != "measured" and one.origin not in one.label else ""
    temperature = "" if line.temperature is None else f" {line.temperature}"
    answer, answer_style = _ANSWERS[one.answer]
    warm = line.temperature != "cold"  # the quantiles are of warm invocations
    return {
        "backend": backend_cell(one.backend, one.label, temperature + origin),
        "runs": Text.assemble((mark, style), f" {line.repeats_ok}/{line.repeats}"),
        "makespan": "–" if line.makespan_s is None else seconds_text(line.makespan_s.value),
        "interval": Text("–" if line.makespan_s is None else interval_text(line.makespan_s), style=QUIET),
        "speedup": Text("–" if line.speedup is None else ratio_text(line.speedup), style=BRIGHT),
        "speedup_interval": Text(times_interval_text(line.speedup), style=QUIET),
        "p50": _ms(one.duration_p50_ms if warm else None),
        "p99": _ms(one.duration_p99_ms if warm else None),
        "cv": "–" if one.duration_cv is None or not warm else percent_text(one.duration_cv),
        "cold": "–" if line.cold_starts is None else str(line.cold_starts),
        "init": _ms(line.init_p50_ms),
        "memory": "–" if one.peak_memory_mb is None else f"{one.peak_memory_mb:,} MB",
        "cost": _cost(one, line),
        "answer": Text(answer, style=answer_style),
    }


def runs_mark(line: Line | Point) -> tuple[str, str]:
    """The sign before the number of runs that count, and its style: all do, some failed, were stopped or paused."""
    if line.repeats_ok == line.repeats:
        return "✔", RIGHT
    if line.repeats_ok + line.paused + line.stopped < line.repeats:
        return "✘", WRONG
    return ("■", WARN) if line.stopped else ("‖", WARN)


def _cost(one: Summary, line: Line) -> str:
    """What a run cost; the workers of a cluster cost their time, where their price was given."""
    if catalog.is_cluster(one.backend):
        return _worker_time(one, line)
    return "–" if line.usd is None else usd_short(line.usd, assumed=bool(one.assumed))


def _worker_time(one: Summary, line: Line) -> str:
    if not one.priced_by_worker:
        return "–" if line.rent_usd is not None else "no price"
    return "–" if line.rent_usd is None else usd_short(line.rent_usd)


def _ms(value: float | None) -> str:
    return "–" if value is None else ms_text(value)


def _unfinished(view: SessionView) -> list[str]:
    """Progress of the runs that were stopped, and the number of runs that did not start."""
    lines = []
    for run in view.runs.values():
        if run.started is not None and run.status in ("cancelled", "interrupted", "over_budget"):
            tasks = count_text(run.known_tasks or run.finished_tasks, "task")
            of = f"{run.finished_tasks:,} of {tasks}" if run.known_tasks else tasks
            lines.append(f"■ {place_text(run, view)}: {run.status.replace('_', ' ')} after {of}")
    waiting = sum(run.started is None and run.status in (None, "cancelled") for run in view.runs.values())
    if waiting and view.end is not None:
        lines.append(f"■ {count_text(waiting, 'run')} did not start")
    return lines


def failures(view: SessionView) -> list[str]:
    """The reasons why runs failed, each once."""
    reasons: dict[str, None] = {}
    for warning in view.warnings:
        if warning.code == "failed":
            reasons[warning.text] = None
    for run in view.runs.values():
        if run.ended is not None and run.ended.error:
            label = "" if run.ended.error.startswith(run.planned.label) else f"{run.planned.label}: "
            reasons[f"✘ {label}{run.ended.error}"] = None
        if run.answer is not None and run.answer.ok is False:
            reasons[f"✘ {run.planned.label}: wrong answer ({run.answer.check})"] = None
    return list(reasons)


def traces(view: SessionView) -> list[str]:
    """The traceback of the first failed task of each failed run, each once."""
    tracebacks: dict[str, None] = {}
    for run in view.runs.values():
        if run.status == "failed" and (tails := run.columns.log_tails):
            tail = tails[min(tails)]
            if 'File "' in tail:
                tracebacks[tail.rstrip()] = None
    return [line for tail in tracebacks for line in tail.splitlines()]


def _ends(view: SessionView) -> Iterable[str]:
    """What ended the repeats, where the plan did not say their number or a backend failed."""
    for one in view.comparisons:
        if one.ended_by in ("precision", "time", "failed"):
            yield f"repeats: {one.text}"


def _estimated(document: Document) -> Iterable[str]:
    """Amounts spent on AWS that are estimates."""
    lines = {
        f"COST of {run.label} is partly estimated: {text}": None
        for run in document.runs
        if run.backend == "lambda" and run.cost is not None
        for text in run.cost.estimated
    }
    return list(lines)


def _conditions(comparison: Comparison) -> list[str]:
    """Conditions of the figures: their origin, the prices, the intervals."""
    lines = list(_intervals(comparison))
    for one in comparison.summaries:
        if one.origin != "measured" and (basis := price_basis(one)) is not None:
            lines.append(f"COST of {one.label}: {basis}")
    if (note := assumed_text(text for one in comparison.summaries for text in one.assumed)) is not None:
        lines.append(note)
    rents: dict[str, list[str]] = {}
    for one in comparison.summaries:
        if one.priced_by_worker and one.rent_basis is not None:
            lines.append(f"COST of {one.label}: {one.rent_basis}")
        elif one.rent_basis is not None and one.rent_usd is not None:
            rents.setdefault(one.rent_basis, []).append(f"{one.label} {usd_short(one.rent_usd)}")
    lines += [f"not in COST, for each run: {listed(amounts)}: {basis}" for basis, amounts in rents.items()]
    return lines


def _intervals(comparison: Comparison) -> Iterable[str]:
    """What the intervals are, and how speedups were compared."""
    estimates = [one for _, line in comparison.rows for one in (line.makespan_s, line.speedup) if one is not None]
    if any(one.kind == "range" and one.interval is not None for one in estimates):
        yield f"range: least to greatest; fewer than {FULL_INTERVAL} repeats have no 95 % interval (docs/statistics.md)"
    compared_lines = [(summary, line) for summary, line in comparison.rows if line.claim is not None]
    paired = [_line_name(summary, line) for summary, line in compared_lines if line.paired]
    if paired:
        whose = "speedups" if len(paired) == len(compared_lines) else f"speedups of {listed(paired)}"
        yield f"{whose} are medians of ratios within a round, in which each backend ran once"
    compared = max((line.comparisons for _, line in comparison.rows), default=0)
    if compared > 1 and any(line.claim in ("faster", "slower") for _, line in comparison.rows):
        yield f"what is called faster or slower stays so after Holm's correction for {compared} comparisons"


def _line_name(summary: Summary, line: Line) -> str:
    return summary.label if line.temperature is None else f"{summary.label} {line.temperature}"


def _quantiles(runs: Iterable[RunView]) -> Iterable[str]:
    """Quantiles of warm invocations with their intervals, for each backend with several repeats."""
    for label, group in by_label(runs).items():
        found = warm_quantiles(group, (0.5, 0.99, 0.999))
        parts = [
            f"{name} {ms_text(one.value)} ({ms_spread_text(one)})"
            for name, one in zip(("p50", "p99", "p99.9"), found, strict=True)
            if one is not None and one.interval is not None
        ]
        if parts:
            yield f"warm invocations of {label}: {', '.join(parts)}"


def _notes(view: SessionView) -> Iterable[str]:
    """Notes of the runs about their conditions and data, each once."""
    notes: dict[str, None] = {}
    for run in view.started_runs:
        assert run.started is not None
        if run.started.data is not None:
            notes[f"data: {run.started.data.source}"] = None
            notes.update(dict.fromkeys(f"data: {note}" for note in run.started.data.notes))
        notes.update(dict.fromkeys(f"{run.planned.label}: {note}" for note in run.notes))
    checks = dict.fromkeys(
        run.answer.check for run in view.runs.values() if run.answer is not None and run.answer.ok is not False
    )
    notes.update(dict.fromkeys(f"checked: {check}" for check in checks))
    return notes
