"""Runs tasks once on this machine, for `--answers compute`: each result and its time are kept by the task's digest."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self

from lbench.config.folders import write_whole
from lbench.engine.backends.base import Call, Failure, Published
from lbench.engine.backends.local.backend import open_local
from lbench.engine.backends.settings import SequentialSettings
from lbench.engine.backends.simulated.loads import Known
from lbench.engine.simulation.platform import Load
from lbench.errors import EncodingError
from lbench.workloads.encoding import decode, encode

__all__ = ["Computer"]

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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker."""
        await self._worker.__aexit__(kind, error, trace)

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
        return self._cache / f"{key}.task"

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
