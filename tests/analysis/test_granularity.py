"""How a job is cut: the batch that reaches 95 %, and the sentences about it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.analysis.granularity import grain_notes, grain_of, may_be_small


def test_the_batch_reaches_95_percent_and_the_gain_follows_from_it() -> None:
    grain = grain_of(0.4e-3, 0.6e-3, tasks=100_000, places=2)
    assert grain.batch == 29
    assert 29 * 0.4 / (29 * 0.4 + 0.6) >= 0.95 > 28 * 0.4 / (28 * 0.4 + 0.6)
    assert grain.gain == pytest.approx(1.0 / (0.4 + 0.6 / 29))
    assert (
        grain.sentence
        == "tasks take 0.40 ms, handing one over takes 0.60 ms: --batch 29 would make it about 2.4× as fast"
    )


@settings(deadline=None)
@given(
    task_s=st.floats(1e-7, 10), overhead_s=st.floats(1e-6, 1), tasks=st.integers(1, 10**6), places=st.integers(1, 1000)
)
def test_a_batch_keeps_all_places_busy_and_never_makes_it_slower(
    task_s: float, overhead_s: float, tasks: int, places: int
) -> None:
    grain = grain_of(task_s, overhead_s, tasks, places)
    assert grain.batch == 1 or grain.batch * places * 4 <= tasks
    assert grain.gain >= 1


def test_large_tasks_need_no_advice() -> None:
    assert grain_notes([0.5] * 10, {"processes": 1e-4, "emulated": 5e-3}, 100, 2) == []


def test_each_backend_has_the_batch_for_its_own_hand_over() -> None:
    notes = grain_notes([0.02] * 100, {"processes": 1e-4, "emulated": 5e-3}, 100, 2)
    assert notes == [
        "emulated: tasks take 20.0 ms, handing one over takes 5.00 ms: --batch 5 would make it about 1.2× as fast"
    ]
    small = grain_notes([1e-4] * 100, {"processes": 1e-4, "emulated": 5e-3}, 100, 2)
    assert [note.split(":")[0] for note in small] == ["processes", "emulated"]


def test_only_small_tasks_are_worth_measuring_a_hand_over_for() -> None:
    assert may_be_small([0.01] * 5, 100)
    assert not may_be_small([0.5] * 5, 100)
    assert not may_be_small([0.01] * 5, 5)
    assert not may_be_small([0.01] * 5 + [2.0], 100)  # 0.34 s on average
    assert not may_be_small([], 100)


def test_more_workers_than_tasks() -> None:
    assert grain_notes([1.0] * 3, {"processes": 1e-4}, 3, 8) == ["8 workers for 3 tasks: 5 of them do nothing"]


def test_one_task_that_is_longer_than_all_else() -> None:
    (note,) = grain_notes([1.0] * 9 + [20.0], {"processes": 1e-4}, 10, 4)
    assert note == (
        "one task takes 20.0 s, the median is 1.00 s: with 4 workers the others have ended before it; "
        "cut it into smaller ones"
    )


def test_without_tasks_there_is_no_note() -> None:
    assert grain_notes([], {}, 10, 2) == []


def test_with_one_worker_no_task_is_longer_than_all_else() -> None:
    assert grain_notes([1.0] * 4 + [20.0], {"processes": 1e-4}, 5, 1) == []
