"""Typed fields (parameters of a workload, settings of a backend) as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lbench.cli.tables import Column, print_table
from lbench.workloads.parameters import Field, fields

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Described", "fields_json", "print_described"]


class Described(NamedTuple):
    """A workload or a backend, with its fields."""

    lines: list[Text]  # the heading
    fields: type[msgspec.Struct]


def print_described(things: Iterable[Described]) -> None:
    """Print each heading with a table of the fields."""
    from lbench.cli.console import console

    out = console()
    for number, one in enumerate(things):
        if number:
            out.print()
        for line in one.lines:
            out.print(line)
        print_table(out, _columns(one.fields))


def fields_json(struct: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """Name, type, default, meaning; minimum, maximum and choices if any."""
    described = []
    for field in fields(struct):
        values = msgspec.to_builtins(field)
        described.append({name: value for name, value in values.items() if value is not None or name == "default"})
        if not field.choices:
            described[-1].pop("choices")
    return described


def _columns(struct: type[msgspec.Struct]) -> list[Column]:
    name, default, values, meaning = (
        Column("  NAME"),
        Column("DEFAULT"),
        Column("VALUES", rank=1),
        Column("MEANING", wrap=True),
    )
    for field in fields(struct):
        name.add(f"  {field.name}")
        default.add("required" if field.required else _text(field.default))
        values.add(_range(field))
        meaning.add(field.meaning)
    return [name, default, values, meaning]


def _range(field: Field) -> str:
    if field.choices:
        return " | ".join(field.choices)
    if field.minimum is None:
        return field.type
    upper = "" if field.maximum is None else f" to {_text(field.maximum)}"
    return f"{field.type} {'from ' * (not upper)}{_text(field.minimum)}{upper}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ",".join(_text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
