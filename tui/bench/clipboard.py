"""Texts to copy of a comparison: the sentence, the table as Markdown, the command that measures it again."""

from __future__ import annotations

import shlex
from typing import Any

from lbench.analysis.comparison import Comparison, Line, Summary
from lbench.analysis.format import interval_text, ratio_text, seconds_text, times_interval_text
from lbench.engine.backends import catalog
from lbench.engine.cost.format import usd_short
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.tui.run_form import form_fields, text_of, usual_text, value_text
from lbench.workloads import registry
from lbench.workloads.own.each import EachParams, split

__all__ = ["command_line", "job_arguments", "markdown_table"]

_USUAL = Plan(workload="")
_MORE = (  # options that are named where they are not as usual, and their fields of a plan
    *(("for", "for_s"), ("timeout", "timeout_s"), ("retries", "retries"), ("hedge", "hedge"), ("batch", "batch")),
    *(("cold-repeats", "cold_repeats"), ("keep-going", "keep_going"), ("audit", "audit")),
)
_TITLES = ("backend", "makespan", "low–high", "speedup", "low–high", "cost of a run", "answer")


def markdown_table(comparison: Comparison) -> str:
    """A row for each backend; cold and warm repeats have rows of their own."""
    rows = [_TITLES, ("---",) * len(_TITLES)]
    rows += [_row(summary, line) for summary in comparison.summaries for line in summary.lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(summary: Summary, line: Line) -> tuple[str, ...]:
    name = summary.label if line.temperature is None else f"{summary.label}, {line.temperature}"
    origin = "" if summary.origin == "measured" else f" ({summary.origin} here)"
    makespan, speedup = line.makespan_s, line.speedup
    return (
        name + origin,
        "–" if makespan is None else seconds_text(makespan.value),
        "–" if makespan is None else interval_text(makespan, unit=True),
        "–" if speedup is None else ratio_text(speedup),
        times_interval_text(speedup),
        "–" if line.usd is None else usd_short(line.usd, assumed=bool(summary.assumed)),
        summary.answer,
    )


def job_arguments(plan: Plan) -> list[str]:
    """The options of any command that give the plan's job its parameters and data; what is as usual is left out.

    Slow for a workload of one's own, whose file is read.

    Raises:
        InputError: that file cannot be used.
    """
    described = registry.describe(plan.workload)
    fields = {field.name: field for field in form_fields(described.params)}
    arguments: list[str] = []
    for name, value in plan.params.items():
        if name not in fields or (text := value_text(fields[name], value)) == usual_text(fields[name]):
            continue
        if name == "each" and issubclass(described.params, EachParams):
            for parameter, values in split(text):
                arguments += ["--each", f"{parameter}={values}"]
        else:
            arguments += ["-p", f"{name}={text}"]
    for option, given in (("--data", plan.data), ("--encoding", plan.encoding)):
        arguments += [] if given is None else [option, given]
    return arguments


def command_line(plan: Plan) -> str:
    """The `lbench run` command of a plan; what is as usual is left out. As slow as `job_arguments`."""
    parts = ["lbench", "run", plan.workload]
    for choice in plan.backends:
        parts += ["-b", _backend(choice)]
    parts += job_arguments(plan)
    options: dict[str, Any] = {"tasks": plan.tasks, "repeats": plan.repeats, "warmup": plan.warmup or None}
    options |= {"schedule": plan.schedule, "seed": None if plan.seed == 1 else plan.seed, "max-usd": plan.max_usd}
    options |= {name: getattr(plan, field) for name, field in _MORE if getattr(plan, field) != getattr(_USUAL, field)}
    for name, value in options.items():
        if value is not None:
            parts += [f"--{name}"] if value is True else [f"--{name}", text_of(value)]
    return shlex.join(parts)


def _backend(choice: BackendChoice) -> str:
    usual = {field.name: field.default for field in form_fields(catalog.settings_type(choice.name))}
    changed = [
        f"{name}={text_of(value)}"
        for name, value in choice.settings.items()
        if name in usual and value is not None and text_of(value) != text_of(usual[name])
    ]
    settings = f":{','.join(changed)}" if changed else ""
    return f"{choice.name}{settings}" + ("" if choice.label == choice.name else f"@{choice.label}")
