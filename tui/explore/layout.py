"""The layout of the Explore screen for every size of terminal."""

from __future__ import annotations

from textual.geometry import Region

__all__ = ["SIDE_BY_SIDE", "places"]

LEAST = (40, 12)
SIDE_BY_SIDE = 72  # columns from which the panels stand beside the picture
_GAP = 2


def places(width: int, height: int, *, sliders: int, backends: int, replay: bool) -> dict[str, Region]:
    """Regions by the part's name; a part without one is hidden."""
    if width < LEAST[0] or height < LEAST[1]:
        return {"small": Region(0, 0, width, height)}
    regions = {"title": Region(0, 0, width, 1)}
    regions["keys"] = Region(0, height - 1, width, 1)
    if replay:
        height -= 1
        regions["replay"] = Region(0, height - 1, width, 1)
    top, body = 3, height - 4
    if body < 12:
        top, body = 2, height - 3
    regions["answer"] = Region(0, 1, width, top - 1)  # it flows into the air below
    if width < SIDE_BY_SIDE:
        regions["sliders"] = Region(0, height - 1 - (sliders + 1), width, sliders + 1)
        regions["picture"] = Region(0, top, width, body - sliders - 1)
        if regions["picture"].height < 5:
            regions["picture"] = Region(0, top, width, body)
            del regions["sliders"]
        return regions
    side = max(37, min(66, round(width * 0.39)))
    left = width - side - _GAP
    regions["picture"] = Region(0, top, left, body)
    x, y, end = left + _GAP, top, top + body
    roomy = body >= sliders + backends + 3 + 3 + 2
    for name, rows in (("sliders", sliders + 1), ("backends", backends + 2)):
        rows = min(rows, end - y)
        if rows >= 2:
            regions[name] = Region(x, y, side, rows)
            y += rows + roomy
    if end - y >= 2:
        regions["strip"] = Region(x, y, side, min(end - y, max(11, height // 3)))
    return regions
