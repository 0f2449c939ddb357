"""Hooks of joblib.Parallel."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lbench.workloads.recorded.current import inside, new_call, quietly, reading, recorder_now

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Recorder


def hook_joblib(module: ModuleType) -> None:
    """Note the tasks of each call of Parallel, and its results."""
    original = module.Parallel.__call__

    @functools.wraps(original)
    def __call__(self: Any, iterable: Any) -> Any:
        recorder = recorder_now()
        if recorder is None:
            with _within_a_call():
                return original(self, iterable)
        numbers: list[int | None] = []

        def noted(item: Any) -> None:
            function, args, kwargs = item
            numbers.append(None)
            numbers[-1] = recorder.task(_unwrapped(function), args, kwargs, None, call)

        call = new_call(recorder)
        try:
            with _within_a_call():
                results = original(self, reading(iterable, noted))
        except BaseException as error:
            for number in numbers:
                recorder.failed(number, error)
            raise
        if isinstance(results, list):
            with quietly():
                for number, value in zip(numbers, results, strict=False):
                    recorder.result(number, value)
                recorder.taken()
            return results
        if getattr(self, "return_ordered", True):
            return _noted_results(recorder, numbers, results)
        for number in numbers:
            recorder.lost(number, "its results come in no order: use return_as='list'")
        return results

    module.Parallel.__call__ = __call__


@contextlib.contextmanager
def _within_a_call() -> Iterator[None]:
    """What is handed over meanwhile, in this thread, is part of a task."""
    inside.depth = getattr(inside, "depth", 0) + 1
    try:
        yield
    finally:
        inside.depth -= 1


def _noted_results(recorder: Recorder, numbers: list[int | None], results: Any) -> Iterator[Any]:
    try:
        for place in itertools.count():
            try:
                with _within_a_call():  # without workers each task runs when its result is asked for
                    value = next(results)
            except StopIteration:
                return
            with quietly():
                recorder.result(numbers[place], value)
                recorder.taken()
            yield value
    finally:
        results.close()


def _unwrapped(function: Any) -> Any:
    """The function inside what scikit-learn and joblib put around it."""
    if type(function).__name__ == "_FuncWrapper" and hasattr(function, "function"):
        return function.function
    return function
