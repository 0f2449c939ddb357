"""Asks a process of its own for a sample (`process`), and keeps it for the next time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from lbench._version import __version__
from lbench.config.folders import cache_folder, write_whole
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.machine.fingerprint import fingerprint
from lbench.engine.processes.child import answering
from lbench.engine.sampling.model import SAMPLE_PREFIX, Request, Sample, Verdict
from lbench.errors import InputError, LbenchError
from lbench.workloads import registry

__all__ = ["LIMIT_S", "take_sample"]

LIMIT_S = 6.0  # of the tasks, where nobody asks for another
_PATIENCE_S = 180.0  # for workers that start, data that are made: beyond the time limit of the tasks themselves


def take_sample(
    workload: str,
    params: dict[str, object],
    *,
    tasks: int | None = None,
    seed: int = 1,
    data: str | None = None,
    encoding: str | None = None,
    limit_s: float = LIMIT_S,
    watch: bool = False,
    fresh: bool = True,
) -> Sample:
    """Run a sample of the job's tasks on this machine, for at most about `limit_s` seconds of computing.

    Args:
        workload: a name, or a path.
        params: as a person typed them.
        tasks: of the first stage.
        seed: of the job.
        data: the data file's path.
        encoding: of its text.
        limit_s: the time limit.
        watch: note what tasks do besides computing.
        fresh: measure, also where an equal sample is kept.

    Raises:
        InputError: the job cannot be sampled: it fails, never ends, or its data cannot be read.
        LbenchError: the process ended without an answer.
    """
    described = registry.describe(workload)
    machine = _machine()
    asked = [
        described.name,
        code_digest(described.code),
        params,
        tasks,
        seed,
        _file(data),
        encoding,
        watch,
        machine,
        "waits",
    ]
    key = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:32]
    kept = cache_folder("samples") / f"{key}.json"
    if not fresh and (found := _kept(kept, limit_s)) is not None:
        return found
    folder = Path(tempfile.mkdtemp(prefix=SAMPLE_PREFIX))
    try:
        request = Request(
            workload=described.pinned,
            params=params,
            tasks=tasks,
            seed=seed,
            data=data,
            encoding=encoding,
            folder=str(folder),
            limit_s=limit_s,
            watch=watch,
        )
        verdict = asyncio.run(_ask(request))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if verdict.sample is None:
        raise InputError(f"{described.name}: {verdict.error}")
    sample = msgspec.structs.replace(verdict.sample, workload=described.name, machine=machine)
    with contextlib.suppress(OSError):  # else it is measured again next time
        write_whole(kept, msgspec.json.encode(sample))
    return sample


def _kept(path: Path, limit_s: float) -> Sample | None:
    """The sample that is kept, if it is whole or had as much time."""
    try:
        sample = msgspec.json.decode(path.read_bytes(), type=Sample)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return sample if sample.complete or sample.limit_s >= limit_s else None


def _file(data: str | None) -> list[object]:
    if data is None:
        return []
    try:
        stat = Path(data).stat()
    except OSError as error:
        raise InputError(f"--data {data}: {error.strerror}") from None
    return [data, stat.st_size, stat.st_mtime_ns]


def _machine() -> str:
    """What times depend on, in one line."""
    found = fingerprint()
    versions = [f"{name} {found.packages[name]}" for name in ("numpy", "scikit-learn") if name in found.packages]
    cores = f"{found.usable_cores:g} core{'s' * (found.usable_cores != 1)}" if found.usable_cores else ""
    return ", ".join(
        filter(None, [found.cpu_model, cores, f"Python {found.python}", f"lbench {__version__}", *versions])
    )


async def _ask(request: Request) -> Verdict:
    file = Path(request.folder) / "request.json"
    file.write_bytes(msgspec.json.encode(request))
    argv = [sys.executable, "-P", "-m", "lbench.engine.sampling.process", str(file)]
    async with answering(argv) as (child, reader):
        try:
            async with asyncio.timeout(3 * request.limit_s + _PATIENCE_S):
                output = await reader.read()
                code = await child.wait()
        except TimeoutError:
            raise InputError("the job did not end in time: does it ever end? --for SECONDS gives it longer") from None
    try:
        return msgspec.json.decode(output, type=Verdict)
    except msgspec.MsgspecError:
        killed = " (the kernel does that when memory runs out)" if code == -9 else ""
        raise LbenchError(f"the process that runs the sample ended with exit code {code}{killed}") from None
