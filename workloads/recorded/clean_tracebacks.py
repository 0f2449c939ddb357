"""Tracebacks of a recorded script without the frames of the hooks, wherever they are printed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

from lbench.workloads.recorded.current import quietly

__all__ = ["clean_uncaught", "hook_traceback"]

_HERE = __file__.removesuffix("clean_tracebacks.py")


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_HERE)


def hook_traceback(module: ModuleType) -> None:
    """What the module `traceback` formats for the script and for `logging` leaves the hooks out."""
    for name in ("walk_tb", "_walk_tb_with_full_positions"):
        if hasattr(module, name):
            setattr(module, name, _without_ours(getattr(module, name)))


def _without_ours(walk: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def walk_tb(tb: Any) -> Iterator[Any]:
        return (one for one in walk(tb) if not _is_ours(one[0]))

    walk_tb.__doc__ = walk.__doc__
    return walk_tb


def clean_uncaught() -> None:
    """Likewise of an error that ends the script or a thread: Python prints it without that module."""
    original, of_threads = sys.excepthook, threading.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        with quietly():
            _clean(error, set())
            trace = error.__traceback__
        original(kind, error, trace)

    def thread_excepthook(uncaught: Any) -> None:
        with quietly():
            _clean(uncaught.exc_value, set())
            uncaught = type(uncaught)(
                (uncaught.exc_type, uncaught.exc_value, uncaught.exc_value.__traceback__, uncaught.thread)
            )
        of_threads(uncaught)

    sys.excepthook, threading.excepthook = excepthook, thread_excepthook


def _clean(error: BaseException | None, seen: set[int]) -> None:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    trace, kept = error.__traceback__, []
    while trace is not None:
        if not _is_ours(trace.tb_frame):
            kept.append(trace)
        trace = trace.tb_next
    for one, following in zip(kept, [*kept[1:], None], strict=True):
        one.tb_next = following
    error.__traceback__ = kept[0] if kept else None
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        _clean(other, seen)
