"""Small wheels in a folder that is all pip can see: packages are made without a network, in a second or two."""

from __future__ import annotations

import importlib.metadata
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MakeWheel = Callable[..., Path]


@pytest.fixture
def elf() -> Callable[[int], bytes]:
    """What an ELF file begins with, for a 64-bit little-endian machine; 62 is x86_64, 183 is arm64."""
    return lambda machine: b"\x7fELF\x02\x01\x01" + bytes(11) + machine.to_bytes(2, "little") + bytes(44)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder; pip looks nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def make_wheel(index: Path) -> MakeWheel:
    """`make_wheel("numpy", "2.1.0", "cp313-cp313-manylinux_2_28_x86_64", files)`."""

    def make(
        name: str,
        version: str | None = None,
        tags: str = "py3-none-any",
        files: Mapping[str, bytes] | None = None,
        requires: str = "",
    ) -> Path:
        version = version or importlib.metadata.version(name)
        path = index / f"{name.replace('-', '_')}-{version}-{tags}.whl"
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        if requires:
            metadata += f"Requires-Dist: {requires}\n"
        with zipfile.ZipFile(path, "w") as archive:
            for file, content in (files or {f"{name.replace('-', '_')}/__init__.py": b"here = True\n"}).items():
                archive.writestr(file, content)
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n")
            archive.writestr(f"{info}/RECORD", "")
        return path

    return make


@pytest.fixture
def libraries(make_wheel: MakeWheel, elf: Callable[[int], bytes]) -> None:
    """What the handler needs, for Python 3.13 on either processor, in the driver's versions."""
    for arch, machine in (("x86_64", 62), ("aarch64", 183)):
        make_wheel(
            "numpy",
            tags=f"cp313-cp313-manylinux_2_27_{arch}.manylinux_2_28_{arch}",
            files={
                "numpy/__init__.py": b"value = {'a', 'b'}\n",
                "numpy/__init__.pyi": b"",
                "numpy/core.cpython-313.so": elf(machine),
                "numpy/tests/test_core.py": b"",
                "numpy/template.py": b"this is {{no}} Python\n",
                "numpy.libs/libblas.so.3": elf(machine),
            },
        )
        make_wheel("msgspec", tags=f"cp313-cp313-manylinux2014_{arch}.manylinux_2_17_{arch}")
