"""Hooks of multiprocessing's pools."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lbench.workloads.recorded.current import (
    inside,
    is_joblibs,
    new_call,
    note,
    note_start,
    quietly,
    reading,
    recorder_now,
    worker_setup,
)

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Recorder


def hook_pools(module: ModuleType) -> None:
    """Note what map, apply and imap of the module's pools are given, and their results."""
    pool: Any = module.Pool
    map_async, apply_async = pool._map_async, pool.apply_async

    @functools.wraps(map_async)
    def noted_map(
        self: Any,
        func: Any,
        iterable: Any,
        mapper: Any,
        chunksize: Any = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> Any:
        recorder = recorder_now()
        if recorder is None or self._state != "RUN" or is_joblibs(func):
            return map_async(self, func, iterable, mapper, chunksize, callback, error_callback)
        numbers: list[int | None] = []
        star, setup, call = mapper is module.starmapstar, worker_setup(self), new_call(recorder)

        def noted(item: Any) -> None:
            numbers.append(None)
            numbers[-1] = recorder.task(func, item if star else (item,), {}, setup, call)

        return map_async(
            self,
            func,
            reading(iterable, noted),
            mapper,
            chunksize,
            functools.partial(_mapped, recorder, numbers, callback),
            functools.partial(_map_failed, recorder, numbers, error_callback),
        )

    @functools.wraps(apply_async)
    def noted_apply(
        self: Any,
        func: Any,
        args: Any = (),
        kwds: Any = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> Any:
        if kwds is None:
            kwds = {}
        recorder = recorder_now()
        if recorder is None or self._state != "RUN" or is_joblibs(func):
            return apply_async(self, func, args, kwds, callback, error_callback)
        numbers: list[int | None] = []
        with quietly():
            numbers = [recorder.task(func, args, kwds, worker_setup(self))]
        return apply_async(
            self,
            func,
            args,
            kwds,
            functools.partial(_applied, recorder, numbers, callback),
            functools.partial(_map_failed, recorder, numbers, error_callback),
        )

    pool._map_async, pool.apply_async = noted_map, noted_apply
    for name in ("imap", "imap_unordered"):
        setattr(pool, name, _lazy_map(vars(pool)[name]))
    _iterators(module.IMapIterator)
    _iterators(module.IMapUnorderedIterator)
    note(module.ApplyResult, "get", "wait")
    note(module.IMapIterator, "next", "__next__")
    note(pool, "close", "join", "terminate")


def hook_processes(module: ModuleType) -> None:
    """Note where the script starts processes: a pool's, a manager's, its own."""
    note(module.BaseProcess, "start", called=note_start)


def _mapped(
    recorder: Recorder, numbers: Sequence[int | None], callback: Callable[[Any], Any] | None, values: Any
) -> None:
    with quietly():
        for number, value in zip(numbers, values, strict=False):
            recorder.result(number, value)
    if callback is not None:
        callback(values)


def _applied(
    recorder: Recorder, numbers: Sequence[int | None], callback: Callable[[Any], Any] | None, value: Any
) -> None:
    with quietly():
        for number in numbers:
            recorder.result(number, value)
    if callback is not None:
        callback(value)


def _map_failed(
    recorder: Recorder, numbers: Sequence[int | None], callback: Callable[[Any], Any] | None, error: BaseException
) -> None:
    with quietly():
        for number in numbers:
            recorder.failed(number, error)
    if callback is not None:
        callback(error)


class _Lazily:
    """The tasks of an imap: their numbers, as they are read, and how many stand in a chunk."""

    def __init__(self, recorder: Recorder, chunksize: int) -> None:
        self.recorder = recorder
        self.call = new_call(recorder)
        self.chunksize = chunksize
        self.numbers: list[int | None] = []


def _lazy_map(original: Any) -> Any:
    @functools.wraps(original)
    def imap(self: Any, func: Any, iterable: Any, chunksize: int = 1) -> Any:
        recorder = recorder_now()
        if recorder is None or self._state != "RUN" or not isinstance(chunksize, int) or chunksize < 1:
            return original(self, func, iterable, chunksize)
        tasks = _Lazily(recorder, chunksize)
        setup = worker_setup(self)

        def noted(item: Any) -> None:
            tasks.numbers.append(None)
            tasks.numbers[-1] = recorder.task(func, (item,), {}, setup, tasks.call)

        inside.iterator = tasks
        try:
            return original(self, func, reading(iterable, noted), chunksize)
        finally:
            inside.iterator = None

    return imap


def _iterators(kind: Any) -> None:
    """An iterator of an imap knows its tasks before any result can come."""
    if "__init__" in vars(kind):
        begin = kind.__init__

        @functools.wraps(begin)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            self._lbench_tasks = getattr(inside, "iterator", None)
            begin(self, *args, **kwargs)

        kind.__init__ = __init__
    put = kind._set

    @functools.wraps(put)
    def _set(self: Any, i: int, obj: Any) -> Any:
        with quietly():
            _lazy_results(self._lbench_tasks, i, obj)
        return put(self, i, obj)

    kind._set = _set


def _lazy_results(tasks: _Lazily | None, index: int, outcome: Any) -> None:
    if tasks is None:
        return
    numbers = tasks.numbers[index * tasks.chunksize : (index + 1) * tasks.chunksize]
    success, value = outcome
    values = value if tasks.chunksize > 1 else [value]
    for place, number in enumerate(numbers):
        if success:
            tasks.recorder.result(number, values[place])
        else:
            tasks.recorder.failed(number, value)
