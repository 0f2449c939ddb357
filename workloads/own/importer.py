"""Makes a user's files importable, and finds their task functions by "module:function".

Only modules of the snapshot may be called: a name that comes in an event can reach nothing else. Few imports: this module
is loaded in each cold start.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from inspect import Parameter
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from lbench.errors import InputError
from lbench.workloads.signatures import parameters_of

__all__ = [
    "MARKER",
    "Marker",
    "enter",
    "find_name",
    "find_own",
    "import_names",
    "import_own",
    "is_pinned",
    "leave",
    "own_names",
    "pinned_parts",
    "share",
    "show_arguments",
]

_AS_THEY_TRAVEL = (type(None), bool, int, float, str, list, dict)
_PLAIN = (Parameter.empty, bool, int, float, str, "bool", "int", "float", "str")  # annotations
MARKER = "lbench-own.json"  # in a snapshot's root and in a package's


class Marker(msgspec.Struct, frozen=True):
    """A snapshot's contents: the modules whose functions may be called, and whether the tasks get a data set."""

    modules: list[str]
    data: bool = False
    names: list[str] = []  # "module:name" of libraries, that a recording's calls are made of
    argv: list[str] | None = None  # a recorded script's arguments, which it may read when it is imported


class _Finder:
    """Finds the user's top-level modules in their folder, before any other module of the same name."""

    def __init__(self, folder: Path, marker: Marker) -> None:
        self.folder = folder
        self.marker = marker
        self.names = frozenset(name.partition(".")[0] for name in marker.modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Of `importlib.abc.MetaPathFinder`."""
        return PathFinder.find_spec(fullname, [str(self.folder)]) if fullname in self.names else None

    def invalidate_caches(self) -> None:
        """Nothing is kept."""


_finder: _Finder | None = None
_shared: tuple[str, str | None] | None = None  # the folder that started processes know, PYTHONPATH before
_hidden_argv: list[str] | None = None  # this process's own, while tasks see others
_found: dict[str, tuple[Callable[..., Any], bool]] = {}  # functions of the snapshot in use


def is_pinned(name: str) -> bool:
    """Whether a workload's name is that of a snapshot (`Description.pinned`)."""
    return "/" in name and ":" in name


def pinned_parts(name: str) -> tuple[Path, str, str]:
    """Of a pinned name (`Description.pinned`): the snapshot's folder, the module, the function.

    Raises:
        InputError: it is not there.
    """
    path, _, function = name.rpartition(":")
    file = Path(path)
    for folder in file.parents:
        if (folder / MARKER).is_file():
            dotted = file.relative_to(folder).as_posix().removesuffix(".py").removesuffix("/__init__")
            return folder, dotted.replace("/", "."), function
    raise InputError(f"the copy of your workload in {file.parent} is gone: run it again from its file")


def enter(folder: Path) -> None:
    """Make the modules of this snapshot importable by their names, in place of those of the one before.

    Raises:
        InputError: the folder is no snapshot.
    """
    global _finder
    if _finder is not None and _finder.folder == folder:
        return
    try:
        marker = msgspec.json.decode((folder / MARKER).read_bytes(), type=Marker)
    except (OSError, msgspec.MsgspecError):
        raise InputError(f"the copy of your workload in {folder} is gone: run it again from its file") from None
    leave()
    sys.dont_write_bytecode = True  # the folder is read-only
    _finder = _Finder(folder, marker)
    _forget(_finder.names)
    importlib.invalidate_caches()
    sys.meta_path.insert(0, _finder)


def share(folder: Path) -> None:
    """Let processes that a task starts (a pool's, joblib's) import the modules of this snapshot too."""
    global _shared
    if _shared is not None:
        return
    before = os.environ.get("PYTHONPATH")
    _shared = str(folder), before
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([before] if before else [])])
    sys.path.insert(0, str(folder))  # which a spawned process is given


def _unshare() -> None:
    global _shared
    if _shared is None:
        return
    folder, before = _shared
    _shared = None
    if folder in sys.path:
        sys.path.remove(folder)
    if before is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = before


def leave() -> None:
    """Make the user's modules unimportable again."""
    global _finder, _hidden_argv
    _found.clear()
    _unshare()
    if _hidden_argv is not None:
        sys.argv, _hidden_argv = _hidden_argv, None
    if _finder is not None:
        sys.meta_path.remove(_finder)
        _forget(_finder.names)
        _finder = None


def _forget(names: frozenset[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]


def own_names() -> frozenset[str]:
    """The user's top-level modules and packages; none without a snapshot in use."""
    return frozenset() if _finder is None else _finder.names


def _marker() -> Marker | None:
    """The marker of the snapshot in use; else, on Lambda, of the code that this module is part of."""
    if _finder is not None:
        return _finder.marker
    try:
        content = (Path(__file__).resolve().parents[3] / MARKER).read_bytes()
        return msgspec.json.decode(content, type=Marker)
    except (OSError, msgspec.MsgspecError):
        return None


def find_own(name: str) -> tuple[Callable[..., Any], bool]:
    """The function called "module:function", and whether it wants the data set.

    Raises:
        InputError: its module is not in the snapshot, or has no such function of its own.
        Exception: whatever the module raises when it is imported.
    """
    if name in _found:
        return _found[name]
    dotted, _, qualified = name.partition(":")
    marker = _marker()
    if marker is None or dotted not in marker.modules:
        raise InputError(
            f"the task function {qualified} is in module {dotted}, which is not sent with the workload: "
            "call a function of the workload's own module, or name the file in include = [...]"
        )
    found: Any = import_own(dotted)
    for part in qualified.split("."):
        found = getattr(found, part, None)
    theirs = getattr(found, "__module__", None) == dotted and getattr(found, "__qualname__", None) == qualified
    if not callable(found) or isinstance(found, type) or not theirs:
        raise InputError(f"{dotted} has no function {qualified} of its own: define it at the module's top level")
    _found[name] = _adapted(found), marker.data and "data" in parameters_of(found)
    return _found[name]


def find_name(name: str) -> Any:
    """The function or class called "module:name": of the snapshot, or of a library's that the marker lists.

    Raises:
        InputError: it is neither, or is not there.
        Exception: whatever its module raises when it is imported.
    """
    dotted, _, qualified = name.partition(":")
    marker = _marker()
    if marker is None or (dotted not in marker.modules and name not in marker.names):
        raise InputError(f"{name} is not in the recording: only what was recorded can be called")
    found: Any = import_own(dotted)
    for part in qualified.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InputError(f"{dotted} has no {qualified}: is it the version that was recorded?") from None
    return found


def import_own(dotted: str) -> ModuleType:
    """Import a module of the snapshot. It sees no arguments; a recorded script's sees those that the script had."""
    if dotted in sys.modules:
        return importlib.import_module(dotted)
    before = sys.argv
    sys.argv = _arguments(dotted)
    try:
        return importlib.import_module(dotted)
    finally:
        sys.argv = before


def show_arguments(dotted: str) -> None:
    """Let tasks see those arguments, too, and not a worker's own."""
    global _hidden_argv
    if _hidden_argv is None:
        _hidden_argv = sys.argv
    sys.argv = _arguments(dotted)


def _arguments(dotted: str) -> list[str]:
    marker = _marker()
    return [f"{dotted}.py", *((marker.argv if marker is not None else None) or ())]


def import_names() -> None:
    """Import the libraries that the marker lists names of, before the first task needs them."""
    marker = _marker()
    for module in sorted({name.partition(":")[0] for name in marker.names} if marker is not None else ()):
        with contextlib.suppress(ImportError):  # the task that needs it says so
            importlib.import_module(module)


def _adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a task calls it (`argument_types.adapted`), where it must be changed for that."""
    for one in parameters_of(function).values():
        written = one.default is one.empty or type(one.default) in _AS_THEY_TRAVEL
        if one.annotation not in _PLAIN or one.kind is one.POSITIONAL_ONLY or not written:
            from lbench.workloads.own.argument_types import adapted

            return adapted(function)
    return function
