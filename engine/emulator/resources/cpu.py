"""An environment's CPU share, in proportion to its memory, held by the best method that works here.

Lambda gives 1,769 MB one vCPU and less or more in proportion; while an environment initialises it has two, whatever
its memory (reference: AWS's documentation of memory, and AWS Bites 144 for the init). The methods, best first:

    cgroup-v2   a quota in a cgroup that is ours (delegated to this user, or the root of the hierarchy)
    cgroup-v1   the same with the older interface
    systemd     a quota in a scope that systemd delegates to us when asked, as a desktop's user manager does
    duty-cycle  the process group is stopped and continued (duty_cycle.py)
    none        nothing holds the share
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Literal, Protocol, get_args

from lbench.config.limits import limits
from lbench.engine.emulator.resources.process_tree import Tree, cpu_s

__all__ = [
    "INIT_VCPUS",
    "MB_PER_VCPU",
    "METHODS",
    "CpuShare",
    "Held",
    "Method",
    "NoShare",
    "Signalled",
    "duty_cycle_works",
    "vcpus",
    "visible_cpus",
]

Method = Literal["cgroup-v2", "cgroup-v1", "systemd", "duty-cycle", "none"]
METHODS: tuple[Method, ...] = get_args(Method)
MB_PER_VCPU = limits().memory_mb_per_vcpu
INIT_VCPUS = 2.0
_ROUNDS = 5  # a process that starts others in other groups faster than this is not caught whole
_CPU_STEPS_MB = (3008, 5307, 7076, 8845)


def vcpus(memory_mb: int) -> float:
    """The share of a memory setting, in vCPUs: 1.0 at 1,769 MB, 5.79 at 10,240 MB."""
    return memory_mb / MB_PER_VCPU


def visible_cpus(memory_mb: int) -> int:
    """How many CPUs a function of that size sees, from 2 to 6 (reference: measured by many, documented nowhere)."""
    return 2 + sum(memory_mb > step for step in _CPU_STEPS_MB)


class Held(Protocol):
    """One environment's process group under its share. It starts running, in its init."""

    @property
    def frozen(self) -> bool:
        """Whether it is paused; being stopped for its share does not count."""

    def initialised(self) -> None:
        """End the init: the share holds from now on."""

    def resume(self) -> None:
        """Let it run within its share, for an invocation. Nothing happens where it is not paused."""

    def pause(self) -> None:
        """Freeze it until `resume`."""

    def detach(self) -> None:
        """Send no more signals, and kill what is left in its cgroup: it has ended, or is about to."""


class CpuShare(Protocol):
    """A method of holding CPU shares; one per emulator."""

    @property
    def method(self) -> Method:
        """Its name, recorded with every result."""

    def attach(self, tree: Tree, share: float) -> Held:
        """Hold the process group of the tree's root, just started, at `share` vCPUs once it is initialised.

        The tree is its owner's to close, after `detach`.

        Raises:
            OSError: the machine refuses.
        """


class Signalled:
    """A tree of processes that is paused by signals; the base of all methods."""

    def __init__(self, tree: Tree) -> None:
        self.pid = tree.root
        self._tree = tree
        self.frozen = False
        self._over = False

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group, and the environment's processes that have left it."""
        if self._over:
            return
        strays = self._tree.strays
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def initialised(self) -> None:
        """Change nothing."""

    def resume(self) -> None:
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)

    def pause(self) -> None:
        if not self.frozen:
            self.frozen = True
            self._stop()

    def _stop(self) -> None:
        """Stop the group, then what has left it, until nothing new is found there."""
        self._signal(signal.SIGSTOP)
        stopped: set[int] = set()
        for _ in range(_ROUNDS):
            self._tree.refresh()
            new = self._tree.strays - stopped
            if not new or self._over:
                return
            for pid in new:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGSTOP)
            stopped |= new

    def detach(self) -> None:
        self._over = True


class NoShare:
    """No limit: each environment takes what is free."""

    method: Method = "none"

    def attach(self, tree: Tree, share: float) -> Signalled:
        """Pause and resume the group only."""
        return Signalled(tree)


def duty_cycle_works() -> bool:
    """Whether process groups can be stopped and their CPU time read here."""
    return hasattr(os, "killpg") and sys.platform != "win32" and cpu_s(os.getpid()) is not None
