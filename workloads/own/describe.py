"""The description of a user's workload, found without running any of its code in this process."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from lbench.errors import InputError
from lbench.workloads.model import Description, Limits, OwnCode, Params
from lbench.workloads.own.each import EachParams, count, grid_of, specs_of
from lbench.workloads.own.importer import pinned_parts
from lbench.workloads.own.inspect_process import LIMIT_S, Inspection
from lbench.workloads.own.locate import Located, is_path, locate, locate_entry
from lbench.workloads.own.snapshot import gather, inspection_file, read_snapshot, snapshot, snapshots_folder
from lbench.workloads.own.type_spec import FieldSpec, TypeSpec, params_struct

__all__ = ["Kept", "RecordedParams", "describe_entry", "describe_path", "described", "files_of", "keep", "limits_of"]


class Kept(msgspec.Struct, frozen=True):
    """The file beside a snapshot that keeps its inspection."""

    inspection: Inspection
    requirements: tuple[str, ...]
    digest: str
    shown: str


class RecordedParams(Params, frozen=True):
    """A recording has no parameters."""

    recording: ClassVar[str] = ""  # its folder
    limits: ClassVar[Limits] = Limits(tasks=None)


def describe_path(name: str) -> Description:
    """The workload `PATH.py:FUNCTION`; a pinned name (`Description.pinned`) gives the snapshot as it is.

    Raises:
        InputError: it cannot be used; the message says what to do.
    """
    if not is_path(name):
        raise InputError(f"{name}: name a Python file and the job in it, as in ./mine.py:job")
    if Path(name).is_relative_to(snapshots_folder()):
        folder, dotted, function = pinned_parts(name)
        return described(str(folder), dotted, function)
    return _located(locate(name))


def describe_entry(name: str, value: str) -> Description:
    """The workload that an entry point names.

    Raises:
        InputError: it cannot be used; the message says what to do.
    """
    return _located(locate_entry(name, value))


def _located(located: Located) -> Description:
    gathered = gather(located)
    folder = snapshot(gathered)
    kept = inspection_file(folder, located.module, located.function)
    if not kept.is_file():
        inspection = _ask(folder, located.module, located.function)
        if inspection.error is not None:
            raise InputError(_with_hint(inspection.error, located))
        keep(
            folder,
            located.module,
            located.function,
            Kept(inspection, gathered.requirements, gathered.digest, located.shown),
        )
    return msgspec.structs.replace(described(str(folder), located.module, located.function), name=located.shown)


def keep(folder: Path, dotted: str, function: str, kept: Kept) -> None:
    """Keep an inspection beside its snapshot.

    Raises:
        InputError: the cache cannot be written.
    """
    path = inspection_file(folder, dotted, function)
    content = msgspec.json.encode(kept)
    made = path.with_name(f"{path.name}.{id(content)}")
    try:
        made.write_bytes(content)
        made.replace(path)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}: set XDG_CACHE_HOME") from None


def _with_hint(error: str, located: Located) -> str:
    """The error, with the remedy where the missing module lies beside the file."""
    if "No module named" not in error:
        return error
    name = error.split("No module named ")[1].split("'")[1].partition(".")[0]
    beside = located.path.parent
    for there in (f"{name}.py", f"{name}/"):
        if (beside / there).exists():
            return f"{error.rpartition(': if ')[0]}: it is not sent with it yet: name it, include = ['{there}']"
    return error


@functools.cache
def described(folder: str, dotted: str, function: str) -> Description:
    """The workload in a snapshot whose inspection is kept.

    Raises:
        InputError: the snapshot is gone.
    """
    try:
        kept = msgspec.json.decode(inspection_file(Path(folder), dotted, function).read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        raise InputError(f"the copy of your workload in {folder} is gone: run it again from its file") from None
    inspection = kept.inspection
    file = f"{dotted.replace('.', '/')}.py"
    if not (Path(folder) / file).is_file():
        file = f"{dotted.replace('.', '/')}/__init__.py"
    try:
        params = _params(function, inspection)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return Description(
        name=kept.shown,
        summary=inspection.summary,
        params=params,
        implementation=f"{dotted}:{function}",
        data=inspection.data,
        picture=inspection.picture,
        requirements=kept.requirements,
        trial=inspection.trial,
        code=OwnCode(folder=folder, file=file, module=dotted, function=function, digest=kept.digest),
    )


def _params(function: str, inspection: Inspection) -> Any:
    name = f"{function.title()}Params"
    if inspection.kind == "recorded":
        limits = Limits(tasks=inspection.most_tasks, s3_requests=0, widest=inspection.widest)
        return params_struct(name, [], RecordedParams, namespace={"recording": inspection.recording, "limits": limits})
    if inspection.kind == "job":
        return params_struct(name, inspection.fields, Params)
    own = [field for field in inspection.fields if field.name not in Params.__struct_fields__]
    what = "values, a task for each: NAME=A..B or NAME=V1,V2, several with a space between them"
    each = FieldSpec("each", TypeSpec("str", description=what), "")
    shown = params_struct(name, [*inspection.fields, each], msgspec.Struct)
    namespace = {"__specs__": tuple(inspection.fields), "__shown__": shown}
    return params_struct(name, [*own, each], EachParams, unset=True, namespace=namespace)


def limits_of(description: Description, params: Params) -> Limits:
    """What the module's `limits` returns, in a process of its own; no bound where it has none.

    How many objects the tasks of a job exchange, whose files name RUN_STORE, is not known.

    Raises:
        InputError: it fails, or returns something else than a number of tasks.
    """
    code = description.code
    assert code is not None
    if isinstance(params, RecordedParams):
        return params.limits
    if isinstance(params, EachParams):
        tasks = count(grid_of(specs_of(params), params.each)) if params.each else None
        return Limits(tasks=tasks, s3_requests=0, widest=tasks)
    kept = msgspec.json.decode(inspection_file(Path(code.folder), code.module, code.function).read_bytes(), type=Kept)
    s3_requests = None if any(b"RUN_STORE" in content for content in files_of(code).values()) else 0
    if not kept.inspection.limits:
        return Limits(tasks=None, s3_requests=s3_requests)
    inspection = _ask(Path(code.folder), code.module, code.function, msgspec.json.encode(params))
    if inspection.error is not None:
        raise InputError(inspection.error)
    return Limits(tasks=inspection.most_tasks, s3_requests=s3_requests)


def files_of(code: OwnCode) -> dict[str, bytes]:
    """The files that are sent, by path below the function's root.

    Raises:
        InputError: the snapshot is no longer there.
    """
    return read_snapshot(Path(code.folder))


def _ask(folder: Path, dotted: str, function: str, question: bytes = b"") -> Inspection:
    argv = [sys.executable, "-P", "-m", "lbench.workloads.own.inspect_process", str(folder), dotted, function]
    file = f"{dotted.replace('.', '/')}.py"
    try:
        done = _run(argv, question)
    except subprocess.TimeoutExpired:
        return Inspection(error=f"{file} cannot be imported: it did not end within {LIMIT_S} s")
    except OSError as error:
        return Inspection(error=f"{file} cannot be inspected: {error.strerror}")
    answer: Any = None
    try:
        answer = msgspec.json.decode(done.stdout, type=Inspection)
    except msgspec.MsgspecError:
        if done.returncode == -14:
            return Inspection(error=f"{file} cannot be imported: it did not end within {LIMIT_S} s")
        return Inspection(error=f"{file} cannot be imported: it ended its process (exit code {done.returncode})")
    assert isinstance(answer, Inspection)
    return answer


def _run(argv: list[str], question: bytes) -> subprocess.CompletedProcess[bytes]:
    """The process's output; what it has started ends with it."""
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        output, _ = process.communicate(question, timeout=LIMIT_S + 5)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    return subprocess.CompletedProcess(argv, process.returncode, output)
