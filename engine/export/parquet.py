"""A session as a Parquet file: a row an invocation, the columns of the CSV with their types (docs/exports.md)."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

import msgspec

from lbench.engine.export.files import columns_of, rows_of
from lbench.engine.model import Document, Invocation
from lbench.errors import InputError, SessionFileError

__all__ = ["check_parquet", "column_types", "parquet_bytes"]

_OF_RUN = {
    "repeat": "int64",
    "warmup": "bool",
    "error_retriable": "bool",
    "run_makespan_s": "double",
    "run_cold": "bool",
    "run_round": "int64",
    "run_oversubscribed": "bool",
    "run_paused": "bool",
}


def check_parquet() -> None:
    """Check that the extra is there.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("pyarrow") is None:
        raise InputError("Parquet needs pyarrow: run pip install 'lbench[parquet]'")


def column_types() -> dict[str, str]:
    """The type of each column, as Arrow names it; amounts of money are decimal texts."""
    fields = {field.encode_name: field.type for field in msgspec.inspect.type_info(Invocation).fields}  # type: ignore[attr-defined]
    return {name: _OF_RUN.get(name) or _arrow(fields.get(name)) for name in columns_of()}


def _arrow(field: Any) -> str:
    kinds = field.types if isinstance(field, msgspec.inspect.UnionType) else (field,)
    for kind in kinds:
        if isinstance(kind, msgspec.inspect.BoolType):
            return "bool"
        if isinstance(kind, msgspec.inspect.FloatType):
            return "double"
        if isinstance(kind, msgspec.inspect.IntType):
            return "int64"
    return "string"


def parquet_bytes(document: Document) -> bytes:
    """A Parquet file with one row per invocation.

    Raises:
        SessionFileError: a number of the document has more digits than a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(rows_of(document))
    try:
        arrays = {
            name: pa.array([row[name] for row in rows], type=pa.type_for_alias(kind))
            for name, kind in column_types().items()
        }
    except (OverflowError, pa.ArrowInvalid):
        raise SessionFileError(f"the document {document.id} is damaged: a number has too many digits") from None
    table = pa.table(arrays).replace_schema_metadata(
        {"lbench.session": document.id, "lbench.version": document.lbench_version}
    )
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()
