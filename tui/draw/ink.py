"""Turns pieces of text with roles into strips."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from lbench.errors import visible
from lbench.tui.theme import Palette

__all__ = [
    "FIXED",
    "HEADING_CELLS",
    "Piece",
    "aligned",
    "between",
    "blank",
    "brief",
    "fits",
    "heading",
    "line",
    "put",
    "right_of",
    "sentence_lines",
    "shorter",
    "width_of",
    "wrapped",
]

HEADING_CELLS = 7  # of a heading, besides its title and its measure
_TOGETHER = re.compile(r"(?<=\d) (?=(?:%|s|ms|µs|min|MB|KB|GB)(?![\w.]))")  # a number and its unit stay on one line
_NUMBER = re.compile(r"(?<![\w/.-])[$(]*\d[\d.,–]*+(?![-/\w])")  # but no part of a name, a date or a path
FIXED = "\u00a0"  # a space that no line breaks at; `wrapped` and `sentence_lines` draw it as any other
_REPEATED = 40  # characters of a value that a message repeats
Piece = tuple[str, str]  # text and role; a role may end in "!" for bold: ("1.94×", "bright!")


def _segment(palette: Palette, piece: Piece, ground: str) -> Segment:
    text, role = piece
    if not text.isprintable():  # a parameter's or a file's own text: nothing in it may reach the terminal as a command
        text = visible(text)
    bold = role.endswith("!")
    return Segment(text, palette.style(role.rstrip("!"), bold=bold, ground=ground))


def width_of(pieces: Iterable[Piece]) -> int:
    """Cells that the pieces take."""
    return sum(cell_len(text) for text, _ in pieces)


def _cut(text: str, width: int) -> str:
    """The beginning of a text that is wider, with an ellipsis. A number is left out as a whole: a part of it is another."""
    kept = set_cell_size(text, width - 1)
    for number in _NUMBER.finditer(text):
        if number.start() < len(kept) < number.end():
            kept = kept[: number.start()]
    return kept + "…"


def clipped(pieces: Iterable[Piece], width: int) -> list[Piece]:
    """The pieces cut to a width, with an ellipsis."""
    kept: list[Piece] = []
    left = width
    for text, role in pieces:
        size = cell_len(text)
        if not size:
            continue
        if size > left:
            if left > 0:
                kept.append((_cut(text, left), role))
            elif kept:
                last, last_role = kept[-1]
                kept[-1] = (_cut(last, cell_len(last)), last_role)
            return kept
        kept.append((text, role))
        left -= size
    return kept


def aligned(pieces: Iterable[Piece], width: int, *, right: bool) -> list[Piece]:
    """The pieces in exactly `width` cells, cut or padded."""
    kept = clipped(pieces, width)
    pad: Piece = (" " * (width - width_of(kept)), "text")
    return [pad, *kept] if right else [*kept, pad]


def wrapped(pieces: Iterable[Piece], width: int, rows: int) -> list[list[Piece]]:
    """The pieces wrapped at spaces over at most `rows` lines; `line` cuts the rest. The last has two words, if it can."""
    words = _words((_TOGETHER.sub(FIXED, text), role) for text, role in pieces)
    lines = _wrapped(words, width, rows)
    if len(lines) > 1 and len(lines[-1]) == 1:
        for narrower in range(width - 1, width // 2, -1):
            other = _wrapped(words, narrower, rows)
            if len(other) > len(lines) or any(sum(map(width_of, one)) > narrower for one in other):
                break
            if len(other[-1]) > 1:
                lines = other
                break
    return [[(text.replace(FIXED, " "), role) for word in one for text, role in word] for one in lines]


def _words(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """Words with the spaces before them. A word may be of several pieces, which nothing breaks apart."""
    words: list[list[Piece]] = [[]]
    for text, role in pieces:
        for part in re.findall(" +|[^ ]+", text):
            last = words[-1][-1][0] if words[-1] else ""
            if part.startswith(" ") and last.strip(" "):
                words.append([])
            if words[-1] and words[-1][-1][1] == role:
                words[-1][-1] = (words[-1][-1][0] + part, role)
            else:
                words[-1].append((part, role))
    return words


def _wrapped(words: list[list[Piece]], width: int, rows: int) -> list[list[list[Piece]]]:
    lines: list[list[list[Piece]]] = [[]]
    left = width
    for word in words:
        size = width_of(word)
        if size > left and lines[-1] and len(lines) < rows:
            word = [(text, role) for text, role in word if text.strip(" ")]
            if word:
                word[0] = (word[0][0].lstrip(" "), word[0][1])
            lines.append([])
            size, left = width_of(word), width
        lines[-1].append(word)
        left -= size
    return lines


def sentence_lines(text: str, width: int, *, indent: str = "") -> list[str]:
    """A text wrapped over as few lines as it needs; the last has two words, if it can. `indent`: of all but the first."""
    lines = _sentence_lines(_TOGETHER.sub(FIXED, text), width, indent)
    return [one.replace(FIXED, " ") for one in lines]


def _sentence_lines(text: str, width: int, indent: str) -> list[str]:
    lines = textwrap.wrap(text, width, subsequent_indent=indent)
    if len(lines) < 2 or " " in lines[-1].strip():
        return lines
    for narrower in range(width - 1, width // 2, -1):
        other = textwrap.wrap(text, narrower, subsequent_indent=indent)
        if len(other) > len(lines):
            break
        if " " in other[-1].strip():
            return other
    return lines


def fits(pieces: Iterable[Piece], width: int, rows: int) -> bool:
    """Whether the pieces fit on so many lines, broken at spaces."""
    lines = wrapped(pieces, width, rows)
    return len(lines) <= rows and all(width_of(line) <= width for line in lines)


def shorter(text: str, width: int) -> str:
    """A sentence cut to a width: its first clauses, if not all fit."""
    if cell_len(text) <= width:
        return text
    cuts = [found.start() for found in re.finditer(r"[;.] | \(", text)]
    colon = text.find(": ")  # the first part of a sentence stands for itself; "none" of "…; none: all" would not
    if colon >= 0 and all(colon < cut for cut in cuts):
        cuts.append(colon)
    kept = max((cut for cut in cuts if cell_len(text[:cut]) <= width), default=0)
    if cell_len(text[:kept]) >= width // 3:
        return text[:kept]
    cut = set_cell_size(text, max(0, width - 2))
    return cut.rpartition(" ")[0] + " …" if " " in cut else set_cell_size(text, max(0, width - 1)) + "…"


def brief(message: str, value: str) -> str:
    """A message that repeats no more than the beginning of a long value."""
    return message.replace(value, f"{value[:_REPEATED]}…") if len(value) > _REPEATED else message


def line(palette: Palette, pieces: Iterable[Piece], width: int, *, ground: str = "ground") -> Strip:
    """Pieces as a strip of exactly `width` cells."""
    kept = clipped(pieces, width)
    rest = width - width_of(kept)
    made = [_segment(palette, piece, ground) for piece in kept if piece[0]]
    if rest > 0:
        made.append(Segment(" " * rest, palette.style("text", ground=ground)))
    return Strip(made, width)


def between(left: list[Piece], right: list[Piece], width: int, *, gap: int = 1) -> list[Piece]:
    """Pieces at the left and right ends; the left ones are cut."""
    room = max(0, width - width_of(right) - gap)
    left = clipped(left, room)
    return [*left, (" " * max(0, width - width_of(left) - width_of(right)), "text"), *right]


def heading(title: list[Piece], measure: list[Piece], width: int) -> list[Piece]:
    """`─ title ─────────── measure ─`: a hairline with its title on the left and its measure on the right."""
    right: list[Piece] = [(" ", "text"), *measure, (" ", "text"), ("─", "hairline")] if measure else []
    title = clipped(title, max(0, width - 4))
    left: list[Piece] = [("─ ", "hairline"), *title, (" ", "text")]
    if width_of(left) + width_of(right) + 1 > width:
        right = []
    fill = width - width_of(left) - width_of(right)
    return [*left, ("─" * max(0, fill), "hairline"), *right]


def right_of(text: str, width: int) -> str:
    """Text right-aligned in a width."""
    return " " * max(0, width - cell_len(text)) + text


def put(text: str, width: int) -> str:
    """Text left-aligned in a width, cut with an ellipsis if longer."""
    if cell_len(text) > width > 0:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def blank(palette: Palette, width: int, *, ground: str = "ground") -> Strip:
    """An empty line."""
    return Strip.blank(width, palette.style("text", ground=ground))
