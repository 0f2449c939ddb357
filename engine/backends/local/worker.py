"""The worker process of the local backends: `python -m lbench.engine.backends.local.worker FD ...`.

Each socket is an environment: it waits for a call, runs it, replies, and waits again; with several sockets, each has a
thread. Little is imported: what a task needs comes with its workload's `tasks` module, while the worker is set up.

SIGUSR1 stops the running tasks: `TaskStopped` is raised in them, and the worker stays. It is sent only while a reply is
awaited and no call waits behind it, so it cannot hit a later task: a signal sent before a request is handled before its task
begins.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lbench.engine.backends.local import frames
from lbench.engine.backends.local.audit_hook import watch_if_asked
from lbench.engine.backends.local.folders import NOTICED, TEMPORARY, WORKING
from lbench.engine.backends.local.peak_memory import PeakMemory
from lbench.engine.processes.lifeline import die_with_parent, free_standard_input, take_group_along
from lbench.workloads.encoding import decode, encode
from lbench.workloads.functions import find
from lbench.workloads.functions import preload as load_tasks
from lbench.workloads.task_errors import error_texts

__all__ = ["STOP", "TaskStopped", "main"]

STOP = signal.SIGUSR1
_TAIL_CHARACTERS = 4000
_MESSAGE_CHARACTERS = 500
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_MAKES = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "sqlite3.connect": 0}  # argument: what is made
_MOST_NOTED = 1000
_MEMORY = "/dev/shm/"  # files, though below /dev; those of pools go with their pools
_POOLS = (f"{_MEMORY}joblib_memmapping_folder_", f"{_MEMORY}pymp-")


class TaskStopped(BaseException):
    """Raised in a task whose result is no longer wanted; `except Exception` does not catch it."""


class _Worker:
    """The state that the environments of this process share: the functions found so far and the data set."""

    def __init__(self) -> None:
        self._running: set[int] = set()  # threads (`threading.get_ident`) that are inside a task now
        self._loaded: set[str] = set()
        self._found: dict[str, tuple[Callable[..., Any], bool]] = {}
        self._finding = threading.Lock()
        self._data: Any = None
        self._path: str | None = None  # of the data
        self._writes: _Writes | None = None
        self._memory = PeakMemory()

    def serve(self, sock: socket.socket) -> None:
        """Answer requests until the engine closes its end (then the whole process ends)."""
        requests = frames.RequestReader(sock)
        process = os.getpid()
        try:
            while True:
                kind, body = requests.receive()
                head, answer = self._run(body) if kind == frames.CALL else self._set_up(body)
                if os.getpid() != process:  # a task has forked and returned twice: its parent answers
                    os._exit(0)
                del body  # a task's memory is freed while waiting for the next one
                frames.send_blocking(sock, head, answer)
                del answer
        except (EOFError, OSError):
            os._exit(0)

    def _find(self, name: str) -> tuple[Callable[..., Any], bool]:
        # The lock: a thread must not call into a module that another thread is still importing.
        with self._finding:
            found = self._found[name] = find(name)
        return found

    def _run(self, body: memoryview) -> tuple[bytes, bytes]:
        started = time.monotonic()
        finished = None
        thread = threading.get_ident()
        try:
            name, arguments = decode(body)
            function, wants_data = self._found.get(name) or self._find(name)
            if wants_data:
                arguments["data"] = self._data
            if not self._running:  # else the mark belongs to the tasks of other threads too
                self._memory.begin()
            started = time.monotonic()
            self._running.add(thread)
            value = function(**arguments)
            self._running.discard(thread)
            finished = time.monotonic()
            answer = encode(value)
        except BaseException as error:  # any exception of the task's code is its result, sys.exit too
            self._running.discard(thread)
            finished = finished or time.monotonic()
            answer = encode(_describe(error))
            return frames.REPLY.pack(frames.FAILURE, len(answer), started, finished, self._memory.kib()), answer
        return frames.REPLY.pack(frames.RESULT, len(answer), started, finished, self._memory.kib()), answer

    def stop_tasks(self, *_: object) -> None:
        """Raise `TaskStopped` once in every running task (the handler of `STOP`, in the main thread)."""
        running, here = list(self._running), threading.get_ident()
        self._running.clear()
        if others := [thread for thread in running if thread != here]:
            import ctypes

            for thread in others:  # raised at its next bytecode, which is still inside `_run`'s `try`
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TaskStopped))
        if here in running:
            raise TaskStopped

    def _set_up(self, body: memoryview) -> tuple[bytes, bytes]:
        preload, path, folder = decode(body)
        started = time.monotonic()
        mapped = path is not None and path != self._path
        try:
            if folder is not None:
                self._enter(folder)
            if preload is not None and preload not in self._loaded:
                load_tasks(preload)
                self._loaded.add(preload)
            mapping = time.monotonic()
            if path != self._path:
                self._data = self._path = None
            if mapped:
                from lbench.workloads.dataset import open_dataset

                self._data, self._path = open_dataset(Path(path)), path
        except BaseException as error:  # the workload's own module is being imported: it may raise anything
            kind, answer = frames.FAILURE, encode(_describe(error))
        else:
            kind, answer = (
                frames.RESULT,
                encode((time.monotonic() - mapping) * 1000 if mapped else None),
            )
        gc.freeze()  # imported objects stay: garbage collections need not traverse them
        return frames.REPLY.pack(kind, len(answer), started, time.monotonic(), 0), answer

    def _enter(self, folder: str) -> None:
        """Work in a run's own folder (`workspace`), and note what tasks write elsewhere."""
        work, temporary = f"{folder}/{WORKING}", f"{folder}/{TEMPORARY}"
        os.chdir(work)
        os.environ["TMPDIR"] = os.environ["TMP"] = os.environ["TEMP"] = temporary
        if "tempfile" in sys.modules:
            import tempfile

            tempfile.tempdir = None  # so that it looks again
        if self._writes is None:
            self._writes = _Writes()
            sys.addaudithook(self._writes)
        self._writes.begin(folder)


class _Writes:
    """An audit hook that notes the files which are opened for writing outside the run's folder."""

    def __init__(self) -> None:
        self._out = -1
        self._seen: set[str] = set()
        self._allowed: tuple[str, ...] = ()

    def begin(self, folder: str) -> None:
        """Note what is outside this folder from here on."""
        if self._out >= 0:
            os.close(self._out)
        self._allowed = (f"{folder}/", "/dev/", "/proc/", "/sys/")
        self._seen.clear()
        self._out = os.open(f"{folder}/{NOTICED}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by the interpreter for each of its events: most have nothing to do with files."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and not isinstance(path, int):
                self._note(path)
        elif event in _MAKES:
            self._note(arguments[_MAKES[event]])

    def _note(self, path: Any) -> None:
        try:
            full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - as the task wrote it
            if full in self._seen or len(self._seen) >= _MOST_NOTED:
                return
            if full.startswith(self._allowed) and (not full.startswith(_MEMORY) or full.startswith(_POOLS)):
                return
            self._seen.add(full)
            os.write(self._out, os.fsencode(full) + b"\0")
        except (OSError, TypeError, ValueError):
            pass  # an invalid path: the task's own call fails too


def _describe(error: BaseException) -> list[str]:
    """Type, one-line message, and the traceback from the task's first frame on."""
    texts = error_texts(error)
    from lbench.workloads.own.tracebacks import trimmed

    trace = "Traceback (most recent call last):\n" + "".join(texts.frames[1:])  # without this module's frame
    tail = trimmed(f"{trace}{texts.kind}: {texts.message}\n")[-_TAIL_CHARACTERS:]
    return [texts.kind, texts.message[:_MESSAGE_CHARACTERS] or texts.kind, tail]


def main(descriptors: Sequence[str]) -> None:
    """Serve the inherited sockets until the engine closes them or goes away."""
    free_standard_input()
    die_with_parent()
    take_group_along()  # the processes that its tasks have started
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(all_threads=False)
    sockets = []
    for descriptor in map(int, descriptors):
        os.set_inheritable(descriptor, False)  # not for what a task may start
        sockets.append(socket.socket(fileno=descriptor))
    watch_if_asked()
    worker = _Worker()
    signal.signal(STOP, worker.stop_tasks)
    for number, sock in enumerate(sockets[1:], 1):
        threading.Thread(target=worker.serve, args=(sock,), name=f"t{number}", daemon=True).start()
    worker.serve(sockets[0])


if __name__ == "__main__":
    main(sys.argv[1:])
