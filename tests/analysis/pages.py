"""Tables of figures that tests make and pages in docs/ hold: UPDATE_SNAPSHOTS=1 writes them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["check_page", "table"]


def table(head: list[str], rows: list[tuple[str, list[str]]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def check_page(page: Path, name: str, text: str) -> None:
    """The page holds this table, give or take two points for another machine's rounding."""
    content = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = content.partition(begin)
    there, found, after = rest.partition(end)
    assert found, f"{page} has no place for the table {name}"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        page.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")
        return
    old, new = ([cell.strip(" %") for cell in one.replace("\n", "|").split("|")] for one in (there.strip(), text))
    assert len(old) == len(new)
    for one, other in zip(old, new, strict=True):
        numbers = one.replace(".", "").isdigit() and other.replace(".", "").isdigit()
        assert abs(float(one) - float(other)) <= 2 if numbers else one == other
