"""The digest of what answers depend on besides parameters: our own code and the libraries that compute."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from importlib import metadata, util
from pathlib import Path

from lbench.workloads.model import OwnCode

__all__ = ["code_digest"]


def code_digest(own: OwnCode | None = None) -> str:
    """SHA-256 over the workloads' sources, the versions of numpy and scikit-learn, Python and the architecture.

    `own`: a user's own workload, whose files are then in it too.
    """
    digest = _code_digest()
    return digest if own is None else hashlib.sha256(f"{digest} {own.digest}".encode()).hexdigest()


@functools.cache
def _code_digest() -> str:
    digest = hashlib.sha256()
    spec = util.find_spec("lbench.workloads")
    assert spec is not None and spec.submodule_search_locations is not None
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for library in ("numpy", "scikit-learn"):
        digest.update(f"{library} {metadata.version(library)}\0".encode())
    digest.update(f"python {sys.version_info[:2]} {platform.machine()}".encode())
    return digest.hexdigest()
