"""The calls of one run: the events in turn, until there are as many samples as were asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from lbench.errors import InputError
from lbench.workloads.function import FunctionParams
from lbench.workloads.function.payloads import read_payloads
from lbench.workloads.model import Check, Job, Limits, StageResults, Task, Workload

__all__ = ["INVOKE", "WORKLOAD"]

INVOKE = "function.invoke"  # a backend sends `payload` as it is; no task function of that name exists
_TRIES = 3  # with force_cold: calls for each sample, at most


class FunctionWorkload(Workload[FunctionParams]):
    """Calls without an answer. A result is whether the call is a sample, and says nothing of what came back."""

    def job(self, params: FunctionParams, data: Any) -> Job:
        """One stage; with force_cold a stage is a batch, which begins with a change to the function."""
        if params.tasks is not None:
            raise InputError("--tasks: give the number of calls with -p invocations=N")
        events = itertools.cycle(read_payloads(params.payload))  # here, before the run's clock
        return self._batches(params, events) if params.force_cold else self._all(params, events)

    def _all(self, params: FunctionParams, events: Iterator[bytes]) -> Job:
        yield _calls(events, params.invocations)
        return None

    def _batches(self, params: FunctionParams, events: Iterator[bytes]) -> Job:
        missing, left, size = params.invocations, _TRIES * params.invocations, 1
        while missing and left:
            results = yield _calls(events, min(size, missing, left))
            left -= len(results)
            missing -= sum(bool(sample) for sample in results)
            if isinstance(results, StageResults):
                size = results.places
        return None

    def check(self, params: FunctionParams, answer: Any, reference: Any) -> Check:
        """Never called: there is no answer."""
        return Check(ok=True, how="nothing to compare")

    def limits(self, params: FunctionParams) -> Limits:
        """As many as were asked for; with force_cold so many more as may have to be discarded."""
        forced = params.force_cold
        return Limits(tasks=params.invocations * (_TRIES if forced else 1), sure=not forced)


def _calls(events: Iterator[bytes], count: int) -> list[Task]:
    return [Task(INVOKE, payload=next(events)) for _ in range(count)]


WORKLOAD = FunctionWorkload()
