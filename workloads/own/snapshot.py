"""The files of a user's workload that are sent to other processes, and a snapshot of them in the cache.

The module alone, or the package that it belongs to; with a list `include` in the module, those files and folders. Every
process of a run imports the snapshot and no other file of the user's: what would be missing on Lambda is missing here too,
at once, and an edit during a session changes nothing. It is read-only, and verified before and after each run: what
a task has changed in it (root may) is undone.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from lbench.errors import InputError
from lbench.folders import check_private, make_private
from lbench.workloads.own.importer import MARKER, Marker
from lbench.workloads.own.locate import Located, module_problem

__all__ = [
    "Gathered",
    "cache_home",
    "files_digest",
    "gather",
    "inspection_file",
    "is_module",
    "module_of",
    "pinned_name",
    "read_snapshot",
    "restore",
    "snapshot",
    "snapshots_folder",
]

_FILES_LIMIT = 2000
_BYTES_LIMIT = 20_000_000
_KEPT = 50  # snapshots; older ones go
_KEPT_S = 7 * 86_400.0  # a session may still run a younger one
_LEFT_OUT = ("__pycache__", "node_modules")


class Gathered(msgspec.Struct, frozen=True):
    """The files that are sent."""

    files: dict[str, bytes]  # by path below the root, with "/"; the marker too
    requirements: tuple[str, ...]
    digest: str


def gather(located: Located) -> Gathered:
    """Read the files; the module is parsed, not run.

    Raises:
        InputError: the module is not valid Python, its lists are not lists of texts, or a file is missing or too large.
    """
    source = _read(located.path, located.file)
    tree = _parse(source, located.file)
    lists = {name: _literal_list(tree, name, located.file) for name in ("include", "requirements")}
    files = {located.file: source}
    if lists["include"] is not None:
        files |= _included(located, lists["include"])
    elif located.package is not None:
        files |= _below(Path(located.root), located.package)
    package = PurePosixPath(located.file).parent
    for folder in [package, *package.parents]:  # without these it is no package where it arrives
        if str(folder) != ".":
            name = f"{folder}/__init__.py"
            files[name] = _read(Path(located.root) / name, name)
    size = sum(map(len, files.values()))
    if size > _BYTES_LIMIT:
        raise InputError(
            f"{located.file}: its files must be at most {_BYTES_LIMIT / 1e6:.0f} MB, got {size / 1e6:.0f} MB: "
            "name those that it needs, as in include = ['helpers.py'], and give data with --data"
        )
    for top in {name.partition("/")[0].removesuffix(".py") for name in files if name.endswith(".py")}:
        if problem := module_problem(top):
            raise InputError(f"{located.file}: {top} is sent with it, but {problem}")
    marker = Marker(modules=sorted(map(module_of, filter(is_module, files))), data="load" in _defined(tree))
    files[MARKER] = msgspec.json.encode(marker)
    files = dict(sorted(files.items()))
    return Gathered(files, tuple(lists["requirements"] or ()), files_digest(files))


def is_module(name: str) -> bool:
    """Whether a file can be imported."""
    return name.endswith(".py") and all(part.isidentifier() for part in name[:-3].split("/"))


def module_of(name: str) -> str:
    """The dotted name of the module in a file: `pkg/mine.py` is `pkg.mine`."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def files_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) of names and contents."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
    return digest.hexdigest()


def _read(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > _BYTES_LIMIT:
            raise InputError(f"{name} must be at most {_BYTES_LIMIT / 1e6:.0f} MB: give data with --data")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from None


def _parse(source: bytes, name: str) -> ast.Module:
    try:
        return ast.parse(source, name)
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise InputError(f"{name}{where}: invalid Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{name}: invalid Python: {error}") from None


def _literal_list(tree: ast.Module, variable: str, file: str) -> list[str] | None:
    """A list of texts at the module's top level, read without running the module."""
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if not any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            continue
        try:
            value = ast.literal_eval(node.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = None
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return list(value)
        raise InputError(f"{file}, line {node.lineno}: {variable} must be a plain list of texts, as in ['one', 'two']")
    return None


def _defined(tree: ast.Module) -> set[str]:
    """The names that the module defines at its top level."""
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {(alias.asname or alias.name) for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _included(located: Located, include: list[str]) -> dict[str, bytes]:
    home = PurePosixPath(located.file).parent
    files: dict[str, bytes] = {}
    for text in include:
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or "\\" in text or not path.parts:
            raise InputError(f"{located.file}: include {text!r}: name files and folders beside or below it")
        name = str(home / path)
        whole = Path(located.root) / name
        if whole.is_dir():
            found = _below(Path(located.root), name)
            if not found:
                raise InputError(f"{located.file}: include {text!r}: there is nothing in that folder")
            files |= found
        elif whole.is_file():
            files[name] = _read(whole, name)
        else:
            raise InputError(f"{located.file}: include {text!r}: there is no such file or folder beside it")
    return files


def _below(root: Path, name: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    for path in _walk(root / name):
        content = _read(path, path.name)
        size += len(content)
        files[path.relative_to(root).as_posix()] = content
        if len(files) > _FILES_LIMIT or size > _BYTES_LIMIT:
            raise InputError(
                f"{name}/ must have at most {_FILES_LIMIT:,} files and {_BYTES_LIMIT / 1e6:.0f} MB: "
                "name the files that are needed, as in include = ['helpers.py']"
            )
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one not in _LEFT_OUT and not one.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo")) and path.is_file():
                yield path


# -- the snapshot


def cache_home() -> Path:
    """`$XDG_CACHE_HOME/lbench` (as `config.folders` has it, which does not ship)."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given and Path(given).is_absolute() else Path.home() / ".cache") / "lbench"


def snapshots_folder() -> Path:
    """The cache's folder of snapshots."""
    return cache_home() / "own"


def pinned_name(digest: str, file: str, function: str) -> str:
    """`Description.pinned` of the snapshot with this digest."""
    return f"{snapshots_folder() / digest[:32]}/{file}:{function}"


def snapshot(gathered: Gathered) -> Path:
    """The folder that holds exactly these files, made once; two processes may do so at the same time.

    Raises:
        InputError: the cache cannot be written.
    """
    home = snapshots_folder()
    folder = home / gathered.digest[:32]
    try:
        make_private(home)
        if not _intact(folder, gathered.files):
            _make(home, folder, gathered.files)
            _tidy(home)
        os.utime(folder)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"your workload's files cannot be put into {home} ({why}): set XDG_CACHE_HOME to a folder that can be written"
        ) from None
    return folder


def _intact(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        check_private(folder)
        check_private(_pristine(folder))
        return _contents(folder) == files == _contents(_pristine(folder))
    except OSError:
        return False


def _contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, but for Python's compiled ones.

    What is no file has a name that no file of a snapshot has: a task may use an empty folder or a link as a note to itself.
    """
    found = {}
    for place, folders, names in os.walk(folder):
        compiled = Path(place).name == "__pycache__"
        if not folders and not names and not compiled and Path(place) != folder:
            found[f"{Path(place).relative_to(folder).as_posix()}/"] = b""
        for name in [*names, *(name for name in folders if Path(place, name).is_symlink())]:
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file():
                found[f"{relative} (not a file)"] = b""
            elif not compiled or path.suffix != ".pyc":
                found[relative] = path.read_bytes()
    return found


def _drop_compiled(folder: Path) -> None:
    """Remove Python's compiled files, which root's processes write: a task could have put others in their place."""
    for path in [path for path in folder.rglob("__pycache__") if not path.is_symlink()]:
        mode = path.parent.stat().st_mode
        path.parent.chmod(0o700)
        _remove(path)
        path.parent.chmod(mode)


def _pristine(folder: Path) -> Path:
    """A second copy, from which a snapshot that a task has changed is restored."""
    return folder.with_name(f".{folder.name}-pristine")


def inspection_file(folder: Path, dotted: str, function: str) -> Path:
    """Where the inspection of a job in a snapshot is kept: beside it, as it can be read only."""
    return folder.with_name(f".{folder.name}-{dotted}-{function}.json")


def restore(folder: Path) -> list[str]:
    """Undo what tasks have changed in a snapshot: its files by their digest, nothing beside them. The names of these files.

    Raises:
        InputError: it is no longer there, or cannot be restored.
    """
    try:
        files = _contents(_pristine(folder))
        if not files or files_digest(dict(sorted(files.items())))[: len(folder.name)] != folder.name:
            raise InputError(f"the copy of your workload in {folder} is gone: run it again from its file")
        found = _contents(folder)
        changed = sorted(name for name in found.keys() | files.keys() if found.get(name) != files.get(name))
        if changed:
            _make(folder.parent, folder, files)
        _drop_compiled(folder)
    except OSError as error:
        raise InputError(f"the copy of your workload in {folder} cannot be verified: {error.strerror}") from None
    return changed


def _make(home: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    for target in (_pristine(folder), folder):
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
        try:
            for name, content in files.items():
                path = made / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            _remove(target)  # a damaged one
            try:
                made.rename(target)
            except OSError:
                if not target.is_dir():  # else another process has just made it
                    raise
            _protect(target)
        finally:
            _remove(made)


def _protect(folder: Path) -> None:
    """Make a folder and all in it read-only."""
    for place, _, names in os.walk(folder):
        for name in names:
            (Path(place) / name).chmod(0o444)
        Path(place).chmod(0o555)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for place, _, _ in os.walk(folder):
            Path(place).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _tidy(home: Path) -> None:
    there = sorted(
        ((path.stat().st_mtime, path) for path in home.iterdir() if not path.name.startswith(".")), reverse=True
    )
    for used_s, path in there[_KEPT:]:
        if time.time() - used_s > _KEPT_S:
            _remove(path)
            _remove(_pristine(path))
            for kept in home.glob(f".{path.name}-*.json"):
                kept.unlink(missing_ok=True)


def read_snapshot(folder: Path) -> dict[str, bytes]:
    """The files of a snapshot, with its marker, verified.

    Raises:
        InputError: it is no longer there.
    """
    if not (folder / MARKER).is_file():
        raise InputError(f"the copy of your workload in {folder} is gone: run it again from its file")
    restore(folder)
    return {path.relative_to(folder).as_posix(): _read(path, path.name) for path in _walk(folder)}
