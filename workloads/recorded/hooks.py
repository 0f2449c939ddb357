"""Notes what a process hands to executors, pools and joblib; everything still happens as it would.

Each method is replaced by one that notes and calls the original. A module is changed when it is imported, so that a script
that uses none of them imports none of them. Calls from within a task (in a thread of a pool, or of a sequential joblib) are
part of that task and not noted. Where only the moment counts, as in `Future.result`, a descriptor notes it: it leaves no
frame in the traceback of what such a call raises.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Call, Recorder

__all__ = ["record_into", "start"]

_recorder: Recorder | None = None
_inside = threading.local()  # .depth: this thread is within a call that is noted as a whole; .iterator: of an imap


def start(folder: str) -> None:
    """Record this process into a folder, from now on until it ends."""
    place = Path(folder)
    _install()
    _Lazy.folder = place
    atexit.register(_end)
    _clean_tracebacks()


class _Lazy:
    """The recorder is made at the first call: a script that hands nothing over imports nothing more."""

    folder: Path | None = None
    pid = 0


def record_into(recorder: Recorder | None) -> Recorder | None:
    """Record into this one; None: no more. Returns the one before."""
    global _recorder
    _install()
    if _Lazy.folder is not None:
        with _quietly():
            _begin()  # else the next call would take this one's place
    before, _recorder = _recorder, recorder
    return before


def _now() -> Recorder | None:
    """The recorder, where a call that is made now is to be noted."""
    if _Lazy.folder is not None:
        with _quietly():
            _begin()
    depth: int = getattr(_inside, "depth", 0)
    return None if depth or _recorder is None or not _recorder.active or _is_worker() else _recorder


def _begin() -> None:
    """Make the recorder, at the first call; not in a process that was forked before it."""
    global _recorder
    folder, _Lazy.folder = _Lazy.folder, None
    import os

    from lbench.workloads.recorded.recorder import Recorder

    if folder is not None and os.getpid() == _Lazy.pid:
        _recorder = Recorder(folder)


def _is_worker() -> bool:
    """Whether this thread runs a pool's tasks."""
    thread = threading.current_thread()
    threads = sys.modules.get("concurrent.futures.thread")
    if threads is not None and getattr(thread, "_target", None) is threads._worker:
        return True
    dummy = sys.modules.get("multiprocessing.dummy")
    return dummy is not None and isinstance(thread, dummy.DummyProcess)


def _end() -> None:
    if _recorder is not None and _recorder.active:
        with contextlib.suppress(Exception):
            _recorder.close()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Nothing that goes wrong here reaches the script."""
    with contextlib.suppress(Exception):
        yield


class _Noted:
    """A method whose call means that the script looks at results."""

    def __init__(self, original: Any) -> None:
        self._original = original
        self.__doc__ = getattr(original, "__doc__", None)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is not None and _recorder is not None:
            _recorder.taken()
        return self._original.__get__(owner, kind)


def _note(owner: Any, *names: str) -> None:
    for name in names:
        if name in vars(owner):
            setattr(owner, name, _Noted(vars(owner)[name]))


# -- concurrent.futures


def _futures(module: ModuleType) -> None:
    _note(module.Future, "result", "exception")


def _executor(kind: Any, module: ModuleType) -> None:
    original = kind.submit
    chunk = getattr(module, "_process_chunk", None)

    @functools.wraps(original)
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        recorder = _now()
        if recorder is None or _is_joblibs(fn):
            return original(self, fn, *args, **kwargs)
        numbers: list[int | None] = []
        chunked = chunk is not None and isinstance(fn, functools.partial) and fn.func is chunk
        with _quietly():
            setup = _setup(self)
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
        with _quietly():
            _watch(recorder, numbers, chunked, future)
        return future

    kind.submit = submit
    _note(kind, "shutdown")


def _watch(recorder: Recorder, numbers: Sequence[int | None], chunked: bool, future: Any) -> None:
    """Note a future's result before anybody can get it: what then happens to the result is not noted."""

    def noted(value: Any) -> None:
        with _quietly():
            for number, one in zip(numbers, value if chunked else [value], strict=False):
                recorder.result(number, one)

    def set_result(value: Any) -> None:
        del future.set_result
        noted(value)
        future.set_result(value)

    def ended(future: Any) -> None:
        with _quietly():
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


def _call(recorder: Recorder) -> Call:
    from lbench.workloads.recorded.recorder import Call

    return Call(recorder)


def _setup(pool: Any) -> tuple[Any, Any] | None:
    """What each worker of a pool runs first."""
    initializer = getattr(pool, "_initializer", None)
    return None if initializer is None else (initializer, getattr(pool, "_initargs", ()))


def _is_joblibs(function: Any) -> bool:
    """Whether joblib hands it over: its calls are noted where the script makes them."""
    return (type(function).__module__ or "").startswith("joblib.") or (
        getattr(function, "__module__", None) or ""
    ).startswith("joblib.")


def _is_in_context(function: Any) -> bool:
    """Whether it is a call within a copy of the thread's context, as asyncio.to_thread makes it."""
    if not isinstance(function, functools.partial) or not function.args:
        return False
    inner = function.func
    return getattr(inner, "__name__", "") == "run" and type(getattr(inner, "__self__", None)).__name__ == "Context"


def _processes(module: ModuleType) -> None:
    _executor(module.ProcessPoolExecutor, module)


def _threads(module: ModuleType) -> None:
    _executor(module.ThreadPoolExecutor, module)


# -- multiprocessing


def _pools(module: ModuleType) -> None:
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
        recorder = _now()
        if recorder is None or self._state != "RUN" or _is_joblibs(func):
            return map_async(self, func, iterable, mapper, chunksize, callback, error_callback)
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        numbers: list[int | None] = []
        with _quietly():
            star, setup, call = mapper is module.starmapstar, _setup(self), _call(recorder)
            numbers = [recorder.task(func, one if star else (one,), {}, setup, call) for one in iterable]
        return map_async(
            self,
            func,
            iterable,
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
        recorder = _now()
        if recorder is None or self._state != "RUN" or _is_joblibs(func):
            return apply_async(self, func, args, kwds, callback, error_callback)
        numbers: list[int | None] = []
        with _quietly():
            numbers = [recorder.task(func, args, kwds, _setup(self))]
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
    _note(module.ApplyResult, "get", "wait")
    _note(module.IMapIterator, "next", "__next__")
    _note(pool, "close", "join", "terminate")


def _mapped(
    recorder: Recorder, numbers: Sequence[int | None], callback: Callable[[Any], Any] | None, values: Any
) -> None:
    with _quietly():
        for number, value in zip(numbers, values, strict=False):
            recorder.result(number, value)
    if callback is not None:
        callback(values)


def _applied(
    recorder: Recorder, numbers: Sequence[int | None], callback: Callable[[Any], Any] | None, value: Any
) -> None:
    with _quietly():
        for number in numbers:
            recorder.result(number, value)
    if callback is not None:
        callback(value)


def _map_failed(
    recorder: Recorder, numbers: Sequence[int | None], callback: Callable[[Any], Any] | None, error: BaseException
) -> None:
    with _quietly():
        for number in numbers:
            recorder.failed(number, error)
    if callback is not None:
        callback(error)


class _Lazily:
    """The tasks of an imap: their numbers, as they are read, and how many stand in a chunk."""

    def __init__(self, recorder: Recorder, chunksize: int) -> None:
        self.recorder = recorder
        self.call = _call(recorder)
        self.chunksize = chunksize
        self.numbers: list[int | None] = []


def _lazy_map(original: Any) -> Any:
    @functools.wraps(original)
    def imap(self: Any, func: Any, iterable: Any, chunksize: int = 1) -> Any:
        recorder = _now()
        if recorder is None or self._state != "RUN" or not isinstance(chunksize, int) or chunksize < 1:
            return original(self, func, iterable, chunksize)
        tasks = _Lazily(recorder, chunksize)
        setup = _setup(self)

        def noted() -> Iterator[Any]:
            for item in iterable:
                with _quietly():
                    tasks.numbers.append(recorder.task(func, (item,), {}, setup, tasks.call))
                yield item

        _inside.iterator = tasks
        try:
            return original(self, func, noted(), chunksize)
        finally:
            _inside.iterator = None

    return imap


def _iterators(kind: Any) -> None:
    """An iterator of an imap knows its tasks before any result can come."""
    if "__init__" in vars(kind):
        begin = kind.__init__

        @functools.wraps(begin)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            self._lbench_tasks = getattr(_inside, "iterator", None)
            begin(self, *args, **kwargs)

        kind.__init__ = __init__
    put = kind._set

    @functools.wraps(put)
    def _set(self: Any, i: int, obj: Any) -> Any:
        with _quietly():
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


# -- joblib


def _joblib(module: ModuleType) -> None:
    original = module.Parallel.__call__

    @functools.wraps(original)
    def __call__(self: Any, iterable: Any) -> Any:
        recorder = _now()
        if recorder is None:
            _inside.depth = getattr(_inside, "depth", 0) + 1
            try:
                return original(self, iterable)
            finally:
                _inside.depth -= 1
        numbers: list[int | None] = []

        def noted() -> Iterator[Any]:
            for function, args, kwargs in iterable:
                with _quietly():
                    numbers.append(recorder.task(_unwrapped(function), args, kwargs, None, call))
                yield function, args, kwargs

        call = _call(recorder)
        given = noted()
        if hasattr(iterable, "__len__"):  # joblib asks for it
            for _ in given:
                pass
            given = iterable
        _inside.depth = 1
        try:
            results = original(self, given)
        except BaseException as error:
            for number in numbers:
                recorder.failed(number, error)
            raise
        finally:
            _inside.depth = 0
        if isinstance(results, list):
            with _quietly():
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
            with _quietly():
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


# -- installing

_PATCHES: dict[str, Callable[[ModuleType], None]] = {
    "concurrent.futures._base": _futures,
    "concurrent.futures.process": _processes,
    "concurrent.futures.thread": _threads,
    "multiprocessing.pool": _pools,
    "joblib.parallel": _joblib,
    "joblib.externals.loky.process_executor": _processes,
    "loky.process_executor": _processes,
}
_patched: set[str] = set()


def _install() -> None:
    """Change the modules that are there, and the others when they are imported."""
    import os

    _Lazy.pid = os.getpid()
    if not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name in _PATCHES:
        if name in sys.modules:
            _patch(name, sys.modules[name])


def _patch(name: str, module: ModuleType) -> None:
    if name not in _patched:
        _patched.add(name)
        with _quietly():
            _PATCHES[name](module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules to change as the others do, and changes them once they are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Of a module to change only."""
        if fullname not in _PATCHES or fullname in _patched:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    def __init__(self, original: Any) -> None:
        self._original = original

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the original does."""
        found: ModuleType | None = self._original.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        """As the original does; then the module is changed."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._original
        self._original.exec_module(module)
        _patch(module.__name__, module)


def _clean_tracebacks() -> None:
    """An error that ends the script is printed without the frames of this file."""
    original = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        with _quietly():
            _clean(error, set())
            trace = error.__traceback__
        original(kind, error, trace)

    sys.excepthook = hook


def _clean(error: BaseException | None, seen: set[int]) -> None:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    trace, kept = error.__traceback__, []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename != __file__:
            kept.append(trace)
        trace = trace.tb_next
    for one, following in zip(kept, [*kept[1:], None], strict=True):
        one.tb_next = following
    error.__traceback__ = kept[0] if kept else None
    _clean(error.__cause__, seen)
    _clean(error.__context__, seen)
