"""Environments are spread over the CPUs, each on as many as it sees on Lambda."""

from __future__ import annotations

import pytest

from lbench.engine.emulator.resources.affinity import CpuChoice
from lbench.engine.emulator.resources.cpu import visible_cpus


@pytest.mark.parametrize(
    ("memory_mb", "count"),
    [
        (128, 2),
        (1769, 2),
        (3008, 2),
        (3009, 3),
        (5307, 3),
        (5308, 4),
        (7076, 4),
        (7077, 5),
        (8845, 5),
        (8846, 6),
        (10240, 6),
    ],
)
def test_the_number_of_cpus_grows_with_the_memory(memory_mb: int, count: int) -> None:
    assert visible_cpus(memory_mb) == count


def test_the_cpus_with_the_least_load_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3, 7}, raising=False)
    cpus = CpuChoice()
    assert cpus.take(2, 1.0) == [0, 1]
    second = cpus.take(2, 1.0)
    assert second == [2, 3]
    assert cpus.take(2, 0.5) == [7, 0]
    cpus.give_back(second, 1.0)
    assert cpus.take(2, 1.0) == [2, 3]
    assert cpus.take(6, 5.8) == [7, 1, 2, 3, 0]


def test_a_process_that_has_ended_is_bound_to_nothing() -> None:
    cpus = CpuChoice()
    cpus.bind(2**22 + 1, [])
