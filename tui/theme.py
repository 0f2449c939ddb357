"""The palette: few roles, one accent a backend, the same on every screen; and what becomes of them with few colours.

A state is never told by colour alone: every glyph that means something also differs in shape.
"""

from __future__ import annotations

import functools
import zlib

import msgspec
from rich.style import Style
from textual.theme import Theme

__all__ = ["DARK", "DARK_16", "EMULATED", "LIGHT", "LIGHT_16", "Palette", "palette_of", "role_of", "textual_theme"]

EMULATED = "°"  # beside a figure that is not of AWS itself
_ACCENT_NAMES = ("sequential", "threads", "processes", "emulated", "lambda", "simulated")


class Palette(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Colours by role, as `#rrggbb`."""

    name: str
    dark: bool
    ground: str
    bar: str  # ground of the title's and the footer's line
    text: str
    quiet: str
    hairline: str
    bright: str  # only for the numbers that matter
    right: str
    wrong: str
    key: str  # keys in the footer
    accents: tuple[str, ...]  # in the order of `_ACCENT_NAMES`
    second: float = 2 / 3  # how much of the accent the second of two neighbouring bars keeps

    def accent(self, backend: str, label: str = "") -> str:
        """A backend's colour. A second backend of the same kind gets one by its label, always the same."""
        if backend in _ACCENT_NAMES and label in ("", backend):
            return self.accents[_ACCENT_NAMES.index(backend)]
        return self.accents[zlib.crc32(label.encode()) % len(self.accents)]

    def second_accent(self, accent: str) -> str:
        """The accent of every other bar: two thirds of it over the ground."""
        return mix(self.ground, accent, self.second)

    def style(self, colour: str, *, bold: bool = False, ground: str | None = None) -> Style:
        """A role (`"quiet"`) or a colour (`"#ffffff"`) as a style on the ground."""
        return _style(self, colour, bold, ground or "ground")


def mix(low: str, high: str, share: float) -> str:
    """The colour at `share` of the way from `low` to `high`."""
    ends = zip(bytes.fromhex(low[1:]), bytes.fromhex(high[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in ends).hex()


def role_of(backend: str, label: str = "", *, second: bool = False) -> str:
    """The role that means a backend's accent, or the second accent, in a piece of text."""
    return f"{'@@' if second else '@'}{backend}/{label or backend}"


def _colour(palette: Palette, name: str) -> str:
    if name.startswith("@"):
        backend, _, label = name.lstrip("@").partition("/")
        accent = palette.accent(backend, label)
        return palette.second_accent(accent) if name.startswith("@@") else accent
    return name if name.startswith("#") else str(getattr(palette, name))


@functools.lru_cache(maxsize=4096)
def _style_of(foreground: str, background: str, bold: bool) -> Style:
    return Style(color=foreground, bgcolor=background, bold=bold or None)


def _style(palette: Palette, colour: str, bold: bool, ground: str) -> Style:
    return _style_of(_colour(palette, colour), _colour(palette, ground), bold)


DARK = Palette(
    name="lbench-dark",
    dark=True,
    ground="#10151c",
    bar="#18202a",
    text="#c8d0d8",
    quiet="#5c6773",
    hairline="#2a333d",
    bright="#e8eef4",
    right="#8fd694",
    wrong="#ff7b72",
    key="#ffc266",
    accents=("#8fa3b3", "#5fb3a3", "#6fb3ff", "#ffc266", "#ff9e64", "#c59bff"),
)
LIGHT = Palette(
    name="lbench-light",
    dark=False,
    ground="#fbfaf7",
    bar="#eeece6",
    text="#3b444d",
    quiet="#8b939b",
    hairline="#d9d6ce",
    bright="#10151c",
    right="#2e8540",
    wrong="#c4372c",
    key="#a86400",
    accents=("#5d7486", "#1f8a78", "#1f6fc9", "#c27c0e", "#cc5f1e", "#7d4fc4"),
)
# Sixteen colours: Rich's own values of them, so that each is taken as it is (a hairline of #2a333d would become ground).
DARK_16 = Palette(
    name="lbench-dark",
    dark=True,
    ground="#000000",
    bar="#000000",
    text="#aaaaaa",
    quiet="#555555",
    hairline="#555555",
    bright="#ffffff",
    right="#55ff55",
    wrong="#ff5555",
    key="#ffff55",
    accents=("#aaaaaa", "#55ff55", "#55ffff", "#ffff55", "#ff5555", "#ff55ff"),
    second=0.6,
)
LIGHT_16 = Palette(
    name="lbench-light",
    dark=False,
    ground="#ffffff",
    bar="#ffffff",
    text="#000000",
    quiet="#555555",
    hairline="#aaaaaa",
    bright="#000000",
    right="#00aa00",
    wrong="#aa0000",
    key="#aa00aa",
    accents=("#555555", "#00aaaa", "#0000aa", "#aa5500", "#aa0000", "#aa00aa"),
    second=0.5,
)


def palette_of(theme: str, colours: int) -> Palette:
    """The palette of a theme on a terminal of so many colours."""
    light = theme == LIGHT.name
    if colours <= 16:
        return LIGHT_16 if light else DARK_16
    return LIGHT if light else DARK


def textual_theme(palette: Palette) -> Theme:
    """The palette as Textual's own widgets (inputs, the command palette) take it."""
    return Theme(
        name=palette.name,
        primary=palette.accents[2],
        secondary=palette.accents[0],
        accent=palette.key,
        warning=palette.key,
        error=palette.wrong,
        success=palette.right,
        foreground=palette.text,
        background=palette.ground,
        surface=palette.ground,
        panel=palette.bar,
        boost=palette.bar,
        dark=palette.dark,
        variables={
            "lb-quiet": palette.quiet,
            "lb-hairline": palette.hairline,
            "lb-bar": palette.bar,
            "lb-bright": palette.bright,
            "lb-key": palette.key,
            "border": palette.hairline,
            "border-blurred": palette.hairline,
            "input-cursor-background": palette.text,
            "input-selection-background": palette.hairline,
            "block-cursor-background": palette.hairline,
            "block-cursor-foreground": palette.bright,
            "scrollbar": palette.hairline,
            "scrollbar-background": palette.ground,
            "scrollbar-corner-color": palette.ground,
        },
    )
