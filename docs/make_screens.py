"""Draws the pictures of the screens in `docs/screens/` from a recorded session: stills, and the animation of the README.

    python docs/make_screens.py SESSION_FOLDER

A picture is an SVG of text, without fonts from elsewhere; the animation shows some of its frames one after the other.
"""

from __future__ import annotations

import asyncio
import sys
from html import escape
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from textual.color import Color

from lbench.tui.app import LbenchApp
from lbench.tui.feeds.replay import RecordedFeed
from lbench.tui.terminal.capabilities import Terminal
from lbench.tui.widgets import plan_forecast

_HERE = Path(__file__).resolve().parent / "screens"
_CELL = (7.2, 15.0)  # width and height of a cell, in pixels
_FRAMES = 12
_SECONDS = 8.0
_SIZES = [(80, 24), (120, 40)]
_FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"


def rows_of(app: LbenchApp) -> list[str]:
    """Each row of the screen as SVG elements at y = 0."""
    strips = app.screen._compositor.render_strips()
    return [_row(strip) for strip in strips[: app.size.height]]


def _row(strip: Any) -> str:
    parts, column = [], 0
    for segment in strip:
        cells, style = cell_len(segment.text), segment.style
        x, width = column * _CELL[0], cells * _CELL[0]
        back = None if style is None or style.bgcolor is None else Color.from_rich_color(style.bgcolor).hex
        if back is not None:
            parts.append(f'<rect x="{x:.1f}" width="{width + 0.4:.1f}" height="{_CELL[1] + 0.4}" fill="{back}"/>')
        if segment.text.strip():
            front = "#c8d0d8" if style is None or style.color is None else Color.from_rich_color(style.color).hex
            bold = ' font-weight="bold"' if style is not None and style.bold else ""
            parts.append(
                f'<text x="{x:.1f}" y="11.5" fill="{front}"{bold} textLength="{width:.1f}" xml:space="preserve">'
                f"{escape(segment.text)}</text>"
            )
        column += cells
    return "".join(parts)


def still(rows: list[str], size: tuple[int, int]) -> str:
    """One screen."""
    return _svg(size, _frame(rows))


def animation(frames: list[list[str]], size: tuple[int, int]) -> str:
    """Frames one after the other: a row that is as before is not drawn again."""
    groups: list[str] = []
    begins: dict[tuple[int, str], list[int]] = {}
    for number, rows in enumerate(frames):
        for y, row in enumerate(rows):
            begins.setdefault((y, row), []).append(number)
    for (y, row), shown in begins.items():
        values = ";".join("visible" if number in shown else "hidden" for number in range(len(frames)))
        animate = (
            ""
            if len(shown) == len(frames)
            else (
                f'<animate attributeName="visibility" values="{values}" dur="{_SECONDS}s" calcMode="discrete" '
                'repeatCount="indefinite"/>'
            )
        )
        groups.append(f'<g transform="translate(0,{y * _CELL[1]:.1f})">{animate}{row}</g>')
    return _svg(size, "".join(groups))


def _frame(rows: list[str]) -> str:
    return "".join(f'<g transform="translate(0,{y * _CELL[1]:.1f})">{row}</g>' for y, row in enumerate(rows))


def _svg(size: tuple[int, int], body: str) -> str:
    width, height = size[0] * _CELL[0], size[1] * _CELL[1]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="{_FONT}" font-size="12">'
        f'<rect width="100%" height="100%" fill="#10151c"/>{body}</svg>\n'
    )


async def _settle(app: LbenchApp, pilot: Any, count: int = 4) -> None:
    """Draw frames until what is worked out aside is there, too."""
    for _ in range(count):
        app.tick()
        await pilot.pause(0.05)
    await app.workers.wait_for_complete()
    app.tick()
    await pilot.pause(0.05)


async def draw(session: Path) -> None:
    """All pictures."""
    plan_forecast.busy_notice = lambda: None  # how busy the machine is that draws is not of the session
    for size in _SIZES:
        app = LbenchApp(RecordedFeed.of(session), terminal=Terminal(fps=0.001))
        async with app.run_test(size=size) as pilot:
            await _settle(app, pilot, 12)
            name = f"{size[0]}x{size[1]}"
            (_HERE / f"bench-{name}.svg").write_text(still(rows_of(app), size), encoding="utf-8")
            if size[0] < 100:
                continue
            for key, what in (("enter", "card"), ("r", "set-up"), ("4", "sessions")):
                await pilot.press(key)
                await pilot.pause(0.8)
                await _settle(app, pilot)
                (_HERE / f"{what}-{name}.svg").write_text(still(rows_of(app), size), encoding="utf-8")
                await pilot.press("escape")
                await pilot.pause(0.2)
    feed = RecordedFeed.of(session)
    size = (80, 24)
    app = LbenchApp(feed, terminal=Terminal(fps=0.001, console=True))  # half blocks: quadrants take much more text
    async with app.run_test(size=size) as pilot:
        await _settle(app, pilot, 12)
        frames = []
        for number in range(_FRAMES):
            feed.go_to(feed.length_s * (number + 1) / _FRAMES)
            await _settle(app, pilot, 6)
            frames.append(rows_of(app))
    (_HERE / "lbench.svg").write_text(animation([*frames, *[frames[-1]] * 4], size), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1])))
