"""Leaves out parts of a wheel that no package needs: tests, stubs, headers, sources of what is already compiled.

Shared libraries stay as they are: stripping those in `*.libs` breaks OpenBLAS. Licences stay too, as they ask for.
"""

from __future__ import annotations

from pathlib import PurePosixPath

__all__ = ["keep"]

# Of the libraries that lbench itself packs it is known that nothing imports their tests; others' may be imported.
_KNOWN = frozenset({"joblib", "msgspec", "narwhals", "numpy", "scipy", "sklearn", "threadpoolctl"})
_TESTS = frozenset({"tests", "test", "_precompute"})
_SUFFIXES = frozenset({".pyi", ".pyx", ".pxd", ".pxi", ".c", ".cpp", ".h", ".hpp", ".f", ".f90", ".a", ".lib", ".pyc"})
_NAMES = frozenset({"py.typed", "conftest.py", "meson.build"})
_RECORDS = frozenset({"RECORD", "INSTALLER", "direct_url.json", "REQUESTED", "RECORD.jws"})  # of what is pruned


def keep(name: str) -> bool:
    """Whether the file of a wheel, by its path in there, goes into a package."""
    path = PurePosixPath(name)
    top = path.parts[0]
    if top.endswith(".dist-info"):
        return path.name not in _RECORDS and "sboms" not in path.parts
    if top.endswith(".data"):
        # purelib and platlib belong beside the rest (placed in archive.py); scripts, headers, data do not
        return len(path.parts) > 2 and path.parts[1] in ("purelib", "platlib") and keep("/".join(path.parts[2:]))
    folders = path.parts[:-1]
    if top in _KNOWN and _TESTS & set(folders):
        return False
    if "__pycache__" in folders or (folders and top in _TESTS):  # beside a library they are no part of it
        return False
    return path.suffix not in _SUFFIXES and path.name not in _NAMES
