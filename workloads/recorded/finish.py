"""Makes a recording's folder out of what was written while the script ran."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import platform
import shutil
from collections import Counter
from pathlib import Path
from typing import IO, Any

import msgspec

from lbench._version import __version__
from lbench.errors import InputError, count_text
from lbench.workloads.recorded.code import guarded_names, own_files, requirements_of, unset_names, versions_of
from lbench.workloads.recorded.folder import (
    FORMAT,
    MANIFEST,
    VERSION,
    Left,
    Manifest,
    digest_of,
    function_name,
)
from lbench.workloads.recorded.log import PROBLEM, ROOM, read_log

__all__ = ["finish", "report_lines"]

_LEFT_KINDS = 20  # lines on what is left out; further ones are counted only


def report_lines(making: Path, name: str, script: str) -> list[str]:
    """Finish a recording: what there is, or why there is none; the script's own end comes first, whatever is wrong here."""
    try:
        return _lines(finish(making, name), script)
    except InputError as error:
        return str(error).split("\n")
    except Exception as error:
        return [f"nothing is recorded: {type(error).__name__}: {error}"]


def _lines(manifest: Manifest | None, script: str) -> list[str]:
    """What to tell of a recording: what there is, and what is left out and why."""
    if manifest is None:
        return [f"{script} handed nothing to an executor, a pool or joblib: nothing is recorded"]
    stages = len(manifest.stages)
    count = count_text(manifest.tasks, "call")
    named = [f"{name.rpartition(':')[2]} {count:,}" for name, count in list(manifest.functions.items())[:5]]
    lines = [f"left out: {one.text}" for one in manifest.left_out]
    lines += [f"will fail elsewhere: {text}" for text in manifest.unset]
    lines += [f"may differ elsewhere: {text}" for text in manifest.changed]
    what = f"{count} in {stages} stage{'s' * (stages != 1)} ({', '.join(named)})"
    return [*lines, f"recorded {what}: lbench run recorded:{manifest.name} -b processes -b emulated"]


class _Events:
    """What the log says. Arrays stay encoded: numpy is not imported for them."""

    def __init__(self, folder: Path) -> None:
        self.script: str | None = None
        self.main: str | None = None
        self.argv: list[str] = []
        self.arrays: dict[str, Any] = {}
        self.modules: dict[str, str] = {}
        self.names: set[str] = set()
        self.lines: set[int] = set()
        self.starts: set[int] = set()
        self.calls: dict[int, tuple[int, list[Any]]] = {}
        self.results: dict[int, Any] = {}
        self.lost: dict[int, str] = {}
        self.left: Counter[tuple[str, str, str]] = Counter()
        for kind, *rest in map(msgspec.msgpack.decode, read_log(folder)):
            match kind:
                case "main":
                    script, self.main, argv = rest
                    self.script = None if script is None else os.fsdecode(script)
                    self.argv = [one.decode("utf-8", "replace") for one in argv]
                case "array":
                    self.arrays[rest[0]] = rest[1]
                case "task":
                    number, stage, packed, line = rest
                    self.calls[number] = (stage, packed)
                    self._line(line)
                case "result":
                    self.results[rest[0]] = rest[1]
                case "lost":
                    self.lost[rest[0]] = rest[1]
                case "left":
                    what, why, site, line = rest
                    self.left[what, why, site] += 1
                    self._line(line)
                case "start":
                    self.starts.add(rest[0])
                case "modules":
                    self.modules |= {name: os.fsdecode(file) for name, file in rest[0].items()}
                    self.names |= set(rest[1])

    def _line(self, line: int | None) -> None:
        if line is not None:
            self.lines.add(line)


def finish(making: Path, name: str) -> Manifest | None:
    """Put the recording of that name in its place; an earlier one of it is replaced. None: nothing was handed over.

    Raises:
        InputError: nothing of what was handed over can be recorded, or the folder cannot be written.
    """
    events = _Events(making)
    full = (
        f"there is no room on the disk for more in {making.parent}: free some, or set XDG_DATA_HOME to another folder"
    )
    was_full = not (making / ROOM).exists()
    (making / ROOM).unlink(missing_ok=True)
    if not events.calls and not events.left:
        if was_full:
            raise InputError(f"nothing is recorded: {full}")
        if (problem := making / PROBLEM).is_file():
            raise InputError(f"nothing is recorded: {problem.read_text('utf-8', 'replace')}")
        return None
    files = own_files(events.script, events.main, events.lines, events.modules, events.starts)
    guarded = _leave_guarded(events, files)
    for number, (_, packed) in events.calls.items():
        if number not in events.results:
            why = events.lost.get(number, full if was_full else "it had not ended when the script did")
            events.left[_function(packed), why, ""] += 1
    kept = sorted(
        (number for number in events.calls if number in events.results), key=lambda one: (events.calls[one][0], one)
    )
    left = _left(events)
    if was_full:
        left.append(Left(0, "all that was handed over later", full))
    if not kept:
        raise InputError(
            "\n".join([f"nothing to record: {left[0].text}", *(f"left out: {one.text}" for one in left[1:])])
        )
    stages = Counter(events.calls[number][0] for number in kept)
    own = {module.partition(":")[0] for module in events.names} & ({*events.modules} | {events.main})
    if events.main is not None and events.main not in own:
        files[_file(events.main)] = b'"""The script; no task needs it."""\n'
    library = sorted(one for one in events.names if one.partition(":")[0] not in own)
    requirements = requirements_of(files, library)
    unset, changed = _unset(events, files, guarded)
    try:
        with (making / "calls.bin").open("wb") as calls, (making / "results.bin").open("wb") as results:
            for digest, array in events.arrays.items():
                _put(calls, {digest: array})
            for number in kept:
                _put(calls, events.calls[number][1])
                _put(results, events.results[number])
        for file, content in files.items():
            target = making / "code" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            name=name,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            lbench_version=__version__,
            python=platform.python_version(),
            script=os.fsencode(Path(events.script).name).decode("utf-8", "replace") if events.script else "a notebook",
            main=events.main or "",
            stages=[stages[stage] for stage in sorted(stages)],
            functions=dict(Counter(_function(events.calls[number][1]) for number in kept)),
            digest=digest_of(making) or "",
            arrays=len(events.arrays),
            argv=events.argv if events.main in own else None,
            names=library,
            code={file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
            requirements=requirements,
            packages=versions_of(["numpy", *requirements]),
            unset=unset,
            changed=changed,
            left_out=left,
        )
        (making / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        _replace(making, making.parent / name)
    except OSError as error:
        raise InputError(f"the recording cannot be written to {making.parent}: {error.strerror}") from None
    return manifest


def _unset(events: _Events, files: dict[str, bytes], left: set[str]) -> tuple[list[str], list[str]]:
    """What the calls need of the script that its copy does not set, or sets to something else.

    `left`: functions whose calls are left out.
    """
    if events.script is None or events.main is None:
        return [], []
    names = (name.partition(":") for name in events.names)
    called = {qualified.partition(".")[0] for module, _, qualified in names if module == events.main} - left
    try:
        source = Path(events.script).read_bytes()
    except OSError:
        return [], []
    return unset_names(source, files.get(_file(events.main), b""), called)


def _file(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _put(file: IO[bytes], value: Any) -> None:
    content = msgspec.msgpack.encode(value)
    file.write(len(content).to_bytes(8, "little") + content)


def _replace(made: Path, target: Path) -> None:
    before = target.with_name(f".{target.name}-before")
    shutil.rmtree(before, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        target.rename(before)
    made.rename(target)
    shutil.rmtree(before, ignore_errors=True)


def _leave_guarded(events: _Events, files: dict[str, bytes]) -> set[str]:
    """Leave out calls of functions that are defined only under `if __name__ == "__main__":`; returns their names."""
    left = set[str]()
    if events.main is None:
        return left
    guarded = guarded_names(files.get(_file(events.main), b""))
    for number, (_, packed) in list(events.calls.items()):
        name = _function(packed)
        module, _, qualified = name.partition(":")
        line = guarded.get(qualified.partition(".")[0]) if module == events.main else None
        if line is not None:
            why = f"it is defined under if __name__ == '__main__' (line {line}): define it above that"
            events.left[qualified, why, ""] += 1
            del events.calls[number]
            left.add(qualified.partition(".")[0])
    return left


def _function(packed: list[Any]) -> str:
    return function_name(packed[0][0])


def _left(events: _Events) -> list[Left]:
    found = [Left(count, what, why, where) for (what, why, where), count in events.left.most_common()]
    rest = sum(one.count for one in found[_LEFT_KINDS:])
    return found[:_LEFT_KINDS] + ([Left(rest, "other functions", "for further reasons")] if rest else [])
