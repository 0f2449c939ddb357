"""Type checkers and import analysers see lbench as one package from the repository's root, without preparation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FOLDERS = ("analysis", "cli", "config", "engine", "lambda_src", "tui", "workloads")

_CODE = """
from lbench.config.limits import limits
from lbench.errors import LbenchError

size: int = limits().payload_max_bytes
fault: LbenchError = limits().glibc
"""


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_is_linked_into_the_package(folder: str) -> None:
    link = ROOT / "lbench" / folder
    assert link.is_symlink() and link.readlink() == Path("..", folder)


def test_grimp_sees_every_module() -> None:
    code = "import grimp; print(*sorted(grimp.build_graph('lbench', cache_dir=None).modules))"
    seen = set(_run(str(BIN / "python"), "-c", code).stdout.split())
    modules = {
        ".".join(("lbench", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    assert modules - seen == set()


def test_import_linter_checks_the_contracts() -> None:
    run = _run(str(BIN / "lint-imports"), "--no-cache")
    assert run.returncode == 0, run.stdout
    assert "0 broken" in run.stdout


def test_mypy_follows_an_import_through_a_link() -> None:
    run = _run(str(BIN / "mypy"), "--cache-dir=/dev/null", "-c", _CODE)
    assert 'expression has type "str", variable has type "LbenchError"' in run.stdout, run.stdout + run.stderr
    assert "Found 1 error" in run.stdout


def test_pyright_follows_an_import_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(_CODE)
    run = _run(str(BIN / "basedpyright"), "--outputjson", "--level", "error", str(tmp_path / "code.py"))
    (found,) = json.loads(run.stdout)["generalDiagnostics"]
    assert found["rule"] == "reportAssignmentType"
    assert found["range"]["start"]["line"] == 5
