"""`lbench estimate`: every way to run a job, in time and dollars, before anyone pays."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lbench.cli.notice import notice
from lbench.cli.options import setting_options
from lbench.cli.sample import sample_for, sample_options
from lbench.cli.signals import exit_on_signals

if TYPE_CHECKING:
    from lbench.analysis.option_types import Option, Options
    from lbench.engine.plan.plan import Plan
    from lbench.engine.sampling.model import Sample
    from lbench.engine.session.clusters import ClusterRuns

__all__ = ["command"]

_STAGES_NAMED = 3
_LEAST_DIFFERING = 5  # tasks that were run
_LEAST, _MOST = 1e-6, 1e7  # of what is changed


@click.command()
@click.argument("workload", metavar="WORKLOAD")
@sample_options
@click.option("--memory", metavar="MB", help="Only this memory size of Lambda (default: a few that are large enough).")
@setting_options("arch", "region")
@click.option(
    "--runs", default="1", metavar="1|N/day|always", help="How often it will run: cold or warm, and dollars a day."
)
@click.option(
    "--what-if", "changes", metavar="NAME=VALUE,...", help="Other values of the model, or of the job (tasks, task_s)."
)
@click.option("--fresh", is_flag=True, help="Measure the tasks again, although a sample of them is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(workload: str, runs: str, changes: str | None, fresh: bool, as_json: bool, **options: Any) -> None:
    """Predict WORKLOAD on every option side by side: time, dollars, start-up.

    A sample of its tasks runs on this machine (and is kept for the next time); the rest is a model. The options are this
    machine, clusters on which this job was recorded, Lambda by memory, and rented machines by dated prices. Nothing is run
    elsewhere, and no account is needed.

    \b
    Examples:
      lbench estimate mandelbrot
      lbench estimate ./mine.py:job -p n=10 --runs 10/day
      lbench estimate mandelbrot --what-if core_ratio=1.8,tasks=1000
    """
    from lbench.analysis.job_model import job_of, what_if
    from lbench.analysis.option_types import parse_runs
    from lbench.analysis.options import options_of
    from lbench.cli.sample import with_kernels
    from lbench.config.prices import rates
    from lbench.config.settings import load
    from lbench.engine.simulation.parameters import lambda_model

    how_often, changed = parse_runs(runs), _changes(changes)
    placed = {name: options.pop(name) for name in ("memory", "arch", "region")}
    chosen = load(placed).values
    _check(changed)
    region, architecture = chosen.region or _usual_region(), chosen.arch or "x86_64"
    rates(region, architecture)  # refuses a region without prices, before the sample
    sample, plan = sample_for(workload, options, watch=False, fresh=fresh)
    job, model = what_if(job_of(sample), with_kernels(lambda_model()), changed)
    found = options_of(
        job,
        how_often,
        model=model,
        region=region,
        architecture=architecture,
        memory_mb=chosen.memory_mb if placed["memory"] is not None else None,
        clusters=[] if changed else _clusters(plan, sample),
    )
    if as_json:
        _print_json(sample, found, changed, _overheads_s(sample), {"region": region, "architecture": architecture})
    else:
        _print(sample, found, changed, _overheads_s(sample), f"{region} ({architecture})")


def _usual_region() -> str:
    """That of `lbench run -b lambda`; no estimate needs an AWS configuration, so one that cannot be used is no obstacle."""
    from lbench.config.aws import DEFAULT_REGION
    from lbench.engine.backends.aws_client.endpoints import chain_region
    from lbench.errors import InputError

    try:
        return chain_region()
    except InputError:
        return DEFAULT_REGION


def _overheads_s(sample: Sample) -> dict[str, float]:
    """What handing over a task costs: to processes by the sample, to emulated Lambda as kept for this machine.

    The latter is measured where it is not kept and the tasks are small; without a working emulator it is left out.
    """
    from lbench.analysis.granularity import may_be_small
    from lbench.engine.sampling.overhead import hand_overs
    from lbench.errors import LbenchError

    found = {"processes": sample.overhead_s}
    first = sample.stages[0]
    if may_be_small(first.compute_s, first.tasks):
        with (
            contextlib.suppress(LbenchError, OSError),
            exit_on_signals(),
            notice("measuring what handing a task over to emulated Lambda costs here"),
        ):
            found |= hand_overs(("emulated",))
    return found


def _clusters(plan: Plan, sample: Sample) -> list[ClusterRuns]:
    """The clusters on which this very job was recorded: its parameters, tasks, data and, of an own file, code."""
    from lbench.engine.journal.events import RunPlanned, RunStarted
    from lbench.engine.machine.code_digest import code_digest
    from lbench.engine.plan.plan import resolve_params
    from lbench.engine.session.clusters import recorded_clusters
    from lbench.workloads import registry
    from lbench.workloads.parameters import settable

    described, params = registry.describe(plan.workload), resolve_params(plan)
    values = settable(params)

    def wanted(run: RunPlanned, start: RunStarted) -> bool:
        if run.workload != described.name or run.params != values:
            return False
        if described.code is not None and start.code_digest != code_digest(described.code):
            return False
        if (0 if start.data is None else start.data.bytes) != sample.data_bytes:
            return False
        if plan.data is not None and (start.data is None or Path(plan.data).name not in start.data.source):
            return False
        limits = registry.limits(described, params)  # of an own file a process may have to be asked
        return run.tasks is None or not limits.sure or run.tasks == limits.tasks

    return recorded_clusters(wanted)


def _check(changes: dict[str, float]) -> None:
    """Refuse names and values that the model does not have, before anything is measured."""
    from lbench.engine.simulation.parameters import lambda_model, with_values
    from lbench.errors import InputError

    for name, value in changes.items():
        if name == "tasks" and not (value >= 1 and value.is_integer()):
            raise InputError(f"--what-if tasks must be a whole number from 1 on, got {value:g}")
        if value != 0 and not _LEAST <= value <= _MOST:
            raise InputError(f"--what-if {name} must be from {_LEAST:f} to {_MOST:,.0f}, got {value:g}")
    try:
        with_values(lambda_model(), {name: value for name, value in changes.items() if name not in ("tasks", "task_s")})
    except InputError as error:
        more = ", and of the job tasks and task_s" if "has no parameter" in str(error) else ""
        raise InputError(f"--what-if: {error}{more}") from None


def _changes(text: str | None) -> dict[str, float]:
    from lbench.errors import InputError

    found: dict[str, float] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise InputError(f"--what-if must be NAME=NUMBER, with commas between them, got {part.strip()}")
    return found


def _print(
    sample: Sample, found: Options, changes: dict[str, float], overheads_s: dict[str, float], priced: str
) -> None:
    from lbench.analysis.format import seconds_text
    from lbench.analysis.granularity import grain_notes
    from lbench.analysis.options_text import (
        break_even_sentence,
        busy_line,
        first_sentence,
        free_tier_line,
        limit_line,
        recorded_lines,
        sensitivity_line,
        usage_lines,
    )
    from lbench.cli.console import BRIGHT, QUIET, WARN, console
    from lbench.cli.tables import print_line, print_table
    from lbench.errors import count_text

    out = console()
    print_table(out, _columns(found))
    out.print()

    say = functools.partial(print_line, out)
    say(first_sentence(found), BRIGHT)
    say(break_even_sentence(found), BRIGHT)
    say(f"{found.on_lambda.name} depends most on the assumed values of:")
    for one in found.sensitivity:
        say(f"  {sensitivity_line(one)}")
    if (line := limit_line(found)) is not None:
        say(f"! {line}", WARN)
    first = sample.stages[0]
    for note in grain_notes(first.compute_s, overheads_s, first.tasks, sample.workers):
        say(f"! {note}", WARN)
    for number, stage in enumerate(sample.stages[:_STAGES_NAMED], 1):
        for text in usage_lines(number if len(sample.stages) > 1 else None, stage.wait, stage.threads):
            say(text, QUIET)
    if not sample.complete and sample.sampled_tasks == sample.known_tasks:
        say(
            f"! the job had not ended after {sample.limit_s:g} s: what follows its first "
            f"{count_text(len(sample.stages), 'stage')} is not counted; --for SECONDS takes more",
            WARN,
        )
    elif not sample.complete:
        were = "was" if sample.sampled_tasks == 1 else "were"
        say(
            f"! {sample.sampled_tasks:,} of {sample.known_tasks:,} tasks {were} run ({sample.limit_s:g} s): the others are "
            "drawn from them, and stages after these are not counted; --for SECONDS takes more",
            WARN,
        )
    if len(first.compute_s) < min(_LEAST_DIFFERING, first.tasks):
        say("! so few tasks do not show how much tasks differ: that is not in the intervals", WARN)
    if (line := busy_line(sample)) is not None:
        say(f"! {line}", WARN)
    if sample.stores:
        say(
            "! its tasks exchange objects: on Lambda through S3, whose time and requests are not in these figures", WARN
        )
    if any(row.old for row in found.rows):
        say("! prices of rented machines are more than a year old (config/rented_machines.toml)", WARN)
    for line in recorded_lines(found):
        say(line, QUIET)
    if found.fits_lambda:
        say(free_tier_line(found), QUIET)
    if changes:
        say(f"what if: {', '.join(f'{name}={value:.15g}' for name, value in changes.items())}", QUIET)
    say(
        f"predicted from {count_text(sample.sampled_tasks, 'task')} measured here ({sample.created}) with the model of "
        f"docs/model.md; list prices: Lambda's of {priced}, rented machines' of us-east-1, by dated profiles "
        f"(config/rented_machines.toml); a worker starts in {seconds_text(sample.init_s)} here",
        QUIET,
    )


def _columns(found: Options) -> list[Any]:
    from rich.text import Text

    from lbench.analysis.format import interval_text, interval_title, seconds_text
    from lbench.analysis.options_text import usd_cell, usd_spread_cell
    from lbench.cli.console import QUIET, accent
    from lbench.cli.tables import Column
    from lbench.engine.cost.format import usd_short

    name, time = Column("OPTION"), Column("TIME", justify="right")
    title = interval_title(row.makespan_s for row in found.rows)
    interval = Column(title if title == "95 %" else "INTERVAL", justify="right", rank=1)  # of few runs a range
    start, usd = Column("START", justify="right", rank=2), Column("$ A RUN", justify="right")
    usd_spread = Column("95 %", justify="right", rank=5)
    day, basis = Column("$ A DAY", justify="right", rank=4), Column("BASIS", rank=3)
    needs = Column("NEEDS", rank=6)
    colours = {"local": accent("processes"), "lambda": accent("predicted"), "rented": QUIET, "cluster": accent("dask")}

    def startup(row: Option) -> str:
        return (
            "–"
            if row.kind == "local"
            else "in TIME"
            if row.kind == "lambda"
            else seconds_text(row.start_s)
            if row.start_s
            else "–"
        )

    for row in found.rows:
        name.add(Text.assemble(("▌", colours[row.kind]), row.name))
        time.add(seconds_text(row.makespan_s.value))
        interval.add(interval_text(row.makespan_s), QUIET)
        start.add(startup(row), QUIET)
        usd.add(usd_cell(row))
        usd_spread.add(usd_spread_cell(row), QUIET)
        day.add("–" if row.usd_day is None else usd_short(row.usd_day))
        basis.add(row.basis, QUIET)
        needs.add(row.needs, QUIET)
    return [name, time, interval, start, usd, usd_spread, day, basis, needs]


def _print_json(
    sample: Sample,
    found: Options,
    changes: dict[str, float],
    overheads_s: dict[str, float],
    priced: dict[str, str],
) -> None:
    import msgspec

    from lbench.analysis.options_text import break_even_sentence, first_sentence
    from lbench.engine.cost.format import usd_text

    def row(one: Option) -> dict[str, Any]:
        usd = {
            name: None if value is None else usd_text(value)
            for name, value in (("usd", one.usd), ("usd_high", one.usd_high), ("usd_day", one.usd_day))
        }
        makespan = {"makespan_s": one.makespan_s.value, "low_s": one.makespan_s.low, "high_s": one.makespan_s.high}
        about = {
            name: getattr(one, name)
            for name in (
                *("name", "kind", "basis", "start_s", "needs", "places", "memory_mb", "temperature", "priced"),
                *("measured", "session"),
            )
        }
        spread = None if one.usd_interval is None else [usd_text(end) for end in one.usd_interval]
        return about | makespan | usd | {"usd_interval": spread}

    even = found.break_even
    content = {
        "workload": sample.workload,
        "runs": found.runs.text,
        "what_if": changes,
        **priced,
        "options": [row(one) for one in found.rows],
        "sentences": [first_sentence(found), break_even_sentence(found)],
        "sensitivity": [
            {
                "name": one.name,
                "text": one.text,
                "low_s": one.low_s,
                "high_s": one.high_s,
                "usd_low": usd_text(one.usd_low),
                "usd_high": usd_text(one.usd_high),
            }
            for one in found.sensitivity
        ],
        "break_even": None
        if even is None
        else {
            "runs_a_day": even.runs,
            "low": even.low,
            "high": even.high,
            "machine": even.machine,
            "usd_a_day": usd_text(even.usd_day),
        },
        "free_tier_runs_a_month": found.free_runs_month,
        "core_ratio": list(found.core_ratio),
        "sample": {
            "complete": sample.complete,
            "tasks": sample.known_tasks,
            "sampled_tasks": sample.sampled_tasks,
            "created": sample.created,
            "machine": sample.machine,
            "hand_over_s": sample.overhead_s,
            "hand_overs_s": overheads_s,
            "contention": sample.contention,
            "stages": [
                {"tasks": one.tasks, "wait": one.wait, "threads": one.threads, "ready": one.ready}
                for one in sample.stages
            ],
        },
    }
    click.echo(msgspec.json.format(msgspec.json.encode(content), indent=1))
