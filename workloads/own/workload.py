"""A user's generator and the functions beside it as a `Workload`.

What they raise becomes one line with its place; the whole traceback goes to standard error (the engine's log). A user's
code can fail a run, and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lbench.errors import DataFileError, LbenchError, WorkloadError
from lbench.workloads.dataset import Dataset
from lbench.workloads.model import Check, Description, Job, Limits, Params, Previewer, Task, Workload
from lbench.workloads.own.call import call_with, offered_to
from lbench.workloads.own.describe import limits_of
from lbench.workloads.own.each import EachParams, combinations, fixed_of, grid_of, specs_of
from lbench.workloads.own.importer import enter, find_own, import_own
from lbench.workloads.own.tracebacks import one_line, user_traceback
from lbench.workloads.signatures import parameters_of

__all__ = ["OwnWorkload", "load_own"]

_EMPTY_STAGES = 1000  # in a row; more means that the job never ends
_STAGES = 100_000


def load_own(description: Description) -> Workload[Any]:
    """The workload; imports the user's module from its snapshot.

    Raises:
        InputError: the snapshot is gone.
        WorkloadError: the module does not import here.
    """
    code = description.code
    assert code is not None
    enter(Path(code.folder))
    module = _guarded(f"{code.file} cannot be imported", import_own, code.module)
    if issubclass(description.params, EachParams):
        return FunctionWorkload(description, module)
    return OwnWorkload(description, module)


def _guarded(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the user's code; whatever it raises becomes a `WorkloadError`."""
    try:
        return function(*arguments)
    except StopIteration:
        raise  # of `next` and `send`
    except BaseException as error:  # the border of the user's code: it may raise anything, sys.exit too
        raise _workload_error(what, error) from None


def _workload_error(what: str, error: BaseException) -> WorkloadError:
    sys.stderr.write(user_traceback(error))
    return WorkloadError(f"{what}: {one_line(error)}")


class OwnWorkload(Workload[Params]):
    """`job` and what the module has of `load`, `reference`, `check`, `summary`, `preview`, `picture`, `limits`."""

    def __init__(self, description: Description, module: Any) -> None:
        assert description.code is not None
        self._description = description
        self._name = description.code.function
        self._job = getattr(module, self._name)
        self._module = module
        self._limits: dict[str, Limits] = {}

    def _own(self, name: str) -> Callable[..., Any] | None:
        found = getattr(self._module, name, None)
        return found if callable(found) else None

    def _call(self, name: str, params: Params, **offered: Any) -> Any:
        function = self._own(name)
        assert function is not None
        return _guarded(f"{name}() failed", call_with, function, self._arguments(params) | offered)

    def _arguments(self, params: Params) -> dict[str, Any]:
        return offered_to(self._job, {name: getattr(params, name) for name in params.__struct_fields__})

    # -- Workload

    def load(self, params: Params, path: Path | None, encoding: str | None = None) -> Any:
        """What the module's `load` returns: a dict of arrays, or a `Dataset`."""
        self.limits(params)  # computed here, in a thread: it may be slow
        if self._own("load") is None:
            return super().load(params, path, encoding)
        data = self._call("load", params, path=None if path is None else str(path), encoding=encoding)
        if data is None or isinstance(data, Dataset):
            return data
        if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
            raise DataFileError(f"load must return a dict of arrays by name, got {_a(data)}")
        arrays = _guarded("load() failed", lambda: {name: np.asarray(value) for name, value in data.items()})
        rows = max((len(array) for array in arrays.values() if array.ndim), default=0)
        source = path.name if path is not None else f"made by load() of {self._description.name}"
        return Dataset(arrays, source=source, rows=rows, columns=len(arrays))

    def job(self, params: Params, data: Any) -> Job:
        """The user's generator; what it yields is checked before anything is sent."""
        offered = self._arguments(params) | ({} if data is None else {"data": data})
        what = f"{self._name}() failed"
        steps = _guarded(what, call_with, self._job, offered)
        known: set[str] = set()
        most = self.limits(params).tasks
        stages = empty = count = 0
        results: list[Any] | None = None
        while True:
            try:
                stage = _guarded(what, steps.send, results)
            except StopIteration as end:
                if not stages:
                    raise WorkloadError(f"{self._name}() never yielded a task: yield [Task(...), ...]") from None
                if end.value is None:
                    raise WorkloadError(f"{self._name}() returned nothing: return its answer") from None
                return end.value
            stages += 1
            tasks = self._checked_stage(stage, known)
            count += len(tasks)
            if most is not None and count > most:  # the run's highest cost was computed from it
                raise WorkloadError(f"{self._name}() has yielded {count:,} tasks; limits() allows at most {most:,}")
            empty = 0 if tasks else empty + 1
            if empty > _EMPTY_STAGES or stages > _STAGES:
                stages_text = f"{_EMPTY_STAGES:,} stages without a task" if empty else f"{_STAGES:,} stages"
                raise WorkloadError(f"{self._name}() has yielded {stages_text} and no answer: does it ever end?")
            results = yield tasks

    def _checked_stage(self, stage: Any, known: set[str]) -> list[Task]:
        if not isinstance(stage, list | tuple):
            raise WorkloadError(f"{self._name}() yielded {_a(stage)}: yield a list of tasks, as in yield [Task(...)]")
        for task in stage:
            if not isinstance(task, Task):
                raise WorkloadError(f"{self._name}() yielded a list with {_a(task)}: put only Task(...) into it")
            if task.function not in known:
                self._find(task)
                known.add(task.function)
        return list(stage)

    def _find(self, task: Task) -> None:
        """Find the task's function as other processes will, before anything is sent."""
        if ":" not in task.function:
            raise WorkloadError(f"Task({task.function!r}): give it the function itself, as in Task(simulate, seed=1)")
        _, wants_data = _guarded("a task cannot be sent", find_own, task.function)
        if wants_data and "data" in task.arguments:
            raise WorkloadError(f"{task!r}: its argument data is what load() returns: leave it out of the Task")

    def reference(self, params: Params, data: Any) -> Any:
        return None if self._own("reference") is None else self._call("reference", params, data=data)

    @property
    def has_loop(self) -> bool:
        """Whether the module has a `reference`."""
        return self._own("reference") is not None

    def reference_key(self, params: Params) -> dict[str, Any]:
        values: dict[str, Any] = msgspec.to_builtins(params)
        return values

    def check(self, params: Params, answer: Any, reference: Any) -> Check:
        """By the module's `check(answer, reference)`; without one, equal to the last bit."""
        if self._own("check") is None:
            return Check(ok=same(answer, reference), how="compared to the last bit with reference()")
        verdict = self._call("check", params, answer=answer, reference=reference)
        if isinstance(verdict, Check):
            return verdict
        if isinstance(verdict, bool | np.bool_):
            return Check(ok=bool(verdict), how="by the workload's own check()")
        raise WorkloadError(f"check must return True or False, got {_a(verdict)}")

    @property
    def checks(self) -> bool:
        """Whether one answer can be judged right or wrong."""
        return self._own("reference") is not None or self._own("check") is not None

    def summary(self, params: Params, answer: Any) -> dict[str, Any]:
        if self._own("summary") is None:
            return {}
        facts = self._call("summary", params, answer=answer)
        try:
            return dict(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(facts, enc_hook=_plain))))
        except (TypeError, ValueError, msgspec.MsgspecError):
            raise WorkloadError("summary must return a dict of numbers and texts by name") from None

    def previewer(self, params: Params, data: Any) -> Previewer | None:
        if self._own("preview") is None:
            return None
        return _OwnPreviewer(lambda **offered: self._call("preview", params, **offered))

    def picture(self, params: Params, answer: Any) -> Any:
        if self._own("picture") is None:
            return None
        drawn = self._call("picture", params, answer=answer)
        if (
            not isinstance(drawn, np.ndarray)
            or drawn.dtype != np.uint8
            or drawn.ndim != 3
            or drawn.shape[2] != 3
            or not drawn.size
        ):
            raise WorkloadError("picture must return an array of (height, width, 3) numbers of uint8, none of them 0")
        return drawn

    def notes(self, params: Params) -> list[str]:
        """Whether --tasks is ignored."""
        if params.tasks is None or "tasks" in parameters_of(self._job):
            return []
        return [f"--tasks {params.tasks} is ignored: {self._name}() has no parameter named tasks"]

    def limits(self, params: Params) -> Limits:
        """What the module's `limits` returns, computed once for given parameters, in a process of its own."""
        key = repr(params)
        if key not in self._limits:
            try:
                self._limits[key] = limits_of(self._description, params)
            except (LbenchError, OSError):
                self._limits[key] = Limits(tasks=None, s3_requests=0)  # its error was reported before the start
        return self._limits[key]


class FunctionWorkload(OwnWorkload):
    """A plain function: a task for each value of its parameters; the answer is the list of all results, in that order."""

    def _own(self, name: str) -> Callable[..., Any] | None:
        """Of a job's companions only `load`: the others know a job's answer and parameters."""
        return super()._own(name) if name == "load" and self._description.data is not None else None

    def _arguments(self, params: Params) -> dict[str, Any]:
        assert isinstance(params, EachParams)
        return fixed_of(params)

    @property
    def _task_name(self) -> str:
        return self._description.implementation

    def _calls(self, params: Params) -> Iterator[dict[str, Any]]:
        assert isinstance(params, EachParams)
        if not params.each:
            raise WorkloadError(f"{self._name}() is a plain function: give --each NAME=VALUES, a task for each")
        fixed = fixed_of(params)
        return (fixed | one for one in combinations(grid_of(specs_of(params), params.each)))

    def job(self, params: Params, data: Any) -> Job:
        tasks = [Task(self._task_name, **arguments) for arguments in self._calls(params)]
        self._find(tasks[0])
        results = yield tasks
        return list(results)

    @property
    def has_loop(self) -> bool:
        """A list comprehension."""
        return True

    def loop(self, params: Params, data: Any) -> Any:
        """The calls one after the other."""
        function, wants_data = find_own(self._task_name)
        offered = {"data": data} if wants_data else {}
        return [function(**arguments, **offered) for arguments in self._calls(params)]

    def notes(self, params: Params) -> list[str]:
        if params.tasks is None or "tasks" in parameters_of(self._job):
            return []
        return [
            f"--tasks {params.tasks} is ignored: there is a task for each value (--batch hands several over together)"
        ]


class _OwnPreviewer:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._failed = False

    def add(self, task: Task, result: Any) -> dict[str, Any] | None:
        """What the user's function makes of it; None after its first failure."""
        if self._failed:
            return None
        try:
            block = self._call(task=task, result=result)
        except WorkloadError:
            self._failed = True
            return None
        return block if isinstance(block, dict) else None


def same(answer: Any, reference: Any) -> bool:
    """Whether two values are equal, inside arrays, lists and dicts too; NaN equals NaN."""
    if isinstance(answer, np.ndarray) or isinstance(reference, np.ndarray):
        one, other = np.asarray(answer), np.asarray(reference)
        return bool(one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    if isinstance(answer, dict) and isinstance(reference, dict):
        return answer.keys() == reference.keys() and all(same(answer[name], reference[name]) for name in answer)
    if isinstance(answer, list) and isinstance(reference, list):
        return len(answer) == len(reference) and all(map(same, answer, reference))
    return bool(answer == reference) or (answer != answer and reference != reference)


def _a(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError
