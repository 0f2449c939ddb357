"""The palettes: few roles, one accent a backend, and variants for terminals of few colours.

A state is never shown by colour alone: every glyph that means something also differs in shape.
"""

from __future__ import annotations

import functools
import zlib

import msgspec
from rich.style import Style
from textual.theme import Theme

__all__ = [
    "DARK",
    "DARK_16",
    "DARK_256",
    "EMULATED",
    "LIGHT",
    "LIGHT_16",
    "LIGHT_256",
    "Palette",
    "band_role",
    "palette_of",
    "role_of",
    "textual_theme",
]

EMULATED = "°"  # beside a figure that is not of AWS itself
_ROLES = ("quiet", "hairline", "bar", "bright", "key", "right", "wrong")  # as the style sheet names them: $lb-quiet
_BAND = "~"  # before a role: the band of its curve
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
    predicted: str  # what a model gives, never mixed with what was measured
    accents: tuple[str, ...]  # in the order of `_ACCENT_NAMES`
    ramp: tuple[tuple[int, str], ...]  # of a picture: colours from a brightness (0..254) on
    inside: str  # of the set
    seconds: tuple[str, ...] = ()  # of the accents, where colours are few and none can be mixed

    def accent(self, backend: str, label: str = "") -> str:
        """A backend's colour. A second backend of the same kind gets one by its label, always the same."""
        if backend not in _ACCENT_NAMES:
            return self.accents[zlib.crc32(label.encode()) % len(self.accents)]
        own = _ACCENT_NAMES.index(backend)
        if label in ("", backend):
            return self.accents[own]
        return self.accents[(own + 1 + zlib.crc32(label.encode()) % (len(self.accents) - 1)) % len(self.accents)]

    def second_accent(self, accent: str) -> str:
        """The accent of every other bar: two thirds of it over the ground, or what is nearest to that."""
        return self.seconds[self.accents.index(accent)] if self.seconds else mix(self.ground, accent, 2 / 3)

    def band(self, colour: str) -> str:
        """The colour around a curve: a third of it over the ground, or what is nearest to that."""
        if self.seconds:
            return self.second_accent(colour) if colour in self.accents else self.quiet
        return mix(self.ground, colour, 1 / 3)

    def style(self, colour: str, *, bold: bool = False, ground: str | None = None) -> Style:
        """A role (`"quiet"`) or a colour (`"#ffffff"`) as a style on the ground."""
        return _style(self, colour, bold, ground or "ground")


def mix(low: str, high: str, share: float) -> str:
    """The colour at `share` of the way from `low` to `high`."""
    ends = zip(bytes.fromhex(low[1:]), bytes.fromhex(high[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in ends).hex()


def role_of(backend: str, label: str = "") -> str:
    """The role that means a backend's accent in a piece of text."""
    return f"@{backend}/{label or backend}"


def band_role(role: str) -> str:
    """The role of the band around a curve: a third of the curve's brightness."""
    return f"{_BAND}{role}"


def _colour(palette: Palette, name: str) -> str:
    if name.startswith(_BAND):
        return palette.band(_colour(palette, name[len(_BAND) :]))
    if name.startswith("@"):
        backend, _, label = name.lstrip("@").partition("/")
        return palette.accent(backend, label)
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
    predicted="#e58fb1",
    accents=("#8fa3b3", "#5fb3a3", "#6fb3ff", "#ffc266", "#ff9e64", "#c59bff"),
    ramp=((0, "#20263a"), (60, "#3d3a48"), (130, "#7a5c42"), (200, "#d99a4e"), (240, "#ffc266"), (254, "#ffe9c7")),
    inside="#07090d",
)
LIGHT = Palette(
    name="lbench-light",
    dark=False,
    ground="#fbfaf7",
    bar="#eeece6",
    text="#3b444d",
    quiet="#838b93",
    hairline="#d9d6ce",
    bright="#10151c",
    right="#2e8540",
    wrong="#c4372c",
    key="#a86400",
    predicted="#a8366b",
    accents=("#5d7486", "#1f8a78", "#1f6fc9", "#c27c0e", "#cc5f1e", "#7d4fc4"),
    ramp=((0, "#e6e8ee"), (60, "#d8d2cc"), (130, "#dcb98a"), (200, "#d98f35"), (240, "#b0640a"), (254, "#6e3a00")),
    inside="#2b2f36",
)
# 256 colours: values that Rich's downgrade takes as they are, but for light greys, which it makes a little darker
# (#d7d7d7 is drawn as #d0d0d0, #f2f2f2 as #eeeeee). Others would run together: all of DARK's grounds are black there.
DARK_256 = Palette(
    name="lbench-dark",
    dark=True,
    ground="#121212",
    bar="#1c1c1c",
    text="#d7d7d7",
    quiet="#6c6c6c",
    hairline="#303030",
    bright="#f2f2f2",
    right="#87d787",
    wrong="#ff5f5f",
    key="#ffaf5f",
    predicted="#ff87af",
    accents=("#8787af", "#5fafaf", "#5fafff", "#ffaf5f", "#ff8700", "#d787ff"),
    seconds=("#5f5f87", "#5f8787", "#5f87af", "#af875f", "#af5f00", "#875faf"),
    ramp=(
        *((0, "#262626"), (28, "#303030"), (52, "#3a3a3a"), (76, "#444444"), (100, "#585858"), (124, "#875f5f")),
        *((150, "#af875f"), (180, "#d7875f"), (204, "#d7af5f"), (224, "#ffaf5f"), (240, "#ffd787"), (250, "#ffffd7")),
    ),
    inside="#080808",
)
LIGHT_256 = Palette(
    name="lbench-light",
    dark=False,
    ground="#ffffff",
    bar="#f2f2f2",
    text="#444444",
    quiet="#8a8a8a",
    hairline="#d7d7d7",
    bright="#121212",
    right="#008700",
    wrong="#d70000",
    key="#af5f00",
    predicted="#af005f",
    accents=("#5f5f87", "#008787", "#005fd7", "#af8700", "#d75f00", "#875fd7"),
    seconds=("#8787af", "#5fafaf", "#5f87d7", "#d7af5f", "#d7875f", "#af87d7"),
    ramp=(
        *((0, "#e1e1e1"), (40, "#d7d7d7"), (80, "#d7d7af"), (116, "#d7af87"), (150, "#d7af5f"), (180, "#d78700")),
        *((208, "#d75f00"), (226, "#af5f00"), (242, "#875f00"), (251, "#5f5f00")),
    ),
    inside="#303030",
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
    predicted="#ff55ff",
    accents=("#aaaaaa", "#55ff55", "#55ffff", "#ffff55", "#ff5555", "#ff55ff"),
    seconds=("#555555", "#00aa00", "#00aaaa", "#aa5500", "#aa0000", "#aa00aa"),
    ramp=((0, "#555555"), (100, "#aa5500"), (190, "#ffff55"), (245, "#ffffff")),
    inside="#000000",
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
    predicted="#aa00aa",
    accents=("#555555", "#00aaaa", "#0000aa", "#aa5500", "#aa0000", "#aa00aa"),
    seconds=("#aaaaaa", "#55ffff", "#5555ff", "#ffff55", "#ff5555", "#ff55ff"),
    ramp=((0, "#aaaaaa"), (100, "#ffff55"), (190, "#aa5500"), (245, "#aa0000")),
    inside="#555555",
)


def palette_of(theme: str, colours: int) -> Palette:
    """The palette of a theme on a terminal of so many colours."""
    light = theme == LIGHT.name
    if colours <= 16:
        return LIGHT_16 if light else DARK_16
    if colours <= 256:
        return LIGHT_256 if light else DARK_256
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
            **{f"lb-{role}": getattr(palette, role) for role in _ROLES},
            "border": palette.hairline,
            "border-blurred": palette.hairline,
            "input-cursor-background": palette.text,
            "input-selection-background": palette.quiet,
            "block-cursor-background": palette.hairline,
            "block-cursor-foreground": palette.bright,
            "scrollbar": palette.hairline,
            "scrollbar-background": palette.ground,
            "scrollbar-corner-color": palette.ground,
        },
    )
