"""The replay's bar: position, length and speed, with keys."""

from __future__ import annotations

from textual.binding import Binding, BindingType
from textual.strip import Strip

from lbench.tui.draw.bars import progress
from lbench.tui.draw.ink import Piece, line, width_of
from lbench.tui.feeds.feed import Frame
from lbench.tui.widgets.lines import Lines

__all__ = ["REPLAY_BINDINGS", "ReplayBar"]

# Of the bar while it has the focus, and of the app for wherever these keys mean nothing else.
REPLAY_BINDINGS: list[BindingType] = [
    Binding("space", "app.replay('toggle')", "play", key_display="space", tooltip="play or pause"),
    Binding("left_square_bracket", "app.replay('slower')", "speed", key_display="[ ]", tooltip="slower, faster"),
    Binding("right_square_bracket", "app.replay('faster')", "speed", key_display="[ ]", tooltip="slower, faster"),
    Binding("left", "app.replay('back')", "seek", key_display="←→", tooltip="back or on by 2 %"),
    Binding("right", "app.replay('on')", "seek", key_display="←→", tooltip="back or on by 2 %"),
    Binding("shift+left", "app.replay('far_back')", "back or on by 10 %", show=False, key_display="⇧←→"),
    Binding("shift+right", "app.replay('far_on')", "back or on by 10 %", show=False, key_display="⇧←→"),
    Binding("home", "app.replay('first')", "to its beginning", show=False),
    Binding("end", "app.replay('last')", "to its end", show=False),
]


def _time_text(seconds: float) -> str:
    """Minutes and seconds with tenths, so that slow replays are seen to move: "0:03.2"."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"{int(minutes)}:{rest:04.1f}"


class ReplayBar(Lines, can_focus=True):
    """One line above the footer."""

    BINDINGS = REPLAY_BINDINGS

    def __init__(self) -> None:
        super().__init__(id="replay")
        self._frame: Frame | None = None

    def show(self, frame: Frame) -> None:
        self._frame = frame
        self.redraw()

    def on_click(self, event: object) -> None:
        frame = self._frame
        if frame is not None and frame.replay_length_s:
            share = getattr(event, "x", 0) / max(1, self.size.width)
            self.app.run_worker(self.run_action(f"app.replay_to({share * frame.replay_length_s})"))

    def draw(self, width: int, height: int) -> list[Strip]:
        frame = self._frame
        if frame is None:
            return []
        glyph = {"replay": "▶", "paused": "‖"}.get(frame.state, "◼")
        length = frame.replay_length_s
        at = frame.replay_s if frame.replay_s is not None else length if frame.state == "done" else None
        mark: Piece = ("▸" if self.has_focus else " ", "key")
        if at is None:
            return [line(self.palette, [mark, ("reading the record", "quiet")], width)]
        speed = "whole" if frame.speed is None else f"{frame.speed:g}×"
        left: list[Piece] = [mark, (f"{glyph} ", "bright" if glyph != "◼" else "quiet"), (f"{_time_text(at)} ", "text")]
        right: list[Piece] = [(f" {_time_text(length)}" if length else " –", "quiet"), (f"  {speed:>5} ", "bright")]
        room = max(4, width - width_of(left) - width_of(right))
        bar = progress(round(at * 1000), round((length or 0) * 1000), room, "text" if self.has_focus else "quiet")
        return [line(self.palette, [*left, *bar, *right], width)]
