"""A user's own workload in a package: its files and libraries are in it, and no other version passes for it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lbench.config.manifest import Manifest, OwnPacked, host_architecture, read_manifest
from lbench.config.pythons import find_python
from lbench.engine.backends.lambda_.package import look_at_package
from lbench.engine.verify.package_trial import _first_task
from lbench.errors import InputError, WorkloadError
from lbench.lambda_src.package import build
from lbench.lambda_src.targets import Target
from lbench.workloads import registry
from lbench.workloads.own import importer
from lbench.workloads.own.snapshot import pinned_name

X86 = Target("3.13", "x86_64")
TEXT = """
from lbench import Task
include = ["table.txt"]
requirements = ["tiny_thing"]
trial = {"n": 1}
def f(i): return i
def job(n: int): return (yield [Task(f, i=i) for i in range(n)])
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "table.txt").write_text("1\n")
    path = tmp_path / "mine.py"
    path.write_text(TEXT)
    return path


@pytest.mark.usefixtures("libraries")
def test_its_files_and_libraries_are_in_the_package(mine: Path, make_wheel: Callable[..., Path]) -> None:
    make_wheel("tiny-thing", "1.0")
    built = build(X86, [f"{mine}:job"])
    with zipfile.ZipFile(built.path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert held["mine.py"] == TEXT.encode() and held["table.txt"] == b"1\n"
    assert "tiny_thing/__init__.py" in held
    assert msgspec.json.decode(held[importer.MARKER], type=importer.Marker).modules == ["mine"]
    description = registry.describe(f"{mine}:job")
    manifest = read_manifest(built.path)
    assert manifest.workloads == (description.packed,) and str(mine.parent) not in str(manifest)
    assert manifest.preload == "mine:job"
    own = manifest.own[description.packed]
    task, data = _first_task(pinned_name(own.digest, own.file, own.function))
    assert (task.function, task.arguments, data) == ("mine:f", {"i": 0}, None)
    importer.leave()


@pytest.mark.usefixtures("libraries")
def test_a_requirement_that_the_target_lacks_is_an_error(mine: Path) -> None:
    with pytest.raises(InputError, match="tiny-thing"):
        build(X86, [f"{mine}:job"])


def test_a_package_with_another_version_or_without_it_is_refused(mine: Path, tmp_path: Path) -> None:
    architecture = host_architecture()
    python = next((minor for minor in ("3.13", "3.12", "3.11") if find_python(minor)), None)
    if architecture is None or python is None:
        pytest.skip("no Python or processor here that a package can be for")
    description = registry.describe(f"{mine}:job")

    def packed(names: list[str], libraries: dict[str, str]) -> str:
        manifest = Manifest(
            lbench_version="0",
            handler="h",
            python=python,
            arch=architecture,
            workloads=tuple(names),
            packages=libraries,
            compiled=None,
            own={name: OwnPacked("0", "mine.py", "mine", "job") for name in names},
        )
        path = tmp_path / "package.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("lbench-package.json", msgspec.json.encode(manifest))
        return str(path)

    whole = {"tiny-thing": "1.0"}
    look_at_package(packed([description.packed], whole), f"{mine}:job")
    for names, libraries, expected in (
        (["mine.py:job@0123456789ab"], whole, "another version of mine.py:job"),
        ([], whole, "no mine.py:job in it"),
        ([description.packed], {}, "has no tiny_thing, which mine.py:job needs"),
    ):
        with pytest.raises(InputError, match=expected):
            look_at_package(packed(names, libraries), f"{mine}:job")


def test_a_workload_that_needs_parameters_is_reported_as_not_tried(mine: Path) -> None:
    mine.write_text("def job():\n    yield []\n    return 1\n")
    with pytest.raises(WorkloadError, match="has no task"):
        _first_task(f"{mine}:job")
    importer.leave()
