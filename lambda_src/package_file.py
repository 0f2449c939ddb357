"""A package that was made before, as a file: what has to be so that it can be deployed."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lbench._version import __version__
from lbench.config.limits import limits
from lbench.config.manifest import read_manifest
from lbench.errors import InputError
from lbench.lambda_src.deploy import Package
from lbench.workloads.dataset import file_digest

__all__ = ["read_package"]


def read_package(path: Path, *, arch: str | None = None, python: str | None = None) -> Package:
    """The zip as what is to be deployed.

    Args:
        path: a file that `lbench package` has made.
        arch: what was asked for besides, which it must be for.
        python: the same.

    Raises:
        InputError: it is not a package, not what was asked for, or Lambda would not take it.
    """
    manifest = read_manifest(path)
    for option, asked, found in (("--arch", arch, manifest.arch), ("--python", python, manifest.python)):
        if asked is not None and asked != found:
            raise InputError(f"{path} is for {found}: omit {option}, or make another with `lbench package`")
    if manifest.python not in limits().python_versions:
        raise InputError(
            f"the Python of {path} must be one of {', '.join(limits().python_versions)}, got {manifest.python}"
        )
    if manifest.lbench_version != __version__:
        raise InputError(
            f"{path} was made by lbench {manifest.lbench_version}, this is {__version__}: "
            "make it again with `lbench package`"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            unzipped = sum(entry.file_size for entry in archive.infolist())
        digest = file_digest(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    most = limits().package_unzipped_max_bytes
    if unzipped > most:
        raise InputError(
            f"{path} must be at most {most / 2**20:.0f} MiB unzipped, got {unzipped / 2**20:.1f} MiB: "
            "make a smaller one with `lbench package --workload NAME`"
        )
    return Package(path=path, sha256=digest, zipped_bytes=path.stat().st_size, manifest=manifest)
