"""The interface of a workload: typed parameters, a job that yields stages of tasks, and a way to check its answer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Annotated, Any, Generic, Protocol, TypeVar

import msgspec

from lbench.errors import EncodingError

__all__ = [
    "Check",
    "Description",
    "Job",
    "Limits",
    "OwnCode",
    "Params",
    "Previewer",
    "StageResults",
    "Task",
    "Workload",
]


class Task:
    """One unit of work: a function and its arguments. It is a pure function of both.

    The function is sent by name: a registered one's ("mandelbrot.rows"), or a plain function of a user's own module,
    which is found under the same name wherever the module is.
    """

    __slots__ = ("arguments", "function")

    def __init__(self, function: str | Callable[..., Any], /, **arguments: Any) -> None:
        """Name what is to be called, and with what.

        Raises:
            EncodingError: the function has no name by which another process could find it.
        """
        self.function = function if isinstance(function, str) else _name_of(function)
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"Task({self.function!r}, {', '.join(self.arguments)})"


def _name_of(function: Any) -> str:
    if isinstance(function, functools.partial):
        raise EncodingError("Task(partial(...)): give the function itself, and the arguments to Task")
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not callable(function) or not isinstance(module, str) or not isinstance(name, str):
        raise EncodingError(f"Task({type(function).__name__}): give a function, as in Task(simulate, seed=1)")
    if "<" in name:  # <lambda>, <locals>
        what = "a lambda" if name.endswith("<lambda>") else f"{function.__name__}, which is defined inside a function,"
        raise EncodingError(f"{what} cannot be found by other processes: define it at the module's top level")
    if inspect.isclass(function) or getattr(function, "__self__", None) is not None:
        raise EncodingError(f"Task({name}): give a plain function of your module's top level")
    return f"{module}:{name}"


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every workload's parameters.

    A subclass adds annotated fields (`Annotated[int, Meta(ge=1, description="...")] = 100`); the command line, the
    forms and the JSON schema come from them. `tasks` and `seed` are the run's, set by `--tasks` and `--seed`.
    """

    # Of the first stage; None: the workload's own number. The most is what a machine's memory holds.
    tasks: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    seed: int = 1


class Check(msgspec.Struct, frozen=True):
    """Whether an answer is right, and by which comparison that was found."""

    ok: bool
    how: str


class Limits(msgspec.Struct, frozen=True):
    """The most that a job can ask for; None where it cannot be known (shown as 'no bound')."""

    tasks: int | None
    s3_requests: int | None = 0  # by the tasks' own code, each run once
    s3_each: int | None = None  # of these by one task; None: maybe all
    sure: bool = True  # whether it is so many tasks; else it may well end sooner, and nobody should wait for the last
    widest: int | None = None  # the most tasks of one stage; None: it may have them all
    largest_bytes: int | None = None  # of an argument or a result, encoded; None: not known

    @property
    def at_once(self) -> int | None:
        """The most tasks that may run at the same time."""
        return self.tasks if self.widest is None else self.widest


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
        self.task_s = task_s  # median of what a task computed; None: the backend does not report it
        self.overhead_s = overhead_s  # median of a task's round trip without computing, start and fetching of data
        self.places = places  # tasks that could run at once


class Previewer(Protocol):
    """Makes small pictures of a run's progress out of its results, one after the other."""

    def add(self, task: Task, result: Any) -> dict[str, Any] | None:
        """The block to show when `task` has returned `result`: encodable, at most 64 KB; None: nothing.

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

    def load(self, params: P, path: Path | None, encoding: str | None = None) -> Any:
        """The job's data as a `Dataset`, or None for a workload that needs none.

        `encoding`: of the file's text; None: UTF-8, or UTF-16 by its byte order mark.

        Raises:
            DataFileError: the file at `path` cannot be used.
        """
        if path is not None:
            from lbench.errors import InputError

            raise InputError("this workload reads no data: leave out --data")
        return None

    def job(self, params: P, data: Any) -> Job:
        """Yield stages (lists of tasks), receive their results in the tasks' order, return the answer.

        The engine sends back a `StageResults`; the job must work with any list.
        """
        raise NotImplementedError

    def data_key(self, params: P) -> dict[str, Any]:
        """The parameters that `load` depends on: all, unless overridden. Equal ones share one data set while exploring."""
        values: dict[str, Any] = msgspec.to_builtins(params)
        return values

    def interactive(self, params: P, places: int) -> tuple[P, P | None]:
        """For a person who waits: `params` with a number of tasks that suits `places` where none was asked for, and
        parameters of the same picture with far fewer points, to be computed and shown first; None: nothing is quicker.
        """
        return params, None

    def reference(self, params: P, data: Any) -> Any:
        """The answer by the obvious sequential way; None: there is none, answers are compared with each other."""
        return None

    @property
    def has_loop(self) -> bool:
        """Whether `loop` gives an answer."""
        return True

    def loop(self, params: P, data: Any) -> Any:
        """The answer in one piece and one process, as a person would write it without this program."""
        return self.reference(params, data)

    def reference_key(self, params: P) -> dict[str, Any]:
        """The parameters that the reference depends on: all but the number of tasks, unless overridden."""
        values: dict[str, Any] = msgspec.to_builtins(params)
        values.pop("tasks")
        return values

    def check(self, params: P, answer: Any, reference: Any) -> Check:
        """Whether `answer` is right. Either value has been through the encoding (tuples are lists)."""
        raise NotImplementedError

    def result(self, answer: Any) -> Any:
        """The part of an answer that is the result and not how it was computed: the recorded digest is of it."""
        return answer

    def summary(self, params: P, answer: Any) -> dict[str, Any]:
        """A few facts of the answer for the report (an accuracy, a count); JSON scalars."""
        return {}

    def previewer(self, params: P, data: Any) -> Previewer | None:
        """Draws a run while it goes on; None where there is nothing to draw."""
        return None

    def picture(self, params: P, answer: Any) -> Any:
        """The answer as an RGB array (height, width, 3) of uint8, or None where there is nothing to draw."""
        return None

    def limits(self, params: P) -> Limits:
        """The most tasks and S3 requests that the job can yield."""
        return Limits(tasks=None, s3_requests=None)

    def notes(self, params: P) -> list[str]:
        """Parameters that were changed or capped, one line each."""
        return []


class OwnCode(msgspec.Struct, frozen=True):
    """A user's own workload: which snapshot of its files runs, and what in it."""

    folder: str  # the snapshot, a folder in the cache named by its content
    file: str  # the module's file below it
    module: str  # dotted
    function: str  # the job
    digest: str  # SHA-256 (hex) of all files that are sent

    @property
    def pinned(self) -> str:
        """A workload's name (for `registry.describe`) that is just this snapshot, whatever becomes of the file."""
        return f"{self.folder}/{self.file}:{self.function}"


class Description(msgspec.Struct, frozen=True):
    """A workload's texts and parameters, without importing anything heavy."""

    name: str
    summary: str
    params: type[Params]
    implementation: str  # "package.module:NAME" of the Workload instance
    data: str | None = None  # what data it reads, in one line; None: none
    picture: bool = False
    # Packages that its tasks import besides numpy and msgspec, by pip's names.
    requirements: tuple[str, ...] = ()
    trial: dict[str, Any] = {}  # parameters of its smallest job, which shows whether a package works
    answers: bool = True  # False: its runs have no answer, and its tasks no code that could be packed
    code: OwnCode | None = None  # a user's own; None: one of lbench's

    @property
    def shown_params(self) -> type[msgspec.Struct]:
        """The parameters to list: of a plain function also `seed` and `tasks`, which are its own there."""
        shown: type[msgspec.Struct] = getattr(self.params, "__shown__", self.params)
        return shown

    @property
    def pinned(self) -> str:
        """The name by which another process finds exactly this workload."""
        return self.name if self.code is None else self.code.pinned

    @property
    def packed(self) -> str:
        """The name by which a package and a deployment identify the workload in them."""
        return self.name if self.code is None else f"{self.name}@{self.code.digest[:12]}"
