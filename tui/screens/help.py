"""The help: every key of every screen, taken from the bindings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import Screen
from textual.strip import Strip

from lbench.tui.draw.ink import Piece, clipped, heading, line, put, sentence_lines, width_of
from lbench.tui.textual_fixes import Steady
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.replay import REPLAY_BINDINGS
from lbench.tui.widgets.title import Answer, Keys, Title

__all__ = ["HelpScreen", "parts"]

_LEAST = 34  # cells of a column
_GAP = 3
_NAMES = {  # how a class is called in the help
    "LbenchApp": "everywhere",
    "BenchScreen": "bench",
    "BackendTable": "bench: backends",
    "Timeline": "bench: a timeline",
    "ReplayBar": "bench: replay",
    "ExploreScreen": "explore",
    "ExplorePicture": "explore: the picture",
    "Sliders": "explore: parameters",
    "ExploreBackends": "explore: backends",
    "ScalingScreen": "scaling",
    "SetupScreen": "set-up",
    "OptionsScreen": "set-up: options",
    "Choice": "set-up: a choice",
    "Ticks": "set-up: a backend",
    "CompareScreen": "compare",
    "SessionsScreen": "sessions",
    "SessionTable": "sessions: the list",
    "AskText": "a question for a text",
    "AskYes": "a question",
    "AskCopy": "what to copy",
    "CardScreen": "an invocation's card",
    "WeaknessesScreen": "what makes a result weak",
    "HelpScreen": "help",
    "Scroll": "a text",
}


def _classes() -> Iterator[type[DOMNode]]:
    """Every class of ours with its own bindings. Imports all screens and widgets."""
    import importlib
    import pkgutil

    import lbench.tui.screens
    import lbench.tui.widgets

    for package in (lbench.tui.screens, lbench.tui.widgets):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    todo: list[type[Any]] = [DOMNode]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("lbench.tui.") and kind.__dict__.get("BINDINGS"):
            yield kind


def parts(app: App[Any], first: Screen[Any] | None = None) -> list[tuple[str, list[tuple[str, str]]]]:
    """(name, [(key, meaning)]) of each class with bindings; those of `first` come first."""
    order = list(_NAMES)
    here = type(first).__name__ if first is not None else ""
    kinds = sorted(
        set(_classes()),
        key=lambda kind: (
            not (here and _NAMES.get(kind.__name__, "").split(":")[0] == _NAMES.get(here, "?")),
            order.index(kind.__name__) if kind.__name__ in order else len(order),
            kind.__name__,
        ),
    )
    groups = []
    for kind in kinds:
        name = _NAMES.get(kind.__name__, kind.__name__.removesuffix("Screen").lower())
        own = [one for one in kind.__dict__["BINDINGS"] if name != "everywhere" or one not in REPLAY_BINDINGS]
        groups.append((name, list(_keys(app, own))))
    return [(name, keys) for name, keys in groups if keys]


def _keys(app: App[Any], bindings: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Key and meaning; keys that do the same share a line."""
    seen: dict[str, list[str]] = {}
    for binding in bindings:
        if not isinstance(binding, Binding):
            binding = Binding(*binding)
        meaning = binding.tooltip or binding.description
        if not meaning:
            continue
        shown = binding.key_display or " ".join(app.get_key_display(one) for one in Binding.make_bindings([binding]))
        keys = seen.setdefault(meaning, [])
        if shown not in keys:
            keys.append(shown)
    for meaning, keys in seen.items():
        yield " ".join(keys), meaning


class Sheet(Lines):
    """The keys in as many columns as fit."""

    def __init__(self, groups: list[tuple[str, list[tuple[str, str]]]]) -> None:
        super().__init__(id="sheet")
        self._parts = groups

    def columns(self, width: int) -> list[list[tuple[str, list[tuple[str, str]]]]]:
        """Deal the parts to columns of about the same height, in their order."""
        count = max(1, min(len(self._parts), (width + _GAP) // (_LEAST + _GAP)))
        total = sum(len(keys) + 2 for _, keys in self._parts)
        columns: list[list[tuple[str, list[tuple[str, str]]]]] = [[]]
        height = 0
        for part in self._parts:
            size = len(part[1]) + 2
            if columns[-1] and len(columns) < count and height + size / 2 > total / count:
                columns.append([])
                height = 0
            columns[-1].append(part)
            height += size
        return columns

    def rows(self, width: int) -> int:
        columns = self.columns(width)
        return max(len(_column(column, _width_of_each(width, len(columns)))) for column in columns)

    def draw(self, width: int, height: int) -> list[Strip]:
        columns = self.columns(width)
        each = _width_of_each(width, len(columns))
        drawn = [_column(column, each) for column in columns]
        lines = []
        for y in range(max(map(len, drawn))):
            pieces: list[Piece] = []
            for number, column in enumerate(drawn):
                row = clipped(column[y], each) if y < len(column) else []
                gap: Piece = (" " * (_GAP if number + 1 < len(drawn) else 0), "text")
                pieces += [*row, (" " * max(0, each - width_of(row)), "text"), gap]
            lines.append(line(self.palette, pieces, width))
        return lines


def _width_of_each(width: int, columns: int) -> int:
    return (width - _GAP * (columns - 1)) // columns


def _column(parts: list[tuple[str, list[tuple[str, str]]]], width: int) -> list[list[Piece]]:
    rows: list[list[Piece]] = []
    for name, keys in parts:
        rows.append(heading([(name, "text!")], [], width))
        size = max(10, *(cell_len(key) + 2 for key, _ in keys))
        for key, meaning in keys:
            for number, text in enumerate(sentence_lines(meaning, max(8, width - 3 - size))):
                rows.append([("   ", "text"), (put("" if number else key, size), "key!"), (text, "text")])
        rows.append([])
    return rows


class HelpScreen(Steady, Screen[None]):
    """Every key, those of the screen below first."""

    BINDINGS = [
        Binding("escape,enter", "dismiss", "back", key_display="esc"),
        Binding("up", "scroll(-1)", "scroll", key_display="↑↓"),
        Binding("down", "scroll(1)", "scroll", key_display="↑↓"),
        Binding("pageup", "scroll(-20)", "a page up", show=False),
        Binding("pagedown", "scroll(20)", "a page down", show=False),
    ]

    def __init__(self, before: Screen[Any]) -> None:
        super().__init__(name="help")
        self._before = before

    def compose(self) -> ComposeResult:
        yield Title()
        yield Answer()
        with VerticalScroll(can_focus=False):
            yield Sheet(parts(self.app, self._before))
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(Title).show([("keys", "text")], [])
        self.query_one(Answer).show(
            [
                ("tab", "key!"),
                (" moves the focus, whose keys the footer shows; ", "quiet"),
                ("^p", "key!"),
                (" finds a command", "quiet"),
            ]
        )
        self._fit()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        sheet = self.query_one(Sheet)
        sheet.styles.height = sheet.rows(max(20, self.app.size.width - 4))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer scrolling only where there is something to scroll."""
        if action == "scroll" and self.is_mounted:
            return self.query_one(VerticalScroll).max_scroll_y > 0
        return True

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)
