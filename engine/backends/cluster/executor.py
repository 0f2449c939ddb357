"""Workers behind any `concurrent.futures.Executor`: MPI, loky, ipyparallel, SLURM. A slot is one call under way.

Such an interface says nothing of its workers: neither which one runs a call nor how to stop it. What runs the call is what
answers. An executor that broke with one of its workers is replaced by a new one from its factory.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import importlib.util
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbench.config.folders import is_file
from lbench.engine.backends.cluster import remote
from lbench.engine.backends.cluster.backend import LostWorker
from lbench.engine.processes.daemon_thread import in_daemon_thread
from lbench.errors import BackendError, InputError
from lbench.workloads.encoding import encode
from lbench.workloads.signatures import parameters_of
from lbench.workloads.textfile import why_no_file

__all__ = ["ExecutorWorkers", "check_factory", "find_factory", "try_factory"]

_MAKE_S = 60.0  # for a factory to return
_SHUT_S = 10.0  # for an executor to end in good order

_tried: dict[
    str, Any
] = {}  # executors that `try_factory` made: a factory may queue a job on a cluster, so it is called once


async def try_factory(name: str) -> None:
    """Make the executor, which `ExecutorWorkers.open` takes up.

    Raises:
        InputError: there is no such factory, or it gives no executor.
    """
    try:
        _tried[name] = await _made(name)
    except BackendError as error:
        raise InputError(str(error)) from None


async def _made(name: str) -> Any:
    try:
        async with asyncio.timeout(_MAKE_S):
            # Both are a person's code, which may never end: no thread that the engine's end would wait for.
            factory = await in_daemon_thread(lambda: find_factory(name), name="factory")
            made = await in_daemon_thread(factory, name="executor")
    except TimeoutError:
        raise BackendError(f"executor: {name} did not return within {_MAKE_S:g} s") from None
    except InputError:
        raise
    except BaseException as error:  # sys.exit too
        if isinstance(error, asyncio.CancelledError):
            raise
        raise BackendError(f"executor: {name} raised {type(error).__name__}: {_line(error)}") from None
    if not callable(getattr(made, "submit", None)) or not callable(getattr(made, "shutdown", None)):
        raise BackendError(f"executor: {name} must give a concurrent.futures.Executor, got {type(made).__name__}")
    return made


def check_factory(name: str) -> tuple[str, str]:
    """The module, or its file, and the callable in it, as far as they can be checked without an import.

    Raises:
        InputError: it is neither "module:callable" nor "./file.py:callable", or there is no such file.
    """
    module_name, _, function = name.rpartition(":")
    file = module_name.endswith(".py")
    if not function.isidentifier() or not (file or all(part.isidentifier() for part in module_name.split("."))):
        raise InputError(f"executor: factory must be module:callable or ./file.py:callable, got {name!r}")
    if file and not is_file(module_name):
        raise InputError(f"executor: factory={name}: {why_no_file(Path(module_name))}")
    return module_name, function


def find_factory(name: str) -> Any:
    """The callable "module:callable" or "./file.py:callable".

    Raises:
        InputError: it is not there; the message says what was looked for.
    """
    module_name, function = check_factory(name)
    try:
        if module_name.endswith(".py"):
            module = _load_file(Path(module_name))
        else:
            if os.getcwd() not in sys.path:  # noqa: PTH109
                sys.path.append(os.getcwd())  # noqa: PTH109
            module = importlib.import_module(module_name)
    except FileNotFoundError:
        raise InputError(f"executor: there is no file {module_name}") from None
    except ModuleNotFoundError as error:
        raise InputError(f"executor: cannot import {module_name}: no module named {error.name!r}") from None
    except BaseException as error:  # a person's code: sys.exit too
        raise InputError(f"executor: importing {module_name} raised {type(error).__name__}: {_line(error)}") from None
    factory = getattr(module, function, None)
    if not callable(factory):
        raise InputError(f"executor: {module_name} has no callable named {function!r}")
    if needed := _needed(factory):
        raise InputError(
            f"executor: {name} is called without arguments, and needs {', '.join(needed)}: write a function that calls it "
            "with them"
        )
    return factory


def _needed(factory: Any) -> list[str]:
    """The arguments that a factory cannot be called without, as far as that is known."""
    try:
        parameters = parameters_of(factory).values()
    except (TypeError, ValueError):  # of a class in C
        return []
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in rest]


def _load_file(path: Path) -> Any:
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # what it defines can be pickled by its name
    spec.loader.exec_module(module)
    return module


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


class ExecutorWorkers:
    """The workers of an executor that `factory` makes; `concurrency` calls are handed to it at once."""

    def __init__(self, factory: str, concurrency: int | None) -> None:
        self._factory = factory
        self._concurrency = concurrency
        self._executor: Any = None
        self._making = asyncio.Lock()
        self.slots: list[str] = []
        self.broken: str | None = None
        self.changed: Callable[[], None] = lambda: None  # its slots never change
        self.notes = [f"calls go to the executor of {factory}"]

    @property
    def count(self) -> int:
        """As many as calls at once: an executor does not say more."""
        return len(self.slots)

    async def open(self) -> None:
        """Make the executor.

        Raises:
            BackendError: the factory fails, or gives no executor.
        """
        self._executor = made = _tried.pop(self._factory, None) or await _made(self._factory)
        known = (getattr(made, name, None) for name in ("_max_workers", "num_workers"))
        workers = next((one for one in known if isinstance(one, int) and one > 0), os.cpu_count() or 1)
        self.slots = [f"x{number}" for number in range(self._concurrency or workers)]

    async def close(self) -> None:
        """Shut the executor down; what does not end by itself is killed where that is possible."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await _shut_down(executor)

    async def send(self, slot: str, request: dict[str, Any]) -> bytes:
        executor = self._executor
        encoded = encode(request | {"exit": bool(_pids(executor)), "parent": os.getpid()})
        try:
            future = executor.submit(remote.run, encoded)
        except concurrent.futures.BrokenExecutor as error:
            await self._make_anew(executor)
            raise LostWorker(f"the executor is broken: {_line(error)}") from None
        except Exception as error:
            raise BackendError(
                f"executor: {self._factory}: submit raised {type(error).__name__}: {_line(error)}"
            ) from None
        if not isinstance(future, concurrent.futures.Future):
            raise BackendError(
                f"executor: {self._factory}: submit must return a concurrent.futures.Future, got {type(future).__name__}"
            )
        try:
            answer = await _answer_of(asyncio.wrap_future(future), str(request["call"]))
        except concurrent.futures.BrokenExecutor as error:
            await self._make_anew(executor)
            raise LostWorker(f"the executor lost a worker: {_line(error)}") from None
        except LostWorker:
            raise
        except asyncio.CancelledError:
            future.cancel()
            raise
        except (
            Exception,
            KeyboardInterrupt,
            SystemExit,
        ) as error:  # whatever its transport or a worker's process raised
            raise LostWorker(f"the executor failed: {type(error).__name__}: {_line(error)}") from None
        if not isinstance(answer, bytes | bytearray | memoryview):
            raise BackendError(
                f"executor: {self._factory}: a call returned {type(answer).__name__} instead of its result"
            )
        return bytes(answer)

    async def stop(self, slot: str, call: str) -> None:
        """Stop a running call: in this process by itself, in a pool of processes with them all."""
        executor = self._executor
        if not remote.stop(call) and executor is not None and _pids(executor):
            await self._make_anew(executor)

    def replaced(self, slot: str) -> None:
        """Nothing: an executor's calls are bound to no process."""

    async def _make_anew(self, broken: Any) -> None:
        """Replace a broken executor, once for all of its calls."""
        async with self._making:
            if self._executor is not broken:
                return
            _kill(broken)
            await _shut_down(broken)
            try:
                self._executor = await _made(self._factory)
            except BackendError as error:
                self.broken = str(error)
                self.changed()


async def _answer_of(future: asyncio.Future[Any], call: str) -> Any:
    """The answer of a call; one that is stuck in a thread of this process is given up."""
    while True:
        await asyncio.wait({future}, timeout=1)
        if future.cancelled():  # by the executor: nobody here does that to a call that is waited for
            raise LostWorker("the executor dropped the call")
        if future.done():
            return future.result()
        if remote.is_stuck(call):
            raise LostWorker("the task did not end at its deadline, and keeps its thread")


async def _shut_down(executor: Any) -> None:
    def shut_down() -> None:
        try:
            executor.shutdown(wait=True, cancel_futures=True)
        except TypeError:  # it has no such argument
            executor.shutdown()

    with contextlib.suppress(Exception):
        async with asyncio.timeout(_SHUT_S):
            await in_daemon_thread(shut_down, name="executor")
    _kill(executor)


def _pids(executor: Any) -> list[int]:
    """The processes of a pool on this machine, where it has them as `ProcessPoolExecutor` and loky do."""
    processes = getattr(executor, "_processes", None)
    return [pid for pid in list(processes) if isinstance(pid, int)] if isinstance(processes, dict) else []


def _kill(executor: Any) -> None:
    for pid in _pids(executor):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
