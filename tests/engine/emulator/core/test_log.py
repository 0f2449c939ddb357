"""The log's lines are AWS's, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.engine.cost.charges import billed_ms
from lbench.engine.emulator.core.log import TAIL_BYTES, Report, tail


def test_a_cold_start_reads_as_the_real_line_of_2025() -> None:
    report = Report(
        request_id="72e452af-9de0-4b81-94d4-203b311e345d",
        duration_ms=8959.28,
        memory_mb=4096,
        max_memory_mb=159,
        init_ms=1202.75,
    )
    assert report.line().decode() == (
        "REPORT RequestId: 72e452af-9de0-4b81-94d4-203b311e345d\tDuration: 8959.28 ms\tBilled Duration: 10163 ms\t"
        "Memory Size: 4096 MB\tMax Memory Used: 159 MB\tInit Duration: 1202.75 ms\t\n"
    )


def test_a_timeout_on_a_cold_start_reads_as_the_real_one() -> None:
    report = Report(
        request_id="1f60b20c", duration_ms=3000, memory_mb=128, max_memory_mb=73, init_ms=402.04, status="timeout"
    )
    assert report.line().decode().rstrip() == (
        "REPORT RequestId: 1f60b20c\tDuration: 3000.00 ms\tBilled Duration: 3403 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 73 MB\tInit Duration: 402.04 ms\tStatus: timeout"
    )


@pytest.mark.parametrize(
    ("duration", "init", "billed"),
    [
        (1.57, 487.97, 490),
        (14.97, None, 15),
        (276.68, 611.77, 889),
        (2.46, 413.61, 417),
        (3.0, None, 3),
        (0.004, None, 0),
    ],
)
def test_the_billed_duration_is_duration_and_init_rounded_up(duration: float, init: float | None, billed: int) -> None:
    assert billed_ms(duration, init) == billed


@given(st.binary(max_size=6000), st.binary(max_size=6000))
def test_the_report_is_the_last_line_whatever_the_output(init_output: bytes, output: bytes) -> None:
    report = Report(request_id="id", duration_ms=1, memory_mb=128, max_memory_mb=30)
    log = tail(init_output, output, report)
    assert len(log) <= TAIL_BYTES
    assert log.rpartition(b"END RequestId: id\n")[2] == report.line()
    assert log.endswith(b"\nEND RequestId: id\n" + report.line())
