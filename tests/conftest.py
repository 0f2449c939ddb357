"""For all tests: folders of their own, no way to AWS, and the data files where they are at hand."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is read from or left in the home of whoever runs the tests, and no credentials are found or needed."""
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    runtime = tempfile.mkdtemp(prefix="lb-", dir="/tmp")  # a socket's path has at most 104 bytes
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    for name in [name for name in os.environ if name.startswith(("AWS_", "LBENCH_")) and name != "LBENCH_TEST_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    yield
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """`data_file(NAME)`: a file of $LBENCH_TEST_DATA, else of `../shared/data`; the test is skipped without it."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("LBENCH_TEST_DATA") or ROOT.parent / "shared" / "data")
        path = folder / name
        if not path.exists():
            pytest.skip(f"{name} is not in {folder}: set LBENCH_TEST_DATA to a folder that has it")
        return path

    return find
