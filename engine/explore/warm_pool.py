"""What an exploring session keeps between its interactions: open backends, and the data sets used last."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from lbench.engine.backends.base import Backend, Published
from lbench.engine.backends.local.backend import LocalBackend
from lbench.engine.explore.detached import Abandoning
from lbench.engine.journal.events import Phase
from lbench.engine.journal.writer import Journal
from lbench.engine.model import DataInfo
from lbench.engine.plan.open_backend import look_at, open_backend
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params
from lbench.engine.plan.prepared_job import Prepared, keep
from lbench.workloads import registry
from lbench.workloads.model import Workload

__all__ = ["Warm"]

_DATA_SETS = 4  # kept at once
_LEFT_S = 1.5  # for abandoned calls to end when everything is closed; an engine that nobody waits for has 2 s


class Warm:
    """Backends by their choice, and data sets by what they depend on. All is closed with it."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._stack = contextlib.AsyncExitStack()
        self._backends: dict[bytes, Backend] = {}
        self._data: OrderedDict[bytes, tuple[Any, DataInfo, Published]] = OrderedDict()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the backends; no data file is left."""
        left = [backend for backend in self._backends.values() if isinstance(backend, Abandoning)]
        try:
            await asyncio.gather(*(backend.settle(_LEFT_S if kind is None else 0.0) for backend in left))
        finally:
            try:
                await self._stack.aclose()
            finally:
                while self._data:
                    self._drop_oldest()

    async def backend(self, choice: BackendChoice, plan: Plan) -> tuple[Backend, float | None]:
        """The backend of a choice, and the seconds that opening it took (None: it was open).

        Raises:
            BackendError: it cannot be opened.
            InputError: what it needs on AWS is not there.
        """
        key = msgspec.json.encode(choice)
        if (known := self._backends.get(key)) is not None:
            return known, None
        self._journal.write(Phase(f"starting {choice.label}"))
        self._journal.flush()
        started = time.monotonic()
        try:
            opened: Backend = await self._stack.enter_async_context(
                open_backend(choice, plan, await look_at(choice, plan, plan.tasks))
            )
        finally:
            self._journal.write(Phase(""))
        if isinstance(opened, LocalBackend):
            opened.gentle = True
        else:
            opened = cast(Backend, Abandoning(opened))  # it has all of one, by `__getattr__`
        self._backends[key] = opened
        return opened, time.monotonic() - started

    def forget(self, choice: BackendChoice) -> None:
        """It has broken down: the next interaction opens it anew."""
        self._backends.pop(msgspec.json.encode(choice), None)

    async def prepare(self, plan: Plan) -> Prepared:
        """The workload with its data, loaded where they are not those of one of the last interactions.

        Raises:
            InputError: parameters or data that cannot be used.
        """
        description = registry.describe(plan.workload)
        params = resolve_params(plan)
        workload: Workload[Any] = await asyncio.to_thread(registry.load, description)
        if description.data is None:
            return Prepared(description, workload, params, None, None, None)
        key = msgspec.json.encode([plan.workload, plan.data, workload.data_key(params)])
        if key in self._data:
            self._data.move_to_end(key)
        else:
            path = None if plan.data is None else Path(plan.data)
            loaded = await asyncio.to_thread(workload.load, params, path)
            if loaded is None:
                return Prepared(description, workload, params, None, None, None)
            file = self._folder / f"data-{next(self._numbers)}.lbds"
            self._data[key] = await asyncio.to_thread(keep, loaded, file)
            if len(self._data) > _DATA_SETS:
                self._drop_oldest()
        return Prepared(description, workload, params, *self._data[key])

    def _drop_oldest(self) -> None:
        """Workers that have the file mapped keep it; one that starts later is given the newest."""
        _, (_, _, published) = self._data.popitem(last=False)
        with contextlib.suppress(OSError):
            published.path.unlink()
