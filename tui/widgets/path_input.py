"""A text field for paths: Tab completes one, and what does not fit is left out from the front."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rich.segment import Segment
from textual import events
from textual.strip import Strip
from textual.widgets import Input

from lbench.config.folders import typed_path
from lbench.errors import visible
from lbench.tui.draw.ink import width_of

__all__ = ["PathInput", "completed", "completed_workload", "end_of"]

_MOST = 8  # names that a note lists
_FILE_MARK = "@"  # before the path of a file whose content is the value
_RECORDED = "recorded:"  # before a recording's name, or the path of its folder


def completed(text: str) -> tuple[str, list[str]]:
    """A typed path as far as it is certain, and the names that fit it; a folder ends in a slash."""
    mark = _FILE_MARK if text.startswith(_FILE_MARK) else ""
    path = text[len(mark) :]
    if path == "~":
        return f"{mark}~/", ["~/"]
    head, slash, prefix = path.rpartition("/")
    folder = typed_path(head + slash) if slash else Path()
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name + "/" * entry.is_dir()
                for entry in entries
                if entry.name.startswith(prefix) and (prefix or not entry.name.startswith("."))
            )
    except (OSError, ValueError):  # no such folder, or a name with a null character
        return text, []
    common = os.path.commonprefix(names)  # noqa: RUF071 - of names, letter by letter
    return (mark + head + slash + common if names else text), names


def completed_workload(text: str) -> tuple[str, list[str]]:
    """A typed workload of one's own, as `completed`: a recording's name, or a path."""
    from lbench.workloads.recorded.folder import names as recordings

    if text.startswith(_RECORDED) and "/" in text:
        path, fitting = completed(text.removeprefix(_RECORDED))
        return _RECORDED + path, fitting
    if text.startswith(_RECORDED):
        fitting = [name for name in recordings() if name.startswith(text.removeprefix(_RECORDED))]
        common = os.path.commonprefix(fitting)  # noqa: RUF071 - of names, letter by letter
        return (_RECORDED + common if fitting else text), fitting
    path, fitting = completed(text)
    if text and _RECORDED.startswith(text) and not fitting and recordings():
        return _RECORDED, [_RECORDED]
    return path, fitting


def end_of(text: str, width: int) -> str:
    """A text cut from the front to a width."""
    if width_of([(text, "")]) <= width:
        return text
    while text and width_of([("…" + text, "")]) > width:
        text = text[1:]
    return ("…" + text) if width > 0 else ""


class PathInput(Input):
    """`certain`: whether the text is always a path; else it is one with a slash, a tilde or an @ in it.

    `complete_with`: a text as far as it is certain, and the names that fit it.
    """

    def __init__(
        self,
        value: str,
        *,
        certain: bool = True,
        complete_with: Callable[[str], tuple[str, list[str]]] = completed,
        placeholder: str = "",
        id: str | None = None,
    ) -> None:
        super().__init__(value, placeholder=placeholder, compact=True, select_on_focus=True, id=id)
        self._certain = certain
        self._complete_with = complete_with

    def on_key(self, event: events.Key) -> None:
        """Tab completes a path; a field without one is left with it, as any other."""
        path = self._certain or self.value.startswith(_FILE_MARK) or "/" in self.value
        if event.key == "tab" and self.value and path:
            event.stop()
            event.prevent_default()
            self.complete()

    def complete(self) -> None:
        """Complete the path; several that fit are named, and a whole path is left for the next field."""
        text, names = self._complete_with(self.value)
        if text != self.value:
            self.value = text
            self.cursor_position = len(text)
        elif len(names) > 1:
            more = f"  and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
            self.notify("  ".join(names[:_MOST]) + more)
        else:
            self.screen.focus_next()

    def render_line(self, y: int) -> Strip:
        """Without the focus: the end of what does not fit."""
        width = self.scrollable_content_region.width
        if y or self.has_focus or width_of([(self.value, "")]) <= width:
            return super().render_line(y)
        shown = Strip([Segment(end_of(visible(self.value), width))]).extend_cell_length(width + 1)
        return shown.apply_style(self.rich_style)
