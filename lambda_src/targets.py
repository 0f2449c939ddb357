"""The target of a package: a Python and a processor of Lambda's, and the wheels that run there."""

from __future__ import annotations

import re

import msgspec

from lbench.config.limits import limits
from lbench.config.manifest import Architecture, host_architecture
from lbench.config.pythons import host_python
from lbench.errors import InputError

__all__ = ["Target", "choose_target"]

_FALLBACK_PYTHON = "3.13"
_MACHINES: dict[Architecture, str] = {"x86_64": "x86_64", "arm64": "aarch64"}
# The names that came before manylinux_X_Y (PEP 600), and the glibc that they stand for.
_LEGACY = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}  # no manylinux of that processor asks for less


class Target(msgspec.Struct, frozen=True):
    """A runtime of Lambda's."""

    python: str  # "3.13"
    arch: Architecture

    def __str__(self) -> str:
        return f"Python {self.python} on {self.arch}"

    @property
    def machine(self) -> str:
        """Linux's name of the processor."""
        return _MACHINES[self.arch]

    @property
    def python_tag(self) -> str:
        """As in a wheel's name, "cp313"."""
        return "cp" + self.python.replace(".", "")

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags that run there, the newest first.

        All of them must be asked for: pip takes the given ones literally, and one old tag alone finds only
        old versions, without a word.
        """
        machine = self.machine
        newest = int(limits().glibc.partition(".")[2])
        tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, _OLDEST_GLIBC[machine] - 1, -1)]
        legacy = [f"{name}_{machine}" for name, minor in _LEGACY.items() if minor >= _OLDEST_GLIBC[machine]]
        return (*tags, *legacy)  # not "linux": such a wheel was built on some machine, for that machine

    def runs(self, wheel: str) -> bool:
        """Whether a wheel of that file name runs there, by its tags (PEP 425, PEP 600)."""
        pythons, abis, platforms = wheel.removesuffix(".whl").rsplit("-", 3)[-3:]
        if not {"any", *self.platforms} & set(platforms.split(".")):
            return False
        return any(self._loads(python, abi) for python in pythons.split(".") for abi in abis.split("."))

    def _loads(self, python: str, abi: str) -> bool:
        if abi == "none":
            return python in ("py3", f"py{self.python_tag[2:]}", self.python_tag)
        if abi == "abi3":
            found = re.fullmatch(r"cp3(\d+)", python)
            return found is not None and int(found[1]) <= int(self.python.partition(".")[2])
        return python == self.python_tag and abi == self.python_tag


def choose_target(python: str | None = None, arch: str | None = None) -> Target:
    """What was asked for; else this machine's processor, and its Python where Lambda has that.

    Raises:
        InputError: Lambda has no such Python or processor.
    """
    known = limits().python_versions
    if python is None:
        python = host_python() if host_python() in known else _FALLBACK_PYTHON
    if python not in known:
        raise InputError(f"--python must be one of {', '.join(known)}, got {python}")
    chosen = arch if arch is not None else host_architecture()
    if chosen is None:
        raise InputError("Lambda does not have this machine's architecture: pass --arch x86_64 or --arch arm64")
    if chosen == "x86_64":
        return Target(python, "x86_64")
    if chosen == "arm64":
        return Target(python, "arm64")
    raise InputError(f"--arch must be x86_64 or arm64, got {chosen}")
