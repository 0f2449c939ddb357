"""An environment's CPU share, memory limit and registration with the guardian, in one object.

`Confinement.choose()` tries the methods and takes the best that work here; `attach` confines one environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from lbench.engine.emulator.resources import systemd
from lbench.engine.emulator.resources.affinity import CpuChoice
from lbench.engine.emulator.resources.cgroups import Home, find, open_home
from lbench.engine.emulator.resources.cpu import CpuShare, Method, NoShare, duty_cycle_works, vcpus, visible_cpus
from lbench.engine.emulator.resources.duty_cycle import DutyCycle
from lbench.engine.emulator.resources.memory import CgroupMemory, MemoryLimit, MemoryMethod, PolledMemory
from lbench.engine.emulator.resources.process_tree import Tree
from lbench.engine.emulator.resources.quota import QuotaShare
from lbench.engine.emulator.resources.timers import Agenda
from lbench.engine.processes.guardian_client import Guard

__all__ = ["Confined", "Confinement", "usable_cpus"]


def usable_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Confined:
    """One environment's process group, from its start to its end."""

    def __init__(
        self,
        pid: int,
        number: int,
        memory_mb: int,
        kill: Callable[[], None],
        confinement: Confinement,
        in_memory_mb: int = 0,
    ) -> None:
        self._pid, self._number = pid, number
        self._guard = confinement.guard
        self._tree = Tree(pid)
        self._memory = confinement.memory.attach(self._tree, memory_mb, kill, in_memory_mb)
        self._cpus = confinement.cpus
        self._own_cpus = self._cpus.take(visible_cpus(memory_mb), vcpus(memory_mb))
        try:
            self._cpus.bind(pid, self._own_cpus)
            self._cpu = confinement.cpu.attach(self._tree, vcpus(memory_mb))
        except OSError:
            self._memory.detach()
            self._tree.close()
            self._cpus.give_back(self._own_cpus, vcpus(memory_mb))
            raise
        self._share = vcpus(memory_mb)
        if self._guard is not None:
            self._guard.watch(pid)
        self._over = False

    @property
    def frozen(self) -> bool:
        return self._cpu.frozen

    def initialised(self) -> None:
        """End the init, which has two vCPUs: the share holds from now on."""
        self._cpu.initialised()

    def resume(self) -> None:
        self._cpu.resume()
        self._memory.resume()

    def pause(self) -> None:
        self._cpu.pause()
        self._memory.pause()

    def out_of_memory(self) -> bool:
        """Whether it has exceeded its memory limit. Ask before an answer is passed on, and after the process has ended."""
        return self._memory.exceeded()

    def descendants(self) -> set[int]:
        """The processes that its first one has started, as far as they are known now."""
        self._tree.refresh()
        return set(self._tree.members)

    def strays(self) -> set[int]:
        """Those of them that have left its process group."""
        self._tree.refresh()
        return set(self._tree.strays)

    def peak_bytes(self) -> int:
        """The most memory that all of its processes together were seen to hold."""
        return self._memory.peak_bytes()

    def detach(self) -> None:
        """Kill what an ended process has left behind, and release everything."""
        if self._over:
            return
        self._over = True
        self._memory.detach()  # first: its counters go with the cgroup
        self._cpu.detach()
        self._cpus.give_back(self._own_cpus, self._share)
        self._tree.close()
        if self._guard is not None:
            self._guard.let_go(self._pid, self._number)


class Confinement:
    """One emulator's methods. Made on its running loop; closed after all environments are detached."""

    def __init__(
        self,
        cpu: CpuShare,
        memory: MemoryLimit,
        agenda: Agenda,
        *,
        guard: Guard | None = None,
        homes: tuple[Home, ...] = (),
    ) -> None:
        self.cpu, self.memory, self.guard = cpu, memory, guard
        self.cpus = CpuChoice()
        self._agenda = agenda
        self._homes = homes

    @classmethod
    def choose(cls, guard: Guard | None = None, *, method: Method | None = None, root: Path = Path("/")) -> Self:
        """The best methods that work here; none that would ask for a password.

        `method`: take this one for the CPU, or the best after it. "duty-cycle" and "none" make no cgroup at all.
        `root`: the system's root folder.
        """
        agenda = Agenda()
        cpu_home = memory_home = None
        name: Method = "none"
        if method not in ("duty-cycle", "none"):
            name, cpu_home, memory_home = _homes(root, method, None if guard is None else guard.cgroup)
        homes = tuple({id(home): home for home in (cpu_home, memory_home) if home is not None}.values())
        cpu: CpuShare
        if cpu_home is not None:
            cpu = QuotaShare(cpu_home, name)
        elif method != "none" and duty_cycle_works():
            cpu = DutyCycle(agenda, usable_cpus())
        else:
            cpu = NoShare()
        memory: MemoryLimit = PolledMemory(agenda)
        if memory_home is not None:
            kind: MemoryMethod = "cgroup-v1" if memory_home.version == 1 else "cgroup-v2"
            memory = CgroupMemory(memory_home, "systemd" if name == "systemd" else kind, PolledMemory(agenda))
        return cls(cpu, memory, agenda, guard=guard, homes=homes)

    def attach(
        self, pid: int, number: int, memory_mb: int, kill: Callable[[], None], *, in_memory_mb: int = 0
    ) -> Confined:
        """Confine environment `number`, whose process group `pid` has just been started.

        `kill` is called when it exceeds its memory, unless the kernel kills it. `in_memory_mb`: of files in memory, which
        are not the function's.

        Raises:
            OSError: the machine refuses; the process is unchanged.
        """
        return Confined(pid, number, memory_mb, kill, self, in_memory_mb)

    def close(self) -> None:
        """Remove all cgroups. The guard belongs to the caller, who closes it afterwards."""
        self._agenda.close()
        for home in self._homes:
            home.close()


def _homes(
    root: Path, method: Method | None, announce: Callable[[Path], None] | None
) -> tuple[Method, Home | None, Home | None]:
    """(method for the CPU, home for the CPU, home for memory), each None where there is none."""
    if method != "systemd":
        cpu, memory = _open(root, announce)
        if cpu is not None:
            return ("cgroup-v2" if cpu.version == 2 else "cgroup-v1"), cpu, memory
        if memory is not None:
            memory.close()
    which = systemd.manager()
    if which is not None and systemd.delegate(which, root / "proc"):
        cpu, memory = _open(root, announce)
        if cpu is not None:
            return "systemd", cpu, memory
        if memory is not None:
            memory.close()
    return "none", None, None


def _open(root: Path, announce: Callable[[Path], None] | None) -> tuple[Home | None, Home | None]:
    places = find("cpu", root), find("memory", root)
    if places[0] is not None and places[0] == places[1]:
        both = open_home(places[0], ("cpu", "memory"), announce)
        if both is not None:
            return both, both
        return open_home(places[0], ("cpu",), announce), None
    cpu = None if places[0] is None else open_home(places[0], ("cpu",), announce)
    memory = None if places[1] is None else open_home(places[1], ("memory",), announce)
    return cpu, memory
