"""What a workload is: typed parameters, a job that yields stages of tasks, and a way to check its answer."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Annotated, Any, Generic, Protocol, TypeVar

import msgspec

__all__ = ["Check", "Description", "Job", "Limits", "Params", "Previewer", "StageResults", "Task", "Workload"]


class Task:
    """One unit of work: a registered function's name and its arguments. It is a pure function of both."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: str, /, **arguments: Any) -> None:
        self.function = function
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"Task({self.function!r}, {', '.join(self.arguments)})"


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every workload's parameters.

    A subclass adds annotated fields (`Annotated[int, Meta(ge=1, description="...")] = 100`); the command line, the
    forms and the JSON schema come from them. `tasks` and `seed` are the run's, set by `--tasks` and `--seed`.
    """

    tasks: Annotated[int, msgspec.Meta(ge=1)] | None = None  # tasks of the first stage; None: the workload's own number
    seed: int = 1


class Check(msgspec.Struct, frozen=True):
    """Whether an answer is right, and by which comparison that was found."""

    ok: bool
    how: str


class Limits(msgspec.Struct, frozen=True):
    """The most that a job can ask for; None where it cannot be known (shown as 'no bound')."""

    tasks: int | None
    s3_requests: int | None = 0


class StageResults(list[Any]):
    """A stage's results in its tasks' order, as a job gets them, with what the stage was measured to cost.

    For a job that chooses its next stage's tasks by it; a run's answer must not depend on it.
    """

    def __init__(
        self,
        results: Iterable[Any],
        *,
        elapsed_s: float,
        task_s: float | None,
        overhead_s: float | None,
        places: int,
    ) -> None:
        super().__init__(results)
        self.elapsed_s = elapsed_s  # from the first dispatch to the last result
        self.task_s = task_s  # median of what a task computed; None: the backend does not tell
        self.overhead_s = overhead_s  # median of a task's round trip without computing, start and fetching of data
        self.places = places  # tasks that could run at once


class Previewer(Protocol):
    """Makes small pictures of a run's progress out of its results, one after the other."""

    def add(self, task: Task, result: Any) -> dict[str, Any] | None:
        """What to show when `task` has returned `result`: an encodable block of at most 64 KB, or None.

        Rows of a picture: `{"kind": "rows", "width", "height", "first", "step", "values": uint8 (rows, <= 256)}`, 255
        inside the set. A point of a curve: `{"kind": "curve", "label", "x", "y"}`. A scatter, each in place of the
        one before: `{"kind": "scatter", "iteration": from 1, "points": float32 (n, 2), "labels": uint16 (n,) the
        place of each point's centroid, "centroids": float32 (k, 2), "inertia": float64, one an iteration so far}`.
        """
        ...


P = TypeVar("P", bound=Params)
Job = Generator[list[Task], list[Any], Any]


class Workload(Generic[P]):
    """A kind of problem. Subclasses live in `<workload>/job.py`; a user's generator function is wrapped in one."""

    def load(self, params: P, path: Path | None) -> Any:
        """The job's data as a `Dataset`, or None for a workload that needs none.

        Raises:
            DataFileError: the file at `path` cannot be used.
        """
        if path is not None:
            from lbench.errors import InputError

            raise InputError("this workload reads no data: leave out --data")
        return None

    def job(self, params: P, data: Any) -> Job:
        """Yield stages (lists of tasks), receive their results in the tasks' order, return the answer.

        What the engine sends back is a `StageResults`; any list must do.
        """
        raise NotImplementedError

    def reference(self, params: P, data: Any) -> Any:
        """The answer by the obvious sequential way; None: there is none, answers are compared with each other."""
        return None

    def reference_key(self, params: P) -> dict[str, Any]:
        """The parameters that the reference depends on: all but the number of tasks, unless overridden."""
        values: dict[str, Any] = msgspec.to_builtins(params)
        values.pop("tasks")
        return values

    def check(self, params: P, answer: Any, reference: Any) -> Check:
        """Whether `answer` is right. Either value has been through the encoding (tuples are lists)."""
        raise NotImplementedError

    def summary(self, params: P, answer: Any) -> dict[str, Any]:
        """A few facts of the answer worth telling (an accuracy, a count); JSON scalars."""
        return {}

    def previewer(self, params: P, data: Any) -> Previewer | None:
        """What draws a run while it goes on; None where there is nothing to draw."""
        return None

    def picture(self, params: P, answer: Any) -> Any:
        """The answer as an RGB array (height, width, 3) of uint8, or None where there is nothing to draw."""
        return None

    def limits(self, params: P) -> Limits:
        """The most tasks and S3 requests that the job can yield."""
        return Limits(tasks=None, s3_requests=None)

    def notes(self, params: P) -> list[str]:
        """What was changed or capped on the user's behalf, one line each."""
        return []


class Description(msgspec.Struct, frozen=True):
    """What can be told of a workload without importing anything heavy."""

    name: str
    summary: str
    params: type[Params]
    implementation: str  # "package.module:NAME" of the Workload instance
    data: str | None = None  # what data it reads, in one line; None: none
    picture: bool = False
    # What its tasks import besides numpy and msgspec, which every package has; names as pip knows them.
    requirements: tuple[str, ...] = ()
    trial: dict[str, Any] = {}  # parameters of its smallest job, which shows whether a package works
