"""How much of their time tasks compute, by the kernel's counts before and after."""

from __future__ import annotations

import os
import sys

import pytest

from lbench.engine.machine.processor_time import ProcessorTime, processor_time, total_time, usage

START = ProcessorTime(5.0, 4.0, 1.0)


def later(cpu_s: float, main_s: float | None = None, ready_s: float = 0.0) -> ProcessorTime:
    return ProcessorTime(5.0 + cpu_s, 4.0 + (cpu_s if main_s is None else main_s), 1.0 + ready_s)


@pytest.mark.parametrize(
    ("after", "wait", "threads"),
    [
        (later(10.0), 0.0, 1.0),
        (later(0.1), 0.99, 1.0),  # it sleeps
        (later(4.0), 0.6, 1.0),
        (later(3.0, ready_s=6.9), 0.0, 1.0),  # the machine is busy
        (later(9.3), 0.0, 1.0),  # no more than the machine's disturbance
        (later(38.0, main_s=0.1), 0.0, 3.8),
        (later(14.0), 0.0, 1.0),  # it encodes large results besides
        (later(5.0, main_s=0.1), 0.0, 1.0),  # threads or programs on a busy machine: their waiting is not known
    ],
)
def test_what_tasks_of_ten_seconds_did(after: ProcessorTime, wait: float, threads: float) -> None:
    found = usage(10.0, START, after)
    assert found is not None
    assert found.wait == pytest.approx(wait)
    assert found.threads == pytest.approx(threads)
    assert found.ready == pytest.approx((after.ready_s - START.ready_s) / 10)


@pytest.mark.parametrize(("main_s", "known"), [(0.1, False), (0.37, False), (0.38, True), (0.8, True)])
def test_a_thread_that_waits_for_others_need_not_wait_for_a_network(main_s: float, known: bool) -> None:
    """Eight threads on two busy cores: each computes little, and their first thread waits for them."""
    assert (usage(10.0, START, later(0.8, main_s=main_s)) is not None) is known


def test_a_worker_that_waits_for_a_core_between_its_tasks_computed_in_them_nevertheless() -> None:
    found = usage(10.0, START, later(3.0, ready_s=25.0))
    assert found is not None and (found.wait, found.ready) == (0.0, 0.7)


def test_short_tasks_and_unknown_processes_tell_nothing() -> None:
    assert usage(0.1, START, later(0.0)) is usage(10.0, None, None) is processor_time(2**30) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux counts so")
def test_this_process_has_computed() -> None:
    found = processor_time(os.getpid())
    assert found is not None and found.main_s > 0 and found.ready_s >= 0
    both = total_time([os.getpid(), os.getpid()])
    assert both is not None and both.main_s >= 2 * found.main_s
    assert total_time([]) is total_time([os.getpid(), 2**30]) is None
