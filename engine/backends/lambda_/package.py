"""A deployment package for the emulator's environments: the very zip, its own libraries, its own Python."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from lbench.config.folders import cache_folder
from lbench.config.manifest import Manifest, canonical_name, host_architecture, read_manifest
from lbench.config.pythons import find_python
from lbench.errors import BackendError, InputError
from lbench.workloads import registry
from lbench.workloads.dataset import file_digest
from lbench.workloads.textfile import why_no_file

__all__ = ["Packaged", "look_at_package", "open_package", "why_not_here"]

# Lambda's Python offers only this besides the code: the runtime's client and its imports, nothing of this Python.
_RUNTIME = ("awslambdaric", "snapshot-restore-py", "simplejson")


class Packaged(msgspec.Struct, frozen=True):
    """A package that this machine can run."""

    path: Path
    digest: str  # SHA-256 of the zip, hex
    manifest: Manifest
    python: str  # the interpreter
    libraries: tuple[str, ...]  # folders on the path besides the code

    @property
    def note(self) -> str:
        held = ", ".join(f"{name} {version}" for name, version in sorted(self.manifest.packages.items()))
        return f"code and libraries come from {self.path.name}: Python {self.manifest.python}, {held}"


def why_not_here(manifest: Manifest) -> str | None:
    """Why this machine cannot run a package; None: it can."""
    if sys.platform != "linux":
        return "its libraries are made for Linux, and this machine runs another system"
    if manifest.arch != host_architecture():
        return f"it is for {manifest.arch}, but this machine is {host_architecture() or 'neither x86_64 nor arm64'}"
    if find_python(manifest.python) is None:
        return f"it is for Python {manifest.python}, which is not installed here"
    return None


def look_at_package(path: str, workload: str | None) -> Manifest:
    """Read the manifest of a package, and check that it runs here and has what the workload needs.

    Raises:
        InputError: it cannot; the message says what to do.
    """
    file = Path(path)
    if file.suffix != ".zip":
        raise InputError(f"package must be a .zip of `lbench package -o`, got {path}")
    if file.exists() and not file.is_file():
        raise InputError(f"{path}: {why_no_file(file)}")
    manifest = read_manifest(file)
    reason = why_not_here(manifest)
    if reason is not None:
        remedy = "make another with `lbench package --python --arch`"
        if sys.platform != "linux":
            remedy = "run it on Linux, or -b emulated without package=, with the libraries of this machine"
        raise InputError(f"{path} cannot run here: {reason}; {remedy}")
    if workload is not None:
        described = registry.describe(workload)
        again = f"make it again with `lbench package --workload {workload}`"
        missing = [need for need in described.requirements if canonical_name(need) not in manifest.packages]
        if missing:
            raise InputError(f"{path} has no {', '.join(missing)}, which {described.name} needs: {again}")
        if described.code is not None and described.packed not in manifest.own:
            other = any(name.partition("@")[0] == described.name for name in manifest.own)
            what = f"another version of {described.name}" if other else f"no {described.name} in it"
            raise InputError(f"{path} has {what}: {again}")
    return manifest


def open_package(path: str) -> Packaged:
    """Prepare a package to be run.

    Raises:
        BackendError: it cannot run here, or the runtime's client cannot be copied.
    """
    try:
        manifest = look_at_package(path, None)
    except InputError as error:
        raise BackendError(str(error)) from None
    python = find_python(manifest.python)
    assert python is not None
    try:
        file = Path(path).resolve()
        return Packaged(file, file_digest(file), manifest, python.executable, (str(_runtime_folder(manifest.python)),))
    except OSError as error:
        raise BackendError(f"cannot prepare {path} ({error.strerror}): is there space in the cache folder?") from None


def _runtime_folder(minor: str) -> Path:
    """The runtime's client in a folder of its own; made once per version.

    It is copied from this Python: its modules work with all Pythons of Lambda, and where its C++ part does not load, the
    emulator's own client replaces that part.
    """
    found = []
    for name in _RUNTIME:
        try:
            found.append(importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            continue  # the emulator has a client of its own
    label = "-".join([f"py{minor}", *(f"{one.name}-{one.version}" for one in found)])
    folder = cache_folder("runtimes") / label
    if folder.is_dir():
        return folder
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        for one in found:
            for file in one.files or ():
                if ".." in file.parts or "__pycache__" in file.parts or file.suffix not in (".py", ".so"):
                    continue
                target = made / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(one.locate_file(file)), target)
        made.chmod(0o755)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process has made it meanwhile
                raise
        return folder
    finally:
        shutil.rmtree(made, ignore_errors=True)
