"""Text for terminals and locales that cannot show its signs: words or ASCII signs take their place, never a question mark.

A question mark means "not checked" here, so the usual replacement of what cannot be encoded would say something wrong.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping

__all__ = ["is_ascii_only", "one_cell_each", "spelled"]

_WORDS = {
    "✔": "ok",
    "✓": "ok",
    "✘": "x",
    "⊘": "off",
    "–": "-",
    "—": "-",
    "…": "...",
    "×": "x",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "±": "+-",
    "·": "-",
    "°": "~",
    "µ": "u",
    "→": "->",
    "←": "<-",
    "↑": "up",
    "↓": "down",
    "↵": "enter",
    "▶": ">",
    "▸": ">",
    "■": "#",
    "◼": "#",
    "●": "*",
    "▌": "|",
    "▍": "|",
    "▏": "|",
    "▐": "|",
    "│": "|",
    "┃": "|",
    "‖": "|",
    "─": "-",
    "━": "=",
    "╸": "=",
    "═": "=",
    "█": "#",
    "▀": '"',
    "▄": "_",
    "▓": "%",
    "▒": ":",
    "░": ".",
    "\N{NO-BREAK SPACE}": " ",
    "\N{NARROW NO-BREAK SPACE}": " ",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}
_CELLS = {"✔": "v", "✓": "v", "⊘": "o", "…": ".", "≤": "<", "≥": ">", "±": "+", "→": ">", "←": "<", "↑": "^", "↓": "v"}
_CELLS |= {"↵": "<"}


def is_ascii_only(encoding: str | None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a stream of this encoding, in this locale, shows ASCII alone.

    With LC_ALL=C Python writes UTF-8 all the same (PEP 540), which that locale cannot show.
    """
    env = os.environ if environ is None else environ
    try:
        "✔█×–…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    chosen = env.get("PYTHONIOENCODING") or env.get("PYTHONUTF8")
    return env.get("LC_ALL") in ("C", "POSIX") and not chosen


class _OneCell(dict[int, str]):
    """For `str.translate`: one ASCII character for each character of one cell."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if code < 0x80:
            found = char
        else:
            base = unicodedata.normalize("NFKD", char)[0]
            found = _CELLS.get(char) or _WORDS.get(char) or (base if base.isascii() else _block(code))
        self[code] = found
        return found


def _block(code: int) -> str:
    """Box corners, blocks, braille and quadrants of pictures and charts; whatever else there is."""
    if 0x2500 <= code < 0x2580:
        return "+"
    return "#" if 0x2580 <= code < 0x25A0 else "*"


_one_cell = _OneCell()


def one_cell_each(text: str) -> str:
    """The text in ASCII, as wide as it was: for what is laid out in cells."""
    return text if text.isascii() else text.translate(_one_cell)


def spelled(text: str) -> str:
    """The text in ASCII: signs as words, other characters as in `\\u0434`."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _spelled(char) for char in text)


def _spelled(char: str) -> str:
    if char in _WORDS:
        return _WORDS[char]
    code = ord(char)
    if 0x2500 <= code < 0x25A0 or 0x2800 <= code < 0x2900:
        return one_cell_each(char)
    return char.encode("ascii", "backslashreplace").decode()
