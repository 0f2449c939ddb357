"""Locates a user's workload: the module, the function, and the folder that the module is imported from."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import msgspec

from lbench.errors import InputError

__all__ = ["GROUP", "Located", "absolute", "entry_points", "is_path", "locate", "locate_entry", "module_problem"]

GROUP = "lbench.workloads"  # of entry points
_DEFAULT_FUNCTION = "job"
_PATH = re.compile(r"(?P<path>.*\.py)(?::(?P<function>[^:/\\]*))?")
# A user's module of one of these names would hide a module that lbench imports.
_NEEDED = frozenset(
    [
        *("awslambdaric", "bootstrap", "click", "httptools", "joblib", "lbench", "msgspec", "numpy", "psutil"),
        *("scipy", "simplejson", "sklearn"),
    ]
)


class Located(msgspec.Struct, frozen=True):
    """A function in a module, not yet inspected."""

    root: str  # the folder that the module is imported from
    file: str  # the module's file below it, with "/"
    module: str  # dotted
    function: str
    shown: str  # its name in results, without any folder

    @property
    def path(self) -> Path:
        return Path(self.root) / self.file

    @property
    def package(self) -> str | None:
        """The package that the module stands in, its outermost folder; None: it stands alone."""
        top, _, rest = self.file.partition("/")
        return top if rest else None


def is_path(name: str) -> bool:
    """Whether a workload's name is a file's, not one of the registry's."""
    return _PATH.fullmatch(name) is not None or "/" in name


def _typed_path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:  # there is no such user
        return Path(text).absolute()


def absolute(name: str) -> str:
    """The name for a process in another folder; a name that is not a path stays as it is."""
    found = _PATH.fullmatch(name)
    if found is None:
        return name
    return f"{_typed_path(found['path'])}:{found['function'] or _DEFAULT_FUNCTION}"


def locate(name: str) -> Located:
    """`PATH.py:FUNCTION`; without a function it is `job`.

    Raises:
        InputError: there is no such file, or Python could not import it by its name.
    """
    found = _PATH.fullmatch(name)
    if found is None:
        raise InputError(f"{name}: name a Python file and the job in it, as in ./mine.py:job")
    path = _typed_path(found["path"])
    try:
        there, folder_there = path.is_file(), path.is_dir()
    except (OSError, ValueError):
        there = folder_there = False
    if not there:
        what = "that is a folder" if folder_there else "there is no such file"
        raise InputError(f"{found['path']}: {what}; name a Python file and the job in it, as in ./mine.py:job")
    function = found["function"] or _DEFAULT_FUNCTION
    parts = [path.parent.name, "__init__.py"] if path.name == "__init__.py" else [path.name]
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return _located(folder, "/".join(parts), function, f"{path.name}:{function}")


def entry_points() -> dict[str, str]:
    """Workloads of installed packages: "module:function" by name."""
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}


def locate_entry(name: str, value: str) -> Located:
    """An entry point's function; nothing is imported.

    Raises:
        InputError: its module is not there.
    """
    dotted, _, function = value.partition(":")
    top, *rest = dotted.strip().split(".")
    problem = InputError(f"the entry point {name} names {value}, which does not exist: install its package again")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        raise problem from None
    if spec is None:
        raise problem
    if spec.submodule_search_locations is None:
        places = [Path(spec.origin)] if spec.origin and not rest else []
    else:
        folders = [Path(folder).joinpath(*rest) for folder in spec.submodule_search_locations]
        places = [place for folder in folders for place in (folder.with_suffix(".py"), folder / "__init__.py")]
    for place in places:
        if place.suffix == ".py" and place.is_file():
            return msgspec.structs.replace(locate(f"{place}:{function.strip() or _DEFAULT_FUNCTION}"), shown=name)
    raise problem


def _located(root: Path, file: str, function: str, shown: str) -> Located:
    parts = file.removesuffix(".py").removesuffix("/__init__").split("/")
    dotted = ".".join(parts)
    for part in parts:
        if not part.isidentifier():
            better = re.sub(r"\W+", "_", part)
            better = better if better.isidentifier() else f"my_{better}"
            raise InputError(f"{file}: Python cannot import a module named {part!r}: rename it, for example {better!r}")
    if problem := module_problem(dotted.partition(".")[0]):
        raise InputError(f"{file}: {problem}")
    if "." in function:
        raise InputError(
            f"{file}:{function}: must be a function at the file's top level: write one there that calls {function}"
        )
    if not function.isidentifier():
        raise InputError(f"{file}:{function}: write the job's name after the colon, as in {file}:job")
    return Located(root=str(root), file=file, module=dotted, function=function, shown=shown)


def module_problem(name: str) -> str | None:
    """Why a user's module cannot have this name; None: it can."""
    if name in sys.stdlib_module_names:
        return f"Python would import its own module {name!r} instead: rename the file"
    if name in _NEEDED:
        return f"lbench itself imports a module named {name!r}: rename the file"
    return None
