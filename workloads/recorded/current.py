"""The process's recorder, and what all hooks need of it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Call, Recorder

inside = threading.local()  # .depth: this thread is within a call that is noted as a whole; .iterator: of an imap
_recorder: Recorder | None = None
_beginning = threading.RLock()


class Lazy:
    """The recorder is made at the first call: a script that hands nothing over imports nothing more."""

    folder: Path | None = None
    begun = False
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
    """Make the recorder, at the first call; not in a process that was forked before it. Calls of other threads wait."""
    global _recorder
    if os.getpid() != Lazy.pid:
        Lazy.folder = None
        return
    with _beginning:
        folder = Lazy.folder
        if folder is None or Lazy.begun:
            return
        Lazy.begun = True
        try:
            from lbench.workloads.recorded.recorder import Recorder

            _recorder = Recorder(folder)
        except Exception as error:  # the script must run all the same
            (folder / "problem.txt").write_text(f"{type(error).__name__}: {error}", "utf-8", "replace")
        finally:
            Lazy.folder = None


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
    """A method of which only the moment of its call counts."""

    def __init__(self, original: Any, called: Callable[[], None]) -> None:
        self._original = original
        self._called = called
        self.__doc__ = getattr(original, "__doc__", None)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is not None:
            self._called()
        return self._original.__get__(owner, kind)


def _taken() -> None:
    if _recorder is not None:
        _recorder.taken()


def note_start() -> None:
    """The script starts a process, or makes a pool that will."""
    with quietly():
        if (recorder := recorder_now()) is not None:
            recorder.starts_process()


def note(owner: Any, *names: str, called: Callable[[], None] = _taken) -> None:
    """Replace these methods of a class by ones that say when they are called: by default, that it looks at results."""
    for name in names:
        if name in vars(owner):
            setattr(owner, name, _Noted(vars(owner)[name], called))


class Reading:
    """An iterable whose items are noted as they are read: once, as some print what they do, or give others the next time."""

    def __init__(self, iterable: Iterable[Any], noted: Callable[[Any], object]) -> None:
        self._iterable = iterable
        self._noted = noted

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            with quietly():
                self._noted(item)
            yield item


def reading(iterable: Any, noted: Callable[[Any], object]) -> Iterable[Any]:
    """The iterable, which has a length only where it had one before."""
    made = Reading(iterable, noted)
    return made if hasattr(iterable, "__len__") else iter(made)


def new_call(recorder: Recorder) -> Call:
    """One call of the script that hands over several tasks: they are of the stage that is now."""
    from lbench.workloads.recorded.recorder import Call

    call = Call(recorder)
    recorder.place(call)
    return call


def worker_setup(pool: Any) -> tuple[Any, Any] | None:
    """What each worker of a pool runs first."""
    initializer = getattr(pool, "_initializer", None)
    return None if initializer is None else (initializer, getattr(pool, "_initargs", ()))


def is_joblibs(function: Any) -> bool:
    """Whether joblib hands it over: its calls are noted where the script makes them."""
    return (type(function).__module__ or "").startswith("joblib.") or (
        getattr(function, "__module__", None) or ""
    ).startswith("joblib.")
