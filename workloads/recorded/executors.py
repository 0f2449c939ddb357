"""Hooks of concurrent.futures, and of loky, which is made like it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lbench.workloads.recorded.current import is_joblibs, note, note_start, quietly, recorder_now, worker_setup

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Recorder


def hook_futures(module: ModuleType) -> None:
    """A future's result is noted when the script looks at it."""
    note(module.Future, "result", "exception")


def hook_process_pools(module: ModuleType) -> None:
    """Note what is submitted to the module's process pool."""
    _executor(module.ProcessPoolExecutor, module)
    check: Any = module._check_system_limits  # the first that a new pool calls

    @functools.wraps(check)
    def _check_system_limits() -> Any:
        note_start()
        return check()

    vars(module)["_check_system_limits"] = _check_system_limits


def hook_thread_pools(module: ModuleType) -> None:
    """Note what is submitted to the module's thread pool."""
    _executor(module.ThreadPoolExecutor, module)


def _executor(kind: Any, module: ModuleType) -> None:
    original = kind.submit
    chunk = getattr(module, "_process_chunk", None)

    @functools.wraps(original)
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        recorder = recorder_now()
        if recorder is None or is_joblibs(fn):
            return original(self, fn, *args, **kwargs)
        numbers: list[int | None] = []
        chunked = chunk is not None and isinstance(fn, functools.partial) and fn.func is chunk
        with quietly():
            setup = worker_setup(self)
            if chunked:
                numbers = [recorder.task(fn.args[0], one, {}, setup) for one in args[0]]
            elif _is_in_context(fn):
                numbers = [recorder.task(fn.args[0], (*fn.args[1:], *args), fn.keywords | kwargs, setup)]
            else:
                numbers = [recorder.task(fn, args, kwargs, setup)]
        try:
            future = original(self, fn, *args, **kwargs)
        except BaseException:
            for number in numbers:
                recorder.failed(number, None)
            raise
        with quietly():
            _watch(recorder, numbers, chunked, future)
        return future

    kind.submit = submit
    note(kind, "shutdown")


def _watch(recorder: Recorder, numbers: Sequence[int | None], chunked: bool, future: Any) -> None:
    """Note a future's result before anybody can get it: what then happens to the result is not noted."""

    def noted(value: Any) -> None:
        with quietly():
            for number, one in zip(numbers, value if chunked else [value], strict=False):
                recorder.result(number, one)

    def set_result(value: Any) -> None:
        del future.set_result
        noted(value)
        future.set_result(value)

    def ended(future: Any) -> None:
        with quietly():
            if future.cancelled() or future._exception is not None:
                for number in numbers:
                    recorder.failed(number, None if future.cancelled() else future._exception)

    with future._condition:
        over = future._state not in ("PENDING", "RUNNING")
        if not over:
            future.set_result = set_result
    if over and future._exception is None:
        noted(future._result)
    future.add_done_callback(ended)


def _is_in_context(function: Any) -> bool:
    """Whether it is a call within a copy of the thread's context, as asyncio.to_thread makes it."""
    if not isinstance(function, functools.partial) or not function.args:
        return False
    inner = function.func
    return getattr(inner, "__name__", "") == "run" and type(getattr(inner, "__self__", None)).__name__ == "Context"
