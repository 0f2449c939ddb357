"""The folder of lbench's code that environments run, made once per content: the deployment package without libraries.

Environments use the libraries of the running interpreter.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import py_compile
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lbench.config.lambda_files import files_digest, shipped_sources
from lbench.errors import BackendError, LbenchError
from lbench.folders import check_private, make_private

__all__ = ["code_folder"]


def code_folder(files: Mapping[str, bytes] | None = None) -> tuple[Path, str]:
    """The folder `$XDG_CACHE_HOME/lbench/code/<digest>` and the digest (SHA-256, hex) of its sources.

    It is built beside its place and renamed into it, so that two processes may build it at once. An existing
    folder is checked: sources by their bytes, compiled files by the source's hash in them.

    `files`: the files of a user's workload, by their path in the folder.

    Raises:
        BackendError: the cache folder cannot be written.
    """
    try:
        sources = dict(sorted({**shipped_sources(), **(files or {})}.items()))
    except LbenchError as error:
        raise BackendError(str(error)) from None
    digest = files_digest(sources)
    folder = _cache() / "lbench" / "code" / digest
    try:
        make_private(folder.parent)
        if not _intact(folder, sources):
            _build(folder, sources)
        _compile(folder, sources)
    except OSError as error:
        raise BackendError(
            f"the function's code cannot be put into {folder.parent} ({error.strerror}): "
            "set XDG_CACHE_HOME to a folder that can be written"
        ) from None
    return folder, digest


def _cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given and Path(given).is_absolute() else Path.home() / ".cache"


def _intact(folder: Path, sources: dict[str, bytes]) -> bool:
    try:
        check_private(folder)
        there = (path for path in folder.rglob("*") if path.suffix != ".pyc" and path.is_file())
        present = {path.relative_to(folder).as_posix() for path in there}
        return present == set(sources) and all((folder / name).read_bytes() == sources[name] for name in sources)
    except OSError:
        return False


def _build(folder: Path, sources: dict[str, bytes]) -> None:
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        for name, content in sources.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _compile(made, sources)
        for path in (made, *made.rglob("*")):  # whatever the umask: environments may have a user of their own
            path.chmod(0o755 if path.is_dir() else 0o644)
        for _ in range(2):
            try:
                made.rename(folder)
                return
            except OSError:  # another process has made it meanwhile, or it is damaged
                if _intact(folder, sources):
                    return
                with contextlib.suppress(FileNotFoundError):
                    folder.rename(made / ".damaged")  # removed with the folder that is not needed
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _compile(folder: Path, sources: dict[str, bytes]) -> None:
    """Write compiled files that are never compared with their source, so that a cold start reads no source."""
    for name, content in sources.items():
        if not name.endswith(".py"):
            continue
        target = Path(importlib.util.cache_from_source(str(folder / name)))
        # PEP 552: magic number, flags (1: by hash, not checked), the source's hash
        header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(content)
        with contextlib.suppress(OSError), target.open("rb") as file:
            if file.read(16) == header:
                continue
        try:
            py_compile.compile(
                str(folder / name),
                cfile=str(target),
                dfile=name,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError:
            sys.stderr.write(f"lbench: {name} does not compile; its import will say why\n")
