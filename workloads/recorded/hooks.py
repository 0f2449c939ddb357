"""Notes what a process hands to executors, pools and joblib; everything still happens as it would.

Each method is replaced by one that notes and calls the original. A module is changed when it is imported, so that a script
that uses none of them imports none of them. Calls from within a task (in a thread of a pool, or of a sequential joblib) are
part of that task and not noted. Where only the moment counts, as in `Future.result`, a descriptor notes it: it leaves no
frame in the traceback of what such a call raises; those of the other hooks are left out where tracebacks are printed.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lbench.workloads.recorded.clean_tracebacks import clean_uncaught, hook_traceback
from lbench.workloads.recorded.current import Lazy, end, quietly, replace_recorder
from lbench.workloads.recorded.executors import hook_futures, hook_process_pools, hook_thread_pools
from lbench.workloads.recorded.joblib_calls import hook_joblib
from lbench.workloads.recorded.pools import hook_pools, hook_processes

if TYPE_CHECKING:
    from lbench.workloads.recorded.recorder import Recorder

__all__ = ["record_into", "start"]


def start(folder: str) -> None:
    """Record this process into a folder, from now on until it ends."""
    place = Path(folder)
    _install()
    Lazy.folder = place
    atexit.register(end)


def record_into(recorder: Recorder | None) -> Recorder | None:
    """Record into this one; None: no more. Returns the one before."""
    _install()
    return replace_recorder(recorder)


_PATCHES: dict[str, Callable[[ModuleType], None]] = {
    "traceback": hook_traceback,
    "concurrent.futures._base": hook_futures,
    "concurrent.futures.process": hook_process_pools,
    "concurrent.futures.thread": hook_thread_pools,
    "multiprocessing.pool": hook_pools,
    "multiprocessing.process": hook_processes,
    "joblib.parallel": hook_joblib,
    "joblib.externals.loky.process_executor": hook_process_pools,
    "loky.process_executor": hook_process_pools,
}
_patched: set[str] = set()


def _install() -> None:
    """Change the modules that are there, and the others when they are imported."""
    Lazy.pid = os.getpid()
    if not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
        clean_uncaught()
    for name in _PATCHES:
        if name in sys.modules:
            _patch(name, sys.modules[name])


def _patch(name: str, module: ModuleType) -> None:
    if name not in _patched:
        _patched.add(name)
        with quietly():
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
        found: ModuleType | None = self._original.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        """As the original does; then the module is changed."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._original
        self._original.exec_module(module)
        _patch(module.__name__, module)
