"""How much of their time tasks compute, by the kernel's counts before and after."""

from __future__ import annotations

import os
import sys

import pytest

from lbench.engine.sampling.processor_time import ProcessorTime, Usage, processor_time, usage

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
        (later(5.0, main_s=0.1), 0.0, 1.0),  # threads or programs on a busy machine: their waiting is not known
    ],
)
def test_what_tasks_of_ten_seconds_did(after: ProcessorTime, wait: float, threads: float) -> None:
    found = usage(10.0, START, after)
    assert found.wait == pytest.approx(wait)
    assert found.threads == pytest.approx(threads)


def test_short_tasks_and_unknown_processes_are_taken_for_computing() -> None:
    assert usage(0.1, START, later(0.0)) == usage(10.0, None, None) == Usage()
    assert processor_time(2**30) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux counts so")
def test_this_process_has_computed() -> None:
    found = processor_time(os.getpid())
    assert found is not None and found.main_s > 0 and found.ready_s >= 0
