"""The wheel and the source distribution hold the product and nothing else, and every way to install it works."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("analysis", "cli", "config", "engine", "lambda_src", "tui", "workloads")
DATA = (".j2", ".toml", ".yaml", ".tcss", ".html", ".js")


def _tracked() -> list[str]:
    """The repository's files, also those that are not committed yet; links to folders are one name each."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_symlink() or (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's files: two builds in one folder would disturb each other."""
    folder = tmp_path_factory.mktemp("source") / "lbench"
    for name in _tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def product() -> set[str]:
    """What must be in a distribution, as paths below `lbench/`'s parent."""
    files = [Path(name) for name in _tracked()]
    own = {path.as_posix() for path in files if path.parts[0] == "lbench" and not (ROOT / path).is_symlink()}
    moved = {f"lbench/{path.as_posix()}" for path in files if path.parts[0] in FOLDERS}
    assert len(moved) > 300
    return own | {name for name in moved if name.endswith((".py", *DATA))}


def _build(what: str, source: Path, out: Path) -> Path:
    argv = [sys.executable, "-m", "build", what, "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(argv, check=True, capture_output=True, cwd=out)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel that is built from the repository, without its metadata."""
    with zipfile.ZipFile(_build("--wheel", source, tmp_path_factory.mktemp("wheel"))) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def unpacked_sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    archive = _build("--sdist", source, tmp_path_factory.mktemp("sdist"))
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(folder)], check=True)
    (top,) = folder.iterdir()
    return top


def test_the_wheel_holds_the_product_and_nothing_else(wheel: set[str], product: set[str]) -> None:
    assert wheel == product


def test_the_wheel_holds_the_data_files(wheel: set[str]) -> None:
    """Named, so that a data file whose kind `pyproject.toml` forgets is missed here as well."""
    assert {
        "lbench/py.typed",
        "lbench/config/prices.toml",
        "lbench/config/limits.toml",
        "lbench/lambda_src/template.yaml",
        "lbench/tui/lbench.tcss",
        "lbench/tui/page.html",
        "lbench/tui/page.js",
        "lbench/cli/html/page.html.j2",
    } <= wheel


def test_the_source_distribution_holds_the_product_and_what_builds_it(unpacked_sdist: Path, product: set[str]) -> None:
    files = {path.relative_to(unpacked_sdist) for path in unpacked_sdist.rglob("*") if path.is_file()}
    names = {path.as_posix() for path in files if path.parts[0] != "lbench.egg-info"}
    assert names == product | {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}


def test_a_wheel_from_the_source_distribution_is_the_same(
    unpacked_sdist: Path, wheel: set[str], tmp_path: Path
) -> None:
    with zipfile.ZipFile(_build("--wheel", unpacked_sdist, tmp_path)) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == wheel


_OFFLINE = ["install", "--no-deps", "--no-build-isolation"]
INSTALLERS = {
    "pip": ["{here}/python", "-m", "pip", "--python", "{python}", *_OFFLINE, "--no-index"],
    "uv": ["{here}/uv", "pip", *_OFFLINE, "--offline", "-p", "{python}"],
}


@pytest.mark.parametrize("editable", [(), ("-e",)], ids=["copied", "editable"])
@pytest.mark.parametrize("installer", INSTALLERS)
def test_an_install_runs_from_any_folder(
    installer: str, editable: tuple[str, ...], source: Path, tmp_path: Path
) -> None:
    """Requirements are this environment's, by a .pth file: no package index is asked."""
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = importlib.metadata.distribution("packaging").locate_file("")
    mine = tmp_path / "requirements"
    mine.mkdir()
    for entry in Path(str(here)).iterdir():  # all but lbench itself
        if "lbench" not in entry.name and not entry.name.endswith(".pth"):
            (mine / entry.name).symlink_to(entry)
    (packages / "requirements.pth").write_text(f"{mine}\n")

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "UV_", "PIP_"))}
    environment |= {"UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    names = {"python": folder / "bin" / "python", "here": Path(sys.executable).parent}
    argv = [part.format(**names) for part in INSTALLERS[installer]] + [*editable, str(source)]
    subprocess.run(argv, check=True, cwd=tmp_path, env=environment, timeout=300)
    for place in (tmp_path, source):
        for command in ([folder / "bin" / "lbench"], [folder / "bin" / "python", "-m", "lbench"]):
            argv = [*map(str, command), "workloads"]
            run = subprocess.run(argv, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
            assert (run.returncode, run.stderr) == (0, "")
            assert "mandelbrot" in run.stdout
