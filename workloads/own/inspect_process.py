"""The process that imports a user's module and describes it.

`python -m lbench.workloads.own.inspect_process FOLDER MODULE FUNCTION`, with a snapshot's folder. Whatever the module does
when it is imported (prints, raises, exits, hangs) happens in this process, not in the caller's. With parameters as JSON on
standard input it answers with the job's limits.
"""

from __future__ import annotations

import contextlib
import enum
import inspect
import math
import os
import signal
import sys
import threading
import typing
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, Literal

import msgspec

from lbench.errors import LbenchError
from lbench.workloads.own import argument_types
from lbench.workloads.own.call import call_with, offered_to
from lbench.workloads.own.importer import enter, import_own
from lbench.workloads.own.tracebacks import missing_hint, one_line
from lbench.workloads.own.type_spec import FieldSpec, TypeSpec, annotation_of, spec_of
from lbench.workloads.signatures import parameters_of
from lbench.workloads.task_errors import error_texts

__all__ = ["LIMIT_S", "RUNS_OWN", "Inspection", "main"]

LIMIT_S = 120  # for an import; longer than this, it hangs
_POOLS_S = 6.0  # for an import that has started processes of Python's: a pool that waits for them waits for ever
_POOL_WORDS = (b"multiprocessing", b"loky", b"forkserver", b"resource_tracker")
RUNS_OWN = ("tasks", "seed", "data")  # parameters of a job that are no settings of its own
_OWN = "JSON, else text; left out, it is the function's own default"
_COMPANIONS = ("load", "reference", "check", "limits", "summary", "picture", "preview")


class Inspection(msgspec.Struct, omit_defaults=True):
    """A module's description, or one line why there is none."""

    error: str | None = None
    kind: Literal["job", "function", "recorded"] = (
        "job"  # function: a plain one, a task for each value of its parameters
    )
    recording: str | None = None  # its folder
    summary: str = ""
    fields: list[FieldSpec] = []
    data: str | None = None  # the first line of `load`'s docstring
    limits: bool = False
    picture: bool = False
    trial: dict[str, Any] = {}
    most_tasks: int | None = None  # what `limits` returned, where parameters were given; all of a recording
    widest: int | None = None  # the most tasks of one of its stages


def describe(module: Any, file: str, function: str) -> Inspection:
    """What the job takes, and which companions stand beside it."""
    job = getattr(module, function, None)
    if job is None:
        return Inspection(error=f"{file} has no function {function!r}: {_there_are(module)}")
    if not inspect.isgeneratorfunction(inspect.unwrap(job) if callable(job) else job):
        return _describe_function(module, file, function)
    load = getattr(module, "load", None)
    trial = getattr(module, "trial", {})
    if not isinstance(trial, dict):
        return Inspection(error=f"{file}: trial must be a dict of parameters, as in trial = {{'n': 1}}")
    return Inspection(
        summary=_first_line(job.__doc__) or _first_line(module.__doc__) or "a workload of your own",
        fields=_fields(job, function),
        data=None if load is None else _first_line(getattr(load, "__doc__", None)) or "a file of its own kind",
        limits=callable(getattr(module, "limits", None)),
        picture=callable(getattr(module, "picture", None)),
        trial=trial,
    )


def _there_are(module: Any) -> str:
    """The jobs and the plain functions that the module defines."""
    own = [name for name, one in vars(module).items() if _is_plain(module, name) and not name.startswith("_")]
    jobs = [name for name in own if inspect.isgeneratorfunction(getattr(module, name))]
    plain = [name for name in own if name not in jobs and name not in _COMPANIONS]
    parts = ([", ".join(jobs)] if jobs else []) + ([f"with --each, {', '.join(plain[:12])}"] if plain else [])
    return f"there are: {'; '.join(parts)}" if parts else "write a function of that name"


def _is_plain(module: Any, name: str) -> bool:
    """Whether other processes find it under this name, as a function of this very module."""
    found = getattr(module, name)
    return (
        callable(found)
        and not inspect.isclass(found)
        and getattr(found, "__module__", None) == module.__name__
        and getattr(found, "__qualname__", None) == name
    )


def _describe_function(module: Any, file: str, function: str) -> Inspection:
    """A plain function: a task for each value of its parameters."""
    found = getattr(module, function)
    if not callable(found) or inspect.isclass(found):
        return Inspection(
            error=f"{file}: {function} must be a function, got {type(found).__name__}: {_there_are(module)}"
        )
    if not _is_plain(module, function):
        return Inspection(
            error=f"{file}: {function} must be defined with def at this file's top level: "
            f"write def {function}(...) there, which calls what is meant"
        )
    if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
        return Inspection(error=f"{file}: {function} must be a plain function, not async: call asyncio.run() in one")
    fields = _function_fields(found, function)
    load = getattr(module, "load", None) if "data" in parameters_of(found) else None
    if load is not None:
        fields = [field for field in fields if field.name != "data"]
    return Inspection(
        kind="function",
        summary=_first_line(found.__doc__) or "a function of your own",
        fields=fields,
        data=None if load is None else _first_line(getattr(load, "__doc__", None)) or "a file of its own kind",
    )


def _function_fields(found: Callable[..., Any], function: str) -> list[FieldSpec]:
    """A plain function's parameters: without an annotation that the command line knows, any value."""
    hints = argument_types.hints_of(found)
    fields = []
    for name, parameter in parameters_of(found).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name == "each":
            raise _Wrong(f"{function}'s parameter each: rename it, as --each sets the values of the others")
        required = parameter.default is parameter.empty
        if name.startswith("__"):
            if required:
                raise _Wrong(f"{function}'s parameter {name}: rename it, without two underscores at the beginning")
            continue
        spec = _loose_spec(hints.get(name), parameter.default)
        default, own = None, False
        if not required:
            try:
                default = _written(parameter.default)
                msgspec.json.encode(default)
                msgspec.msgpack.encode(default)  # as it travels: no more than 64 bits
                msgspec.convert(default, annotation_of(spec))
                arrives = isinstance(parameter.default, enum.Enum | PurePath)
                own = not (arrives or argument_types.travels(hints.get(name), parameter.default))
                if own and spec.kind == "any":
                    default, spec = repr(parameter.default), msgspec.structs.replace(spec, description=_OWN)
            except (TypeError, ValueError, OverflowError, msgspec.MsgspecError, LbenchError):
                continue  # a default that cannot be written: it stays the function's own
            if isinstance(default, float) and not math.isfinite(default):
                continue
        fields.append(FieldSpec(name, spec, default, required, own))
    return fields


def _loose_spec(annotation: Any, default: Any) -> TypeSpec:
    annotation = argument_types.annotation_for(annotation, default)
    inner = argument_types.without_none(annotation)
    if (kind := argument_types.enum_of(annotation)) is not None:
        spec = TypeSpec("choice", values=[*argument_types.members(kind)])
    elif isinstance(inner, type) and inner in argument_types.SCALARS:
        spec = TypeSpec(argument_types.SCALARS[inner])
    elif isinstance(inner, type) and issubclass(inner, PurePath):
        spec = TypeSpec("str")
    elif (number := argument_types.number_of_numpy(annotation)) is not None:
        spec = number
    else:
        try:
            spec = TypeSpec("any") if annotation is None else spec_of(annotation)
        except LbenchError:
            spec = TypeSpec("any")
    return msgspec.structs.replace(spec, optional=spec.optional or default is None or inner is not annotation)


def _written(default: Any) -> Any:
    """A default as it is written on a command line.

    Raises:
        TypeError: it cannot be.
    """
    if isinstance(default, enum.Enum):
        return next(name for name, one in argument_types.members(type(default)).items() if one is default)
    return str(default) if isinstance(default, PurePath) else msgspec.to_builtins(default)


def _first_line(text: Any) -> str:
    lines = text.strip().splitlines() if isinstance(text, str) else []
    return lines[0].strip().rstrip(".") if lines else ""


def _fields(job: Callable[..., Any], function: str) -> list[FieldSpec]:
    hints = typing.get_type_hints(job, include_extras=True)
    fields = []
    for name, parameter in parameters_of(job).items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _Wrong(f"{function}'s parameter {name}: give each parameter a name of its own, without * or /")
        if name in RUNS_OWN:
            continue
        required = parameter.default is parameter.empty
        annotation = hints.get(name)
        if annotation is None:
            if required or parameter.default is None:
                raise _Wrong(f"{function}'s parameter {name}: give it an annotation, as in {name}: int = 10")
            annotation = type(parameter.default)
            if annotation in (list, tuple):
                annotation = annotation[float, ...] if annotation is tuple else list[float]
        try:
            spec = spec_of(annotation)
        except LbenchError as error:
            raise _Wrong(f"{function}'s parameter {name}: {error}") from None
        if isinstance(parameter.default, float) and not math.isfinite(parameter.default):
            raise _Wrong(f"the default of {function}'s parameter {name} must be finite, got {parameter.default}")
        default = None if required else msgspec.to_builtins(parameter.default)
        fields.append(FieldSpec(name, spec, default, required))
    return fields


class _Wrong(Exception):
    """The job cannot be described; the message says why."""


def most_tasks(module: Any, function: str, params: dict[str, Any]) -> int | None:
    """What the module's `limits` returns for these parameters."""
    most = call_with(module.limits, offered_to(getattr(module, function), params))
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 0):
        raise _Wrong(f"limits must return the most tasks that the job yields, got {type(most).__name__}")
    return most


def _file_of(folder: Path, dotted: str) -> str:
    place = dotted.replace(".", "/")
    return f"{place}/__init__.py" if (folder / place / "__init__.py").is_file() else f"{place}.py"


def _ask(folder: Path, dotted: str, function: str, question: bytes) -> Inspection:
    file = _file_of(folder, dotted)
    try:
        enter(folder)
        module = import_own(dotted)
    except KeyboardInterrupt:
        raise
    except ImportError as error:
        alone = "relative import with no known parent package" in str(error)
        remedy = ": put an empty __init__.py into its folder, which makes it a package" if alone else _hint(error)
        return Inspection(error=f"{file} cannot be imported: {one_line(error)}{remedy}")
    except SystemExit as error:
        return Inspection(error=f"{file} cannot be imported: it ends the program: {one_line(error)}")
    except BaseException as error:  # the user's module is being imported: it may raise anything
        return Inspection(error=f"{file} cannot be imported: {one_line(error)}{_hint(error)}")
    try:
        if question:
            return Inspection(most_tasks=most_tasks(module, function, msgspec.json.decode(question)))
        return describe(module, file, function)
    except _Wrong as error:
        return Inspection(error=f"{file}: {error}")
    except BaseException as error:  # likewise: an annotation, a module's own __getattr__, `limits`
        what = "limits" if question else function
        return Inspection(error=f"{file}: {what} cannot be understood: {one_line(error)}")


def _hint(error: BaseException) -> str:
    kind, message, _ = error_texts(error)
    return missing_hint(kind, message)


def main() -> None:
    """Answer one question."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_S)  # an orphan ends, too
    out = os.dup(1)
    os.dup2(2, 1)  # nothing that the module prints may get into the answer
    question = sys.stdin.buffer.read()
    folder, dotted, function = sys.argv[1:]
    done = threading.Event()
    threading.Thread(target=_watch, args=(out, _file_of(Path(folder), dotted), done), daemon=True).start()
    inspection = _ask(Path(folder), dotted, function, question)
    if not done.is_set():
        done.set()
        _answer(out, inspection)


def _answer(out: int, inspection: Inspection) -> None:
    try:
        content = msgspec.json.encode(inspection)
    except (UnicodeError, TypeError, ValueError) as error:  # a docstring, a default or a choice of the module's
        content = msgspec.json.encode(Inspection(error=f"its texts and defaults must be plain values: {error}"))
    with os.fdopen(out, "wb") as stream:
        stream.write(content)
    if os.getpgrp() == os.getpid():  # processes that the module has started hold the pipe open
        os.killpg(0, signal.SIGKILL)
    os._exit(0)  # what the module has started (a thread, an atexit) is not waited for


def _watch(out: int, file: str, done: threading.Event) -> None:
    """Answer in place of an import that waits for processes which it has started."""
    if done.wait(_POOLS_S) or not _python_children():
        return
    if done.wait(_POOLS_S / 2) or not _python_children():  # they come and go where each fails as it imports the module
        return
    done.set()
    _answer(
        out,
        Inspection(
            error=f"{file} cannot be imported: it starts processes while it is imported, and waits for them: put that "
            "into a function, or under if __name__ == '__main__'"
        ),
    )


def _python_children() -> bool:
    """Whether this process has children that are pools' or its own copies (where there is /proc)."""
    with contextlib.suppress(OSError):
        mine = Path("/proc/self/cmdline").read_bytes()
        for task in Path("/proc/self/task").iterdir():
            for child in (task / "children").read_text().split():
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{child}/cmdline").read_bytes()
                    if words == mine or any(name in words for name in _POOL_WORDS):
                        return True
    return False


if __name__ == "__main__":
    main()
