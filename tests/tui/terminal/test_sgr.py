"""Fewer bytes, the same picture: a small terminal draws both, and cannot tell them apart."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lbench.tui.terminal.sgr import Slimmer

_PART = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|(\r\n)|(.)", re.DOTALL)
CODES = ["0", "1", "2", "4", "31", "92", "44", "103", "39", "49", "38;5;23", "48;5;16", "38;2;1;2;3", "48;2;9;8;7"]

styled = st.lists(st.sampled_from(CODES), min_size=1, max_size=3).map(lambda codes: f"\x1b[{';'.join(codes)}m")
pieces = st.one_of(
    styled,
    st.just("\x1b[0m"),
    st.sampled_from(["a", "bc", " ", "   ", "▆▆"]),
    st.tuples(st.integers(1, 4), st.integers(1, 9)).map(lambda at: f"\r\n\x1b[{at[0]};{at[1]}H"),
)
writes = st.lists(st.lists(pieces, max_size=12).map("".join), max_size=4)


class Cells:
    """What a terminal shows: a character and its style at each place."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, str, str, frozenset[str]]] = {}
        self.row = self.column = 1
        self.front = self.back = ""
        self.attributes: frozenset[str] = frozenset()

    def write(self, data: str) -> None:
        for codes, kind, end, character in _PART.findall(data):
            if kind == "m":
                self._style(codes)
            elif kind == "H":
                self.row, self.column = map(int, codes.split(";"))
            elif end:
                self.row, self.column = self.row + 1, 1
            else:
                seen = bool(character.strip()) or bool(self.attributes)
                cell = (character, self.front if seen else "", self.back, self.attributes)
                self.cells[self.row, self.column] = cell
                self.column += 1

    def _style(self, codes: str) -> None:
        rest = codes.split(";")
        while rest:
            code = rest.pop(0)
            if code in ("", "0"):
                self.front, self.back, self.attributes = "", "", frozenset()
            elif code in ("38", "48"):
                count = 4 if rest[0] == "2" else 2
                colour = ";".join([code, *rest[:count]])
                del rest[:count]
                self.front, self.back = (colour, self.back) if code == "38" else (self.front, colour)
            elif code in ("39", "49"):
                self.front, self.back = ("", self.back) if code == "39" else (self.front, "")
            elif int(code) < 10:
                self.attributes |= {code}
            elif int(code) in range(30, 38) or int(code) in range(90, 98):
                self.front = code
            else:
                self.back = code


@given(writes)
def test_the_terminal_shows_the_same(written: list[str]) -> None:
    plain, slim, slimmer = Cells(), Cells(), Slimmer()
    for data in written:
        plain.write(data + "\x1b[0m")  # as Textual does, each write begins and ends in the terminal's own style
        slim.write(slimmer.slim(data + "\x1b[0m"))
    assert slim.cells == plain.cells


def test_a_colour_is_sent_once_for_all_that_has_it() -> None:
    slimmer = Slimmer()
    assert slimmer.slim("\x1b[31;40ma\x1b[0m\x1b[32;40mb\x1b[0m") == "\x1b[0;31;40ma\x1b[32mb"
    assert slimmer.slim("\r\n\x1b[2;1H\x1b[32;40mc\x1b[0m") == "\x1b[2;1Hc"


def test_the_initial_style_is_the_terminals_own() -> None:
    slimmer = Slimmer()
    slimmer.slim("\x1b[31ma\x1b[0m")
    assert slimmer.slim("\x1b[?1049l") == "\x1b[39m\x1b[?1049l"
