"""The files of lbench that go to Lambda, in a deployment package and in the emulator's code folder alike.

Of the package itself only its ground floor, all of `workloads`, and the handler: never what packs, deploys or drives.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from lbench.errors import LbenchError

__all__ = ["HANDLER", "files_digest", "shipped_sources"]

HANDLER = "lbench.lambda_src.handler.handle"
_FILES = ("__init__.py", "_version.py", "decoding.py", "errors.py", "folders.py")
_LAMBDA_SRC = ("__init__.py", "handler.py")


def shipped_sources() -> dict[str, bytes]:
    """The modules that ship, by their path below the function's root (`lbench/...`), sorted; none is imported.

    Raises:
        LbenchError: lbench is not installed whole.
        OSError: a file cannot be read.
    """
    home, side = _root("lbench"), _root("lbench.lambda_src")
    files = {f"lbench/{name}": (home / name).read_bytes() for name in _FILES}
    files |= {f"lbench/lambda_src/{name}": (side / name).read_bytes() for name in _LAMBDA_SRC}
    root = _root("lbench.workloads")
    files |= {f"lbench/workloads/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.py")}
    return dict(sorted(files.items()))


def files_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) of the files' names and contents, in the mapping's order."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _root(package: str) -> Path:
    """Where a package's files are, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise LbenchError(f"{package} is not installed: install lbench again")
    return Path(next(iter(found.submodule_search_locations)))
