"""The description of a recording, and a snapshot of its files for the processes of a run."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import msgspec

from lbench.errors import InputError, count_text
from lbench.workloads.model import Description, Params
from lbench.workloads.own.describe import Kept, described, keep
from lbench.workloads.own.importer import MARKER, Marker
from lbench.workloads.own.inspect_process import Inspection
from lbench.workloads.own.snapshot import Gathered, files_digest, is_module, module_of, snapshot
from lbench.workloads.recorded.folder import Manifest, find, names, read_manifest

__all__ = ["PREFIX", "absolute", "describe_all", "describe_recording"]

PREFIX = "recorded:"


def absolute(name: str) -> str:
    """The name for a process in another folder, or with another data folder.

    Raises:
        InputError: there is no such recording.
    """
    return f"{PREFIX}{find(name.removeprefix(PREFIX))}"


def describe_all() -> list[Description]:
    """The recordings that are there; nothing is copied, so they can be listed and not run."""
    found = []
    for name in names():
        with contextlib.suppress(InputError):
            manifest = read_manifest(find(name), whole=False)
            shown = f"{PREFIX}{name}"
            found.append(Description(name=shown, summary=_summary(manifest), params=Params, implementation=""))
    return found


def _summary(manifest: Manifest) -> str:
    most = max(manifest.functions, key=manifest.functions.__getitem__)
    stages = len(manifest.stages)
    summary = f"{count_text(manifest.tasks, 'call')} of {manifest.script}"
    summary += f" in {stages} stages" if stages > 1 else ""
    return f"{summary}, most of {most.rpartition(':')[2]}"


def describe_recording(name: str) -> Description:
    """The workload `recorded:NAME`.

    Raises:
        InputError: there is no such recording, or it cannot be used.
    """
    folder = find(name.removeprefix(PREFIX))
    manifest = read_manifest(folder)
    gathered = _gather(folder, manifest)
    copy = snapshot(gathered)
    # What stands for a job's name: one for each recording, as several may have the same files.
    where = hashlib.sha256(f"{folder}\0{manifest.digest}".encode()).hexdigest()
    function = f"recorded_{where[:16]}"
    inspection = Inspection(
        kind="recorded",
        summary=_summary(manifest),
        recording=str(folder),
        most_tasks=manifest.tasks,
        widest=max(manifest.stages),
    )
    keep(
        copy,
        manifest.main,
        function,
        Kept(inspection, gathered.requirements, gathered.digest, f"{PREFIX}{manifest.name}"),
    )
    return described(str(copy), manifest.main, function)


def _gather(folder: Path, manifest: Manifest) -> Gathered:
    """The recording's files, as a user's own are sent."""
    code = folder / "code"
    try:
        files = {
            path.relative_to(code).as_posix(): path.read_bytes()
            for path in sorted(code.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
    except OSError as error:
        raise InputError(f"{folder.name}: the recording cannot be read: {error.strerror}") from None
    for name, digest in manifest.code.items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != digest:
            what = "is not what was recorded" if name in files else "is missing"
            raise InputError(f"{folder.name}: code/{name} {what}: copy the recording again, or record the script again")
    marker = Marker(modules=sorted(map(module_of, filter(is_module, files))), names=manifest.names, argv=manifest.argv)
    files[MARKER] = msgspec.json.encode(marker)
    files = dict(sorted(files.items()))
    return Gathered(files, tuple(manifest.requirements), files_digest(files))
