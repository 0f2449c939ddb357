"""Writes what a script hands over, and what comes back, into a file as it happens.

Whatever ends the script, the calls and results until then are there. Nothing here may disturb it: no error gets out, and
nothing is printed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from lbench.workloads.recorded.log import Log
from lbench.workloads.recorded.places import module_name
from lbench.workloads.recorded.values import CannotTravel, Packer, aside, is_library_file, place_of
from lbench.workloads.task_errors import error_texts

__all__ = ["MOST_BYTES", "Call", "Recorder"]

MOST_BYTES = 2_000_000_000  # of calls and results; what comes after is left out


class Call:
    """One call of the script's that hands over several tasks, maybe later and from another thread: they are one stage."""

    def __init__(self, recorder: Recorder) -> None:
        self.site, self.line = recorder.site(3)
        self.thread = threading.get_ident()
        self.stage: int | None = None


class Recorder:
    """One recording, while it is made. All methods may be called from any thread."""

    def __init__(self, folder: Path, script: str | None = None) -> None:
        """Record into `folder`. `script`: the file that will hold what stands in `__main__`, where that has none."""
        self.folder = folder
        self._pid = os.getpid()
        self._log = Log(folder, MOST_BYTES)
        self._lock = threading.RLock()
        self._count = 0
        self._stage = 0
        self._in_stage = 0
        self._open: set[int] = set()  # tasks of this stage that have not ended
        self._thread: int | None = None  # which handed over the stage's tasks
        self._taken = False  # whether that thread has looked at a result since
        self._modules = 0
        self._names: set[str] = set()
        main = sys.modules.get("__main__")
        self._script: str | None = script or _file_of(main)
        spec = getattr(main, "__spec__", None)  # of `python -m package.module`
        self.main = module_name(self._script) if spec is None else str(spec.name)
        self._packer = Packer(self.main, self._put_aside)
        self._aside: set[str] = set()
        file = None if self._script is None else os.fsencode(self._script)
        self._write("main", file, self.main, [os.fsencode(str(one)) for one in sys.argv[1:]])

    @property
    def active(self) -> bool:
        """Whether this is the recorded process itself, not a child that it forked."""
        return os.getpid() == self._pid

    # -- what is handed over

    def task(
        self, function: Any, args: Any, kwargs: Any, setup: tuple[Any, Any] | None = None, call: Call | None = None
    ) -> int | None:
        """Note a call before it can run; returns its number, or None where it cannot travel.

        `setup`: an initializer with its arguments, which each worker runs first; `call`: what it is a part of.
        """
        with self._lock:
            call = call or Call(self)
            try:
                if isinstance(args, Iterator):
                    raise CannotTravel(f"arguments in a {type(args).__name__}: it can be read once: pass a tuple")
                packed = [
                    self._packer.pack([function, list(args), dict(kwargs)]),
                    None if setup is None else self._packer.pack([setup[0], list(setup[1])]),
                ]
            except CannotTravel as error:
                self._left(_named(function), str(error), call.site, call.line)
                return None
            except Exception as error:  # a class's own code raised
                self._left(_named(function), f"{type(error).__name__}: {error}", call.site, call.line)
                return None
            return self._noted(packed, call)

    def place(self, call: Call) -> None:
        """Decide the stage of a call: after results were looked at, and none is still to come, it begins the next."""
        with self._lock:
            if self._in_stage and self._taken and not self._open:
                self._stage += 1
                self._in_stage = 0
            if not self._in_stage:
                self._taken = False
                self._thread = call.thread
            call.stage = self._stage

    def _noted(self, packed: list[Any], call: Call) -> int | None:
        if call.stage is None:
            self.place(call)
        number = self._count
        if not self._write("task", number, call.stage, packed, call.line):
            self._left("a call", f"the recording has reached {MOST_BYTES / 1e9:.0f} GB", call.site, call.line)
            return None
        self._count += 1
        self._in_stage += 1
        self._open.add(number)
        self._note_modules()
        return number

    def result(self, number: int | None, value: Any) -> None:
        if number is None:
            return
        with self._lock:
            self._open.discard(number)
            try:
                self._write("result", number, self._packer.pack(value, shared=False))
            except Exception as error:
                self._write("lost", number, f"its result: {error}")

    def lost(self, number: int | None, why: str) -> None:
        """Note that a call's result cannot be known."""
        if number is not None:
            with self._lock:
                self._open.discard(number)
                self._write("lost", number, why)

    def failed(self, number: int | None, error: BaseException | None) -> None:
        """Note that a call raised, or (None) was never run."""
        why = "it was cancelled" if error is None else "it raised {}: {}".format(*error_texts(error)[:2])
        self.lost(number, why)

    def starts_process(self) -> None:
        """Note that the script starts a process, or makes what will."""
        line = self.site(3)[1]
        if line is not None:
            with self._lock:
                self._write("start", line)

    def taken(self) -> None:
        """Note that the script looks at a result: what it hands over from now on may depend on it."""
        if threading.get_ident() == self._thread:
            self._taken = True

    def _left(self, what: str, why: str, site: str, line: int | None) -> None:
        self._write("left", what, why, site, line)

    # -- the surroundings

    def site(self, above: int) -> tuple[str, int | None]:
        """Where in the script's own files the calling code stands, as "mine.py, line 12".

        And the line of the script's top level that is being run, unless it is a module that is imported there.
        """
        frame: FrameType | None = sys._getframe(above)
        place, line = "", None
        for one in _frames(frame):
            file = one.f_code.co_filename
            if not place and not file.startswith(_HERE) and not _is_library(file):
                place = f"{Path(file).name}, line {one.f_lineno}"
            if file == self._script and one.f_code.co_name == "<module>":
                line = one.f_lineno
        return place, line

    def _note_modules(self) -> None:
        """Write the user's own modules that were imported since."""
        if len(sys.modules) == self._modules and self._packer.names <= self._names:
            return
        self._modules = len(sys.modules)
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if (
                name in ("__main__", "__mp_main__", "sitecustomize")
                or not isinstance(file, str)
                or not file.endswith(".py")
            ):
                continue
            if name.partition(".")[0] != "lbench" and not _is_library(file):
                found[name] = os.fsencode(os.path.abspath(file))  # noqa: PTH100
        self._names = set(self._packer.names)
        self._write("modules", found, sorted(self._names))

    def _put_aside(self, array: Any) -> Any:
        """Write a large array once; calls that get the same one refer to it."""
        content = array.tobytes()
        name = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode() + content, digest_size=16).hexdigest()
        if name not in self._aside:
            if not self._write("array", name, array):
                return array
            self._aside.add(name)
        return aside(name)

    def _write(self, *event: Any) -> bool:
        return self._log.write(_encoded(list(event)))

    def close(self) -> None:
        with self._lock:
            self._modules = 0
            self._note_modules()
            self._write("end")
            self._log.close()


def _file_of(main: Any) -> str | None:
    """The script's file; a prompt and standard input have none."""
    file = getattr(main, "__file__", None)
    return file if isinstance(file, str) and not file.startswith("<") else None


def _encoded(event: list[Any]) -> bytes:
    """As the encoding has it; numpy is imported for it only where the script has done so: else there is no array."""
    if "numpy" in sys.modules:
        from lbench.workloads.encoding import encode

        return encode(event)
    return msgspec.msgpack.encode(event)


_HERE = __file__.removesuffix("recorder.py")
_known_files: dict[str, bool] = {}


def _is_library(file: str) -> bool:
    if file not in _known_files:
        _known_files[file] = not file.startswith("<ipython-input") if file.startswith("<") else is_library_file(file)
    return _known_files[file]


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _named(function: Callable[..., Any] | Any) -> str:
    name = getattr(function, "__qualname__", None) or getattr(getattr(function, "func", None), "__qualname__", None)
    return f"{name or type(function).__name__}{place_of(function)}"
