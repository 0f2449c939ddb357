"""The parameters as sliders."""

from __future__ import annotations

from rich.cells import cell_len
from textual.binding import Binding
from textual.strip import Strip

from lbench.tui.draw.ink import Piece, heading, line, put, right_of
from lbench.tui.explore.scene import Scene, shown, slider_share
from lbench.tui.widgets.lines import Lines

__all__ = ["Sliders"]

_LABEL = 12
_KEYS = 4


class Sliders(Lines, can_focus=True):
    """One line per parameter."""

    BINDINGS = [
        Binding("up,k", "move(-1)", "choose", key_display="↑↓"),
        Binding("down,j", "move(1)", "choose", key_display="↑↓"),
        Binding("left,h", "step(-1)", "change", key_display="←→"),
        Binding("right,l", "step(1)", "change", key_display="←→"),
        Binding("enter", "type", "type a value", key_display="↵"),
    ]

    def __init__(self) -> None:
        super().__init__(id="sliders")
        self._scene: Scene | None = None
        self._measure = ""
        self.cursor = 0

    def show(self, scene: Scene, measure: str) -> None:
        if self._scene is not None and scene.workload != self._scene.workload:
            self.cursor = 0
        if (scene, measure) != (self._scene, self._measure):
            self._scene, self._measure = scene, measure
            self.redraw()

    def action_move(self, by: int) -> None:
        if self._scene is not None:
            self.cursor = max(0, min(len(self._scene.sliders) - 1, self.cursor + by))
            self.redraw()

    async def action_step(self, by: int) -> None:
        if self._scene is not None:
            await self.run_action(f"screen.step({self._scene.sliders[self.cursor].name!r}, {by})")

    async def action_type(self) -> None:
        if self._scene is not None:
            await self.run_action(f"screen.type_value({self._scene.sliders[self.cursor].name!r})")

    def draw(self, width: int, height: int) -> list[Strip]:
        """A line each; if there are fewer lines, those around the cursor."""
        scene, palette = self._scene, self.palette
        mark: Piece = ("▸ ", "key") if self.has_focus else ("", "text")
        measure: list[Piece] = [(self._measure, "quiet")] if self._measure else []
        strips = [line(palette, heading([mark, ("parameters", "quiet!")], measure, width), width)]
        if scene is None:
            return strips
        texts = [shown(scene, slider) for slider in scene.sliders]
        value_width = max(10, *(cell_len(text) for text in texts)) if width >= 44 else 12
        bar = width - 2 - _LABEL - value_width - 2 - _KEYS
        first = max(0, min(self.cursor - (height - 2), len(texts) - (height - 1)))
        for number, slider in list(enumerate(scene.sliders))[first : first + height - 1]:
            here = self.has_focus and number == self.cursor
            share = slider_share(scene, slider)
            pieces: list[Piece] = [
                ("▐ " if here else "  ", "key"),
                (put(slider.label, _LABEL), "text!" if here else "text"),
                (right_of(put(texts[number], min(cell_len(texts[number]), value_width)), value_width), "bright"),
                ("  ", "text"),
            ]
            if share is not None and bar >= 4:
                at = round(share * (bar - 1))
                knob = "key" if here else "bright"
                pieces += [("━" * at, "quiet"), ("●", knob), ("─" * (bar - 1 - at), "hairline")]
            else:
                pieces.append((" " * max(0, bar), "text"))
            pieces.append((right_of(slider.keys, _KEYS), "key"))
            strips.append(line(palette, pieces, width))
        return strips
