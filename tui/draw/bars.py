"""Progress bars and bars to scale, as text."""

from __future__ import annotations

from lbench.analysis.layout import progress_text
from lbench.tui.draw.ink import Piece

__all__ = ["bar", "progress"]

_PARTS = " ▏▎▍▌▋▊▉"


def progress(done: int, total: int, width: int, role: str) -> list[Piece]:
    """`━━━━━╸────`: what is done in the role's colour, in half cells."""
    filled, rest = progress_text(done, total, width)
    return [(filled, role), (rest, "hairline")]


def bar(share: float, width: int) -> str:
    """A bar of a share (0..1) of so many cells, in eighths; what is not 0 shows at least ▏."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, part = divmod(eighths, 8)
    return "█" * full + (_PARTS[part] if part else "")
