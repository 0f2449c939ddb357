"""`lbench package` from the command line: what it writes and tells, and one line for what it cannot do."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def index(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small wheels for Python 3.13 on x86_64, which is all that pip can see."""
    folder = home / "index"
    folder.mkdir()
    for name in ("msgspec", "numpy"):
        version = importlib.metadata.version(name)
        with zipfile.ZipFile(folder / f"{name}-{version}-cp313-cp313-manylinux_2_28_x86_64.whl", "w") as archive:
            archive.writestr(f"{name}/__init__.py", "")
            info = f"{name}-{version}.dist-info"
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\n")
            archive.writestr(f"{info}/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


PACK = ("package", "--workload", "mandelbrot", "--arch", "x86_64", "--python", "3.13")


def test_it_writes_the_zip_and_tells_sizes_against_the_limits(lbench: Lbench, home: Path) -> None:
    done = lbench(*PACK, "-o", "out.zip")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(home / "out.zip") as archive:
        assert "lbench/lambda_src/handler.py" in archive.namelist()
    assert "250.0 MiB" in done.stdout and "50.0 MiB" in done.stdout
    assert "deploy uploads it through S3\n" in done.stdout
    assert "numpy" in done.stdout and done.stdout.endswith("out.zip\n")
    again = lbench(*PACK)  # kept, and named by what is in it
    assert again.returncode == 0
    assert all("there is no Python 3.13 here to compile for it" in line for line in again.stderr.splitlines())
    assert (home / "lbench-mandelbrot-py3.13-x86_64.zip").read_bytes() == (home / "out.zip").read_bytes()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--workload", "mandelbrt"), "unknown workload 'mandelbrt': did you mean 'mandelbrot'?"),
        (("--python", "3.11"), "--python must be one of 3.12, 3.13, 3.14, got 3.11"),
        (("--arch", "sparc"), "--arch must be x86_64 or arm64, got sparc"),
        (("-o", "no/such/folder/x.zip"), "no/such/folder does not exist"),
        (("-o", "x.tar"), "-o must be a file name that ends in .zip"),
        (("-o", "index/"), "-o must be a file name that ends in .zip"),
        (("--python", "3.12"), "has no wheel for Python 3.12 on x86_64"),
        (("--arch", "arm64"), "has no wheel for Python 3.13 on arm64"),
    ],
)
def test_what_cannot_be_packed_gets_one_line(lbench: Lbench, options: tuple[str, ...], expected: str) -> None:
    done = lbench(*PACK, *options)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("lbench: ") and expected in line
    assert len(done.stderr.splitlines()) <= 2  # the other one says what is being downloaded
    assert not done.stdout


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("none.zip", "does not exist: make a package"),
        ("junk.zip", "is not an lbench package"),
        ("plain.zip", "is not an lbench package"),
        ("package.tar", "must be a .zip"),
        ("arm.zip", "it is for arm64"),
        ("future.zip", "it is for Python 3.99, which is not installed here"),
        ("small.zip", "has no scikit-learn, which random_forest needs"),
    ],
)
def test_a_package_that_cannot_run_here_gets_one_line(
    lbench: Lbench, home: Path, monkeypatch: pytest.MonkeyPatch, package: str, expected: str
) -> None:
    import msgspec

    from lbench.config.manifest import MANIFEST, Manifest, host_architecture
    from lbench.config.pythons import host_python

    here = host_architecture()
    assert here is not None
    (home / "junk.zip").write_bytes(b"junk")
    with zipfile.ZipFile(home / "plain.zip", "w") as archive:
        archive.writestr("app.py", "")
    usual = Manifest(
        lbench_version="0", handler="h", python=host_python(), arch=here, workloads=(), packages={}, compiled=None
    )
    for name, changes in (
        ("arm.zip", {"arch": "arm64" if here == "x86_64" else "x86_64"}),
        ("future.zip", {"python": "3.99"}),
        ("small.zip", {}),
    ):
        with zipfile.ZipFile(home / name, "w") as archive:
            archive.writestr(MANIFEST, msgspec.json.encode(msgspec.structs.replace(usual, **changes)))
    if here != "x86_64":
        expected = expected.replace("arm64", "x86_64")
    done = lbench("run", "random_forest", "-b", f"emulated:package={package}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and expected in done.stderr
