"""A palette has the same roles with few colours as with many, and each is drawn as another one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from rich._palettes import EIGHT_BIT_PALETTE, STANDARD_PALETTE
from rich.color import Color, ColorSystem
from rich.segment import Segment
from textual.widgets import Input

from lbench.tui.app import LbenchApp
from lbench.tui.draw.picture import Ramp
from lbench.tui.terminal.capabilities import Terminal
from lbench.tui.theme import DARK, DARK_16, DARK_256, LIGHT, LIGHT_16, LIGHT_256, Palette, palette_of

App = Callable[..., LbenchApp]
FEW = [(DARK_256, ColorSystem.EIGHT_BIT), (LIGHT_256, ColorSystem.EIGHT_BIT)]
FEWEST = [(DARK_16, ColorSystem.STANDARD), (LIGHT_16, ColorSystem.STANDARD)]
PALETTES = [*FEW, *FEWEST]
GROUNDS = ("ground", "bar", "hairline", "quiet", "text", "bright")
BACKENDS = ("sequential", "threads", "processes", "emulated", "lambda", "simulated")


def drawn(colour: str, system: ColorSystem) -> tuple[int, ...]:
    """What Rich makes of it there."""
    number = Color.parse(colour).downgrade(system).number
    assert number is not None
    return tuple((EIGHT_BIT_PALETTE if system is ColorSystem.EIGHT_BIT else STANDARD_PALETTE)[number])


def colours(palette: Palette) -> list[str]:
    roles = [getattr(palette, name) for name in (*GROUNDS, "right", "wrong", "key", "predicted", "inside")]
    return [*roles, *palette.accents, *palette.seconds, *(colour for _, colour in palette.ramp)]


@pytest.mark.parametrize(("palette", "system"), PALETTES)
def test_with_few_colours_each_is_drawn_as_it_is_written(palette: Palette, system: ColorSystem) -> None:
    for colour in colours(palette):
        wanted, seen = bytes.fromhex(colour[1:]), drawn(colour, system)
        assert max(abs(a - b) for a, b in zip(wanted, seen, strict=True)) <= 7, (
            colour
        )  # light greys: as Rich rounds them


@pytest.mark.parametrize(("palette", "system"), FEW)
def test_with_256_colours_no_role_becomes_another(palette: Palette, system: ColorSystem) -> None:
    steps = [drawn(getattr(palette, name), system)[0] for name in GROUNDS]
    assert steps == sorted(set(steps), reverse=not palette.dark)
    assert len({drawn(colour, system) for colour in (*palette.accents, palette.wrong, palette.right)}) == 8
    ramp = [drawn(colour, system) for _, colour in palette.ramp]
    assert len(set(ramp)) == len(ramp) and drawn(palette.ground, system) not in ramp


@pytest.mark.parametrize(("palette", "system"), PALETTES)
def test_neighbouring_bars_of_a_backend_differ_and_no_two_backends_alternate_alike(
    palette: Palette, system: ColorSystem
) -> None:
    pairs = [(drawn(accent, system), drawn(palette.second_accent(accent), system)) for accent in palette.accents]
    for (first, second), (other, _) in itertools.permutations(pairs, 2):
        assert first != second and first != other
    assert len({second for _, second in pairs}) == len(pairs)


@pytest.mark.parametrize("palette", [DARK, LIGHT, DARK_256, LIGHT_256, DARK_16, LIGHT_16], ids=lambda one: one.ground)
def test_a_second_backend_of_a_kind_has_another_accent_than_the_first(palette: Palette) -> None:
    for backend in BACKENDS:
        own = palette.accent(backend)
        accents = {palette.accent(backend, f"{backend}-{number}") for number in range(2, 100)}
        assert own not in accents and len(accents) == len(BACKENDS) - 1


@pytest.mark.parametrize("palette", [DARK_256, LIGHT_256, DARK_16, LIGHT_16], ids=lambda one: one.ground)
def test_a_picture_with_few_colours_is_drawn_in_them_alone(palette: Palette) -> None:
    ramp = Ramp(palette)
    assert set(ramp.colours[:255]) == {colour for _, colour in palette.ramp}
    assert (ramp.colours[255], ramp.colour(-1)) == (palette.inside, palette.ground)


@pytest.mark.parametrize(
    ("colours", "dark", "light"), [(1 << 24, DARK, LIGHT), (256, DARK_256, LIGHT_256), (16, DARK_16, LIGHT_16)]
)
def test_a_terminal_has_the_palette_of_its_colours(colours: int, dark: Palette, light: Palette) -> None:
    assert (palette_of(DARK.name, colours), palette_of(LIGHT.name, colours)) == (dark, light)


def luminance(colour: str) -> float:
    """As WCAG defines it: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [part / 255 for part in bytes.fromhex(colour[1:])]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour: str, ground: str) -> float:
    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [DARK, LIGHT, DARK_256, LIGHT_256], ids=lambda one: one.ground)
def test_what_is_quiet_can_be_read_and_stands_back(palette: Palette) -> None:
    for name in ("quiet", "text", "bright", "right", "wrong", "key", "predicted"):
        assert contrast(getattr(palette, name), palette.ground) >= 3, name
    assert all(contrast(accent, palette.ground) >= 3 for accent in palette.accents)
    assert contrast(palette.text, palette.ground) > 2 * contrast(palette.quiet, palette.ground)


@pytest.mark.parametrize("palette", [DARK_16, LIGHT_16], ids=lambda one: one.ground)
def test_with_sixteen_colours_what_is_quiet_is_the_grey_between_text_and_ground(palette: Palette) -> None:
    assert len({palette.quiet, palette.text, palette.ground}) == 3
    assert contrast(palette.quiet, palette.ground) > 2.8  # the darker of the two greys that there are


def written(app: LbenchApp) -> Iterator[Segment]:
    """What the part in focus, or the command palette, writes."""
    places = [app.focused, *app.screen.query("CommandList")]
    for place in filter(None, places):
        for y in range(place.size.height):
            yield from (segment for segment in place.render_line(y) if segment.text.strip())


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("colours", [16, 256, 1 << 24])
async def test_nothing_is_written_in_the_colour_of_what_it_stands_on(colours: int, theme: str) -> None:
    app = LbenchApp(terminal=Terminal(fps=0.001, colours=colours), theme=theme)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("r")
        await pilot.pause()
        app.screen.query_one("#at-run-max_usd", Input).focus()
        await pilot.pause()
        texts = list(written(app))
        app.screen.query_one("#at-run-seed", Input).focus()
        await pilot.pause()
        texts += written(app)
        await pilot.press("ctrl+p")
        while not any("key" in text.text for text in written(app)):
            await pilot.pause(0.01)
        texts += written(app)
        for text in texts:
            assert text.style is not None and text.style.color != text.style.bgcolor, text
