"""The options of a plan, which `run`, `sweep` and `tune` share, and the plan that they ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lbench.cli.options import setting_options

if TYPE_CHECKING:
    from lbench.config.settings import Loaded
    from lbench.engine.plan.plan import Plan

__all__ = [
    "DATA_OPTION",
    "FILE",
    "OF_A_PLAN",
    "Output",
    "checked_out",
    "number",
    "output_options",
    "plan_of_options",
    "plan_options",
    "whole_number",
]

FILE = click.Path(path_type=Path)


def _one_file(_context: click.Context, _option: click.Parameter, paths: tuple[Path, ...]) -> Path | None:
    if len(paths) > 1:
        from lbench.errors import InputError

        raise InputError(f"--data must be one file, got {len(paths)}: join them into one")
    return paths[0] if paths else None


DATA_OPTION = click.option(
    "--data",
    metavar="PATH",
    type=FILE,
    multiple=True,
    callback=_one_file,
    help="Data file for the workload: see `lbench data`.",
)

# The others are settings.
OF_A_PLAN = (
    *(
        "backends",
        "params",
        "each",
        "transport",
        "answers",
        "stack",
        "any_versions",
        "audit",
        "tasks",
        "batch",
        "cold_repeats",
        "data",
    ),
    *("encoding", "keep_going", "hedge", "max_usd", "yes"),
)

_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option(
        "-b",
        "--backend",
        "backends",
        multiple=True,
        metavar="NAME[:KEY=VALUE,...][@LABEL]",
        help="Backend to run on; repeatable (default: sequential, processes, emulated).",
    ),
    click.option(
        "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Parameter of the workload; repeatable."
    ),
    click.option(
        "--each",
        multiple=True,
        metavar="NAME=VALUES",
        help="Of a plain function: a task for each value, as in seed=0..99; repeatable.",
    ),
    setting_options("concurrency", "memory", "arch", "region"),
    click.option(
        "--transport",
        metavar="direct|event|http-api",
        help="Transport of an invocation: see `lbench backends` (default direct).",
    ),
    click.option(
        "--answers",
        metavar="replay|compute",
        help="simulated: replay a recorded run (default), or compute each task once.",
    ),
    click.option(
        "--any-versions", is_flag=True, help="On dask: use workers whose Python or libraries differ, and say so."
    ),
    click.option("--stack", metavar="NAME", help="Deployment to run on (default lbench)."),
    click.option(
        "--audit", is_flag=True, help="Afterwards read billed times from the logs on AWS, in place of estimates."
    ),
    setting_options("client", "s3_endpoint"),
    click.option("--tasks", metavar="N|auto", help="Tasks of the first stage (default auto: the workload chooses)."),
    click.option("--batch", metavar="N|auto", help="Tasks handed over together; auto: by their time (default 1)."),
    setting_options("repeats", "for", "warmup"),
    click.option(
        "--cold-repeats", metavar="N", help="Runs before all others, each in new environments or workers (default 0)."
    ),
    setting_options("schedule", "seed"),
    DATA_OPTION,
    click.option(
        "--encoding", metavar="NAME", help="Text encoding of the data file (default: UTF-8, or by its byte order mark)."
    ),
    setting_options("timeout", "retries"),
    click.option("--keep-going", is_flag=True, help="After a task has failed, still run the others of its stage."),
    click.option(
        "--hedge",
        metavar="Q",
        help="On AWS and simulated: duplicate a task that is slower than this quantile, for example 0.95.",
    ),
    click.option("--max-usd", metavar="X", help="Stop before all runs together cost more (exit code 3)."),
    click.option("--yes", is_flag=True, help="Start without asking about the cost."),
)


class Output(NamedTuple):
    """What becomes of the results."""

    file: Path | None  # to write the session to
    as_json: bool  # print the document in place of the report
    quiet: bool  # show no progress
    predict: bool  # with what AWS Lambda would take


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command, as its last options, those of an `Output`, which it gets as `output`."""

    @click.option("-o", "--out", metavar="FILE", type=FILE, help="Write the session as FILE.json or FILE.csv.")
    @click.option("--json", "as_json", is_flag=True, help="Print only the session document on stdout.")
    @click.option("--quiet", is_flag=True, help="Show no progress.")
    @functools.wraps(command)
    def packed(*, out: Path | None, as_json: bool, quiet: bool, no_predict: bool = True, **options: Any) -> Any:
        return command(output=Output(out, as_json, quiet, not no_predict), **options)

    return packed


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a plan; `plan_of_options` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def plan_of_options(
    workload: str, options: dict[str, Any], default_backends: tuple[str, ...] | None = None
) -> tuple[Plan, Loaded]:
    """The plan that the options ask for, not yet validated, and the settings behind it.

    Raises:
        InputError: an option has no value of its kind, or a backend, parameter or package does not exist.
    """
    import msgspec

    from lbench.config.settings import load
    from lbench.engine.plan.parse import DEFAULT_BACKENDS, with_each

    given = dict(options)
    taken = {name: given.pop(name) for name in OF_A_PLAN}
    loaded = load(given)
    plan = _plan(
        workload,
        taken["backends"] or default_backends or DEFAULT_BACKENDS,
        taken["params"],
        {name: taken[name] for name in ("transport", "stack", "answers")}
        | {"any_versions": "true" if taken["any_versions"] else None},
        _tasks(taken["tasks"]),
        taken["data"],
        loaded.values,
    )
    for line in _ignored(plan, options):
        click.echo(f"lbench: {line}", err=True)
    plan = with_each(plan, taken["each"])
    batch = taken["batch"]
    if batch is not None:
        batch = "auto" if batch == "auto" else whole_number("--batch", batch, " or auto")
    return (
        msgspec.structs.replace(
            plan,
            encoding=taken["encoding"],
            keep_going=taken["keep_going"],
            audit=taken["audit"],
            hedge=number("--hedge", taken["hedge"]),
            max_usd=number("--max-usd", taken["max_usd"]),
            batch=batch,
            cold_repeats=whole_number("--cold-repeats", taken["cold_repeats"] or "0"),
        ),
        loaded,
    )


def checked_out(out: Path | None) -> None:
    """Refuse an output file that cannot be written, before anything is measured.

    Raises:
        InputError: its name or its place.
    """
    from lbench.engine.export.files import check_writable, format_of

    if out is not None:
        format_of(out)
        check_writable(out, "-o")


def _plan(
    workload: str,
    backends: tuple[str, ...],
    params: tuple[str, ...],
    ways: dict[str, str | None],
    tasks: int | None,
    data: Path | None,
    chosen: Any,
) -> Plan:
    import msgspec

    from lbench.config.folders import typed_path
    from lbench.engine.plan.parse import plan_of_settings
    from lbench.workloads import registry

    registry.describe(workload)  # an unknown workload is reported first
    plan = plan_of_settings(chosen, workload, backends, ways)
    for choice in plan.backends:
        _need_modules(choice.label, choice.settings)
    return msgspec.structs.replace(
        plan,
        params=dict(_pair(text) for text in params),
        tasks=tasks,
        data=None if data is None else str(typed_path(str(data)).absolute()),
    )


# Options that only some backends know. Those of the first line are defaults for every backend, so that one command line
# fits any choice of them. (--concurrency is left out: a worker is one core, whatever the option says.)
_DEFAULTS = ("memory", "arch", "region", "client", "s3_endpoint")
_OF_BACKENDS = ("transport", "answers", "stack", "any_versions", "audit")


def _ignored(plan: Plan, options: dict[str, Any]) -> list[str]:
    """A line for each option that nothing of the plan knows.

    Raises:
        InputError: the option chooses a way of working that no chosen backend has.
    """
    from lbench.analysis.format import listed
    from lbench.engine.backends import catalog
    from lbench.errors import InputError

    lines = []
    for name in (*_DEFAULTS, *_OF_BACKENDS):
        setting = "stack" if name == "audit" else name  # what is deployed has a log to read
        if not options.get(name) or any(setting in choice.settings for choice in plan.backends):
            continue
        known = [one for one in catalog.names() if setting in catalog.settings_type(one).__struct_fields__]
        option = f"--{name.replace('_', '-')}"
        if name in _DEFAULTS:
            lines.append(f"{option} is ignored: it is for {listed(known)}")
        else:
            choose = "it" if len(known) == 1 else "one"
            raise InputError(f"{option} is for {listed(known)}: choose {choose} with -b, or leave {option} out")
    if options.get("for") is not None and plan.repeats != "auto":
        lines.append("--for is ignored: it is for --repeats auto")
    return lines


def _pair(text: str) -> tuple[str, str]:
    from lbench.errors import InputError

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"-p must be NAME=VALUE, got {text}")
    return name.strip(), value.strip()


def number(option: str, text: str | None) -> float | None:
    """The number that an option has; None: it is not given.

    Raises:
        InputError: it is not a number.
    """
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
    count = whole_number("--tasks", text, " or auto")
    if count < 1:
        raise InputError(f"--tasks must be at least 1, got {text}")
    return count


def whole_number(option: str, text: str, otherwise: str = "") -> int:
    """The whole number that an option has.

    Raises:
        InputError: it is not a whole number.
    """
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
