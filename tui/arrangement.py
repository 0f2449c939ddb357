"""Where each part of the Bench screen goes, for every size of terminal: a pure function, no boxes to negotiate.

80x24 stacks the panels, 120x40 has two columns, 200x60 three. Below `LEAST` there is only a message.
"""

from __future__ import annotations

import msgspec
from textual.geometry import Region

__all__ = ["LEAST", "Arrangement", "Wanted", "arrange"]

LEAST = (40, 12)
_COMPACT = 100  # columns under which panels stack
_WIDE = 170  # columns from which there are three of them
_GAP = 2
_INSPECT = 8
_PICTURE = 8  # the least that is worth drawing


class Wanted(msgspec.Struct, frozen=True):
    """What there is to show."""

    backends: int = 0
    lanes: tuple[int, ...] = ()  # of each timeline, in the table's order
    picture: bool = False
    cold: bool = False  # a backend that has cold starts
    favourite: int = 0  # the timeline that is shown where there is room for one
    only_picture: bool = False  # the person wants the picture where there is room for one thing


class Arrangement(msgspec.Struct, frozen=True):
    """Regions by the part's name; a part without one is hidden."""

    places: dict[str, Region]
    timelines: tuple[int, ...]  # which timelines are shown: indexes into `Wanted.lanes`, in the order of timeline0...


def arrange(width: int, height: int, wanted: Wanted) -> Arrangement:
    """Lay the parts out."""
    if width < LEAST[0] or height < LEAST[1]:
        return Arrangement({"small": Region(0, 0, width, height)}, ())
    places = {"title": Region(0, 0, width, 1), "answer": Region(0, 1, width, 1)}
    places["keys"] = Region(0, height - 1, width, 1)
    airy = height >= 22
    top = 2 + airy
    rows = min(1 + max(1, wanted.backends), max(2, height // 3))
    places["table"] = Region(0, top, width, rows)
    top += rows + airy
    deep = 13 if height >= 55 else 8 if height >= 36 else 7 if height >= 22 else 0
    bottom = height - 1 - deep - (height >= 28)
    if deep:
        _bottom(places, width, bottom, deep, wanted)
    body = Region(0, top, width, max(0, bottom - top - (1 if deep else 0)))
    if width < _COMPACT:
        shown = _stacked(places, body, wanted)
    elif width < _WIDE:
        shown = _columns(places, body, wanted)
    else:
        shown = _three(places, body, wanted)
    return Arrangement(places, shown)


def _bottom(places: dict[str, Region], width: int, y: int, height: int, wanted: Wanted) -> None:
    """Histograms and cost, side by side."""
    if width < _COMPACT:
        half = (width - _GAP) // 2
        places["cold" if wanted.cold else "warm"] = Region(0, y, half, height)
        places["cost"] = Region(half + _GAP, y, width - half - _GAP, height)
        return
    third = (width - 2 * _GAP) // 3
    if wanted.cold:
        places["cold"] = Region(0, y, third, height)
        places["warm"] = Region(third + _GAP, y, third, height)
    else:
        places["warm"] = Region(0, y, 2 * third + _GAP, height)
    left = 2 * (third + _GAP)
    places["cost"] = Region(left, y, width - left, height)


def _stacked(places: dict[str, Region], body: Region, wanted: Wanted) -> tuple[int, ...]:
    if wanted.picture and (wanted.only_picture or not wanted.lanes):
        places["preview"] = body
        return ()
    if not wanted.lanes or body.height < 2:
        return ()
    chosen = min(wanted.favourite, len(wanted.lanes) - 1)
    height = min(1 + wanted.lanes[chosen], body.height)
    places["timeline0"] = Region(0, body.y, body.width, height)
    rest = body.height - height - 1
    if rest >= 6:
        y = body.y + height + 1
        part = "preview" if wanted.picture and rest >= _PICTURE else "inspect"
        places[part] = Region(0, y, body.width, rest if part == "preview" else min(rest, _INSPECT))
    return (chosen,)


def _columns(places: dict[str, Region], body: Region, wanted: Wanted) -> tuple[int, ...]:
    """Two columns: the picture under the left timeline, the invocation under the right one."""
    half = (body.width - _GAP) // 2
    left = Region(0, body.y, half, body.height)
    right = Region(half + _GAP, body.y, body.width - half - _GAP, body.height)
    many = len(wanted.lanes)
    most = 4 if many > 2 and not wanted.picture and body.height >= 20 else 2
    shown = _chosen(many, most, wanted.favourite)
    under_left = _PICTURE if wanted.picture else 0
    rest = _timelines(places, left, [wanted.lanes[one] for one in shown[0::2]], (0, 2), under_left)
    if wanted.picture:
        places["preview"] = rest
    rest = _timelines(places, right, [wanted.lanes[one] for one in shown[1::2]], (1, 3), _INSPECT)
    if wanted.lanes and rest.height >= 4:
        places["inspect"] = Region(rest.x, rest.y, rest.width, min(rest.height, _INSPECT))
    return shown


def _three(places: dict[str, Region], body: Region, wanted: Wanted) -> tuple[int, ...]:
    """Three columns: timelines in two, the picture and the invocation in the third."""
    third = (body.width - 2 * _GAP) // 3
    columns = [Region(number * (third + _GAP), body.y, third, body.height) for number in range(3)]
    last = Region(columns[2].x, body.y, body.width - columns[2].x, body.height)
    shown = _chosen(len(wanted.lanes), 4, wanted.favourite)
    _timelines(places, columns[0], [wanted.lanes[one] for one in shown[0::2]], (0, 2), 0)
    _timelines(places, columns[1], [wanted.lanes[one] for one in shown[1::2]], (1, 3), 0)
    if not wanted.lanes:
        return shown
    if wanted.picture:
        under = _INSPECT + 1 if last.height >= _INSPECT + _PICTURE else 0
        places["preview"] = Region(last.x, last.y, last.width, last.height - under)
        if under:
            places["inspect"] = Region(last.x, last.bottom - _INSPECT, last.width, _INSPECT)
    else:
        places["inspect"] = Region(last.x, last.y, last.width, min(last.height, _INSPECT + 4))
    return shown


def _chosen(many: int, most: int, favourite: int) -> tuple[int, ...]:
    """The last ones, with the favourite among them."""
    shown = list(range(many))[-most:]
    if shown and favourite < shown[0]:
        shown[0] = favourite
    return tuple(shown)


def _timelines(
    places: dict[str, Region], column: Region, lanes: list[int], names: tuple[int, int], under: int
) -> Region:
    """Timelines below one another in a column; returns what is left, `under` rows at least where there are as many."""
    room = column.height - (under + 1 if under else 0)
    room = max(2, room) if column.height >= 2 else 0
    y = column.y
    for number, wanted in enumerate(lanes):
        left = room - (y - column.y)
        others = len(lanes) - number - 1
        share = (left - others) // (others + 1)
        height = min(1 + wanted, max(share, left - others - sum(1 + one for one in lanes[number + 1 :])))
        if height < 2 or left < 2:
            break
        places[f"timeline{names[number]}"] = Region(column.x, y, column.width, min(height, left))
        y += min(height, left) + 1
    return Region(column.x, y, column.width, max(0, column.bottom - y))
