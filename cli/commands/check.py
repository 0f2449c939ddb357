"""`lbench check`: can a job run on AWS Lambda at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lbench.cli.sample import sample_for, sample_options
from lbench.config.exit_codes import EXIT_FAILED

if TYPE_CHECKING:
    from lbench.analysis.feasibility import Feasibility, PackageWeight
    from lbench.engine.sampling.model import Sample
    from lbench.lambda_src.targets import Target

__all__ = ["command"]


@click.command()
@click.argument("workload", metavar="WORKLOAD")
@sample_options
@click.option("--build", is_flag=True, help="Build the package to weigh it (downloads the target's libraries).")
@click.option("--arch", metavar="ARCH", help="Of the package: x86_64 or arm64 (default: this machine's).")
@click.option("--python", metavar="3.N", help="Of the package (default: as for `lbench package`).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(workload: str, build: bool, arch: str | None, python: str | None, as_json: bool, **options: Any) -> None:
    """Check whether WORKLOAD can run on AWS Lambda: measured, limit, headroom, verdict.

    A sample of its tasks runs on this machine; no account and no network are needed. WORKLOAD is one of `lbench workloads`
    or a job or, with --each, a plain function in a Python file of yours. Exit code 1: it cannot run there; the last
    column says what to do.

    \b
    Examples:
      lbench check mandelbrot
      lbench check ./mine.py:job -p n=10 --for 60
      lbench check ./mine.py:simulate --each seed=0..99
    """
    from lbench.analysis.feasibility import feasibility
    from lbench.cli.sample import with_kernels
    from lbench.engine.simulation.parameters import lambda_model
    from lbench.errors import InputError
    from lbench.lambda_src.targets import choose_target

    target = choose_target(python, arch)
    sample, _ = sample_for(workload, options, watch=True, fresh=True)
    if sample.complete and not sample.known_tasks:
        raise InputError(f"{sample.workload}: the job has ended without a task")
    if not sample.sampled_tasks:
        raise InputError(
            f"{sample.workload}: no task ended within {sample.limit_s:g} s: does one ever? --for SECONDS gives them longer"
        )
    ratio = with_kernels(lambda_model()).core_ratio
    found = feasibility(sample, _package(workload, target, build=build), ratio)
    if as_json:
        _print_json(sample, found)
    else:
        _print(sample, found)
    if not found.possible:
        click.get_current_context().exit(EXIT_FAILED)


def _package(workload: str, target: Target, *, build: bool) -> PackageWeight:
    """The weight of the package: built, or from what is installed here."""
    from lbench.analysis.feasibility import PackageWeight
    from lbench.workloads import registry

    described = registry.describe(workload)
    if build:
        from lbench.cli.deployments import say
        from lbench.lambda_src import package

        built = package.build(target, [workload], say=say)
        return PackageWeight(
            unzipped_bytes=built.unzipped_bytes,
            zipped_bytes=built.zipped_bytes,
            largest=tuple(part.name for part in built.parts),
            basis=f"for {target}",
        )
    from lbench.lambda_src.installed_size import installed_bytes
    from lbench.lambda_src.package import BASE_REQUIREMENTS
    from lbench.workloads.own.describe import files_of

    own = sum(map(len, files_of(described.code).values())) if described.code is not None else 0
    total, parts = installed_bytes({*BASE_REQUIREMENTS, *described.requirements}, own)
    largest = tuple(sorted(parts, key=lambda name: -parts[name]))
    return PackageWeight(unzipped_bytes=total, zipped_bytes=None, largest=largest, basis="as installed here")


def _print(sample: Sample, found: Feasibility) -> None:
    from rich.text import Text

    from lbench.analysis.feasibility import headroom_text, summary_sentence
    from lbench.analysis.options_text import busy_line
    from lbench.cli.console import BRIGHT, QUIET, RIGHT, WARN, WRONG, console
    from lbench.cli.tables import Column, print_line, print_table

    marks = {"fits": ("✔ fits", RIGHT), "tight": ("! look", WARN), "no": ("✘ no", WRONG), "note": ("· note", QUIET)}
    what, measured, limit = Column("WHAT"), Column("MEASURED", justify="right"), Column("LIMIT", justify="right")
    headroom, verdict = Column("HEADROOM", rank=1, justify="right"), Column("VERDICT")
    for row in found.rows:
        what.add(row.what)
        measured.add(row.measured)
        limit.add(row.limit)
        headroom.add(headroom_text(row.headroom))
        verdict.add(*marks[row.verdict])
    out = console()
    print_table(out, [what, measured, limit, headroom, verdict])
    out.print()
    print_line(out, summary_sentence(found, sample.workload), BRIGHT)
    for row in found.rows:
        text = "; ".join(filter(None, [row.detail, row.remedy if row.verdict != "no" else ""]))
        if text:
            mark, style = marks[row.verdict]
            print_line(out, Text.assemble((f"{mark[0]} ", style), f"{row.what}: {text}"))
    busy = busy_line(sample)
    for note in [*found.notes, *([] if busy is None else [busy])]:
        print_line(out, f"! {note}", WARN)
    whole = "the whole job" if sample.complete else f"{sample.sampled_tasks:,} of {sample.known_tasks:,} tasks"
    print_line(
        out,
        f"measured here: {whole}, one after the other; limits are AWS's (config/limits.toml); what C code does by "
        "itself (network, programs, files) is not seen",
        QUIET,
    )


def _print_json(sample: Sample, found: Feasibility) -> None:
    import msgspec

    content: dict[str, Any] = {
        "workload": sample.workload,
        "possible": found.possible,
        "rows": msgspec.to_builtins(found.rows),
        "notes": found.notes,
        "sample": {
            "complete": sample.complete,
            "tasks": sample.known_tasks,
            "sampled_tasks": sample.sampled_tasks,
            "created": sample.created,
            "machine": sample.machine,
        },
    }
    click.echo(msgspec.json.format(msgspec.json.encode(content), indent=1))
