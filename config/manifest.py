"""The manifest of a deployment package: a small JSON file at the root of the zip.

It is written by the packager and read by whoever runs the zip: for which Python and processor it was made, and what is
in it, so that a mismatch is reported before anything is started or uploaded.
"""

from __future__ import annotations

import platform
import re
import zipfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lbench.config.zip_entries import ZIP_DAMAGE, read_entry
from lbench.decoding import decode_json
from lbench.errors import InputError

__all__ = ["MANIFEST", "Architecture", "Manifest", "OwnPacked", "canonical_name", "host_architecture", "read_manifest"]

MANIFEST = "lbench-package.json"
_LARGEST = 1_000_000  # bytes; ours have a few hundred

Architecture = Literal["x86_64", "arm64"]


class OwnPacked(msgspec.Struct, frozen=True):
    """A user's own workload in a package."""

    digest: str  # SHA-256 (hex) of its files
    file: str  # its module's, below the function's root
    module: str
    function: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The package's own description, so that a zip needs nothing beside it."""

    format: Literal["lbench.package"] = "lbench.package"
    version: int = 1
    lbench_version: str
    handler: str
    python: Annotated[str, Meta(pattern=r"^3\.\d+$")]  # "3.13": the only minor version that its libraries work with
    arch: Architecture
    workloads: tuple[str, ...]  # those whose libraries are in it (`Description.packed`)
    packages: dict[str, str]  # libraries and their versions
    compiled: str | None  # the interpreter whose .pyc are in it ("CPython 3.13.0"); None: sources only
    own: dict[str, OwnPacked] = {}  # of users, by their names in `workloads`

    @property
    def preload(self) -> str:
        """What environments import while they start (the handler's LBENCH_PRELOAD); empty: nothing."""
        if len(self.workloads) != 1:
            return ""
        name = self.workloads[0]
        return f"{self.own[name].module}:{self.own[name].function}" if name in self.own else name


def canonical_name(requirement: str) -> str:
    """The distribution that a requirement ("Scikit_learn>=1.6") names, in the form in which names are compared (PEP 503)."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else requirement


def host_architecture() -> Architecture | None:
    """This machine's processor in Lambda's words; None where Lambda has none like it."""
    machine = platform.machine().lower()
    if machine in ("arm64", "aarch64"):
        return "arm64"
    return "x86_64" if machine in ("x86_64", "amd64") else None


def read_manifest(path: Path) -> Manifest:
    """What the zip at `path` says of itself.

    Raises:
        InputError: it cannot be read, or `lbench package` has not made it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(MANIFEST)
            if entry.file_size > _LARGEST:
                raise InputError(f"{path}: its {MANIFEST} is too large: make the package again with `lbench package`")
            return decode_json(read_entry(archive, entry, _LARGEST), Manifest)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: make a package with `lbench package -o {path.name}`") from None
    except OSError as error:
        if error.filename is not None:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
        raise InputError(f"{path} is not an lbench package: make one with `lbench package`") from None
    except (KeyError, msgspec.MsgspecError, *ZIP_DAMAGE):
        raise InputError(f"{path} is not an lbench package: make one with `lbench package`") from None
