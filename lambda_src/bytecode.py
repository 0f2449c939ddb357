"""Compile a package's modules for its Python, so that no cold start has to.

Only an interpreter of the same minor version can. The files are marked never to be compared with their source
(PEP 552, unchecked hash): the times in a zip mean nothing, and a function's folder cannot be written.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lbench.config.pythons import Python
from lbench.errors import LbenchError

__all__ = ["compile_modules"]

_AT_LAMBDA = "/var/task/"  # the code's folder on Lambda, as tracebacks name it
_SCRIPT = f"""
import importlib.util, py_compile, sys
for name in sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split("\\0"):
    try:
        py_compile.compile(
            name, cfile=importlib.util.cache_from_source(name), dfile={_AT_LAMBDA!r} + name, doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except py_compile.PyCompileError:
        pass  # a template, or meant for another Python: its import would fail as well
"""
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def compile_modules(root: Path, parts: Mapping[str, Iterable[str]], python: Python) -> None:
    """Write the `__pycache__` files of the modules below `root`, given by part (the paths relative to `root`).

    One process per part, in sorted order: one module's state in the interpreter can change the next one's bytes (which
    strings were seen before), so the grouping must not depend on the machine.

    Raises:
        LbenchError: the interpreter fails.
    """
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {"PYTHONHASHSEED": "0"}

    def compile_part(names: Iterable[str]) -> None:
        listed = "\0".join(sorted(names)).encode("utf-8", "surrogateescape")
        if not listed:
            return
        done = subprocess.run(
            [python.executable, "-P", "-S", "-B", "-W", "ignore", "-c", _SCRIPT],
            input=listed,
            capture_output=True,
            cwd=root,
            env=environment,
            check=False,
        )
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise LbenchError(f"{python.executable} cannot compile the package: {reason[0]}")

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(compile_part, parts.values()):
            pass
