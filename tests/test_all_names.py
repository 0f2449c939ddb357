"""Every name in a module's `__all__` exists."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import lbench


def _modules() -> list[str]:
    """Every module of every folder but those that are run and not imported."""
    found = [info.name for info in pkgutil.walk_packages(lbench.__path__, "lbench.")]
    for folder in ("workloads", "config", "engine", "analysis", "cli", "lambda_src", "tui"):
        try:
            package: ModuleType = importlib.import_module(f"lbench.{folder}")
        except ModuleNotFoundError:
            continue
        found += [info.name for info in pkgutil.walk_packages(package.__path__, f"lbench.{folder}.")]
    return sorted({name for name in found if not name.endswith(".__main__")})


@pytest.mark.parametrize("name", _modules())
def test_every_name_in_all_exists(name: str) -> None:
    module = importlib.import_module(name)
    named = getattr(module, "__all__", [])  # a module without one is not public
    assert sorted(set(named)) == sorted(named), "a name is there twice"
    assert [missing for missing in named if not hasattr(module, missing)] == []
    assert [key for key in named if key.startswith("_") and not key.startswith("__")] == []


def test_the_package_lists_its_public_names_and_no_others() -> None:
    assert dir(lbench) == sorted(lbench.__all__)
    assert [name for name in lbench.__all__ if not hasattr(lbench, name)] == []
