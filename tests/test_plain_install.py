"""What a plain `pip install .` brings: at most 450 MB, and enough for everything that the product imports.

An environment that holds only the distributions which lbench requires (no extra of its own) is made of links to those of
this environment, so that no package index is asked.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LARGEST_BYTES = 450 * 2**20

_S3 = """
import asyncio
from lbench.engine.backends.lambda_.embedded_s3 import EmbeddedS3
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.workloads.sigv4 import Credentials

async def main():
    keys = Credentials("some-key", "some-secret")
    server = EmbeddedS3("some-bucket", keys)
    server.open()
    store = ObjectStore(keys, region="us-east-1", endpoint=server.endpoint, bucket="some-bucket", prefix="run")
    place = await store.put("result", b"x" * 8_000_000)
    assert await store.get(place) == b"x" * 8_000_000
    await store.clear()
    store.close()
    await server.close()

asyncio.run(main())
"""
_EVERY_MODULE = """
import importlib, pkgutil, lbench
for found in pkgutil.walk_packages(lbench.__path__, "lbench."):
    if not found.name.endswith("__main__") and found.name != "lbench.tui.web":  # of the extra `serve`
        importlib.import_module(found.name)
"""


def _required() -> dict[str, importlib.metadata.Distribution]:
    """The distributions that lbench requires without extras, and what those require in turn, by canonical name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [("lbench", "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found[name] = importlib.metadata.distribution(name)
        for text in found[name].requires or []:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(one.name), each) for each in ("", *one.extras)]
    return found


def _files(distribution: importlib.metadata.Distribution) -> list[Path]:
    return [path for file in distribution.files or [] if (path := Path(str(file.locate()))).is_file()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with lbench's own modules and what they require, and nothing else."""
    folder = tmp_path_factory.mktemp("plain") / "venv"
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = Path(importlib.metadata.distribution("packaging").locate_file(""))  # type: ignore[arg-type]
    for name, distribution in _required().items():
        if name == "lbench":
            continue
        for top in {Path(str(file)).parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(here / top)
    (packages / "lbench").symlink_to(ROOT / "lbench")
    return folder / "bin" / "python"


def _run(python: Path, code: str, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([python, "-c", code], cwd=folder, env=environment, check=True, timeout=120)


def test_a_plain_install_starts_the_embedded_s3(plain: Path, tmp_path: Path) -> None:
    _run(plain, _S3, tmp_path)


def test_a_plain_install_imports_every_module_of_the_product(plain: Path, tmp_path: Path) -> None:
    _run(plain, _EVERY_MODULE, tmp_path)


def test_a_plain_install_takes_at_most_450_mb() -> None:
    sizes = {
        name: sum(path.stat().st_blocks * 512 for path in set(_files(distribution)))
        for name, distribution in _required().items()
    }
    assert len(sizes) > 40, "distributions were not found: is this an install without RECORD files?"
    largest = ", ".join(f"{name} {sizes[name] >> 20}" for name in sorted(sizes, key=lambda name: -sizes[name])[:12])
    assert sum(sizes.values()) <= LARGEST_BYTES, f"{sum(sizes.values()) >> 20} MB; the largest: {largest}"


def test_a_plain_install_brings_no_package_that_only_tests_load() -> None:
    unwanted = {"sympy", "networkx", "cfn-lint", "graphql-core", "docker", "pydantic", "pillow", "pytest", "mypy"}
    assert set(_required()) & unwanted == set()


def test_every_required_version_is_among_the_tested_versions() -> None:
    tested = {
        canonicalize_name(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if re.match(r"^[\w.-]+==", line)
    }
    assert set(_required()) - {"lbench"} - tested == set()
