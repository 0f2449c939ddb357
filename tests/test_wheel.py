"""What is in the wheel, and what is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "lbench"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in files.stdout.splitlines():  # built from a copy: two builds in one tree disturb each other
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
        cwd=out,
    )
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_data_files_are_in_the_wheel(names: set[str]) -> None:
    assert {"lbench/config/prices.toml", "lbench/config/limits.toml", "lbench/py.typed"} <= names
    assert "lbench/lambda_src/template.yaml" in names
    assert any(name.startswith("lbench/tui/") and name.endswith(".tcss") for name in names)


def test_every_module_of_the_product_is_in_the_wheel(names: set[str]) -> None:
    folders = ("analysis", "cli", "config", "engine", "lambda_src", "tui", "workloads")
    modules = {
        f"lbench/{path.relative_to(ROOT).as_posix()}" for folder in folders for path in (ROOT / folder).rglob("*.py")
    }
    assert modules - names == set()


def test_tests_and_benchmarks_are_not_in_the_wheel(names: set[str]) -> None:
    assert not [name for name in names if "test" in name.split("/")[-1] or name.startswith(("tests/", "benchmarks/"))]
