"""The steps of a job in the driver: it makes tasks, which are encoded, and merges results, which were decoded.

They run through `offload`, outside the event loop; their time is measured as the driver's.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lbench.errors import LbenchError, WorkloadError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Job, StageResults, Task
from lbench.workloads.objects import RUN_STORE, Place

__all__ = ["Answer", "EndedStage", "JobSteps", "Offload", "RunFailed", "inline", "offload_to_thread", "stage_results"]

T = TypeVar("T")
Offload = Callable[..., Awaitable[Any]]


class RunFailed(LbenchError):
    """The run has no answer: a task or the job itself failed for good."""


async def inline(function: Callable[..., T], *arguments: Any) -> T:
    """`offload` for virtual time: calls in place."""
    return function(*arguments)


async def offload_to_thread(function: Callable[..., T], *arguments: Any) -> T:
    """`offload` for real time: calls in a thread, so that the loop keeps timing responses."""
    return await asyncio.to_thread(function, *arguments)


@dataclass(slots=True, frozen=True)
class EndedStage:
    """A stage whose tasks have all returned."""

    results: list[Any]  # encoded
    costs_s: list[tuple[float, float]]  # of each task: computing, and the rest of its round trip
    elapsed_s: float
    places: int  # tasks that could run at once


@dataclass(slots=True, frozen=True)
class Answer:
    """What the job has returned."""

    value: Any


class JobSteps:
    """Runs a job step by step, and adds up the seconds of each kind of step."""

    def __init__(self, offload: Offload, store: Callable[[], Place] | None = None) -> None:
        """`store()` returns the run's place for objects; it is called when a task asks for it (`workloads.objects`)."""
        self.encode_s = 0.0
        self.decode_s = 0.0
        self.merge_s = 0.0
        self._offload = offload
        self._store = store

    async def advance(self, job: Job, ended: EndedStage | None) -> tuple[list[Task], list[bytes]] | Answer:
        """Run the job to its next stage, in one step outside the loop: decode the results, merge them, encode the tasks.

        Returns the tasks with their encoded form, or the answer. `ended`: the stage before; None: there was none.

        Raises:
            RunFailed: a result cannot be decoded, an argument cannot be encoded, or the job raised an exception or yielded
                something other than a list of tasks.
        """
        found: tuple[list[Task], list[bytes]] | Answer = await self._offload(self._step, job, ended)
        return found

    def _step(self, job: Job, ended: EndedStage | None) -> tuple[list[Task], list[bytes]] | Answer:
        results = None
        if ended is not None:
            results = stage_results(
                self._decode(ended.results), ended.costs_s, elapsed_s=ended.elapsed_s, places=ended.places
            )
        tasks, answer = self._advance(job, results)
        return Answer(answer) if tasks is None else (tasks, self._encode(tasks))

    def _advance(self, job: Job, results: list[Any] | None) -> tuple[list[Task] | None, Any]:
        started = time.perf_counter()
        try:
            tasks = next(job) if results is None else job.send(results)
        except StopIteration as end:
            return None, end.value
        except WorkloadError as error:
            raise RunFailed(str(error)) from error
        except BaseException as error:  # the job is a workload's code: it may raise anything
            raise RunFailed(f"the job itself failed: {type(error).__name__}: {error}") from error
        finally:
            self.merge_s += time.perf_counter() - started
        if not isinstance(tasks, list) or not all(isinstance(task, Task) for task in tasks):
            raise RunFailed(f"the job must yield lists of tasks, not {type(tasks).__name__}")
        return tasks, None

    def _encode(self, tasks: list[Task]) -> list[bytes]:
        started = time.perf_counter()
        try:
            return [encode([task.function, self._placed(task.arguments)]) for task in tasks]
        except LbenchError as error:
            raise RunFailed(f"a task's arguments cannot be sent: {error}") from None
        finally:
            self.encode_s += time.perf_counter() - started

    def _placed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Fill in the store's place where an argument asks for it."""
        if self._store is None or not any(value is RUN_STORE for value in arguments.values()):
            return arguments
        place = self._store()
        return {name: place if value is RUN_STORE else value for name, value in arguments.items()}

    def _decode(self, raw: list[Any]) -> list[Any]:
        started = time.perf_counter()
        try:
            return [decode(data) for data in raw]
        except LbenchError as error:
            raise RunFailed(f"a result cannot be read: {error}") from None
        finally:
            self.decode_s += time.perf_counter() - started


def stage_results(
    results: list[Any], costs_s: list[tuple[float, float]], *, elapsed_s: float, places: int
) -> StageResults:
    """The results of a stage with its times; `costs_s` holds for each task computing and the rest of its round trip."""
    computing, other = zip(*costs_s, strict=True) if costs_s else ((), ())
    return StageResults(
        results,
        elapsed_s=elapsed_s,
        task_s=statistics.median(computing) if computing else None,
        overhead_s=statistics.median(other) if other else None,
        places=places,
    )
