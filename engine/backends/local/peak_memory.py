"""The peak resident memory of each task in a worker that runs many, for about 10 µs a task outside the task's own clock.

Linux keeps a process's high-water mark (VmHWM) and sets it back on request: before each task, when no other runs.
`ru_maxrss` does not serve there: at exec it takes over the mark of the process that started this one. Elsewhere there is
only `ru_maxrss`, which never falls: it shows the largest task so far.
"""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["PeakMemory"]

_HIGH_WATER = b"VmHWM:"
_RESET = b"5"  # of /proc/self/clear_refs: the high-water mark becomes what is resident now
_STATUS_BYTES = 4096


class PeakMemory:
    """Reads the peak of this process since `begin`. Open it once, in the process itself."""

    def __init__(self) -> None:
        self._status = self._clear = -1
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
            with contextlib.suppress(OSError):  # not in every kernel: the mark of the whole process is left
                self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    def begin(self) -> None:
        """Forget what was before."""
        if self._clear >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._clear, _RESET, 0)

    def kib(self) -> int:
        """The peak in KiB; 0: the system does not show it."""
        if self._status >= 0:
            with contextlib.suppress(OSError, ValueError):
                text = os.pread(self._status, _STATUS_BYTES, 0)
                at = text.index(_HIGH_WATER) + len(_HIGH_WATER)
                return int(text[at : text.index(b"kB", at)])
            return 0
        return 0 if sys.platform == "linux" else _whole_life_kib()


def _whole_life_kib() -> int:
    import resource

    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak  # macOS counts bytes
