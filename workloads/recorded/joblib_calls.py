"""Hooks of joblib.Parallel."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lbench.workloads.recorded.current import inside, new_call, quietly, recorder_now

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Recorder


def hook_joblib(module: ModuleType) -> None:
    """Note the tasks of each call of Parallel, and its results."""
    original = module.Parallel.__call__

    @functools.wraps(original)
    def __call__(self: Any, iterable: Any) -> Any:
        recorder = recorder_now()
        if recorder is None:
            inside.depth = getattr(inside, "depth", 0) + 1
            try:
                return original(self, iterable)
            finally:
                inside.depth -= 1
        numbers: list[int | None] = []

        def noted() -> Iterator[Any]:
            for function, args, kwargs in iterable:
                with quietly():
                    numbers.append(recorder.task(_unwrapped(function), args, kwargs, None, call))
                yield function, args, kwargs

        call = new_call(recorder)
        given = noted()
        if hasattr(iterable, "__len__"):  # joblib asks for it
            for _ in given:
                pass
            given = iterable
        inside.depth = 1
        try:
            results = original(self, given)
        except BaseException as error:
            for number in numbers:
                recorder.failed(number, error)
            raise
        finally:
            inside.depth = 0
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


def _noted_results(recorder: Recorder, numbers: list[int | None], results: Any) -> Iterator[Any]:
    try:
        for place, value in enumerate(results):
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
