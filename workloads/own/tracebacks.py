"""Errors of a user's code: their own frames and files, without lbench's."""

from __future__ import annotations

import re
import reprlib
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from lbench.workloads.own.importer import own_names
from lbench.workloads.task_errors import error_texts

__all__ = ["RECORDED", "call_text", "missing_hint", "one_line", "place_in", "trimmed", "user_traceback"]

# Where a copy of the user's files may lie: a snapshot, a cluster's worker, the emulator's code folder or unpacked package,
# Lambda.
_OURS = re.compile(r'File "(?:[^"]*/(?:own/[0-9a-f]{32}|code-[0-9a-f]{32}|[0-9a-f]{64})/|/var/task/)([^"]+)"')
_OWN_FRAME = re.compile(r'File "([^"/<][^"]*\.py)", line (\d+),? in (\S+)')
# Frames of lbench's between a worker and a user's function, with the lines of code below them.
_PLUMBING = re.compile(
    r' *File "(?:<frozen runpy>|(?:[^"]*/)?lbench/(?:engine/backends/local/worker|'
    r'workloads/(?:encoding|(?:own|recorded|whole)/\w+))\.py)"'
    r", line \d+.*\n(?: {4}.*\n)*"
)
_CRASH = "Stack (most recent call first):"  # what an interpreter that crashes writes above its innermost frame
RECORDED = "recorded.call"  # `recorded.tasks.CALL`
_MESSAGE = 500  # characters
_FILES = (
    ": files that a script reads are not copied: pass what is in them as arguments, or name them in include = [...] "
    "(put them into a recording's folder code), and find them by Path(__file__).parent"
)
_NO_MODULE = re.compile(r"No module named '([^'.]+)")
_ARGUMENTS = 160


def trimmed(text: str) -> str:
    """A traceback with a user's files named as they know them: `mine.py`, wherever the copy lay that ran."""
    return _PLUMBING.sub("", _OURS.sub(r'File "\1"', text))


def place_in(trace: str | None) -> str | None:
    """The innermost frame in a user's file, "mine.py, line 12 in simulate"; None: there is none."""
    _, crash, crashed = (trace or "").rpartition(_CRASH)
    found = [one for one in _OWN_FRAME.findall(crashed) if _is_own(one[0])]
    if not found:
        return None
    file, line, function = found[0 if crash else -1]
    return f"{file}, line {line} in {function}"


def _is_own(file: str) -> bool:
    names = own_names()
    top = file.partition("/")[0].removesuffix(".py")
    return top in names if names else top != "lbench"


def missing_hint(kind: str, message: str) -> str:
    """The remedy where a user's code misses a file or a module, to stand behind the error; empty for other errors."""
    if kind == "FileNotFoundError":
        return _FILES
    missing = _NO_MODULE.match(message) if kind == "ModuleNotFoundError" else None
    if missing is None:
        return ""
    return (
        f": if {missing[1]} is a file of yours, name it: include = ['{missing[1]}.py'] (put it into a recording's folder "
        "code); else install it and name it in requirements"
    )


def user_traceback(error: BaseException) -> str:
    """The error's traceback, from the first frame in a user's file on."""
    try:
        lines = [trimmed(line) for line in traceback.format_exception(error)]
    except BaseException:  # the user's own class may raise anything
        texts = error_texts(error)
        head, last = "Traceback (most recent call last):\n", f"{texts.kind}: {texts.message}\n"
        lines = [head, *map(trimmed, texts.frames), last]
    frames = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    own = next((number for number in frames if (frame := _OWN_FRAME.search(lines[number])) and _is_own(frame[1])), None)
    if own is not None and frames:
        del lines[frames[0] : own]
    return "".join(lines)


def one_line(error: BaseException) -> str:
    """The error and its place: "ValueError: too small (mine.py, line 12 in simulate)"."""
    kind, message, _ = error_texts(error)
    text = f"{kind}: {message[:_MESSAGE]}" if message else kind
    place = place_in(user_traceback(error))
    return f"{text} ({place})" if place else text


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 40
        self.maxlist = self.maxtuple = self.maxdict = 4

    def repr_ndarray(self, value: Any, level: int) -> str:
        """An array's dtype and shape."""
        return f"<{value.dtype} array {'x'.join(map(str, value.shape)) or 'of one'}>"

    def repr_bytes(self, value: bytes, level: int) -> str:
        """The length of long bytes."""
        return f"<{len(value):,} bytes>" if len(value) > 20 else repr(value)


class _ShortRecorded(_Short):
    """Packed values (`recorded.values`) as the script had them."""

    def repr_dict(self, value: dict[str, Any], level: int) -> str:
        """A dict, or what a marked one stands for."""
        kind, inside = value.get("~"), value.get("v")
        if kind is None:
            return super().repr_dict(value, level)
        if level <= 0:
            return "..."
        match kind, inside:
            case "object", _:
                return self._object(value.get("f"), list(value.get("a") or ()), value.get("s"), level - 1)
            case "name", str():
                return inside.rpartition(":")[2]
            case "tuple", list():
                return self.repr1(tuple(inside), level)
            case "dict", list():
                return f"{{{_joined(f'{self.repr1(key, level - 1)}: {self.repr1(one, level - 1)}' for key, one in inside)}}}"
            case (("set" | "frozenset"), list()):
                return f"{{{_joined(self.repr1(one, level - 1) for one in inside)}}}"
            case "int", str():
                return inside[: self.maxstring]
            case (("scalar" | "fortran"), _):
                return self.repr1(inside, level - 1)
        return "..."

    def _object(self, made: Any, given: list[Any], state: Any, level: int) -> str:
        if made == _GETATTR and len(given) == 2:
            return f"{self.repr1(given[0], level)}.{given[1]}"
        if made == _NEW and given:
            made, *given = given
        parts = [self.repr1(one, level) for one in given[: self.maxlist]] + ["..."] * (len(given) > self.maxlist)
        if isinstance(state, dict) and "~" not in state:
            parts += [f"{name}={self.repr1(one, level)}" for name, one in state.items()]
        return f"{self.repr1(made, level)}({_joined(parts)})"


_short = _Short()
_short_recorded = _ShortRecorded()
_NEW = {"~": "name", "v": "copyreg:__newobj__"}  # makes an object of a class, whose state follows
_GETATTR = {"~": "name", "v": "builtins:getattr"}  # gives a method of an object


def call_text(function: str, arguments: Mapping[str, Any]) -> str:
    """A task as a call, bounded: "simulate(seed=3, n=100000)"."""
    if function == RECORDED:
        return _recorded_text(arguments["given"])
    return f"{function.rpartition(':')[2]}({_joined(f'{name}={_short.repr(one)}' for name, one in arguments.items())})"


def _recorded_text(given: Any) -> str:
    """A recorded call as the script made it: "simulate(3, n=100000)"."""
    function, args, named = given
    parts = [*map(_short_recorded.repr, args), *(f"{name}={_short_recorded.repr(one)}" for name, one in named.items())]
    return f"{_short_recorded.repr(function)}({_joined(parts)})"


def _joined(parts: Iterable[str]) -> str:
    text = " ".join(", ".join(parts).split())
    return text if len(text) <= _ARGUMENTS else f"{text[: _ARGUMENTS - 1]}…"
