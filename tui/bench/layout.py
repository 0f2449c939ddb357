"""The layout of the Bench screen for every size of terminal, as a pure function.

80x24 stacks the panels, 120x40 has two columns; 200x60 a large picture and all else beside it, or three columns.
Below `LEAST` there is only a message.
"""

from __future__ import annotations

import msgspec
from textual.geometry import Region

__all__ = ["COMPACT", "LEAST", "Arrangement", "Wanted", "arrange"]

LEAST = (40, 12)
COMPACT = 100  # columns under which panels stack
_WIDE = 170  # columns from which there are three of them
_GAP = 2
_INSPECT = 8
_PICTURE = 8  # the least that is worth drawing
_HISTOGRAM = (13, 26)  # least and most rows where there is room
_MOST = 4  # timelines at once
_BESIDE = _INSPECT + 1 + _HISTOGRAM[0]  # rows under the timelines that stand beside a large picture


class Wanted(msgspec.Struct, frozen=True):
    """What there is to show."""

    backends: int = 0
    lanes: tuple[int, ...] = ()  # of each timeline, in the table's order
    picture: bool = False
    cold: bool = False  # a backend that has cold starts
    favourite: int = 0  # the timeline that is shown where there is room for one
    only_picture: bool = False  # the person wants the picture where there is room for one thing
    fresh: bool = False  # nothing has run: there is room for what to do first
    warnings: int = 0  # what makes the results weak
    replay: bool = False  # a record: its bar stands above the footer


class Arrangement(msgspec.Struct, frozen=True):
    """Regions by the part's name; a part without one is hidden."""

    places: dict[str, Region]
    timelines: tuple[int, ...]  # which timelines are shown: indexes into `Wanted.lanes`, in the order of timeline0...


def arrange(width: int, height: int, wanted: Wanted) -> Arrangement:
    """Place the parts."""
    if width < LEAST[0] or height < LEAST[1]:
        return Arrangement({"small": Region(0, 0, width, height)}, ())
    airy = height - wanted.replay >= 22
    places = {"title": Region(0, 0, width, 1), "answer": Region(0, 1, width, 1 + airy)}  # it flows into the air below
    places["keys"] = Region(0, height - 1, width, 1)
    if wanted.replay:
        height -= 1
        places["replay"] = Region(0, height - 1, width, 1)
    top = 2 + airy
    rows = min(1 + max(1, wanted.backends), max(2, height // 3))
    places["table"] = Region(0, top, width, rows)
    top += rows
    if wanted.warnings:
        block = min(wanted.warnings, 5 if height >= 50 else 2) + 1
        deep = block + airy if height >= 36 else 1
        places["weak"] = Region(0, top + deep - (block if height >= 36 else 1), width, block if height >= 36 else 1)
        top += deep
    top += airy
    end = height - 1 - (height >= 28)
    if wanted.fresh:
        places["welcome"] = Region(0, top, width, max(0, end - top))
        return Arrangement({name: place for name, place in places.items() if place.area}, ())
    if width >= _WIDE and height >= 40:
        body = Region(0, top, width, end - top)
        few = len(wanted.lanes) <= _MOST and sum(2 + one for one in wanted.lanes) <= body.height - _BESIDE
        lay = _beside if wanted.picture and few else _three
        return Arrangement(places, lay(places, body, wanted))
    deep = _depth(height, wanted.picture)
    if deep:
        _bottom(places, width, end - deep, deep, wanted)
    body = Region(0, top, width, max(0, end - deep - top - (1 if deep else 0)))
    shown = _stacked(places, body, wanted) if width < COMPACT else _columns(places, body, wanted)
    return Arrangement({name: place for name, place in places.items() if place.area}, shown)


def _depth(height: int, picture: bool) -> int:
    """Rows of the histograms: more where no picture needs them."""
    if height >= 55:
        return 13 if picture else 20
    if height >= 36:
        return 8 if picture else 13
    return 7 if height >= 22 else 0


def _bottom(places: dict[str, Region], width: int, y: int, height: int, wanted: Wanted) -> None:
    """Histograms and cost, side by side."""
    if width < COMPACT:
        half = (width - _GAP) // 2
        places["warm"] = Region(0, y, half, height)  # cold starts need a wider terminal
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
    """Two columns: the picture under the left timelines, the invocation under the right ones."""
    half = (body.width - _GAP) // 2
    left = Region(0, body.y, half, body.height)
    right = Region(half + _GAP, body.y, body.width - half - _GAP, body.height)
    under = (_PICTURE if wanted.picture else 0, _INSPECT)
    shown, cut = _in_two(wanted, body.height, under)
    rest = _timelines(places, left, wanted, shown[:cut], 0, under[0])
    if wanted.picture and rest.height >= 4:
        places["preview"] = rest
    rest = _timelines(places, right, wanted, shown[cut:], cut, under[1])
    if wanted.lanes and rest.height >= 4:
        places["inspect"] = Region(rest.x, rest.y, rest.width, min(rest.height, _INSPECT))
    return shown


def _in_two(wanted: Wanted, height: int, under: tuple[int, int]) -> tuple[tuple[int, ...], int]:
    """The timelines of two columns, and how many of them are left; more than one in a column only with all their lanes.

    A picture, which takes what its column leaves, gets as much as it can.
    """
    many = len(wanted.lanes)
    for most in range(min(_MOST, many), 2, -1):
        shown = _chosen(many, most, wanted.favourite)
        fitting: dict[int, tuple[int, ...]] = {}
        for cut in range(1, most):
            columns = (shown[:cut], shown[cut:])
            needed = [sum(2 + wanted.lanes[one] for one in column) for column in columns]
            over = [max(0, rows + below - height) for rows, below in zip(needed, under, strict=True)]
            if all(len(column) == 1 or not rows for column, rows in zip(columns, over, strict=True)):
                fitting[cut] = (max(over), needed[0] if wanted.picture else max(needed))
        if fitting:
            return shown, min(fitting, key=fitting.__getitem__)
    return _chosen(many, 2, wanted.favourite), 1


def _beside(places: dict[str, Region], body: Region, wanted: Wanted) -> tuple[int, ...]:
    """Few lanes: a large picture, and beside it all timelines over the invocation and the cost over the histograms."""
    half = (body.width - _GAP) // 2
    places["preview"] = Region(0, body.y, half, body.height)
    right = Region(half + _GAP, body.y, body.width - half - _GAP, body.height)
    shown = tuple(range(len(wanted.lanes)))
    rest = _timelines(places, right, wanted, shown, 0, _BESIDE - 1)
    left = (rest.width - _GAP) // 2
    x, other = rest.x + left + _GAP, rest.width - left - _GAP
    places["inspect"] = Region(rest.x, rest.y, left, _INSPECT)
    places["cost"] = Region(x, rest.y, other, _INSPECT)
    deep = min(rest.height - _INSPECT - 1, _HISTOGRAM[1])
    y = rest.bottom - deep
    places["warm"] = Region(rest.x, y, rest.width, deep)
    if wanted.cold:
        places["cold"] = Region(rest.x, y, left, deep)
        places["warm"] = Region(x, y, other, deep)
    return shown


def _three(places: dict[str, Region], body: Region, wanted: Wanted) -> tuple[int, ...]:
    """Three columns: timelines over histograms in two, the picture, the invocation and the cost in the third."""
    third = (body.width - 2 * _GAP) // 3
    x = [number * (third + _GAP) for number in range(3)]
    shown = _chosen(len(wanted.lanes), _MOST, wanted.favourite)
    cut = _cut([wanted.lanes[one] for one in shown])
    columns = (shown[:cut], shown[cut:])
    needed = max(sum(2 + wanted.lanes[one] for one in column) for column in columns)
    deep = max(_HISTOGRAM[0], min(_HISTOGRAM[1], body.height - needed))
    y = body.bottom - deep
    for number, column in enumerate(columns):
        room = Region(x[number], body.y, third, body.height - deep - 1)
        _timelines(places, room, wanted, column, number * cut, 0)
    if wanted.cold:
        places["cold"] = Region(x[0], y, third, deep)
        places["warm"] = Region(x[1], y, third, deep)
    else:
        places["warm"] = Region(x[0], y, x[2] - _GAP, deep)
    last = Region(x[2], body.y, body.width - x[2], body.height - _INSPECT - 1)
    places["cost"] = Region(x[2], body.bottom - _INSPECT, last.width, _INSPECT)
    if wanted.lanes:
        if wanted.picture:
            places["preview"] = Region(x[2], last.y, last.width, last.height - _INSPECT - 1)
            places["inspect"] = Region(x[2], last.bottom - _INSPECT, last.width, _INSPECT)
        else:
            places["inspect"] = Region(x[2], last.y, last.width, _INSPECT)
    return shown


def _cut(lanes: list[int]) -> int:
    """How many timelines go into the first of two columns, so that the higher column is lowest."""
    cuts = range(1, len(lanes)) if len(lanes) > 1 else range(len(lanes), len(lanes) + 1)
    return min(cuts, key=lambda cut: max(sum(lanes[:cut]) + cut, sum(lanes[cut:]) + len(lanes) - cut))


def _chosen(many: int, most: int, favourite: int) -> tuple[int, ...]:
    """The last ones, with the favourite among them."""
    shown = list(range(many))[-most:]
    if shown and favourite < shown[0]:
        shown[0] = favourite
    return tuple(shown)


def _timelines(
    places: dict[str, Region], column: Region, wanted: Wanted, shown: tuple[int, ...], number: int, under: int
) -> Region:
    """Timelines below one another, named from `number` on; returns what is left, `under` rows if there are as many."""
    room = max(min(3, column.height), column.height - (under + 1 if under else 0))
    y = column.y
    for place, one in enumerate(shown):
        left = room - (y - column.y)
        later = shown[place + 1 :]
        share = (left - len(later)) // (len(later) + 1)
        others = sum(2 + wanted.lanes[other] for other in later)
        height = min(1 + wanted.lanes[one], max(share, left - others))
        if height < 2 or left < 2:
            break
        places[f"timeline{number + place}"] = Region(column.x, y, column.width, min(height, left))
        y += min(height, left) + 1
    return Region(column.x, y, column.width, max(0, column.bottom - y))
