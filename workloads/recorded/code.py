"""The script's own files as modules that a worker can import: what its functions need, and nothing that runs.

A script without `if __name__ == "__main__":` would begin its whole work again when it is imported. Its copy ends where it
first hands something over: that statement and what follows are left out, but for definitions, imports and constants. So
are, before it, statements that start processes (a pool), and those that use what such a statement sets.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lbench.errors import InputError
from lbench.workloads.recorded.values import is_library_file

__all__ = [
    "OwnFiles",
    "guarded_names",
    "is_constant",
    "is_definition",
    "own_files",
    "requirements_of",
    "unset_names",
    "versions_of",
    "without_work",
]

_BYTES_LIMIT = 20_000_000
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
OwnFiles = dict[str, bytes]  # by path below the root, with "/"


def own_files(
    script: str | None, main: str | None, lines: Iterable[int], modules: Mapping[str, str], starts: Iterable[int] = ()
) -> OwnFiles:
    """The script (as module `main`), the modules of the user's that it has imported, and those that only its functions do.

    `lines`, `starts`: of `without_work`.

    Raises:
        InputError: one of them cannot be read, or they are too large.
    """
    files: OwnFiles = {}
    roots: dict[Path, None] = {}
    for name, file in modules.items():
        path = Path(file)
        place = name.replace(".", "/")
        files[f"{place}/__init__.py" if path.name == "__init__.py" else f"{place}.py"] = _read(path)
        depth = name.count(".") + (path.name == "__init__.py")
        roots |= dict.fromkeys(path.parents[depth : depth + 1])
    if script is not None and main is not None:
        path = Path(script).resolve()  # where Python looks for what it imports, also where `script` is a link
        files[f"{main.replace('.', '/')}.py"] = without_work(_read(path), lines, starts)
        roots |= dict.fromkeys(path.parents[main.count(".") : main.count(".") + 1])
    _add_imported(files, roots)
    for name in list(files):
        folder = Path(name).parent
        while str(folder) != ".":  # a namespace package; as a regular one it is found in the copy alone
            files.setdefault(f"{folder}/__init__.py", b"")
            folder = folder.parent
    size = sum(map(len, files.values()))
    if size > _BYTES_LIMIT:
        raise InputError(
            f"the script's own modules must be at most {_BYTES_LIMIT / 1e6:.0f} MB, got {size / 1e6:.0f} MB"
        )
    return dict(sorted(files.items()))


def _add_imported(files: OwnFiles, roots: Iterable[Path]) -> None:
    """Add the modules below `roots` that these files import: a pool's processes may do so where the script does not."""
    waiting = list(files)
    while waiting:
        name = waiting.pop()
        tree = _parsed(files[name])
        for dotted in () if tree is None else _imported(tree, name):
            place = "/".join(dotted)
            places = (f"{place}.py", f"{place}/__init__.py")
            if dotted[0] in sys.stdlib_module_names or any(one in files for one in places):
                continue
            found = next(((one, root / one) for root in roots for one in places if (root / one).is_file()), None)
            if found is not None and not is_library_file(str(found[1])):
                files[found[0]] = _read(found[1])
                waiting.append(found[0])


def _imported(tree: ast.Module, name: str) -> Iterator[list[str]]:
    """The names, in parts, of what the module in the file `name` may import, wherever in it."""
    package = name.split("/")[:-1]
    for node in ast.walk(tree):
        found: list[list[str]] = []
        if isinstance(node, ast.Import):
            found = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level <= len(package):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module.split(".") if node.module else [])]
            found = [[*base, alias.name] for alias in node.names]
        yield from (parts[:count] for parts in found for count in range(1, len(parts) + 1))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _parsed(source: bytes) -> ast.Module | None:
    """None: it is no Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def is_guard(node: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and any(
        isinstance(one, ast.Name) and one.id == "__name__" for one in ast.walk(node.test)
    )


def without_work(source: bytes, lines: Iterable[int], starts: Iterable[int] = ()) -> bytes:
    """The script up to where it first hands something over. `lines`: of its top level, from which it does; `starts`: from
    which it starts processes.

    Lines keep their numbers.
    """
    marks, starting = set(lines), set(starts)
    gone: set[str] = set()  # names that a statement sets which is left out
    there: set[str] = set()  # names that are set: a constant that sets one anew comes after calls that read the first
    tree = _parsed(source)
    if tree is None:
        return source
    left_out: list[ast.stmt] = []
    working = False
    for node in tree.body:
        if is_definition(node) or is_guard(node):
            continue
        lines_of = range(node.lineno, _end(node) + 1)
        working = working or not marks.isdisjoint(lines_of)
        works = working or not starting.isdisjoint(lines_of)
        names = {name for name, _ in _bound(node)}
        if (works and not is_constant(node)) or _reads(node) & gone:
            gone |= names
            left_out.append(node)
        elif works and names & there:
            left_out.append(node)
        else:
            there |= names
    text = source.splitlines(keepends=True)
    for node in reversed(left_out):  # what stands before it in its line keeps its place
        beside = sum(one.lineno <= _end(node) and node.lineno <= _end(one) for one in tree.body)
        _blank(text, node, alone=beside == 1)
    return b"".join(text)


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _blank(text: list[bytes], node: ast.stmt, *, alone: bool) -> None:
    """Take a statement out of the lines; not `alone`: others stand there too, parted by semicolons."""
    last = _end(node)
    before, after = text[node.lineno - 1][: node.col_offset], text[last - 1][node.end_col_offset :]
    for number in range(node.lineno - 1, last):
        text[number] = b"\n"
    if not alone:
        text[last - 1] = before + b"pass" + after


def is_definition(node: ast.stmt) -> bool:
    """Whether a statement defines a function or a class, or imports."""
    return isinstance(node, _DEFINITIONS)


def is_constant(node: ast.stmt) -> bool:
    """Whether a statement gives a name a plain value."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    try:
        ast.literal_eval(node.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def guarded_names(source: bytes) -> dict[str, int]:
    """Functions and classes that are defined only under `if __name__ == "__main__":`, with their lines."""
    tree = _parsed(source)
    if tree is None:
        return {}
    free: set[str] = set()
    found: dict[str, int] = {}
    for node in tree.body:
        for one in ast.walk(node):
            if isinstance(one, ast.FunctionDef | ast.ClassDef):
                if is_guard(node):
                    found.setdefault(one.name, one.lineno)
                else:
                    free.add(one.name)
    return {name: line for name, line in found.items() if name not in free}


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (*_FUNCTIONS, ast.ClassDef)


def unset_names(source: bytes, copy: bytes, called: Iterable[str]) -> tuple[list[str], list[str]]:
    """What is needed and not set in the copy of a script, and what is set there to something else: a name is set under the
    script's guard, after it has begun to work, or by a function that only then is called.

    `called`: the script's functions and classes that were handed over, or stand in arguments and results. One text for each
    name and who needs it.
    """
    try:
        whole, kept = ast.parse(source).body, ast.parse(copy).body
    except (SyntaxError, ValueError, RecursionError):
        return [], []
    there = {name for node in kept if not is_guard(node) for name, _ in _bound(node)}
    if "*" in there:
        return [], []
    definitions = {node.name: node for node in kept if isinstance(node, _NAMED)}
    running = [node for node in kept if not is_guard(node) and not isinstance(node, _NAMED)]
    handed = _reached(called, definitions)
    reached = handed | _reached({name for node in running for name in _reads(node)}, definitions)
    set_there = {name for node in (*running, *(definitions[name] for name in reached)) for name, _ in _globals(node)}
    lines = {node.lineno for node in kept}
    work = [node for node in whole if is_guard(node) or node.lineno not in lines]
    late = {name: line for node in work for name, line in _bound(node)}
    unreached = [definitions[name] for name in {*definitions} - reached]
    for node in unreached:
        late |= dict(_globals(node))
    missing = {*late} - there - set_there
    changed = {name: f"sets anew at line {late[name]}" for name in ({*late} & there) - set_there - {*definitions}}
    for statement in (*work, *unreached):
        for name, line in _changes(statement):
            if name in there and name not in definitions:
                changed.setdefault(name, f"changes at line {line}")
    needs = [(name, _used(node, at_import=True) & missing) for name, node in definitions.items()]
    needs += [(name, _used(definitions[name]) & missing) for name in handed]
    found = sorted({(name, one) for name, used in needs for one in used})
    texts = [
        f"{name} (line {definitions[name].lineno}) needs {one}, which the script sets at line {late[one]} only when "
        "it runs itself: pass it as an argument, or set it further up"
        for name, one in found
    ]
    texts += [
        f"calls need {name}, which the script sets at line {late[name]} only when it runs itself: set it further up"
        for name in sorted({*called} & missing)
    ]
    others = sorted((name, one) for name in handed for one in _used(definitions[name]) & {*changed})
    return texts, [
        f"{name} (line {definitions[name].lineno}) reads {one}, which the script {changed[one]} when it runs itself: pass "
        "it as an argument"
        for name, one in others
    ]


def _reached(names: Iterable[str], definitions: Mapping[str, ast.stmt]) -> set[str]:
    """The definitions of these names, and those that they use."""
    waiting, seen = [name for name in names if name in definitions], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [one for one in _used(definitions[name]) if one in definitions]
    return seen


def _globals(node: ast.AST) -> Iterator[tuple[str, int]]:
    """The names that functions in a statement set as globals, and the lines."""
    for one in ast.walk(node):
        if isinstance(one, ast.Global):
            yield from ((name, one.lineno) for name in one.names)


_CHANGING = frozenset(
    (
        *("add", "append", "appendleft", "clear", "discard", "extend", "insert"),
        *("pop", "popitem", "remove", "setdefault", "sort", "update"),
    )
)


def _changes(node: ast.AST) -> Iterator[tuple[str, int]]:
    """The global names whose objects a statement changes in place, and the lines: `x[...] =`, `x.y =`, `x.update(...)`."""
    names = _used(node)
    for one in ast.walk(node):
        if isinstance(one, ast.Subscript | ast.Attribute) and not isinstance(one.ctx, ast.Load):
            changed = one.value
        elif isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in _CHANGING:
            changed = one.func.value
        else:
            continue
        if isinstance(changed, ast.Name) and changed.id in names:
            yield changed.id, changed.lineno


def _bound(node: ast.AST) -> Iterator[tuple[str, int]]:
    """The names that a statement of a module's top level sets, and the lines."""
    if isinstance(node, _NAMED):
        yield node.name, node.lineno
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], node.lineno
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id, node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _reads(node: ast.AST) -> set[str]:
    """The names that a statement reads."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}


def _used(node: ast.AST, *, at_import: bool = False) -> set[str]:
    """The global names that a definition reads: when its module is imported, or ever."""
    if at_import and isinstance(node, _FUNCTIONS):
        parts: list[ast.AST] = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        return {name for part in parts for name in _used(part)}
    if at_import and isinstance(node, ast.ClassDef):
        parts = [*node.decorator_list, *node.bases, *node.keywords]
        inner = {name for one in node.body for name in _used(one, at_import=isinstance(one, _NAMED))}
        own = {name for one in node.body for name, _ in _bound(one)}
        return {name for part in parts for name in _used(part)} | (inner - own)
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    arguments = {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
    own = {one.id for one in names if isinstance(one.ctx, ast.Store)} | arguments
    return {one.id for one in names if isinstance(one.ctx, ast.Load)} - own


def requirements_of(files: Mapping[str, bytes], names: Iterable[str]) -> list[str]:
    """The installed packages that these files import and these names come from, by pip's names."""
    tops = {name.partition(":")[0].partition(".")[0] for name in names}
    own = {name.partition("/")[0].removesuffix(".py") for name in files}
    for name, source in files.items():
        tree = _parsed(source)
        tops |= set() if tree is None else {dotted[0] for dotted in _imported(tree, name)}
    tops -= own | set(sys.stdlib_module_names) | {"lbench", "numpy", "msgspec"}
    if not tops:
        return []
    import importlib.metadata

    packages = importlib.metadata.packages_distributions()
    return sorted({packages[top][0] for top in tops if top in packages})


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The versions that are installed here."""
    from importlib import metadata

    found = {}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
