"""The real package, with real wheels for this machine, runs in the emulator as it would on Lambda."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from lbench.config.manifest import host_architecture
from lbench.config.pythons import find_python, host_python
from lbench.engine.backends.base import Call
from lbench.engine.backends.lambda_.emulated import open_emulated
from lbench.engine.backends.settings import EmulatedSettings
from lbench.engine.verify.package_trial import try_package
from lbench.errors import BackendError, InputError
from lbench.lambda_src.package import Built, build
from lbench.lambda_src.targets import Target
from lbench.workloads.encoding import encode

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(package_cache: Path) -> Built:
    arch = host_architecture()
    python = next((one for one in (host_python(), "3.13", "3.12", "3.14") if one != "3.11" and find_python(one)), None)
    if arch is None or python is None:
        pytest.skip("there is no Python of Lambda's here: install 3.12, 3.13 or 3.14")
    # For all tests of the module; the folders of a single test do not exist yet.
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(package_cache)
    try:
        return build(Target(python, arch))
    except InputError as error:
        pytest.skip(f"the libraries cannot be had: {error}")
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


async def test_one_task_of_each_workload_runs_in_a_clean_environment(built: Built) -> None:
    assert await try_package(built.path) is None


async def test_its_environments_use_its_python_and_its_libraries(built: Built, tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    shutil.copyfile(built.path, package)
    source = "import sys, numpy\nwhere = numpy.__file__, '%d.%d' % sys.version_info[:2], sys.path\n"
    tasks = (
        "from lbench.workloads.functions import task_function\n"
        f"{source}@task_function('asked.where')\ndef asked(): return [where[0], where[1], list(where[2])]\n"
    )
    with zipfile.ZipFile(package, "a") as archive:
        for name, content in (("__init__.py", ""), ("tasks.py", tasks)):
            entry = zipfile.ZipInfo(f"lbench/workloads/asked/{name}")
            entry.external_attr = 0o100644 << 16  # else only its owner may read it, on Lambda as here
            archive.writestr(entry, content)
    settings = EmulatedSettings(package=str(package), concurrency=1)
    async with open_emulated(settings, usable_cores=2, memory_bytes=2**33) as backend:
        outcome = await backend.invoke(Call(encode(["asked.where", {}]), 0, 0, 0, 60.0))
        assert any("libraries come from package.zip" in note for note in backend.notes)
        assert backend.package_digest is not None and backend.package_digest != built.sha256
    assert outcome.failure is None and outcome.result is not None, outcome.failure
    from lbench.workloads.encoding import decode

    file, python, path = decode(outcome.result)
    assert python == built.manifest.python
    assert file.startswith(("/var/task/", "/tmp/")) and file.endswith("numpy/__init__.py")
    assert file.startswith("/var/task/") or f"{os.sep}code{os.sep}" in file  # where nothing can be mounted
    assert not [folder for folder in path if "site-packages" in folder]


async def test_a_package_that_lacks_a_library_is_found_out_before_any_upload(built: Built, tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    with zipfile.ZipFile(built.path) as whole, zipfile.ZipFile(package, "w") as archive:
        for entry in whole.infolist():
            if not entry.filename.startswith("msgspec/"):
                archive.writestr(entry, whole.read(entry))
    with pytest.raises(BackendError, match=r"does not work: mandelbrot: .*msgspec"):
        await try_package(package)
