"""docs/backend.md is true: its backend, put into a copy of the repository, passes its test and runs a comparison."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _before(text: str, anchor: str, added: str) -> str:
    """`text` with something added before the line that begins with `anchor`."""
    assert text.count(f"\n{anchor}") == 1, anchor
    return text.replace(f"\n{anchor}", f"\n{added}{anchor}")


def test_the_documented_backend_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "backend.md").read_text(encoding="utf-8")
    backend, entry, branch, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in backend.splitlines() if line]) <= 52

    for name in ("lbench", "engine", "workloads", "config", "cli", "analysis", "tui", "lambda_src"):
        shutil.copytree(
            ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )  # fmt: skip
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "engine/backends/inline.py").write_text(backend)
    catalog = tmp_path / "engine/backends/catalog.py"
    catalog.write_text(_before(catalog.read_text(), '    "emulated": (', entry))
    opening = tmp_path / "engine/plan/open_backend.py"
    opening.write_text(_before(opening.read_text(), "    settings = settings_of(choice)\n    cores", branch))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_inline.py").write_text(test)

    # The copy stands before the editable install, whose finder comes last on the path.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("PYTHONSAFEPATH", None)

    def run(*argv: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *argv], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr * (code > 0)

    assert "2 passed" in run("pytest", "-q", "-p", "no:cacheprovider", "tests/test_inline.py")
    shown = run("lbench", "run", "mandelbrot", "-p", "size=40", "-b", "inline", "--repeats", "1", "--json", "--quiet")
    (row,) = json.loads(shown)["runs"]
    assert (row["backend"], row["status"], row["answer"]["ok"]) == ("inline", "ok", True)
    refused = run("lbench", "run", "probe", "-b", "inline", "--cold-repeats", "1", "--quiet", code=1)
    assert "leave out --cold-repeats" in refused and "Traceback" not in refused
    run("ruff", "check", "--no-cache", "engine/backends", "engine/plan", "tests")
    run("ruff", "format", "--check", "--no-cache", "engine/backends", "engine/plan", "tests")
    run("mypy", "--cache-dir=/dev/null", "--follow-imports=silent", "-m", "lbench.engine.plan.open_backend")
