"""Task functions are found by name, wherever a task runs."""

from __future__ import annotations

import sys
import types

import pytest

from lbench.errors import UnknownNameError
from lbench.workloads import functions
from lbench.workloads.probe import tasks


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_functions", dict(functions._functions))  # what a test registers ends with it


def test_a_function_is_found_in_its_workloads_tasks_module_on_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functions._functions.clear()
    monkeypatch.delitem(sys.modules, "lbench.workloads.probe.tasks")
    assert functions.call("probe.noop", {"number": 7}) == 7


def test_find_returns_the_registered_function() -> None:
    assert functions.find("probe.noop") == (tasks.noop, False)


def test_a_function_with_a_parameter_data_gets_the_data_set_and_others_do_not() -> None:
    @functions.task_function("mine.sum")
    def total(data: list[int], extra: int) -> int:
        return sum(data) + extra

    @functions.task_function("mine.plain")
    def plain(extra: int) -> int:
        return extra

    assert functions.find("mine.sum") == (total, True)
    assert functions.call("mine.sum", {"extra": 1}, data=[1, 2]) == 4
    assert functions.call("mine.plain", {"extra": 1}, data=[1, 2]) == 1


def test_a_registered_function_stays_an_ordinary_one() -> None:
    @functions.task_function("mine.double")
    def double(x: int) -> int:
        return 2 * x

    assert double(3) == 6


def test_an_unknown_function_names_the_nearest_known_one() -> None:
    with pytest.raises(UnknownNameError, match=r"'probe\.nop'.*'probe\.noop'"):
        functions.find("probe.nop")


def test_an_unknown_workload_is_an_unknown_name_too() -> None:
    with pytest.raises(UnknownNameError, match=r"nowhere\.noop"):
        functions.find("nowhere.noop")


def test_a_library_missing_inside_a_tasks_module_is_not_taken_for_a_missing_workload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = types.ModuleType("lbench.workloads.broken")
    package.__path__ = []

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name == "lbench.workloads.broken.tasks":
                raise ModuleNotFoundError("No module named 'not_installed'", name="not_installed")

    monkeypatch.setitem(sys.modules, "lbench.workloads.broken", package)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        functions.find("broken.task")
