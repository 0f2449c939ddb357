"""One invocation as lines: phases to scale, attempts, environment, sizes, cost, error, log."""

from __future__ import annotations

from typing import Any

import numpy as np

from lbench.analysis.format import ms_text, seconds_text
from lbench.engine.session.view import RunView
from lbench.tui.draw.ink import Piece, heading, put, right_of, sentence_lines
from lbench.tui.theme import role_of
from lbench.tui.widgets.inspect import bytes_text, phase_lines
from lbench.tui.widgets.invocation_rank import InvocationRank

__all__ = ["card_lines"]

_ORIGINS = {"measured": "measured", "emulated": "emulated on this machine", "simulated": "simulated"}
STATE = {  # glyph and role of an invocation's status
    "ok": ("✔", "right"),
    "error": ("×", "wrong"),
    "throttled": ("!", "key"),
    "timeout": ("⊘", "wrong"),
    "cancelled": ("■", "quiet"),
    "superseded": ("▂", "quiet"),
    None: ("▶", "bright"),
}


def card_lines(
    run: RunView, row: int, width: int, height: int = 0, among: InvocationRank | None = None
) -> list[list[Piece]]:
    """The card's lines; headings take the whole width. `height`: lines that the screen has; `among`: of its run."""
    values = run.columns.row(row)
    lines: list[list[Piece]] = [heading([("phases", "quiet!")], [(_when(values), "quiet")], width)]
    lines += [_in(pieces) for pieces in phase_lines(run, row, min(width - 2, 100))]
    lines += [[], heading([("attempts of this task", "quiet!")], [], width), *_attempts(run, values, row)]
    lines += [[], heading([("where and how much", "quiet!")], [], width), *_facts(run, values, row)]
    error = values["error"]
    if error is not None:
        lines += [[], heading([(f"error: {error.type}", "wrong!")], [], width)]
        lines += [_in([(text, "text")]) for text in _wrapped(error.message, width - 4)]
        hint = "it is tried again" if error.retriable else "it is not tried again"
        lines.append(_in([(hint, "quiet")]))
    if values["log_tail"]:
        lines += [[], heading([("end of its log", "quiet!")], [], width)]
        for text in values["log_tail"].splitlines():
            lines += [_in([(part, "text")]) for part in _wrapped(text, width - 4)]
    beside = (among or InvocationRank(run)).lines(row, width, height - len(lines) - 1)
    return [*lines, [], *beside] if beside else lines


def _in(pieces: list[Piece]) -> list[Piece]:
    return [("  ", "text"), *pieces]


def _wrapped(text: str, width: int) -> list[str]:
    clean = "".join(char if char.isprintable() else " " for char in text)
    return sentence_lines(clean, max(10, width)) or [""]


def _when(values: dict[str, Any]) -> str:
    if values["returned_s"] is None:
        return f"dispatched at {seconds_text(values['dispatched_s'])}, running"
    took = values["returned_s"] - values["dispatched_s"]
    return f"dispatched at {seconds_text(values['dispatched_s'])}, took {seconds_text(took)}"


def _attempts(run: RunView, values: dict[str, Any], row: int) -> list[list[Piece]]:
    columns = run.columns
    rows = np.flatnonzero((columns["task"] == values["task"]) & (columns["stage"] == values["stage"]))
    lines = []
    for number in rows.tolist():
        one = columns.row(number)
        glyph, role = STATE[one["status"]]
        end = one["returned_s"]
        took = "" if end is None else ms_text((end - one["dispatched_s"]) * 1000)
        why = "" if one["error"] is None else f"{one['error'].type}: {one['error'].message}"
        lines.append(
            [
                ("▸ " if number == row else "  ", "bright"),
                (put(f"{one['attempt'] + 1}", 3), "text"),
                (f"{glyph} ", role),
                (put(one["status"] or "running", 11), role),
                (right_of(f"{one['dispatched_s']:.3f} s", 11), "quiet"),
                (right_of(took, 11), "text"),
                (f"  {_short(one['environment'])}", "quiet"),
                (f"  {''.join(char if char.isprintable() else ' ' for char in why)}", "text"),
            ]
        )
    return lines


def _short(environment: str | None) -> str:
    """The end of a long environment name: the part that differs."""
    if environment is None:
        return "–"
    return environment if len(environment) <= 12 else "…" + environment[-8:]


def _order(run: RunView, row: int) -> str | None:
    """Which of its environment's invocations it is, and those beside it; None: the only one, or of no environment."""
    columns = run.columns
    rows = np.flatnonzero(columns["environment"] == columns["environment"][row])
    if columns["environment"][row] < 0 or len(rows) < 2:
        return None
    rows = rows[np.argsort(columns["dispatched_s"][rows], kind="stable")]
    at = int(np.flatnonzero(rows == row)[0])
    tasks = columns["task"]
    beside = [f"after task {tasks[rows[at - 1]]:,}"] if at else []
    beside += [f"before task {tasks[rows[at + 1]]:,}"] if at + 1 < len(rows) else []
    return f"invocation {at + 1:,} of {len(rows):,}, {', '.join(beside)}"


def _facts(run: RunView, values: dict[str, Any], row: int) -> list[list[Piece]]:
    memory = None
    if values["memory_mb"] is not None:
        used = "" if values["max_memory_mb"] is None else f"{values['max_memory_mb']:,} of "
        memory = f"{used}{values['memory_mb']:,} MB"
    sent, came = bytes_text(values["request_bytes"]), bytes_text(values["response_bytes"])
    sizes = f"{sent or '–'} there, {came or '–'} back" + (" through S3" if values["via_s3"] else "")
    connect = values["connect_ms"]
    facts = [
        ("environment", values["environment"]),
        ("in it", _order(run, row)),
        ("request id", values["request_id"]),
        ("memory", memory),
        ("payload", sizes if sent or came else None),
        ("connect", None if connect is None else ms_text(connect)),
        ("billed by", values["billed_source"]),
    ]
    accent = role_of(run.planned.backend, run.planned.label)
    origin = f" · {_ORIGINS[run.planned.origin]}"
    lines = [_in([(put("backend", 13), "quiet"), (run.planned.label, accent), (origin, "quiet")])]
    return lines + [_in([(put(name, 13), "quiet"), (str(text), "text")]) for name, text in facts if text is not None]
