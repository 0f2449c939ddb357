"""The rows of a form: name, editor, meaning, and the error below."""

from __future__ import annotations

import re

from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from lbench.tui.draw.ink import Piece, brief, heading, line, put, sentence_lines, shorter, width_of
from lbench.tui.run_form import range_text
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.path_input import PathInput, completed, completed_workload, end_of
from lbench.workloads.parameters import Field

__all__ = ["Changed", "Choice", "FieldRow", "Heading", "Text", "Ticks", "id_at"]

_INDENT = 3
NAME_WIDTH = 18
EDITOR_WIDTH = 24
_GAP = 2
_COMPLETED = {
    "run.data": completed,
    "own.file": completed_workload,
}  # places whose text is always a path, or stands for one
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "numbers": "numbers with commas between them",
    "text": "text",
    "choice": "one of these",
    "value": "JSON, else text",
    "date": "a date, as in 2026-01-31",
    "date and time": "a date and a time",
    "time": "a time",
    "decimal": "a number",
    "UUID": "a UUID",
}
_LEAST = 20  # cells of an error's line
_MOST = 4  # lines of an error


def id_at(place: str) -> str:
    """The id of the editor at a place; letters of a parameter's name that an id cannot have are spelled out."""
    return "at-" + re.sub(r"[^A-Za-z0-9_-]", lambda found: f"-{ord(found[0]):x}-", place.replace(".", "-"))


class Changed(Message):
    """A field's value changed."""

    def __init__(self, place: str, value: str, editor: Widget) -> None:
        self.place, self.value, self.editor = place, value, editor
        super().__init__()


class Text(Lines):
    """Lines of pieces."""

    def __init__(self, pieces: list[list[Piece]] | None = None, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self.pieces: list[list[Piece]] = pieces or []

    def show(self, pieces: list[list[Piece]]) -> None:
        if pieces != self.pieces:
            self.pieces = pieces
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        return [line(self.palette, pieces, width) for pieces in self.pieces]


class Heading(Text):
    """A hairline with a title."""

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="heading")
        self._title = title
        self._measure = ""

    def set_title(self, title: str, measure: str = "") -> None:
        self._title, self._measure = title, measure
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        measure: list[Piece] = [(self._measure, "quiet")] if self._measure else []
        return [line(self.palette, heading([(self._title, "text!")], measure, width), width)]


def _option_text(option: str) -> str:
    """An option among others; of a path, the file's name."""
    folders, slash, name = option.rpartition("/")
    return f"…/{name}" if slash and len(folders) > 1 else option or "none"


class Choice(Lines, can_focus=True):
    """One of a few options, all visible: left and right choose."""

    BINDINGS = [
        Binding("left", "choose(-1)", "choose", key_display="←→"),
        Binding("right", "choose(1)", "choose", key_display="←→"),
    ]

    def __init__(self, options: tuple[str, ...], value: str, *, place: str) -> None:
        super().__init__(id=id_at(place))
        self.options, self.value, self.place = options, value, place

    def action_choose(self, by: int) -> None:
        index = (self.options.index(self.value) if self.value in self.options else 0) + by
        self._take(self.options[max(0, min(len(self.options) - 1, index))])

    def _take(self, value: str) -> None:
        if value != self.value:
            self.value = value
            self.redraw()
            self.post_message(Changed(self.place, value, self))

    def on_click(self, event: object) -> None:
        x = getattr(event, "x", 0)
        left = 0
        for option in self.options:
            width = len(_option_text(option)) + 2
            if left <= x < left + width:
                self._take(option)
            left += width

    def draw(self, width: int, height: int) -> list[Strip]:
        """All options where there is room; else the chosen one and its number."""
        pieces: list[Piece] = []
        for option in self.options:
            chosen = option == self.value
            mark = "▸" if chosen and self.has_focus else " "
            role = "bright!" if chosen and self.has_focus else "text!" if chosen else "quiet"
            pieces += [(mark, "key"), (_option_text(option), role), (" ", "text")]
        if width_of(pieces) > width:
            role = "bright!" if self.has_focus else "text!"
            left, right = ("◂", "▸") if self.has_focus else (" ", " ")
            index = self.options.index(self.value) + 1 if self.value in self.options else 0
            place = f" {index}/{len(self.options)}"
            text = end_of(self.value or "none", width - 2 - len(place))
            pieces = [(left, "key"), (text, role), (right, "key"), (place, "quiet")]
        return [line(self.palette, pieces, width)]


class Ticks(Lines, can_focus=True):
    """A backend: chosen or not, settings open or not."""

    BINDINGS = [
        Binding("space", "tick", "choose", tooltip="run on it, or not"),
        Binding("right", "open(True)", "settings", key_display="←→", tooltip="its settings, or not"),
        Binding("left", "open(False)", "settings", key_display="←→", tooltip="its settings, or not"),
        Binding("plus", "another", "another", key_display="+", tooltip="another one of its kind"),
        Binding("minus", "less", "one less of its kind", show=False, key_display="-"),
    ]

    class Ticked(Message):
        """The backend was chosen or unchosen."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

    class Opened(Message):
        """Its settings shall open or close."""

        def __init__(self, index: int, opened: bool) -> None:
            self.index, self.opened = index, opened
            super().__init__()

    class Counted(Message):
        """A backend of its kind shall be added or removed."""

        def __init__(self, index: int, more: bool) -> None:
            self.index, self.more = index, more
            super().__init__()

    def __init__(self, index: int) -> None:
        super().__init__(id=f"backend-{index}")
        self.index = index
        self._pieces: list[Piece] = []
        self._chosen = False

    def show(self, chosen: bool, pieces: list[Piece]) -> None:
        self._chosen, self._pieces = chosen, pieces
        self.redraw()

    def action_tick(self) -> None:
        self.post_message(self.Ticked(self.index))

    def action_open(self, opened: bool) -> None:
        self.post_message(self.Opened(self.index, opened))

    def action_another(self) -> None:
        self.post_message(self.Counted(self.index, True))

    def action_less(self) -> None:
        """Remove it, unless it is the last of its kind."""
        self.post_message(self.Counted(self.index, False))

    def on_click(self) -> None:
        self.action_tick()

    def draw(self, width: int, height: int) -> list[Strip]:
        mark: list[Piece] = [(" ▸ " if self.has_focus else "   ", "key")]
        tick: Piece = ("✔ ", "right") if self._chosen else ("· ", "quiet")
        last, role = self._pieces[-1] if self._pieces else ("", "text")
        room = width - width_of([*mark, tick, *self._pieces[:-1]])
        return [line(self.palette, [*mark, tick, *self._pieces[:-1], (shorter(last, room), role)], width)]


class FieldRow(Lines):
    """One field of a form. It draws name, meaning and error itself: one widget for each would be slow."""

    def __init__(self, place: str, field: Field, value: str) -> None:
        super().__init__(classes="field")
        self.place = place
        self._field = field
        self._value = value
        self.error: str | None = None

    @property
    def name_shown(self) -> str:
        return self._field.name.replace("_", " ")

    def compose(self) -> ComposeResult:
        """The editor, which lies over the drawn line."""
        at = id_at(self.place)
        if options := self._options():
            yield Choice(options, self._value, place=self.place)
            return
        empty = "none" if self._field.optional else ""
        if self._field.type == "text":
            complete = _COMPLETED.get(self.place)
            yield PathInput(
                self._value,
                certain=complete is not None,
                complete_with=complete or completed,
                placeholder=empty,
                id=at,
            )
        else:
            yield Input(self._value, placeholder=empty, compact=True, select_on_focus=True, id=at)

    @property
    def value(self) -> str:
        editor = self.children[0]
        assert isinstance(editor, Input | Choice)
        return editor.value

    def _options(self) -> tuple[str, ...]:
        if self._field.type == "yes or no":
            return ("yes", "no")
        if self._field.type != "choice":
            return ()
        return ("", *self._field.choices) if self._field.optional else self._field.choices

    @property
    def _meaning(self) -> str:
        """What the field means; without a text about it, what it takes."""
        required = ", required" if self._field.required else ""
        return self._field.meaning or _KINDS.get(self._field.type, "") + required

    def hint(self) -> list[Piece]:
        meaning, limits = self._meaning, range_text(self._field)
        return [(meaning, "quiet"), (f" ({limits})" if limits else "", "quiet")]

    def show_error(self, error: str | None) -> None:
        if error != self.error:
            self.error = error
            self.on_resize()
            self.redraw()

    @property
    def error_shown(self) -> str:
        """The error, in which a long value is cut."""
        return brief(str(self.error), self.value.strip())

    def _error_lines(self, width: int) -> list[str]:
        lines = sentence_lines(f"✘ {self.error_shown}", max(_LEAST, width - NAME_WIDTH - 2), indent="  ")
        return lines if len(lines) <= _MOST else [*lines[: _MOST - 1], lines[_MOST - 1] + " …"]

    def on_resize(self) -> None:
        """Take the height of the error's lines."""
        self.styles.height = 1 if self.error is None else 1 + len(self._error_lines(self.size.width))

    def draw(self, width: int, height: int) -> list[Strip]:
        """Name, room for the editor, meaning; the error below."""
        name: Piece = (" " * _INDENT + put(self.name_shown, NAME_WIDTH - _INDENT), "text")
        room = width - NAME_WIDTH - EDITOR_WIDTH - _GAP
        hint = self.hint()
        if width_of(hint) > room:  # all of it stands on line 2 while it has the focus
            hint = [(shorter(self._meaning, room), "quiet")]
        lines = [line(self.palette, [name, (" " * (EDITOR_WIDTH + _GAP), "text"), *hint], width)]
        if self.error is not None:
            for text in self._error_lines(width):
                lines.append(line(self.palette, [(" " * (NAME_WIDTH + 1), "text"), (text, "wrong")], width))
        return lines

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        self.post_message(Changed(self.place, message.value, self))
