"""Package trials: a machine that cannot run one gets the reason, and the package is not blamed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from lbench.config.manifest import MANIFEST, Manifest, host_architecture
from lbench.config.pythons import host_python
from lbench.engine.backends.lambda_.package import look_at_package
from lbench.engine.verify.package_trial import try_package
from lbench.errors import BackendError, InputError


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A zip of no workload, for this machine."""
    here = host_architecture()
    assert here is not None
    manifest = Manifest(
        lbench_version="0", handler="h.h", python=host_python(), arch=here, workloads=(), packages={}, compiled=None
    )
    path = tmp_path / "small.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, msgspec.json.encode(manifest))
    return path


def test_a_device_is_not_read_for_a_package(tmp_path: Path) -> None:
    (tmp_path / "package.zip").symlink_to("/dev/null")
    with pytest.raises(InputError, match="it is not a regular file"):
        look_at_package(str(tmp_path / "package.zip"), None)


async def test_a_package_for_another_machine_is_not_tried(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbench.engine.backends.lambda_.package.sys", SimpleNamespace(platform="darwin"))
    assert "made for Linux" in str(await try_package(package))
    with pytest.raises(InputError, match=r"cannot run here: .*made for Linux.*; run it on Linux"):
        look_at_package(str(package), None)


async def test_an_emulator_that_cannot_start_is_a_reason_not_to_try(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def launch(*_: Any, **__: Any) -> None:
        raise BackendError("the emulator cannot be started: no room for its socket")

    monkeypatch.setattr("lbench.engine.backends.lambda_.emulator_host.launch", launch)
    assert await try_package(package) == "the emulator cannot be started: no room for its socket"
