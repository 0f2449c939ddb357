"""The title line, the answer line, and the footer with the keys of the focused part."""

from __future__ import annotations

import math
from typing import Any

from textual import events
from textual.strip import Strip

from lbench.errors import count_text
from lbench.tui.draw.ink import Piece, between, line, width_of, wrapped
from lbench.tui.host import host_of
from lbench.tui.widgets.lines import Lines

__all__ = ["Answer", "Keys", "Title", "TooSmall", "clock_text", "described", "left_text"]

_SHOWN_PARAMS = 3
_GENERATED = ("n_samples", "n_features", "spread", "rows", "skew")  # of generated data: not where a file is read
# What stays in the footer where there is not room for all, and what goes first; the help tells every key.
_RANKS = {
    **dict.fromkeys(("help", "quit", "back"), 0),
    **dict.fromkeys(("start", "run", "inspect", "pause", "resume", "cancel", "play", "open", "delete"), 1),
    **dict.fromkeys(
        ("picture", "next error", "slowest", "task", "zoom", "field", "choose", "neighbour", "move", "compare ✓"), 2
    ),
    **dict.fromkeys(("pan", "follow"), 2),  # offered only where they do something
    **dict.fromkeys(("money", "table"), 2),
    **dict.fromkeys(("series", "lane", "export", "bench", "scaling", "explore", "sessions", "compare", "weak"), 4),
    **dict.fromkeys(("part", "copy"), 5),
}
_USUAL = 3
_NARROW = 100  # columns under which the note has two words


def clock_text(seconds: float) -> str:
    """Like "00:14" or "1:02:03"."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"


def left_text(seconds: float) -> str:
    """Like "4 s", "25 s", "3 min": coarse, so that it doesn't twitch."""
    for limit, step, unit in ((10, 1, "s"), (100, 5, "s"), (5400, 60, "min")):
        if seconds < limit:
            whole = max(1, math.ceil(seconds / step))
            return f"{whole if unit == 'min' else whole * step} {unit}"
    return f"{math.ceil(seconds / 3600)} h"


def described(workload: str, params: dict[str, Any], tasks: int | None, room: int = 1000, data: str | None = "") -> str:
    """Like "mandelbrot 1000×1000 · 500 iterations · 100 tasks, interleaved"; shorter if `room` is less.

    `data`: name and size of the data set; "": it is generated, as its parameters say; None: it is not known which.
    """
    count = "" if tasks is None else f" · {count_text(tasks, 'task')}"
    width, height = (params.get(name) or params.get("size") for name in ("width", "height"))
    iterations, assignment = params.get("max_iterations"), params.get("assignment")
    if workload == "mandelbrot" and width and height and isinstance(iterations, int) and assignment:
        parts = [f"{width}×{height}", f"· {iterations:,} iterations"]
        forms = [f"{workload} {' '.join(parts)}{count}, {assignment}", f"{workload} {' '.join(parts)}{count}"]
        return next((form for form in forms if len(form) <= room), f"{workload} {parts[0]}{count}")
    generated = () if data == "" else _GENERATED
    parts = [
        f"{name} {_value(value)}"
        for name, value in params.items()
        if value not in (None, 0, "", []) and name not in generated
    ]
    head = f"{workload} on {data}" if data else workload
    forms = [" · ".join([head, *parts[:shown]]) + count for shown in range(_SHOWN_PARAMS, -1, -1)]
    return next((form for form in forms if len(form) <= room), forms[-1])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _size(entry: tuple[str, str]) -> int:
    return len(entry[0]) + len(entry[1]) + 3


class Title(Lines):
    """Line 1: the workload and the clock."""

    def __init__(self) -> None:
        super().__init__(id="title")
        self._left: list[Piece] = []
        self._right: list[Piece] = []

    def show(self, left: list[Piece], right: list[Piece]) -> None:
        self._left, self._right = left, right
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """One line on the bar's ground."""
        left: list[Piece] = [(" lbench", "bright!"), ("  ", "text"), *self._left]
        right: list[Piece] = [*self._right, (" ", "text")]
        return [line(self.palette, between(left, right, width), width, ground="bar")]


class Answer(Lines):
    """Line 2: the answer as far as it is known, or an error."""

    def __init__(self) -> None:
        super().__init__(id="answer")
        self._pieces: list[Piece] = []

    def show(self, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """One line, or two if the next is free."""
        lines = wrapped(self._pieces, width - 2, height)
        return [line(self.palette, [(" ", "text"), *pieces], width) for pieces in lines]


class TooSmall(Lines):
    """The message of a terminal that is too small."""

    def __init__(self) -> None:
        super().__init__(id="small")

    def draw(self, width: int, height: int) -> list[Strip]:
        texts = ["lbench needs 40x12", f"this is {width}x{height}", "q quits"]
        return [line(self.palette, [(text, "text")], width) for text in texts]


class Keys(Lines):
    """The footer: keys of the focused part and of the screen, from the bindings themselves."""

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._note = ""
        self._keys: dict[str, str] = {}  # by meaning
        self._places: list[tuple[int, int, str]] = []  # first cell, the one behind the last, meaning

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.redraw())
        self.show_note(host_of(self.app).note)

    def show_note(self, text: str) -> None:
        """Set the note at the right: an automatic choice."""
        if text != self._note:
            self._note = text
            self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        for first, last, meaning in self._places:
            if first <= event.x < last:
                key = self._keys[meaning]
                self.app.post_message(events.Key(key, key if len(key) == 1 else None))

    def entries(self) -> list[tuple[str, str]]:
        """Key and meaning of each shown binding, in their order."""
        shown: dict[str, tuple[str, str]] = {}
        paused = host_of(self.app).paused
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if binding.show and binding.description and active.enabled:
                meaning = "resume" if binding.action == "app.pause" and paused else binding.description
                shown.setdefault(meaning, (self.app.get_key_display(binding), meaning))
                self._keys.setdefault(meaning, key)
        return list(shown.values())

    def draw(self, width: int, height: int) -> list[Strip]:
        """As many keys as fit, in their order; the others are in the help."""
        note = self._note if width >= _NARROW else " ".join(self._note.split()[-2:])
        right: list[Piece] = [(note + " ", "quiet")] if note else []
        entries = self.entries()
        room = width - 1 - (len(note) + 2 if note else 0)
        kept = []
        for entry in sorted(entries, key=lambda one: _RANKS.get(one[1], _USUAL)):
            if _size(entry) <= room:
                room -= _size(entry)
                kept.append(entry)
        pieces: list[Piece] = [(" ", "text")]
        self._places = []
        last = [entry for entry in entries if _RANKS.get(entry[1]) == 0]
        for key, meaning in [*(entry for entry in entries if entry not in last), *last]:
            if (key, meaning) in kept:
                first = width_of(pieces)
                pieces += [(key, "key!"), (f" {meaning}  ", "text")]
                self._places.append((first, width_of(pieces), meaning))
        pieces[-1] = (pieces[-1][0].rstrip(), pieces[-1][1])
        return [line(self.palette, between(pieces, right, width), width, ground="bar")]
