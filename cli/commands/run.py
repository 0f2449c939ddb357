"""`lbench run`: turns options into a plan, measures it, and exits with its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lbench.cli.options import setting_options

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
    help="Backend to run on; repeatable (default: sequential, processes, emulated).",
)
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Parameter of the workload; repeatable."
)
@click.option(
    "--each",
    multiple=True,
    metavar="NAME=VALUES",
    help="Of a plain function: a task for each value, as in seed=0..99; repeatable.",
)
@setting_options("concurrency", "memory", "arch", "region")
@click.option(
    "--transport",
    metavar="direct|event|http-api",
    help="Transport of an invocation: see `lbench backends` (default direct).",
)
@click.option(
    "--answers", metavar="replay|compute", help="simulated: replay a recorded run (default), or compute each task once."
)
@click.option("--stack", metavar="NAME", help="Deployment to run on (default lbench).")
@click.option("--audit", is_flag=True, help="Afterwards read billed times from the logs on AWS, in place of estimates.")
@setting_options("client", "s3_endpoint")
@click.option("--tasks", metavar="N|auto", help="Tasks of the first stage (default auto: the workload chooses).")
@click.option("--batch", metavar="N|auto", help="Tasks handed over together; auto: by their time (default 1).")
@setting_options("repeats", "for", "warmup")
@click.option(
    "--cold-repeats", metavar="N", help="Runs before all others, each in new environments or workers (default 0)."
)
@setting_options("schedule", "seed")
@click.option("--data", metavar="PATH", type=_FILE, help="Data file for the workload: see `lbench data`.")
@click.option(
    "--encoding", metavar="NAME", help="Text encoding of the data file (default: UTF-8, or by its byte order mark)."
)
@setting_options("timeout", "retries")
@click.option("--keep-going", is_flag=True, help="After a task has failed, still run the others of its stage.")
@click.option("--force-cold", is_flag=True, help="function: make every call a cold start (changes one variable of it).")
@click.option(
    "--allow-update", is_flag=True, help="Required by --force-cold: allow a temporary change of the function."
)
@click.option(
    "--hedge", metavar="Q", help="On AWS: duplicate a task that is slower than this quantile, for example 0.95."
)
@click.option("--max-usd", metavar="X", help="Stop before all runs together cost more (exit code 3).")
@click.option("--yes", is_flag=True, help="Start without asking about the cost.")
@click.option("--no-predict", is_flag=True, help="Leave out the line of what AWS Lambda would take and cost.")
@click.option("--picture", metavar="FILE.png", type=_FILE, help="Write the answer as a picture.")
@click.option("-o", "--out", metavar="FILE", type=_FILE, help="Write the session as FILE.json or FILE.csv.")
@click.option("--json", "as_json", is_flag=True, help="Print only the session document on stdout.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(
    workload: str,
    backends: tuple[str, ...],
    params: tuple[str, ...],
    each: tuple[str, ...],
    transport: str | None,
    answers: str | None,
    tasks: str | None,
    batch: str | None,
    cold_repeats: str | None,
    data: Path | None,
    encoding: str | None,
    picture: Path | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    no_predict: bool,
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

    WORKLOAD is one of `lbench workloads`, or a plain function of yours with --each, or a job in a Python file of yours: see
    `lbench new workload`.

    \b
    Examples:
      lbench run mandelbrot
      lbench run random_forest --data LoanStats3a.csv -b processes -b emulated:memory=3538
      lbench run mandelbrot -p size=2000 --repeats 5 -o result.json
      lbench run ./mine.py:simulate --each seed=0..99 -p points=1000
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
    from lbench.engine.plan.parse import with_each
    from lbench.engine.plan.validate import validate
    from lbench.errors import InputError

    loaded = load(settings)
    chosen = loaded.values
    if workload == "function" and not backends:
        backends = function_run.DEFAULT_BACKENDS
    plan = _plan(
        workload,
        backends,
        params,
        {"transport": transport, "stack": stack, "answers": answers},
        _tasks(tasks),
        data,
        picture,
        chosen,
    )
    plan = with_each(plan, each)
    given = function_run.forced(plan.params, workload, force_cold=force_cold, allow_update=allow_update)
    plan = msgspec.structs.replace(plan, encoding=encoding, keep_going=keep_going, audit=audit, params=given)
    plan = msgspec.structs.replace(plan, hedge=_number("--hedge", hedge), max_usd=_number("--max-usd", max_usd))
    if batch is not None:
        plan = msgspec.structs.replace(plan, batch="auto" if batch == "auto" else _whole("--batch", batch, " or auto"))
    plan = msgspec.structs.replace(plan, cold_repeats=_whole("--cold-repeats", cold_repeats or "0"))
    if workload == "function":
        plan = function_run.prepare(plan, backends, loaded)
    validate(plan)
    if out is not None:
        format_of(out)
        check_writable(out, "-o")
    if picture is not None:
        if picture.suffix.lower() != ".png":
            raise InputError(f"--picture must be a file name that ends in .png, got {picture}")
        check_writable(picture, "--picture")
    ask(plan, chosen.ask_above_usd, yes=yes)
    code = measure(plan, on_hangup(chosen, "run"), out=out, as_json=as_json, quiet=quiet, predict=not no_predict)
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

    registry.describe(workload)  # an unknown workload is reported first
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
        raise InputError(f"-p must be NAME=VALUE, got {text}")
    return name.strip(), value.strip()


def _number(option: str, text: str | None) -> float | None:
    from lbench.errors import InputError

    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} must be a number, got {text}") from None


def _tasks(text: str | None) -> int | None:
    from lbench.errors import InputError

    if text is None or text == "auto":
        return None
    count = _whole("--tasks", text, " or auto")
    if count < 1:
        raise InputError(f"--tasks must be at least 1, got {text}")
    return count


def _whole(option: str, text: str, otherwise: str = "") -> int:
    from lbench.errors import InputError

    try:
        return int(text)
    except ValueError:
        raise InputError(f"{option} must be a whole number{otherwise}, got {text}") from None


def _need_modules(label: str, settings: dict[str, Any]) -> None:
    """Check that the packages of a backend are installed.

    Raises:
        InputError: one is missing; the message says how to install it.
    """
    from importlib.util import find_spec

    from lbench.errors import InputError

    if "client" not in settings:
        return
    needed = ["httptools"] if settings["client"] == "fast" else ["aioboto3"]
    if "stack" in settings:
        needed.append("aioboto3")  # the deployment is read through the SDK
    elif not settings["s3_endpoint"]:
        needed += ["moto", "flask_cors"]  # its server's front
    for module in needed:
        if find_spec(module) is None:
            raise InputError(f"{label} requires the package {module}: install it with `pip install {module}`")
