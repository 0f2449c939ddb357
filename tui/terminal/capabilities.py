"""The terminal's capabilities, judged by the environment, and the frame rate."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import msgspec

from lbench.config.ascii_fallback import is_ascii_only
from lbench.tui.draw.marker import Marker

__all__ = ["FPS_LOCAL", "FPS_REMOTE", "Terminal", "look"]

FPS_LOCAL = 8.0
FPS_REMOTE = 4.0  # 2.4 KiB/s at 80x24 with 256 colours (measured); a window that scrolls at 10 fps takes 68


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """A terminal's capabilities."""

    ssh: bool = False
    tmux: bool = False
    dumb: bool = False
    no_color: bool = False
    colours: int = 16_777_216  # truecolor, 256, 16 or 2
    fps: float = FPS_LOCAL
    console: bool = False  # Linux's own, whose font has half blocks but no quadrants
    marker: Marker = "braille"  # what lines of a chart are drawn with

    @property
    def remote(self) -> bool:
        """Whether bytes are expensive: fewer frames, no animation."""
        return self.ssh or self.tmux

    @property
    def quadrants(self) -> bool:
        """Whether pictures are drawn in quadrants: twice the points of half blocks, and more bytes."""
        return not self.console and not self.remote and self.colours > 16

    @property
    def note(self) -> str:
        """The footer's note of an automatic choice; "" on an ordinary terminal."""
        where = "ssh" if self.ssh else "tmux" if self.tmux else ""
        return f"{where} {self.fps:g} fps" if where else ""


def look(
    environ: Mapping[str, str] | None = None, *, fps: float | None = None, marker: Marker | None = None
) -> Terminal:
    """Judge the terminal by the environment. `fps` and `marker`: the user's choice."""
    env = os.environ if environ is None else environ
    term = env.get("TERM", "")
    plain = is_ascii_only(getattr(sys.__stderr__, "encoding", None), env)
    ssh = "SSH_CONNECTION" in env or "SSH_TTY" in env
    tmux = "TMUX" in env or term.startswith(("screen", "tmux"))
    return Terminal(
        ssh=ssh,
        tmux=tmux,
        dumb=term in ("", "dumb", "unknown"),
        no_color=bool(env.get("NO_COLOR")),
        colours=_colours(term, env.get("COLORTERM", "").lower(), env.get("TEXTUAL_COLOR_SYSTEM", "auto")),
        console=term == "linux",
        marker=marker or ("ascii" if term == "linux" or plain else "braille"),
        fps=fps or (FPS_REMOTE if ssh or tmux else FPS_LOCAL),
    )


def _colours(term: str, colorterm: str, forced: str) -> int:
    by_name = {"truecolor": 1 << 24, "256": 256, "standard": 16}
    if forced in by_name:
        return by_name[forced]
    if colorterm in ("truecolor", "24bit"):
        return 1 << 24
    if term in ("", "dumb", "vt100", "vt220"):
        return 2
    if term.endswith(("-256color", "-direct")) or term in ("xterm-kitty", "alacritty", "foot", "xterm-ghostty"):
        return 256
    return 16
