"""The process's recorder, and what all hooks need of it."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Call, Recorder

inside = threading.local()  # .depth: this thread is within a call that is noted as a whole; .iterator: of an imap
_recorder: Recorder | None = None


class Lazy:
    """The recorder is made at the first call: a script that hands nothing over imports nothing more."""

    folder: Path | None = None
    pid = 0


def replace_recorder(recorder: Recorder | None) -> Recorder | None:
    """Record into this one; None: no more. Returns the one before."""
    global _recorder
    if Lazy.folder is not None:
        with quietly():
            _begin()  # else the next call would take this one's place
    before, _recorder = _recorder, recorder
    return before


def recorder_now() -> Recorder | None:
    """The recorder, where a call that is made now is to be noted."""
    if Lazy.folder is not None:
        with quietly():
            _begin()
    depth: int = getattr(inside, "depth", 0)
    return None if depth or _recorder is None or not _recorder.active or _is_worker() else _recorder


def _begin() -> None:
    """Make the recorder, at the first call; not in a process that was forked before it."""
    global _recorder
    folder, Lazy.folder = Lazy.folder, None
    import os

    from lbench.workloads.recorded.recorder import Recorder

    if folder is not None and os.getpid() == Lazy.pid:
        _recorder = Recorder(folder)


def _is_worker() -> bool:
    """Whether this thread runs a pool's tasks."""
    thread = threading.current_thread()
    threads = sys.modules.get("concurrent.futures.thread")
    if threads is not None and getattr(thread, "_target", None) is threads._worker:
        return True
    dummy = sys.modules.get("multiprocessing.dummy")
    return dummy is not None and isinstance(thread, dummy.DummyProcess)


def end() -> None:
    """Close the recorder, at the end of the process."""
    if _recorder is not None and _recorder.active:
        with contextlib.suppress(Exception):
            _recorder.close()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
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


def note(owner: Any, *names: str) -> None:
    """Replace these methods of a class by ones that say when they are called."""
    for name in names:
        if name in vars(owner):
            setattr(owner, name, _Noted(vars(owner)[name]))


def new_call(recorder: Recorder) -> Call:
    """One call of the script that hands over several tasks."""
    from lbench.workloads.recorded.recorder import Call

    return Call(recorder)


def worker_setup(pool: Any) -> tuple[Any, Any] | None:
    """What each worker of a pool runs first."""
    initializer = getattr(pool, "_initializer", None)
    return None if initializer is None else (initializer, getattr(pool, "_initargs", ()))


def is_joblibs(function: Any) -> bool:
    """Whether joblib hands it over: its calls are noted where the script makes them."""
    return (type(function).__module__ or "").startswith("joblib.") or (
        getattr(function, "__module__", None) or ""
    ).startswith("joblib.")
