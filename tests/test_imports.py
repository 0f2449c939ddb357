"""Quick starts: no heavy package is imported before it is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_ALL = {
    "numpy",
    "sklearn",
    "scipy",
    "pandas",
    "botocore",
    "boto3",
    "aioboto3",
    "aiohttp",
    "moto",
    "textual",
    "rich",
    "PIL",
}

_FORMS = """
from lbench.workloads import parameters, registry
for name in registry.names():
    assert parameters.fields(registry.describe(name).params)
"""
_BACKENDS = """
from lbench.engine.backends import catalog
from lbench.workloads import parameters
for name in catalog.names():
    parameters.fields(catalog.settings_type(name))
"""


def loaded(code: str) -> set[str]:
    """The top-level packages that are there after `code`, in a process of its own."""
    code += "\nimport sys\nprint(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    argv = [sys.executable, "-P", "-c", code]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import lbench", _ALL | {"msgspec", "click", "asyncio"}),
        ("import lbench.cli.main", _ALL | {"msgspec", "asyncio"}),
        (_FORMS, _ALL),
        (_BACKENDS, _ALL),
        ("import lbench.engine.service.client", _ALL),
        ("import lbench.engine.plan.validate", _ALL),
        ("import lbench.engine.journal.events", _ALL),
        ("import lbench.lambda_src.handler", _ALL - {"numpy"}),
        (
            "import lbench.engine.session.view, lbench.engine.export.document",
            {"sklearn", "botocore", "aiohttp", "textual", "rich"},
        ),
        (
            "import lbench.engine.service.server",
            {"sklearn", "botocore", "aioboto3", "aiohttp", "moto", "textual", "rich", "PIL"},
        ),
        (
            "import lbench.engine.backends.local.worker",
            {"sklearn", "botocore", "aiohttp", "textual", "rich", "psutil", "PIL"},
        ),
    ],
    ids=lambda value: value.strip().splitlines()[-1].removeprefix("import ")[:40] if isinstance(value, str) else "",
)
def test_an_import_loads_no_heavy_package(code: str, unwanted: set[str]) -> None:
    assert loaded(code) & unwanted == set()


def test_the_engine_loads_neither_screens_nor_the_lambda_side() -> None:
    code = """
import importlib, pkgutil, sys
import lbench.engine
for found in pkgutil.walk_packages(lbench.engine.__path__, "lbench.engine."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
others = ("lbench.cli", "lbench.tui", "lbench.analysis", "lbench.lambda_src")
ours = sorted(name for name in sys.modules if name.startswith(others))
assert ours == [], ours
"""
    assert loaded(code) & {"textual", "rich"} == set()


def test_no_process_of_ours_looks_for_modules_in_the_working_folder() -> None:
    """`-P`: a json.py there would be imported in place of Python's."""
    root = Path(__file__).parents[1]
    folders = ("analysis", "cli", "config", "engine", "lambda_src", "tui", "workloads")
    starts = [
        (path.name, found[0])
        for folder in folders
        for path in (root / folder).rglob("*.py")
        for found in re.finditer(r'sys\.executable,\s*("[^"]*",\s*)?"-[mc]"', path.read_text(encoding="utf-8"))
    ]
    assert len(starts) >= 9
    assert [name for name, start in starts if '"-P"' not in start] == []
