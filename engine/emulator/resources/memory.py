"""An environment's memory limit: by a cgroup, or by looking at its resident memory and killing what has too much.

Never by address space: numpy and the threads of a BLAS reserve far more than they use.
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


class MemoryHeld(Protocol):
    """One environment's limit. It begins running."""

    def exceeded(self) -> bool:
        """Whether it has passed its limit, at any time: ask after each invocation and when it has ended."""

    def resume(self) -> None:
        """It runs."""

    def pause(self) -> None:
        """It is frozen: nothing need be looked at."""

    def detach(self) -> None:
        """It has ended."""


class MemoryLimit(Protocol):
    """A method of limiting memory; one per emulator."""

    @property
    def method(self) -> MemoryMethod:
        """Its name, told with every result."""

    def attach(self, tree: Tree, limit_mb: int, kill: Callable[[], None]) -> MemoryHeld:
        """Limit a tree of processes; `kill` is called when it has too much, unless the kernel kills it.

        The tree is its owner's to close, after `detach`.

        Raises:
            OSError: the machine refuses.
        """

    def close(self) -> None:
        """Remove all that the method has made."""


def peak_bytes(pid: int) -> int:
    """The most memory (RSS) that a process has held; 0: it has gone, or this is not told here."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        text = Path(f"/proc/{pid}/status").read_bytes()
        return int(text.split(b"VmHWM:", 1)[1].split(None, 1)[0]) * 1024
    return 0


class _InCgroup:
    """The kernel counts and kills; its counter of kills tells."""

    def __init__(self, tree: Tree, limit_mb: int, home: Home) -> None:
        self._home = home
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
        """Whether the kernel has killed for want of memory there."""
        self._exceeded = self._exceeded or (not self._over and self._home.oom_kills(self._folder) > 0)
        return self._exceeded

    def resume(self) -> None:
        """Nothing need be done."""

    def pause(self) -> None:
        """Nothing need be done."""

    def detach(self) -> None:
        """Remember how it ended, kill what is left of it, remove its cgroup."""
        if not self._over:
            self.exceeded()
            self._over = True
            self._home.remove(self._folder)


class CgroupMemory:
    """Limits in one home of cgroups; the home is its owner's to close."""

    def __init__(self, home: Home, method: MemoryMethod) -> None:
        self.method = method
        self.home = home

    def attach(self, tree: Tree, limit_mb: int, kill: Callable[[], None]) -> _InCgroup:
        """Put it into a cgroup with that limit."""
        return _InCgroup(tree, limit_mb, self.home)

    def close(self) -> None:
        """Nothing is left: the home is its owner's."""


class _Polled:
    """Looked at while it runs, the more often the nearer it is to its limit."""

    def __init__(self, tree: Tree, limit_mb: int, kill: Callable[[], None], poll: PolledMemory) -> None:
        self._limit_bytes = limit_mb * 1_048_576
        self._kill = kill
        self._poll = poll
        self._tree = tree
        self._held_bytes = 0  # as last seen
        self._seen_s = poll.agenda.time()
        self._exceeded = False
        self._over = False
        self._running = True  # not frozen
        self._entry = Entry(self._look)
        poll.groups += 1
        poll.agenda.at(poll.agenda.time() + _SLOWEST_S, self._entry)

    def exceeded(self) -> bool:
        """Whether it was seen above its limit, or its own peak tells that it has been there between two looks."""
        if not self._exceeded and not self._over:
            now_s = self._poll.agenda.time()
            # The peak takes some 30 µs to read: not when it cannot have grown that far.
            if self._held_bytes + (now_s - self._seen_s) * _FASTEST_EVER >= self._limit_bytes:
                self._exceeded = peak_bytes(self._tree.root) > self._limit_bytes
            self._held_bytes, self._seen_s = self._tree.memory_bytes(_ANY_AGE_S), now_s
        return self._exceeded

    def resume(self) -> None:
        """Look again, at once or soon: a request may come to its end before that, and its peak tells then."""
        if not self._running and not self._over:
            self._running = True
            self._seen_s = self._poll.agenda.time()  # frozen, it did not grow
            self._poll.agenda.at(self._poll.agenda.time() + _FASTEST_S, self._entry)

    def pause(self) -> None:
        """Look no more."""
        self._running = False
        self._poll.agenda.cancel(self._entry)

    def detach(self) -> None:
        """Look no more."""
        if not self._over:
            self._over = True
            self._poll.groups -= 1
            self._poll.agenda.cancel(self._entry)

    def _look(self, now_s: float) -> None:
        held = self._tree.memory_bytes(refresh_after_s(self._poll.groups))
        self._held_bytes, self._seen_s = held, now_s
        if held > self._limit_bytes and self._tree.members:
            held = self._tree.shared_out_bytes()  # forked children share most of their pages
        if held > self._limit_bytes:
            self._exceeded = True
            self._kill()
            return
        reach_s = (self._limit_bytes - held) / _FASTEST_GROWTH
        next_s = now_s + min(max(reach_s, _FASTEST_S), _SLOWEST_S)
        self._poll.agenda.at(next_s - next_s % _FASTEST_S, self._entry)  # so that many are looked at in one go


class PolledMemory:
    """All environments' memory, looked at by one timer of the running loop."""

    method: MemoryMethod = "polled"

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.groups = 0

    def attach(self, tree: Tree, limit_mb: int, kill: Callable[[], None]) -> _Polled:
        """Watch it."""
        return _Polled(tree, limit_mb, kill, self)

    def close(self) -> None:
        """Nothing is left to remove: the agenda is its owner's."""
