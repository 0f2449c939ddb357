"""CPU shares by a cgroup's quota: the kernel holds them, to the percent."""

from __future__ import annotations

import contextlib

from lbench.engine.emulator.resources.cgroups import Home
from lbench.engine.emulator.resources.cpu import INIT_VCPUS, Method, Signalled
from lbench.engine.emulator.resources.process_tree import Tree

__all__ = ["QuotaShare"]


class _Quota(Signalled):
    """One process group in a cgroup of its own."""

    def __init__(self, tree: Tree, share: float, home: Home) -> None:
        super().__init__(tree.root)
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
        """From now on its share holds."""
        if self._share < INIT_VCPUS and not self._over:
            with contextlib.suppress(FileNotFoundError):  # it has ended, and its cgroup was removed with it
                self._home.set_cpus(self._folder, self._share)

    def detach(self) -> None:
        """Kill what is left of it, and remove its cgroup."""
        if not self._over:
            super().detach()
            self._home.remove(self._folder)


class QuotaShare:
    """Shares in one home of cgroups; the home is its owner's to close."""

    def __init__(self, home: Home, method: Method) -> None:
        self.method = method
        self.home = home

    def attach(self, tree: Tree, share: float) -> _Quota:
        """Put it into a cgroup with two CPUs for its init, and its share after that."""
        return _Quota(tree, share, self.home)

    def close(self) -> None:
        """Nothing is left: the home is its owner's."""
