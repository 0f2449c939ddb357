"""An environment's memory limit: a cgroup, or polling of its resident memory and a kill above the limit.

Address space is no measure: numpy and the threads of a BLAS reserve far more than they use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from lbench.engine.emulator.resources.cgroups import Home
from lbench.engine.emulator.resources.process_tree import Tree, refresh_after_s
from lbench.engine.emulator.resources.timers import Agenda, Entry

__all__ = ["CgroupMemory", "MemoryHeld", "MemoryLimit", "MemoryMethod", "PolledMemory", "peak_bytes"]

MemoryMethod = Literal["cgroup-v2", "cgroup-v1", "systemd", "polled"]
_SLOWEST_S = 0.1
_FASTEST_S = 0.02
_FASTEST_GROWTH = 1.5e9  # bytes per second at which a process touches fresh memory, about
_FASTEST_EVER = 2e10  # and never faster than this
_ANY_AGE_S = 3600.0
_COUNT_S = 0.2  # the shortest time between two exact counts of shared pages


class MemoryHeld(Protocol):
    """One environment's limit. It starts running."""

    def exceeded(self) -> bool:
        """Whether it has ever exceeded its limit: ask after each invocation and after its end."""

    def resume(self) -> None:
        """Watch it: it runs."""

    def pause(self) -> None:
        """Suspend watching: it is frozen."""

    def peak_bytes(self) -> int:
        """The most memory that the tree was seen to hold."""

    def detach(self) -> None:
        """Stop watching: it has ended."""


class MemoryLimit(Protocol):
    """A method of limiting memory; one per emulator."""

    @property
    def method(self) -> MemoryMethod:
        """Its name, recorded with every result."""

    def attach(self, tree: Tree, limit_mb: int, kill: Callable[[], None], in_memory_mb: int = 0) -> MemoryHeld:
        """Limit a tree of processes; `kill` is called above the limit, unless the kernel kills it.

        `in_memory_mb`: of files in memory that do not count.

        The caller closes the tree after `detach`.

        Raises:
            OSError: the machine refuses.
        """


def peak_bytes(pid: int) -> int:
    """The peak resident memory of a process; 0: it has ended, or the system does not report it."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        text = Path(f"/proc/{pid}/status").read_bytes()
        return int(text.split(b"VmHWM:", 1)[1].split(None, 1)[0]) * 1024
    return 0


class _InCgroup:
    """A limit that the kernel holds; its counter of kills shows whether it was exceeded.

    The kernel counts files in memory too. Where there may be some, its limit is theirs and the tree's together, and the
    tree's is held by polling.
    """

    def __init__(self, tree: Tree, limit_mb: int, home: Home, polled: _Polled) -> None:
        self._home = home
        self._polled = polled
        self._exceeded = False
        self._over = False
        self._folder = home.make(f"e{tree.root}")
        try:
            home.set_memory(self._folder, limit_mb * 1_048_576)
            home.add(self._folder, tree)
        except OSError:
            home.remove(self._folder)
            raise

    def exceeded(self) -> bool:
        """Whether the kernel has killed there for lack of memory, or polling has."""
        self._exceeded = self._exceeded or (not self._over and self._home.oom_kills(self._folder) > 0)
        return self._exceeded or self._polled.exceeded()

    def resume(self) -> None:
        self._polled.resume()

    def pause(self) -> None:
        self._polled.pause()

    def peak_bytes(self) -> int:
        return self._polled.peak_bytes()

    def detach(self) -> None:
        """Remember whether it was exceeded, kill what is left, remove the cgroup."""
        if not self._over:
            self.exceeded()
            self._over = True
            self._polled.detach()
            self._home.remove(self._folder)


class CgroupMemory:
    """Limits in one home of cgroups, which the caller closes."""

    def __init__(self, home: Home, method: MemoryMethod, polled: PolledMemory) -> None:
        self.method = method
        self.home = home
        self._polled = polled  # for peaks, and where files in memory share the cgroup

    def attach(self, tree: Tree, limit_mb: int, kill: Callable[[], None], in_memory_mb: int = 0) -> _InCgroup:
        """Move the tree into a cgroup with that limit."""
        polled = self._polled.attach(tree, limit_mb, kill)
        try:
            return _InCgroup(tree, limit_mb + in_memory_mb, self.home, polled)
        except OSError:
            polled.detach()
            raise


class _Polled:
    """A limit held by polling, more often the nearer the tree is to it."""

    def __init__(self, tree: Tree, limit_mb: int, kill: Callable[[], None], poll: PolledMemory) -> None:
        self._limit_bytes = limit_mb * 1_048_576
        self._kill = kill
        self._poll = poll
        self._tree = tree
        self._held_bytes = 0  # as last seen
        self._peak_bytes = 0
        self._counted_s = float("-inf")
        self._seen_s = poll.agenda.time()
        self._exceeded = False
        self._over = False
        self._running = True  # not frozen
        self._entry = Entry(self._look)
        poll.groups += 1
        poll.agenda.at(poll.agenda.time() + _FASTEST_S, self._entry)

    def exceeded(self) -> bool:
        """Whether it was seen above its limit, or its peak shows that it was there between two looks."""
        if not self._exceeded and not self._over:
            now_s = self._poll.agenda.time()
            # The peak takes some 30 µs to read: skipped when it cannot have grown that far.
            if self._held_bytes + (now_s - self._seen_s) * _FASTEST_EVER >= self._limit_bytes:
                self._exceeded = max(peak_bytes(self._tree.root), self.peak_bytes()) > self._limit_bytes
            self._held_bytes, self._seen_s = self._tree.memory_bytes(_ANY_AGE_S), now_s
        return self._exceeded

    def peak_bytes(self) -> int:
        """The most memory that the tree was seen to hold, now included."""
        if not self._over:
            self._tree.refresh(_FASTEST_S)
            self._note(self._tree.memory_bytes(_ANY_AGE_S), exact=True)
        return self._peak_bytes

    def _note(self, held: int, *, exact: bool = False) -> None:
        """Remember a peak. Members share pages: their sum is one only when it was counted exactly, which is slow."""
        if held <= self._peak_bytes:
            return
        now_s = self._poll.agenda.time()
        if self._tree.members and (exact or now_s - self._counted_s >= _COUNT_S):
            self._counted_s = now_s
            held = self._tree.shared_out_bytes()
        elif self._tree.members:
            return
        self._peak_bytes = max(self._peak_bytes, held)

    def resume(self) -> None:
        """Look again soon. An invocation that ends before that is judged by the peak."""
        if not self._running and not self._over:
            self._running = True
            self._seen_s = self._poll.agenda.time()  # frozen, it did not grow
            self._poll.agenda.at(self._poll.agenda.time() + _FASTEST_S, self._entry)

    def pause(self) -> None:
        self._running = False
        self._poll.agenda.cancel(self._entry)

    def detach(self) -> None:
        if not self._over:
            self._over = True
            self._poll.groups -= 1
            self._poll.agenda.cancel(self._entry)

    def _look(self, now_s: float) -> None:
        held = self._tree.memory_bytes(refresh_after_s(self._poll.groups))
        self._held_bytes, self._seen_s = held, now_s
        self._note(held)
        if held > self._limit_bytes and self._tree.members:
            held = self._tree.shared_out_bytes()  # forked children share most of their pages
        if held > self._limit_bytes:
            self._exceeded = True
            self._kill()
            return
        reach_s = (self._limit_bytes - held) / _FASTEST_GROWTH
        next_s = now_s + min(max(reach_s, _FASTEST_S), _SLOWEST_S)
        self._poll.agenda.at(next_s - next_s % _FASTEST_S, self._entry)  # so that many share one look


class PolledMemory:
    """All environments' memory, polled by one timer of the running loop."""

    method: MemoryMethod = "polled"

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.groups = 0

    def attach(self, tree: Tree, limit_mb: int, kill: Callable[[], None], in_memory_mb: int = 0) -> _Polled:
        """Start to poll the tree, whose files in memory do not count."""
        return _Polled(tree, limit_mb, kill, self)
