"""The data files of `lbench/config`: one reader for all."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from lbench.config import tables


def test_two_threads_never_convert_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two use a type for the first time at once, msgspec 0.22 crashes the process."""
    both = threading.Barrier(2)
    met: list[str] = []

    def convert(rows: Any, kind: Any) -> Any:
        try:
            both.wait(0.3)
        except threading.BrokenBarrierError:
            return kind(rows)
        met.append("two at once")
        return kind(rows)

    monkeypatch.setattr(msgspec, "convert", convert)
    threads = [threading.Thread(target=tables.read_table, args=("kernels.toml", dict)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not met


def test_a_table_has_the_type_that_is_asked_for() -> None:
    assert tables.read_table("kernels.toml", dict[str, Any]) == tables.read_rows("kernels.toml")
