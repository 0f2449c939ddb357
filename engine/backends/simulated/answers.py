"""Runs tasks once on this machine, for `--answers compute`: each result and its time are kept by the task's digest."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path
from typing import Self

from lbench.config.folders import write_whole
from lbench.engine.backends.base import Call, Failure, Published
from lbench.engine.backends.local.backend import open_local
from lbench.engine.backends.settings import SequentialSettings
from lbench.engine.backends.simulated.task_loads import Known
from lbench.engine.simulation.platform import Load
from lbench.errors import EncodingError
from lbench.workloads.encoding import decode, encode

__all__ = ["MOST_KEPT_BYTES", "Computer", "kept_tasks", "trim"]

MOST_KEPT_BYTES = 1 << 30  # of all kept results
_BLOCK_BYTES = 4096  # of a disk: a small file takes one
_SUFFIX = ".task"
_START = b"start"  # in place of a task: what starting a worker took


class Computer:
    """One warm worker process, and the results of all tasks that have ever run in one."""

    def __init__(
        self, cache: Path, *, preload: str, versions: str, deadline_s: float, core_ratio: float, threads: float
    ) -> None:
        """`versions`: a digest of the code; with it the results of another code are not found."""
        self._cache = cache
        self._worker = open_local("sequential", SequentialSettings(), 1, preload=preload)
        self._versions = versions
        self._deadline_s = deadline_s
        self._core_ratio = core_ratio
        self._threads = threads
        self._data = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def import_s(self) -> float:
        """What the worker took to start when the first one did."""
        if (kept := self._kept(_START)) is not None:
            return kept[0]
        found = [one.init_ms for one in self._worker.environments() if one.init_ms is not None]
        seconds = found[0] / 1000 if found else 0.0
        self._keep(_START, seconds, b"")
        return seconds

    async def __aenter__(self) -> Self:
        """Start the worker; calls of other threads run on this loop.

        Raises:
            BackendError: it cannot be started.
        """
        await self._worker.__aenter__()
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *error: object) -> None:
        """End the worker, and drop the oldest results where too many are kept."""
        await self._worker.__aexit__(*error)
        await asyncio.to_thread(trim, self._cache)

    async def publish(self, data: Published | None) -> None:
        """Have the worker map the data set.

        Raises:
            BackendError: it cannot be mapped.
        """
        self._data = "" if data is None else data.digest
        await self._worker.publish(data)

    def __call__(self, task: bytes) -> Known | Failure:
        """What an encoded task does, from another thread than the worker's loop; it blocks while the task runs.

        A task that keeps objects in the run's store runs each time, as others need them; its first time counts.
        """
        placeless = _placeless(task)
        seconds, result = self._kept(placeless or task) or (None, None)
        if seconds is None or placeless is not None:
            assert self._loop is not None
            call = Call(task=task, stage=0, index=0, attempt=0, deadline_s=self._deadline_s)
            outcome = asyncio.run_coroutine_threadsafe(self._worker.invoke(call), self._loop).result()
            if outcome.failure is not None:
                return outcome.failure
            assert outcome.result is not None and outcome.compute_ms is not None
            result = bytes(outcome.result)
            if seconds is None:
                seconds = outcome.compute_ms / 1000
                self._keep(placeless or task, seconds, result)
        assert result is not None
        return self._as_known(task, seconds, result)

    def _path(self, task: bytes) -> Path:
        key = hashlib.sha256(f"{self._versions} {self._data} ".encode() + task).hexdigest()
        return self._cache / f"{key}{_SUFFIX}"

    def _kept(self, task: bytes) -> tuple[float, bytes] | None:
        with contextlib.suppress(OSError, EncodingError, ValueError, TypeError):
            seconds, result = decode(self._path(task).read_bytes())
            return float(seconds), bytes(result)
        return None

    def _keep(self, task: bytes, seconds: float, result: bytes) -> None:
        with contextlib.suppress(OSError):
            write_whole(self._path(task), encode([seconds, result]))

    def _as_known(self, task: bytes, seconds: float, result: bytes) -> Known:
        load = Load(cpu_s=seconds * self._core_ratio, threads=self._threads)
        return Known(load, result, len(task), len(result))


def _placeless(task: bytes) -> bytes | None:
    """The task without the place of the run's store, which differs from run to run; None: it uses no store."""
    function, arguments = decode(task)
    places = [name for name, value in arguments.items() if isinstance(value, dict) and value.keys() == {"folder"}]
    if not places:
        return None
    return encode([function, arguments | dict.fromkeys(places, "the run's store")])


def kept_tasks(cache: Path) -> list[tuple[Path, int, float]]:
    """The kept results, the oldest first: path, bytes on disk, time of writing."""
    found = []
    with contextlib.suppress(OSError), os.scandir(cache) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    blocks = -(-about.st_size // _BLOCK_BYTES)
                    found.append((Path(entry.path), blocks * _BLOCK_BYTES, about.st_mtime))
    return sorted(found, key=lambda one: one[2])


def trim(cache: Path, most_bytes: int = MOST_KEPT_BYTES) -> None:
    """Remove the oldest results until the others take no more than so many bytes."""
    kept = kept_tasks(cache)
    over = sum(size for _, size, _ in kept) - most_bytes
    for path, size, _ in kept:
        if over <= 0:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        over -= size
