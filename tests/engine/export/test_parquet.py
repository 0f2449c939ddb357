"""A Parquet file has the CSV's columns with their types, and each is documented."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from lbench.engine.export.document import document
from lbench.engine.export.files import columns_of, csv_text
from lbench.engine.export.parquet import column_types, parquet_bytes
from lbench.engine.session.view import fold
from tests.session_events import session_events

PAGE = Path(__file__).parents[3] / "docs" / "exports.md"


def test_every_column_is_documented_with_its_type() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, kind in column_types().items():
        assert f"| `{name}` | {kind} |" in text


def test_the_rows_are_those_of_the_csv() -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra lbench[parquet] is not installed")
    import pyarrow.parquet as pq

    made = document(fold(session_events({"threads": [1.0, 2.0]}, invocations=[{"cold": True}, {"fetch_ms": 2.5}])))
    table = pq.read_table(pa.BufferReader(parquet_bytes(made)))
    assert table.schema.names == columns_of()
    rows = list(csv.DictReader(io.StringIO(csv_text(made))))
    assert table.num_rows == len(rows) == 4
    for mine, theirs in zip(table.to_pylist(), rows, strict=True):
        for name, value in mine.items():
            text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            assert text == theirs[name], name
    assert table.schema.metadata[b"lbench.session"] == b"s"
