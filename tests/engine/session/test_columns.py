"""Rows of invocations: what an audit replaces, request ids of both kinds, and calls that never ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbench.engine.journal.events import Audited, Dispatched, Returned
from lbench.engine.model import ErrorInfo
from lbench.engine.session.columns import Columns
from lbench.engine.session.labels import META_NAME, Meta, read_meta, tags_of, write_meta
from lbench.errors import InputError

UUID = "01234567-89ab-cdef-0123-456789abcdef"


def begun(count: int) -> Columns:
    columns = Columns()
    for n in range(count):
        columns.dispatch(Dispatched("r1", n, 0, n, 0, 0.0, 0.0))
    return columns


def test_an_audit_replaces_what_was_estimated() -> None:
    columns = begun(2)
    columns.finish(Returned("r1", 1, "ok", 1.0, billed_ms=10, billed_source="estimated", max_memory_mb=50))
    columns.audit(Audited(run="r1", n=1, billed_ms=12, request_id=UUID))
    row = columns.row(1)
    assert (row["billed_ms"], row["billed_source"], row["request_id"], row["max_memory_mb"]) == (12, "audit", UUID, 50)
    assert columns.row(0)["billed_source"] is None and columns.row(0)["request_id"] is None


def test_a_request_id_is_kept_whatever_it_is_and_the_last_one_counts() -> None:
    columns = begun(1)
    for given, kept in ((UUID, UUID), ("x" * 40, "x" * 36), (UUID, UUID)):
        columns.finish(Returned("r1", 0, "ok", 1.0, request_id=given))
        assert columns.row(0)["request_id"] == kept


def test_calls_that_never_ran_are_noted_but_for_throttled_ones() -> None:
    columns = begun(3)
    for n, (status, unrun) in enumerate((("error", True), ("throttled", True), ("error", False))):
        error = ErrorInfo("Unreached", "no", True, unrun)
        columns.finish(Returned("r1", n, status, 1.0, error=error))  # type: ignore[arg-type]
    assert columns.unrun == [0] and sorted(columns.errors) == [0, 1, 2]


def test_names_and_tags_are_kept_beside_the_session(tmp_path: Path) -> None:
    meta = Meta("é" * 120, ["a", "b" * 120])
    write_meta(tmp_path, meta)
    assert read_meta(tmp_path) == meta and (tmp_path / META_NAME).read_bytes().endswith(b"}\n")
    for long in (Meta("x" * 121), Meta(None, ["a", "y" * 121])):
        with pytest.raises(InputError, match=r"must have at most 120 characters, got 121: (x|y){20}\.\.\.$"):
            write_meta(tmp_path, long)
    assert read_meta(tmp_path) == meta
    with pytest.raises(InputError, match=r"cannot write in .*nowhere: No such file or directory"):
        write_meta(tmp_path / "nowhere", meta)
    (tmp_path / META_NAME).write_bytes(b'{"name": 3}')
    assert read_meta(tmp_path) == read_meta(tmp_path / "nowhere") == Meta()


def test_tags_are_words_each_once() -> None:
    assert tags_of(" a,b  c,a ,, b ") == ["a", "b", "c"]
