"""The code that runs in a worker of a cluster: bytes in, bytes out, in lbench's own encoding.

A worker keeps the data set and the user's code by their digests. What it lacks it asks for (`needs`), and the same call is
sent again with it; so a worker that joins late, or one that was restarted, needs no set-up of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing.util
import os
import platform
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from lbench import __version__
from lbench.engine.machine.thread_variables import THREAD_VARIABLES
from lbench.workloads.encoding import decode, encode
from lbench.workloads.functions import find, preload
from lbench.workloads.task_errors import error_texts

__all__ = ["WORKER_PREFIX", "TaskStopped", "hello", "is_stuck", "run", "stop", "versions"]

WORKER_PREFIX = "lbench-worker-"  # of a worker's folder; behind it stand the number of its process and a hyphen
EXIT_STUCK = 75  # of a process that had to end for a task to end
_IDLE_S = 3600.0
_LOOK_S = 2.0  # between two looks at whether the engine is still there
_GRACE_S = 1.0  # from the stop of a task to the end of its process
_TAIL_CHARACTERS = 4000
_MESSAGE_CHARACTERS = 500


class TaskStopped(BaseException):
    """Raised in a task whose deadline has passed or whose result is no longer wanted."""


class _Call:
    """A running call and how it is stopped."""

    def __init__(self, call: str, thread: int, may_exit: bool) -> None:
        self.id, self._thread, self._may_exit = call, thread, may_exit
        self.stopped_at: float | None = None

    def stop(self) -> None:
        """Raise `TaskStopped` in the task; one that does not return to Python ends with its process, if that may end."""
        import ctypes

        if not self._is_running:
            return
        self.stopped_at = time.monotonic()

        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(TaskStopped))
        if self._may_exit:
            last = threading.Timer(_GRACE_S, self._exit)
            last.daemon = True
            last.start()

    def forget(self) -> None:
        """Take back an exception that has not been raised yet: the task has ended."""
        import ctypes

        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)

    def _exit(self) -> None:
        if self._is_running:
            os._exit(EXIT_STUCK)

    @property
    def _is_running(self) -> bool:
        return _process.running.get(self.id) is self


class _Alarms:
    """Stops calls at their deadlines, in one thread for all: starting a thread costs a short task more than all else."""

    def __init__(self) -> None:
        self._due: dict[_Call, float] = {}
        self._changed = threading.Condition()
        self._until_s = 0.0  # to which the thread waits
        self._thread: threading.Thread | None = None

    def set(self, call: _Call, deadline_s: float) -> None:
        """Stop the call in so many seconds."""
        due_s = time.monotonic() + deadline_s
        with self._changed:
            self._due[call] = due_s
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="lbench deadlines", daemon=True)
                self._thread.start()
            elif due_s < self._until_s:
                self._changed.notify()

    def clear(self, call: _Call) -> None:
        """The call has ended."""
        with self._changed:
            self._due.pop(call, None)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now_s = time.monotonic()
                for call in [call for call, due_s in self._due.items() if due_s <= now_s]:
                    del self._due[call]
                    call.stop()
                self._until_s = min(self._due.values(), default=now_s + _IDLE_S)
                self._changed.wait(self._until_s - now_s)


class _Process:
    """What the threads of this worker process share."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.folder: Path | None = None
        self.environments: dict[int, str] = {}  # by thread
        self.data: dict[str, Any] = {}  # by digest
        self.ready: set[str] = set()  # workloads that were imported
        self.running: dict[str, _Call] = {}
        self.blas: int | None = None
        self.alarms = _Alarms()
        self.parent: int | None = None  # the engine, where this process is of a pool of its own
        self.s3: dict[str, str] | None = None  # as the request has it
        self.s3_counted: dict[str, int] = {}

    def environment(self) -> tuple[str, bool]:
        """The id of the environment that this thread is, and whether this is its first call."""
        thread = threading.get_ident()
        with self.lock:
            if found := self.environments.get(thread):
                return found, False
            number = len(self.environments)
            self.environments[thread] = self.name if not number else f"{self.name}.{number}"
            return self.environments[thread], True

    def new_requests(self) -> dict[str, int]:
        """Requests to S3 since the last answer of this process; where it has several threads, their neighbours' too."""
        from lbench.workloads.objects import requests

        with self.lock:
            now, before = requests(), self.s3_counted
            self.s3_counted = now
        return {name: count - before.get(name, 0) for name, count in now.items()}

    def end_with(self, parent: int) -> None:
        """End this process when the engine has gone that started it: a pool's workers would wait for ever."""
        if self.parent is None and os.getppid() == parent:
            self.parent = parent
            threading.Thread(target=self._watch_parent, name="lbench parent", daemon=True).start()

    def _watch_parent(self) -> None:
        while os.getppid() == self.parent:
            time.sleep(_LOOK_S)
        os._exit(EXIT_STUCK)

    def scratch(self) -> Path:
        """A folder of this process's own, removed when it ends; `lbench gc` finds that of a killed one by its number."""
        with self.lock:
            if self.folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix=f"{WORKER_PREFIX}{os.getpid()}-"))
                # A pool's process ends without `atexit`, but with this.
                multiprocessing.util.Finalize(None, shutil.rmtree, (self.folder, True), exitpriority=0)
            return self.folder


_process = _Process()


def versions() -> dict[str, str]:
    """What must be equal on all sides: Python's minor version, lbench, and the libraries that compute."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "lbench": __version__}
    for name in ("numpy", "scikit-learn", "msgspec"):  # not imported here: that belongs to a worker's first task
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def hello() -> dict[str, Any]:
    """This process and what it has installed."""
    return {"process": _process.name, "versions": versions()}


def run(request: bytes) -> bytes:
    """Run one call; never raises for what the task's own code does.

    The request: `call` (its id), `task`, `deadline_s`, `blas`, `workload` (what is imported), `code` ({digest, module,
    function, files?}), `data` ({digest, path, content?}), `process` (which alone may run it; others answer `moved`), `exit`
    (whether this process may end where nothing else stops the task), `parent` (the engine's process, if on this machine),
    `s3` (where tasks exchange objects there: {region, prefix}).
    The answer: `environment`, `cold`, `began`, `ended` (wall clock), `import_ms`, `fetch_ms`, `compute_ms`, `s3` (requests),
    and `result`, `error` ([type, message, traceback]) or `needs` (["code", "data"]).
    """
    began = time.time()
    asked: dict[str, Any] = decode(request)
    if asked.get("process", _process.name) != _process.name:
        return encode({"moved": True})
    if "parent" in asked:
        _process.end_with(int(asked["parent"]))
    environment, cold = _process.environment()
    answer: dict[str, Any] = {"environment": environment, "cold": cold, "host": socket.gethostname(), "began": began}
    try:
        _limit_blas(int(asked["blas"]))
        mark = time.perf_counter()
        needs = [*_take_code(asked), *_take_data(asked)]
        answer["fetch_ms"] = (time.perf_counter() - mark) * 1000
        if needs:
            _process.environments.pop(threading.get_ident(), None)  # its first call is still to come
            return encode({**answer, "needs": needs, "ended": time.time()})
        mark = time.perf_counter()
        answer["cold"] |= _import(str(asked["workload"]), asked.get("code"))
        if asked.get("s3") is not None:
            _reach_s3(asked["s3"])
        name, arguments = decode(asked["task"])
        function, wants_data = find(name)
        if wants_data:
            data = asked.get("data")
            arguments["data"] = _process.data[data["digest"]] if data else None
        answer["import_ms"] = (time.perf_counter() - mark) * 1000
        call = _Call(str(asked["call"]), threading.get_ident(), bool(asked.get("exit")))
        answer |= _compute(call, float(asked["deadline_s"]), function, arguments)
    except BaseException as error:
        answer["error"] = _described(error)
    if asked.get("s3") is not None:
        answer["s3"] = _process.new_requests()
    answer["ended"] = time.time()
    return encode(answer)


def _compute(call: _Call, deadline_s: float, function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    _process.running[call.id] = call
    started = time.perf_counter()
    try:
        _process.alarms.set(call, deadline_s)
        value = function(**arguments)
        computed: dict[str, Any] = {"compute_ms": (time.perf_counter() - started) * 1000}
    except BaseException as error:
        computed = {"compute_ms": (time.perf_counter() - started) * 1000, "error": _described(error)}
        computed["stopped"] = isinstance(error, TaskStopped)
        return computed
    finally:
        _process.running.pop(call.id, None)
        _process.alarms.clear(call)
        if call.stopped_at is not None:
            call.forget()
    return computed | {"result": encode(value)}


def stop(call: str) -> bool:
    """Raise `TaskStopped` in a running call; False where it is not running here (any more)."""
    running = _process.running.get(call)
    if running is not None:
        running.stop()
    return running is not None


def is_stuck(call: str) -> bool:
    """Whether a call of this process goes on although it was stopped."""
    running = _process.running.get(call)
    return running is not None and running.stopped_at is not None and time.monotonic() - running.stopped_at > _GRACE_S


def _limit_blas(threads: int) -> None:
    with _process.lock:
        if _process.blas == threads:
            return
        for name in THREAD_VARIABLES:
            os.environ[name] = str(threads)
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads)
        _process.blas = threads


def _take_code(asked: dict[str, Any]) -> list[str]:
    code = asked.get("code")
    if code is None:
        return []
    folder = _process.scratch() / f"code-{code['digest']}"
    with _process.lock:
        if not folder.is_dir():
            if "files" not in code:
                return ["code"]
            made = folder.with_name(f".{folder.name}")
            for name, content in code["files"].items():
                path = made / name
                if not path.resolve().is_relative_to(made.resolve()):
                    raise ValueError(f"a file of the workload has an impossible name: {name!r}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            made.rename(folder)
    return []


def _take_data(asked: dict[str, Any]) -> list[str]:
    data = asked.get("data")
    if data is None or data["digest"] in _process.data:
        return []
    from lbench.workloads.dataset import file_digest, open_dataset

    with _process.lock:
        if data["digest"] in _process.data:
            return []
        path = Path(data["path"])
        if not _holds(path, data["digest"], file_digest):
            if "content" not in data:
                return ["data"]
            content = data["content"]
            if hashlib.sha256(content).hexdigest() != data["digest"]:
                raise ValueError("the data set was damaged on its way to this worker")
            path = _process.scratch() / f"data-{data['digest']}"
            path.write_bytes(content)
        _process.data[data["digest"]] = open_dataset(path)
    return []


def _holds(path: Path, digest: str, file_digest: Callable[[Path], str]) -> bool:
    try:
        return path.is_file() and file_digest(path) == digest
    except OSError:
        return False


def _import(workload: str, code: dict[str, Any] | None) -> bool:
    """Import what the workload's tasks need, and whether that was to be done; a worker may have run another one before.

    The lock keeps another thread from calling into a half-imported module.
    """
    with _process.lock:
        key = workload if code is None else code["digest"]
        if key in _process.ready:
            return False
        if code is None:
            preload(workload)
        else:
            from lbench.workloads.own.importer import enter, share

            folder = _process.scratch() / f"code-{code['digest']}"
            enter(folder)
            share(folder)
            preload(f"{code['module']}:{code['function']}")
            _process.ready.clear()  # one user's workload at a time is importable
        _process.ready.add(key)
        return True


def _reach_s3(where: dict[str, str]) -> None:
    """Let the tasks of this process use S3 as the machine's own AWS configuration says: credentials, proxy, certificates."""
    with _process.lock:
        if _process.s3 == where:
            return
        from lbench.engine.backends.aws_client.credentials import chain_credentials
        from lbench.engine.backends.aws_client.endpoints import resolve
        from lbench.workloads.objects import connect_by
        from lbench.workloads.s3 import S3Client

        credentials, found = chain_credentials(), resolve("s3", where["region"])
        connect_by(
            lambda place: S3Client(
                credentials, region=place.region, endpoint=place.endpoint, proxy=found.proxy, ca_file=found.ca_file
            )
        )
        _process.s3 = where


def _described(error: BaseException) -> list[str]:
    texts = error_texts(error)
    from lbench.workloads.own.tracebacks import trimmed

    trace = "Traceback (most recent call last):\n" + "".join(texts.frames[1:])
    tail = trimmed(f"{trace}{texts.kind}: {texts.message}\n")[-_TAIL_CHARACTERS:]
    return [texts.kind, texts.message[:_MESSAGE_CHARACTERS] or texts.kind, tail]
