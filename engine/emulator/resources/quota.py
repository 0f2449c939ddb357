"""CPU shares by a cgroup's quota, which the kernel holds to the percent."""

from __future__ import annotations

import contextlib

from lbench.engine.emulator.resources.cgroups import Home
from lbench.engine.emulator.resources.cpu import INIT_VCPUS, Method, Signalled
from lbench.engine.emulator.resources.process_tree import Tree

__all__ = ["QuotaShare"]


class _Quota(Signalled):
    """One process group in a cgroup of its own."""

    def __init__(self, tree: Tree, share: float, home: Home) -> None:
        super().__init__(tree)
        self._share = share
        self._home = home
        self._folder = home.make(f"e{self.pid}")
        try:
            home.set_cpus(self._folder, max(INIT_VCPUS, share))
            home.add(self._folder, tree)
        except OSError:
            home.remove(self._folder)
            raise

    def initialised(self) -> None:
        """Start to hold the share."""
        if self._share < INIT_VCPUS and not self._over:
            with contextlib.suppress(FileNotFoundError):  # it has ended, and its cgroup with it
                self._home.set_cpus(self._folder, self._share)

    def detach(self) -> None:
        """Kill what is left, and remove the cgroup."""
        if not self._over:
            super().detach()
            self._home.remove(self._folder)


class QuotaShare:
    """Shares in one home of cgroups, which the caller closes."""

    def __init__(self, home: Home, method: Method) -> None:
        self.method = method
        self.home = home

    def attach(self, tree: Tree, share: float) -> _Quota:
        """Move the tree into a cgroup with two CPUs for its init, and its share afterwards."""
        return _Quota(tree, share, self.home)
