"""What can be told of a user's workload, without running any of it in this process."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from lbench.errors import InputError
from lbench.workloads.model import Description, Limits, OwnCode, Params
from lbench.workloads.own.importer import pinned_parts
from lbench.workloads.own.inspect_process import LIMIT_S, Told
from lbench.workloads.own.locate import Located, is_path, locate, locate_entry
from lbench.workloads.own.snapshot import gather, read_snapshot, snapshot, snapshots_folder
from lbench.workloads.own.type_spec import made_params

__all__ = ["describe_entry", "describe_path", "files_of", "limits_of"]


class _Kept(msgspec.Struct, frozen=True):
    """What lies beside a snapshot, so that it is asked once."""

    told: Told
    requirements: tuple[str, ...]
    digest: str
    shown: str


def describe_path(name: str) -> Description:
    """The workload `PATH.py:FUNCTION`; a pinned name (`Description.pinned`) gives the snapshot as it is.

    Raises:
        InputError: it cannot be used; the message says what to do.
    """
    if not is_path(name):
        raise InputError(f"{name}: name a Python file and the job in it, as in ./mine.py:job")
    if Path(name).is_relative_to(snapshots_folder()):
        folder, dotted, function = pinned_parts(name)
        return _described(str(folder), dotted, function)
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
    kept = _kept_file(folder, located.module, located.function)
    if not kept.is_file():
        told = _ask(folder, located.module, located.function)
        if told.error is not None:
            raise InputError(_with_hint(told.error, located))
        content = msgspec.json.encode(_Kept(told, gathered.requirements, gathered.digest, located.shown))
        made = kept.with_name(f"{kept.name}.{id(content)}")
        try:
            made.write_bytes(content)
            made.replace(kept)
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}: set XDG_CACHE_HOME") from None
    described = _described(str(folder), located.module, located.function)
    return msgspec.structs.replace(described, name=located.shown)


def _with_hint(error: str, located: Located) -> str:
    """A module that lies beside the file, and was not found because it does not travel, is named."""
    if "No module named" not in error:
        return error
    name = error.split("No module named ")[1].split("'")[1].partition(".")[0]
    beside = located.path.parent
    for there in (f"{name}.py", f"{name}/"):
        if (beside / there).exists():
            return f"{error.rpartition(': if ')[0]}: it does not travel yet: state it, include = ['{there}']"
    return error


def _kept_file(folder: Path, dotted: str, function: str) -> Path:
    return folder / f".{dotted}-{function}.json"  # hidden: it does not travel


@functools.cache
def _described(folder: str, dotted: str, function: str) -> Description:
    try:
        kept = msgspec.json.decode(_kept_file(Path(folder), dotted, function).read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        raise InputError(f"the copy of your workload in {folder} is gone: run it again from its file") from None
    told = kept.told
    file = f"{dotted.replace('.', '/')}.py"
    if not (Path(folder) / file).is_file():
        file = f"{dotted.replace('.', '/')}/__init__.py"
    try:
        params = made_params(f"{function.title()}Params", told.fields, Params)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return Description(
        name=kept.shown,
        summary=told.summary,
        params=params,
        implementation=f"{dotted}:{function}",
        data=told.data,
        picture=told.picture,
        requirements=kept.requirements,
        trial=told.trial,
        code=OwnCode(folder=folder, file=file, module=dotted, function=function, digest=kept.digest),
    )


def limits_of(description: Description, params: Params) -> Limits:
    """What the module's `limits` says, asked in a process of its own; no bound where it has none.

    Raises:
        InputError: it fails, or says nothing that is a number of tasks.
    """
    code = description.code
    assert code is not None
    kept = msgspec.json.decode(_kept_file(Path(code.folder), code.module, code.function).read_bytes(), type=_Kept)
    if not kept.told.limits:
        return Limits(tasks=None, s3_requests=0)
    told = _ask(Path(code.folder), code.module, code.function, msgspec.json.encode(params))
    if told.error is not None:
        raise InputError(told.error)
    return Limits(tasks=told.most_tasks, s3_requests=0)


def files_of(code: OwnCode) -> dict[str, bytes]:
    """What travels, by path below the function's root.

    Raises:
        InputError: the snapshot is no longer there.
    """
    return read_snapshot(Path(code.folder))


def _ask(folder: Path, dotted: str, function: str, question: bytes = b"") -> Told:
    argv = [sys.executable, "-P", "-m", "lbench.workloads.own.inspect_process", str(folder), dotted, function]
    file = f"{dotted.replace('.', '/')}.py"
    try:
        done = subprocess.run(
            argv, input=question, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT_S + 5, check=False
        )
    except subprocess.TimeoutExpired:
        return Told(error=f"{file} cannot be imported: it did not end within {LIMIT_S} s")
    except OSError as error:
        return Told(error=f"{file} cannot be looked at: {error.strerror}")
    answer: Any = None
    try:
        answer = msgspec.json.decode(done.stdout, type=Told)
    except msgspec.MsgspecError:
        if done.returncode == -14:
            return Told(error=f"{file} cannot be imported: it did not end within {LIMIT_S} s")
        return Told(error=f"{file} cannot be imported: it ended its process (exit code {done.returncode})")
    assert isinstance(answer, Told)
    return answer
