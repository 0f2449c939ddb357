"""Output files of a session: checked before anything is measured, and never left half written."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.folders import is_folder, write_whole
from lbench.engine.export.document import encode_document
from lbench.engine.model import Document, Invocation
from lbench.errors import InputError, LbenchError

__all__ = ["EXPORTS", "FORMATS", "check_writable", "columns_of", "csv_text", "encode", "format_of", "rows_of", "write"]

FORMATS = ("json", "csv")  # of a measurement's `-o`
EXPORTS = {"json": ".json", "csv": ".csv", "parquet": ".parquet", "trace": ".pftrace", "html": ".html"}  # and suffixes


def format_of(path: Path, option: str = "-o") -> str:
    """The format for a file's name.

    Raises:
        InputError: the name ends in none of `FORMATS`.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise InputError(f"{option} must end in {' or '.join('.' + name for name in FORMATS)}, got {path}")
    return suffix


def check_writable(path: Path, option: str) -> None:
    """Check that the file can be written, by creating a temporary one beside it; nothing is left or changed.

    Raises:
        InputError: the file cannot be written; the message says why.
    """
    try:
        target = Path(os.path.realpath(path))  # what is written is what a link leads to
        folder = target.parent
        if target.is_symlink():
            raise InputError(f"{option} {path} is a link that leads to itself: name another file")
        if not is_folder(folder):
            raise InputError(f"{option} {path}: the folder {folder} does not exist")
        if path.is_dir():
            raise InputError(f"{option} {path} is a folder: name a file in it")
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(f"{option} {path} cannot be written: Permission denied")
        if path.exists() and not path.is_file():
            return  # a device or a pipe: only writing will tell
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        raise InputError(f"{option} {path} cannot be written: {error.strerror}") from None


def write(path: Path, content: bytes) -> None:
    """Write the file; a regular file is replaced in one step.

    Raises:
        LbenchError: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = Path(os.path.realpath(path))  # through a link, not over it
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        write_whole(target, content, mode=mode)
    except OSError as error:
        raise LbenchError(f"{path} cannot be written: {error.strerror}: name another file") from None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def encode(document: Document, format: str) -> bytes:
    """The document in one of `FORMATS`."""
    return encode_document(document) if format == "json" else csv_text(document).encode()


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_RUN_COLUMNS = ("run", "workload", "backend", "label", "origin", "repeat", "warmup")


_RUN_FIGURES = (
    "run_status",
    "run_makespan_s",
    "run_usd",
    "run_rent_usd",
    "run_cold",
    "run_round",
    "run_point",
    "run_oversubscribed",
    "run_rent_usd_per_hour",
    "run_paused",
)  # at the end: the first stay first


def columns_of() -> list[str]:
    """The columns of a table of invocations, in their order."""
    names = [name for name in Invocation.__struct_fields__ if name != "error"]
    return [*_RUN_COLUMNS, *names, "error_type", "error_message", "error_retriable", *_RUN_FIGURES]


def rows_of(document: Document) -> Iterator[dict[str, Any]]:
    """A row an invocation: its run's id and place, its fields, its run's figures; None: not measured."""
    for run in document.runs:
        own = {
            "run": run.id,
            "workload": run.workload,
            "backend": run.backend,
            "label": run.label,
            "origin": run.origin,
            "repeat": run.repeat,
            "warmup": run.warmup,
        }
        cost = run.cost
        figures = {
            "run_status": run.status,
            "run_makespan_s": run.makespan_s,
            "run_usd": cost.usd if cost else None,
            "run_rent_usd": cost.items.machine_rent if cost else None,
            "run_cold": run.cold,
            "run_round": run.pair_round,
            "run_point": None if run.sweep is None else msgspec.json.encode(run.sweep.point).decode(),
            "run_oversubscribed": run.oversubscribed,
            "run_rent_usd_per_hour": None if run.pricing is None else run.pricing.rent_usd_per_hour,
            "run_paused": run.paused,
        }
        for invocation in run.invocations:
            values = msgspec.structs.asdict(invocation)
            error = values.pop("error")
            yield {
                **own,
                **values,
                "error_type": error.type if error else None,
                "error_message": error.message if error else None,
                "error_retriable": error.retriable if error else None,
                **figures,
            }


def csv_text(document: Document) -> str:
    """One row an invocation (`rows_of`); what was not measured is empty.

    A text that a spreadsheet would take for a formula has an apostrophe before it; numbers never have.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns_of(), lineterminator="\n")
    writer.writeheader()
    for row in rows_of(document):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"  # else a spreadsheet would run it: an apostrophe makes it a text there
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
