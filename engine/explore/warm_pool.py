"""The open backends and the latest data sets of an interactive session, kept between its interactions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Self

import msgspec

from lbench.engine.backends.base import Backend, Outcome, Published
from lbench.engine.journal.events import Phase
from lbench.engine.journal.writer import Journal
from lbench.engine.model import DataInfo
from lbench.engine.plan.open_backend import open_backend, survey_choice
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params
from lbench.engine.plan.prepared_job import Prepared, keep
from lbench.workloads import registry
from lbench.workloads.model import Workload

__all__ = ["WarmPool"]

_DATA_SETS = 4  # kept at once
_DETACHED_S = 1.5  # for detached calls to end at the close; an engine whose launcher has exited has 2 s for all


class WarmPool:
    """Keeps backends by their choice, and data sets by their parameters; closes all of them at its end."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.detached: set[asyncio.Task[Outcome]] = set()  # calls that run on, of any backend
        self._folder = folder
        self._journal = journal
        self._stack = contextlib.AsyncExitStack()
        self._backends: dict[bytes, Backend] = {}
        self._data: OrderedDict[bytes, tuple[Any, DataInfo, Published]] = OrderedDict()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the backends and remove the data files."""
        try:
            await self._end_detached(_DETACHED_S if kind is None else 0.0)
        finally:
            try:
                await self._stack.aclose()
            finally:
                while self._data:
                    self._drop_oldest()

    async def _end_detached(self, limit_s: float) -> None:
        """Wait so long for the calls that nobody waits for, then cancel them."""
        if calls := set(self.detached):
            await asyncio.wait(calls, timeout=limit_s)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def backend(self, choice: BackendChoice, plan: Plan) -> tuple[Backend, float | None]:
        """Return the backend of a choice, and the seconds that opening it took (None: it was open).

        Raises:
            BackendError: it cannot be opened.
            InputError: something that it needs is missing on AWS.
        """
        key = msgspec.json.encode(choice)
        if (known := self._backends.get(key)) is not None:
            return known, None
        self._journal.write(Phase(f"starting {choice.label}"))
        self._journal.flush()
        started = time.monotonic()
        try:
            opened = await self._stack.enter_async_context(
                open_backend(choice, plan, await survey_choice(choice, plan, plan.tasks))
            )
        finally:
            self._journal.write(Phase(""))
        self._backends[key] = opened
        return opened, time.monotonic() - started

    def forget(self, choice: BackendChoice) -> None:
        """Forget a backend that has broken down: the next interaction opens it again."""
        self._backends.pop(msgspec.json.encode(choice), None)

    async def prepare(self, plan: Plan) -> Prepared:
        """Return the workload with its data, which are loaded unless one of the last interactions has them.

        Raises:
            InputError: the parameters or the data cannot be used.
        """
        description = registry.describe(plan.workload)
        params = resolve_params(plan)
        workload: Workload[Any] = await asyncio.to_thread(registry.load, description)
        if description.data is None:
            return Prepared(description, workload, params, None, None, None)
        key = msgspec.json.encode([plan.workload, plan.data, plan.encoding, workload.data_key(params)])
        if key in self._data:
            self._data.move_to_end(key)
        else:
            path = None if plan.data is None else Path(plan.data)
            loaded = await asyncio.to_thread(workload.load, params, path, plan.encoding)
            if loaded is None:
                return Prepared(description, workload, params, None, None, None)
            file = self._folder / f"data-{next(self._numbers)}.lbds"
            self._data[key] = await asyncio.to_thread(keep, loaded, file)
            if len(self._data) > _DATA_SETS:
                self._drop_oldest()
        return Prepared(description, workload, params, *self._data[key])

    def _drop_oldest(self) -> None:
        """Remove the oldest data set. Workers that have mapped it keep it; later workers get the newest."""
        _, (_, _, published) = self._data.popitem(last=False)
        with contextlib.suppress(OSError):
            published.path.unlink()
