"""`lbench run`: from options to a plan, and from the measured session to an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["command"]

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("workload", metavar="WORKLOAD")
@click.option(
    "-b",
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME[:KEY=VALUE,...][@LABEL]",
    help="Where to run; repeatable. Default: sequential, processes, emulated.",
)
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A workload's parameter; repeatable."
)
@click.option("--concurrency", metavar="N", help="Workers locally, environments on Lambda.")
@click.option("--memory", metavar="MB", help="Memory of a Lambda environment (default 1769, one vCPU).")
@click.option("--arch", metavar="x86_64|arm64", help="Lambda's processor (default x86_64; emulated this machine's).")
@click.option("--region", metavar="R", help="AWS region (default: as AWS's own tools find it, else us-east-1).")
@click.option(
    "--transport",
    metavar="direct|event|http-api",
    help="How an invocation travels: see `lbench backends` (default direct).",
)
@click.option("--stack", metavar="NAME", help="The deployment to run on (default lbench).")
@click.option("--audit", is_flag=True, help="Afterwards read from AWS's log what was billed, in place of estimates.")
@click.option("--client", metavar="fast|aioboto3", help="What calls Lambda: lbench's own client, or the SDK's.")
@click.option("--s3-endpoint", metavar="URL", help="An S3 server to use instead of the embedded one.")
@click.option("--tasks", metavar="N|auto", help="Tasks of the first stage; auto (default): the workload chooses.")
@click.option("--repeats", metavar="N", help="Runs of each backend (default 3).")
@click.option("--warmup", metavar="N", help="Runs before those, left out of statistics (default 0).")
@click.option("--schedule", metavar="isolated|alternating|concurrent", help="The order of backends and repeats.")
@click.option("--seed", metavar="N", help="Of everything drawn at random (default 1).")
@click.option("--data", metavar="PATH", type=_FILE, help="A data file for the workload: see `lbench data`.")
@click.option("--timeout", metavar="S", help="A task's deadline in seconds (default 300).")
@click.option("--retries", metavar="N", help="Further attempts of a task that failed (default 2).")
@click.option("--keep-going", is_flag=True, help="After a task has failed for good, still run the others of its stage.")
@click.option("--force-cold", is_flag=True, help="function: make every call a cold start (changes a variable of it).")
@click.option("--allow-update", is_flag=True, help="With --force-cold: the function may be changed for a while.")
@click.option("--hedge", metavar="Q", help="On AWS: issue a task once more that is slower than this quantile, as 0.95.")
@click.option("--max-usd", metavar="X", help="Stop before all runs together cost more (exit code 3).")
@click.option("--yes", is_flag=True, help="Start without asking, whatever it will cost.")
@click.option("--picture", metavar="FILE.png", type=_FILE, help="Write the answer as a picture.")
@click.option("-o", "--out", metavar="FILE", type=_FILE, help="Write the session as FILE.json or FILE.csv.")
@click.option("--json", "as_json", is_flag=True, help="The session document on stdout, and nothing else there.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    workload: str,
    backends: tuple[str, ...],
    params: tuple[str, ...],
    transport: str | None,
    tasks: str | None,
    data: Path | None,
    picture: Path | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    keep_going: bool,
    hedge: str | None,
    max_usd: str | None,
    yes: bool,
    stack: str | None,
    audit: bool,
    force_cold: bool,
    allow_update: bool,
    **settings: str | None,
) -> None:
    """Measure WORKLOAD on several backends, check every answer, and compare time, steadiness and cost.

    WORKLOAD is one of `lbench workloads`, or a job of your own in a Python file: see `lbench new workload`.

    \b
    Examples:
      lbench run mandelbrot
      lbench run random_forest --data LoanStats3a.csv -b processes -b emulated:memory=3538
      lbench run mandelbrot -p size=2000 --repeats 5 -o result.json
      lbench run ./mine.py:job -p n=10
      lbench run function -p name=my-function -p payload=@event.json -b lambda

    Settings of config.toml and LBENCH_* serve as defaults: see `lbench doctor`.
    """
    import msgspec

    from lbench.cli import function_run
    from lbench.cli.confirm import ask
    from lbench.cli.follow import measure
    from lbench.config.settings import load, on_hangup
    from lbench.engine.export.files import check_writable, format_of
    from lbench.engine.plan.validate import validate
    from lbench.errors import InputError

    try:
        loaded = load(settings)
    except InputError as error:
        raise InputError(str(error).replace("command line: ", "--", 1)) from None
    chosen = loaded.values
    if workload == "function" and not backends:
        backends = function_run.DEFAULT_BACKENDS
    plan = _plan(
        workload, backends, params, {"transport": transport, "stack": stack}, _tasks(tasks), data, picture, chosen
    )
    given = function_run.forced(plan.params, workload, force_cold=force_cold, allow_update=allow_update)
    plan = msgspec.structs.replace(plan, keep_going=keep_going, audit=audit, params=given)
    plan = msgspec.structs.replace(plan, hedge=_number("--hedge", hedge), max_usd=_number("--max-usd", max_usd))
    if workload == "function":
        plan = function_run.prepare(plan, backends, loaded)
    validate(plan)
    if out is not None:
        format_of(out)
        check_writable(out, "-o")
    if picture is not None:
        if picture.suffix.lower() != ".png":
            raise InputError(f"--picture {picture}: name a file that ends in .png")
        check_writable(picture, "--picture")
    ask(plan, chosen.ask_above_usd, yes=yes)
    code = measure(plan, on_hangup(chosen, "run"), out=out, as_json=as_json, quiet=quiet)
    click.get_current_context().exit(code)


def _plan(
    workload: str,
    backends: tuple[str, ...],
    params: tuple[str, ...],
    ways: dict[str, str | None],
    tasks: int | None,
    data: Path | None,
    picture: Path | None,
    chosen: Any,
) -> Any:
    import msgspec

    from lbench.config.folders import typed_path
    from lbench.engine.plan.parse import DEFAULT_BACKENDS, plan_of_settings
    from lbench.workloads import registry

    registry.describe(workload)  # the first thing to be told of, if it is wrong
    plan = plan_of_settings(chosen, workload, backends or DEFAULT_BACKENDS, ways)
    for choice in plan.backends:
        _need_modules(choice.label, choice.settings)
    return msgspec.structs.replace(
        plan,
        params=dict(_pair(text) for text in params),
        tasks=tasks,
        data=None if data is None else str(typed_path(str(data)).absolute()),
        picture=None if picture is None else str(picture.absolute()),
    )


def _pair(text: str) -> tuple[str, str]:
    from lbench.errors import InputError

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"-p {text}: write NAME=VALUE")
    return name.strip(), value.strip()


def _number(option: str, text: str | None) -> float | None:
    from lbench.errors import InputError

    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} {text}: a number is expected") from None


def _tasks(text: str | None) -> int | None:
    from lbench.errors import InputError

    if text is None or text == "auto":
        return None
    try:
        count = int(text)
    except ValueError:
        raise InputError(f"--tasks {text}: a whole number is expected, or auto") from None
    if count < 1:
        raise InputError(f"--tasks {text}: it is at least 1")
    return count


def _need_modules(label: str, settings: dict[str, Any]) -> None:
    """What a backend imports and a broken or lean installation may lack.

    Raises:
        InputError: it is missing; the message says how to get it.
    """
    from importlib.util import find_spec

    from lbench.errors import InputError

    if "client" not in settings:
        return
    needed = ["httptools"] if settings["client"] == "fast" else ["aioboto3"]
    if "stack" in settings:
        needed.append("aioboto3")  # what is deployed is asked through the SDK
    elif not settings["s3_endpoint"]:
        needed += ["moto", "flask_cors"]  # its server's front
    for module in needed:
        if find_spec(module) is None:
            raise InputError(f"{label} needs the package {module}: install it with `pip install {module}`")
