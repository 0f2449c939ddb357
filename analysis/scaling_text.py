"""A sweep in words: where the fastest backend changes, what it costs there, and when a rented machine is cheaper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lbench.analysis.break_even import BreakEven
from lbench.analysis.comparison import Temperature
from lbench.analysis.crossings import SURE, Crossing, Rival, doubt
from lbench.analysis.format import (
    SETTING_AXES,
    listed,
    percent_text,
    place_label,
    place_number,
    ratio_text,
    seconds_text,
    spread_text,
    times_spread_text,
    usd_estimate_text,
)
from lbench.analysis.scaling import Scaling
from lbench.analysis.series import Point, Series
from lbench.analysis.speedup_laws import Efficiency, fit_law, law_text, strong_scaling, weak_scaling
from lbench.analysis.statistics import CLAIM_LEVEL, FULL_INTERVAL, holm, ratio_estimate, unpaired_p
from lbench.engine.cost.format import usd_short
from lbench.errors import count_text

__all__ = [
    "axis_text",
    "break_even_spread",
    "break_even_text",
    "crossing_number",
    "crossing_text",
    "far_side",
    "law_lines",
    "scaling_notes",
    "scaling_sentence",
    "series_text",
]

_MENTIONED = 0.01  # a smaller share of resamples without a crossing is left to the notes
_FAR = 2.0 * (1 + 1e-9)  # points that are further apart than doubling leave much between them
_PLURAL = ("processes", "threads")


def scaling_sentence(scaling: Scaling) -> str:
    """The answer of a sweep in one sentence."""
    timed = [one for one in scaling.series if one.main and any(point.makespan_s for point in one.points)]
    if not timed:
        return "nothing to compare: no run has a right answer."
    clauses = [_beside(scaling)] if scaling.beside else []
    clauses += _crossing_clauses(scaling) if len(timed) > 1 else [_alone(scaling, timed[0])]
    clauses += _cold_clause(scaling)
    if scaling.crossings:
        clauses += [_alike_text(scaling, *pair) for pair in scaling.alike]
    clauses += [_rival_text(scaling, one) for one in scaling.rivals]
    if len(timed) > 1 and scaling.axis in SETTING_AXES:
        clauses += [best for one in _varied(scaling) if (best := _best_place(scaling, one)) is not None]
    clauses += _money(scaling)
    return "; ".join(clauses) + "."


def axis_text(scaling: Scaling, value: float) -> str:
    """A place of the axis: "9 trees", "4 workers", "1,769 MB", "size 2,000"."""
    return place_label(scaling.axis, value, _number(scaling, value))


def _number(scaling: Scaling, value: float) -> str:
    return f"{value:,.0f}" if scaling.whole else place_number(value)


def series_text(scaling: Scaling, name: str) -> str:
    """A series in a sentence: "processes", "emulated Lambda (warm)", "Lambda (predicted, warm)"."""
    one = scaling[name]
    machine = "" if one.machine is None else f" on {one.machine}"
    if one.origin == "predicted":
        return f"Lambda (predicted{_when(one.temperature, ', ')}){machine}"
    if one.backend == "lambda" or one.origin != "measured":
        kind = "Lambda" if one.origin == "measured" else f"{one.origin} Lambda"
        label = kind if one.label == one.backend else f"{one.label} ({kind})"
    else:
        label = one.label
    aside = f" ({one.temperature})" if one.temperature is not None else ""
    return f"{label}{aside}{machine}"


def _when(temperature: Temperature | None, before: str) -> str:
    return "" if temperature is None else f"{before}{temperature}"


def crossing_text(scaling: Scaling, crossing: Crossing) -> str:
    """Where it is, with its interval: "9 trees (95 %: 8–11)"; outside the swept range it says so."""
    root = crossing.root
    if root.at is None:
        return "outside the swept range"
    at = axis_text(scaling, far_side(scaling, root.at))
    far = crossing.before > 0 and crossing.after / crossing.before > _FAR
    gap = f"; no point between {_number(scaling, crossing.before)} and {_number(scaling, crossing.after)}"
    if root.low is None or root.high is None:
        return f"{at} (measured once: not settled{gap if far else ''})"
    low = f"below {crossing_number(scaling, root.low)}" if root.low_open else crossing_number(scaling, root.low)
    high = f"beyond {crossing_number(scaling, root.high)}" if root.high_open else crossing_number(scaling, root.high)
    kind = "95 %" if root.kind == "95 %" else f"range of {root.count} repeats"
    share = f"; {resamples_text(crossing)}" if root.missing > _MENTIONED else ""
    between = " to " if root.low_open or root.high_open else "–"
    return f"{at} ({kind}: {low}{between}{high}{share}{gap if far else ''})"


def resamples_text(crossing: Crossing) -> str:
    """The share of the resamples without a crossing, in words."""
    share = crossing.root.missing
    text = "over 99 %" if 0.995 <= share < 1 else "under 0.1 %" if 0 < share < 0.001 else percent_text(share)
    return f"{text} of the resamples have no crossing"


def break_even_text(one: BreakEven) -> str:
    """From how many runs on the rented machine is cheaper: "from 41 runs an hour on (984 a day)"."""
    like = "" if one.host is None else f" like {one.host}"
    if not one.reachable:
        sure = one.run_usd.count != 1 and (one.low is None or one.low > one.most_an_hour)
        spread = "" if sure else f" ({break_even_spread(one)})"
        return (
            f"a rented machine{like} is {'never' if sure else 'hardly ever'} cheaper: it would take "
            f"{_runs(one.runs_an_hour)} an hour{spread}, and it can do {_runs(one.most_an_hour, down=True)}"
        )
    hourly = usd_short(one.machine_usd_per_hour)
    doubt = (
        "" if one.high is None or one.high <= one.most_an_hour else f"; it can do {_runs(one.most_an_hour, down=True)}"
    )
    return (
        f"a machine{like} rented at {hourly} an hour is cheaper from {_runs(one.runs_an_hour)} an hour on "
        f"({f'{spread}; ' if (spread := break_even_spread(one)) else ''}{_count(one.runs_a_day)} a day{doubt})"
    )


def break_even_spread(one: BreakEven) -> str:
    """The interval of the runs an hour: "95 %: 15–31", "measured once"; "" for none."""
    if one.run_usd.count == 1:
        return "measured once"
    if one.low is None or one.high is None or (one.low, one.high) == (one.runs_an_hour,) * 2:
        return ""
    kind = one.run_usd.kind if one.run_usd.kind == "95 %" else f"range of {one.run_usd.count}"
    return f"{kind}: {_count(one.low)}–{_count(one.high)}"


def scaling_notes(scaling: Scaling) -> list[str]:
    """What the sentence rests on: each crossing with its resamples, what was left out, what a place means."""
    lines = []
    for one in (*scaling.crossings, *scaling.usd_crossings):
        what = "time" if one.measure == "time" else "dollars a run"
        below, above = series_text(scaling, one.below), series_text(scaling, one.above)
        where = crossing_text(scaling, one)
        share = "" if not one.root.missing or resamples_text(one) in where else f"; {resamples_text(one)}"
        lines.append(f"crossing in {what}, from {below} to {above}: {where}{share}")
    if scaling.rent_basis is not None:
        lines.append(f"dollars of a local run (rented): {scaling.rent_basis}, while the run lasts")
    lines += scaling.bases
    lines += scaling.excluded
    lines += _few_lines(scaling)
    if scaling.axis == "memory":
        for series in scaling.series:
            if series.main and series.origin == "emulated" and len(numbers := sorted(_capacities(series))) > 1:
                lines.append(
                    f"{series.name}: from {numbers[0]} to {count_text(numbers[-1], 'environment')}, as many of each size as "
                    "this machine carries: this is no comparison of sizes; concurrency=N gives all as many"
                )
    lines += [f"{axis_text(scaling, mark.at)}: {mark.text}" for mark in scaling.marks]
    for series in scaling.series:
        failed = [axis_text(scaling, at) for at in series.failed]
        if failed and series.main:
            why = next((point.error for point in series.points if point.error), None)
            lines.append(f"{series.name}: no right answer at {', '.join(failed)}{f': {why}' if why else ''}")
    return lines


def _few_lines(scaling: Scaling) -> list[str]:
    """A line for each place that was stopped, or that has too few repeats for the crossings."""
    lines = []
    for place in scaling.places:
        main = [(one, point) for one in scaling.series if one.main and (point := one.at(place)) is not None]
        poor = [(one, point) for one, point in main if point.few or point.unfinished]
        if not poor:
            continue
        counts = sorted({len(point.times_s) for _, point in poor})
        number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        repeats = f"{number} {'repeat' if counts == [1] else 'repeats'}"
        state = "unfinished, " if any(point.unfinished for _, point in poor) else ""
        of = f" of {listed([one.name for one, _ in poor])}" if len(poor) < len(main) else ""
        left_out = any(point.few for _, point in poor)
        why = ", fewer than at most points: in no curve and no crossing" if left_out else ""
        lines.append(f"{axis_text(scaling, place)}: {state}{repeats}{of}{why}")
    return lines


def law_lines(found: Sequence[Scaling]) -> list[str]:
    """Strong and weak scaling along workers, and the laws fitted to it; of a sweep with workers as one of its axes."""
    lines = []
    for scaling in found:
        if scaling.axis == "workers":
            where = f" with {_beside(scaling).removeprefix('with ')}" if scaling.beside else ""
            for one in _varied(scaling):
                lines.append(f"{one.name}{where}, strong scaling: {_efficiencies(strong_scaling(one))}")
                lines += [f"{one.name}{where}, {law_text(fit_law(one, law), law)}" for law in ("amdahl", "usl")]
    columns: dict[tuple[str, str, str, str], list[tuple[float, Series]]] = {}
    for scaling in found:
        if "workers" in scaling.beside:
            for one in _varied(scaling):
                key = (one.name, scaling.workload, scaling.axis, repr(scaling.params))
                columns.setdefault(key, []).append((float(scaling.beside["workers"]), one))
    for (name, *_), column in columns.items():
        if weak := weak_scaling(column):
            fewest = count_text(int(min(count for count, _ in column)), "worker")
            what = f"as much work for each worker, by the times with {fewest}"
            lines.append(f"{name}, weak scaling ({what}): {_efficiencies(weak)}")
    return lines


def _varied(scaling: Scaling) -> list[Series]:
    """The main series that the axis alone changes: workers not where their number is one's own, memory on Lambda only."""
    main = [one for one in scaling.series if one.main and one.origin != "predicted" and len(one.points) > 1]
    if scaling.axis == "workers":
        return [one for one in main if len(_capacities(one)) > 1]
    if scaling.axis == "memory":
        return [one for one in main if not one.local and len(_capacities(one)) < 2]
    return main


def _capacities(one: Series) -> set[int]:
    return {point.capacity for point in one.points if point.capacity is not None}


def _efficiencies(found: list[Efficiency]) -> str:
    parts = [
        f"{ratio_text(one.speedup)} with {one.workers:g} ({times_spread_text(one.speedup) or 'measured once'}; "
        f"efficiency {percent_text(one.efficiency)})"
        for one in found[1:]
    ]
    return ", ".join(parts) if parts else "one number of workers only"


def far_side(scaling: Scaling, value: float) -> float:
    """The first value of a whole axis on the far side of a crossing; on another axis the crossing itself."""
    return float(math.ceil(value - 1e-9)) if scaling.whole else value


def crossing_number(scaling: Scaling, value: float) -> str:
    """A place of the axis as a number, of a crossing: whole ones on the far side of it."""
    return _number(scaling, far_side(scaling, value))


def _beside(scaling: Scaling) -> str:
    return "with " + ", ".join(place_label(name, value) for name, value in scaling.beside.items())


def _crossing_clauses(scaling: Scaling) -> list[str]:
    inside = [one for one in scaling.crossings if one.inside]
    if not inside:
        return _uncrossed(scaling)
    settled = _settled(*inside)
    clauses = []
    for number, one in enumerate(inside):
        here, below = crossing_text(scaling, one), series_text(scaling, one.below)
        if number == 0:
            alone = settled and not _shares_first_place(scaling, one.below)
            clauses.append(f"below {here} {below} {_verb(below) if alone else f'{_are(below)} ahead'}")
        else:
            clauses.append(f"from there to {here}, {below}")
    clauses.append(f"above, {series_text(scaling, inside[-1].above)}")
    if not settled and "not settled" not in clauses[0]:
        clauses.append("this is not settled")
    return clauses


def _settled(*crossings: Crossing) -> bool:
    """Whether their intervals end inside the swept range."""
    return all(
        one.root.count >= FULL_INTERVAL
        and one.root.missing <= 1 - SURE
        and not one.root.low_open
        and not one.root.high_open
        for one in crossings
    )


def _cold_clause(scaling: Scaling) -> list[str]:
    """Where the cold repeats of a backend begin to win: what counts for a job that is run once."""
    inside = [one for one in scaling.cold_crossings if one.inside]
    if inside and not any("cold" in (scaling[one.below].temperature, scaling[one.above].temperature) for one in inside):
        return []  # no new environment takes part: it is the answer above
    if inside:
        last = inside[-1]
        where = crossing_text(scaling, last)
        open_ = "" if _settled(last) or "not settled" in where else ", which is not settled"
        return [f"run once, with new environments, {series_text(scaling, last.above)} from {where} on{open_}"]
    if not scaling.cold_crossings:
        return []
    nearest = min(scaling.cold_crossings, key=doubt)
    winner = nearest.below if nearest.root.high_open or nearest.root.at is None else nearest.above
    if scaling[winner].temperature == "cold" or nearest.root.missing < SURE:
        return []
    name = series_text(scaling, winner)
    whole = _range_text(scaling, nearest.first, nearest.last)
    if nearest.root.count < FULL_INTERVAL:
        few = f"with {count_text(nearest.root.count, 'repeat')}"
        return [f"run once, with new environments, {name} {_are(name)} ahead {whole}, which is not settled {few}"]
    wins = f"{_are(name)} ahead" if _shares_first_place(scaling, winner) else _verb(name)
    return [f"run once, with new environments, {name} {wins} {whole}"]


def _ends(scaling: Scaling) -> tuple[float, float]:
    """The first and the last place where two series (or the only one) have a point that can be compared."""
    held: dict[float, int] = {}
    for one in scaling.series:
        for point in one.points:
            if (
                one.main
                and not one.partial
                and point.makespan_s is not None
                and not point.few
                and not point.oversubscribed
            ):
                held[point.at] = held.get(point.at, 0) + 1
    most = min(2, max(held.values(), default=0))
    places = [place for place in scaling.places if held.get(place, 0) >= most]
    return places[0], places[-1]


def _verb(name: str) -> str:
    return "win" if _is_plural(name) else "wins"


def _are(name: str) -> str:
    return "are" if _is_plural(name) else "is"


def _is_plural(name: str) -> bool:
    """Of a series in a sentence, as "processes (warm) on server"."""
    return name.partition(" on ")[0].partition(" (")[0].endswith(_PLURAL)


def _uncrossed(scaling: Scaling) -> list[str]:
    if not scaling.least:
        return ["nothing to compare: fewer than two backends can be compared at two points or more"]
    winner = max(scaling.least, key=scaling.least.count)  # at its end another may be as fast
    name = series_text(scaling, winner)
    if not scaling.crossings:
        whole = _range_text(scaling, *_ends(scaling))
        alike = [_alike_text(scaling, *pair) for pair in scaling.alike]
        alone = f"only {name} {'have' if _is_plural(name) else 'has'} two points or more that can be compared"
        return [f"{alike[0]} {whole}", *alike[1:]] if alike else [alone]
    nearest = min(scaling.crossings, key=doubt)
    whole = _range_text(scaling, nearest.first, nearest.last)
    few = nearest.root.count < FULL_INTERVAL
    if few or nearest.root.missing < SURE:
        why = f" with {count_text(nearest.root.count, 'repeat')}" if few else ""
        clause = f"{name} {_are(name)} ahead {whole}, which is not settled{why}"
    elif _shares_first_place(scaling, winner):
        clause = f"{name} {_are(name)} ahead {whole}"
    else:
        clause = f"{name} {_verb(name)} {whole}"
    other = next(x for x in (nearest.below, nearest.above) if x != winner)
    share = f" ({resamples_text(nearest)})" if nearest.root.count > 1 else ""
    return [f"{clause}; a crossing with {series_text(scaling, other)} lies outside the swept range{share}"]


def _shares_first_place(scaling: Scaling, name: str) -> bool:
    """Whether another series cannot be distinguished from it."""
    return any(name in pair for pair in scaling.alike)


def _alike_text(scaling: Scaling, one: str, other: str) -> str:
    return f"{series_text(scaling, other)} cannot be distinguished from {series_text(scaling, one)}"


def _rival_text(scaling: Scaling, rival: Rival) -> str:
    """Where another series may be as fast: "emulated Lambda cannot be distinguished from processes from 2 to 8 trees"."""
    first, last = rival.places[0], rival.places[-1]
    between = tuple(
        place
        for place in scaling.places
        if first <= place <= last and _both_at(scaling, rival.least, rival.other, place)
    )
    if first < last and between == rival.places:
        where = _range_text(scaling, first, last)
    else:
        where = f"at {listed([axis_text(scaling, place) for place in rival.places])}"
    return f"{_alike_text(scaling, rival.least, rival.other)} {where}"


def _both_at(scaling: Scaling, one: str, other: str, place: float) -> bool:
    points = (scaling[name].at(place) for name in (one, other))
    return all(point is not None and point.makespan_s is not None for point in points)


def _range_text(scaling: Scaling, first: float, last: float) -> str:
    """The swept range: "from 1 to 128 trees", "from size 100 to 300"."""
    begin, end = axis_text(scaling, first), axis_text(scaling, last)
    if first == last:
        return f"at {end}"
    number = crossing_number(scaling, first)
    return (
        f"from {number} to {end}" if begin.startswith(number) else f"from {begin} to {crossing_number(scaling, last)}"
    )


def _alone(scaling: Scaling, one: Series) -> str:
    best = _best_place(scaling, one) if scaling.axis in SETTING_AXES and one in _varied(scaling) else None
    if best is not None:
        return best
    timed = _timed(one)
    ends = [timed[0]] if len(timed) == 1 else [timed[0], timed[-1]]
    parts = []
    for point in ends:
        assert point.makespan_s is not None
        spread = spread_text(point.makespan_s)
        parts.append(
            f"{seconds_text(point.makespan_s.value)}{f' ({spread})' if spread else ''} at {axis_text(scaling, point.at)}"
        )
    return f"{series_text(scaling, one.name)} takes {' and '.join(parts)}: one backend alone has no crossing"


def _timed(one: Series) -> list[Point]:
    """The points with a makespan; those with few repeats only if there are no others."""
    timed = [point for point in one.points if point.makespan_s is not None]
    return [point for point in timed if not point.few] or timed


def _best_place(scaling: Scaling, one: Series) -> str | None:
    """Where a series is fastest along workers, memory or tasks, against the axis' beginning or the next best place."""
    timed = _timed(one)
    if len(timed) < 2:
        return None
    best = min(timed, key=lambda point: point.makespan_s.value if point.makespan_s else math.inf)
    others = [point for point in timed if point is not best]
    first = others[0]
    if best is timed[0]:  # then against the next best
        first = min(others, key=lambda point: point.makespan_s.value if point.makespan_s else math.inf)
    name = series_text(scaling, one.name)
    ratio = ratio_estimate(first.times_s, best.times_s)
    if ratio is None:
        return f"{name} {_are(name)} fastest at {axis_text(scaling, best.at)}, measured once: not settled"
    times, here, there = ratio_text(ratio), axis_text(scaling, best.at), axis_text(scaling, first.at)
    if ratio.low is None:
        return f"{name} {_are(name)} fastest at {here}, {times} as fast as at {there} (measured once: not settled)"
    spread = times_spread_text(ratio)
    if ratio.low <= 1:
        return f"{name} {_are(name)} not distinguishably faster than at {there}: at best {times} ({spread}), at {here}"
    slower = _slower(best, timed)
    if first not in slower:
        return f"{name} {_are(name)} fastest at {here}, {times} ({spread}; not settled) as fast as at {there}"
    near = [point for point in others if point is not first and point not in slower]
    alike = f", not distinguishably faster than at {listed([axis_text(scaling, p.at) for p in near])}" if near else ""
    return f"{name} {_are(name)} fastest at {here}, {times} ({spread}) as fast as at {there}{alike}"


def _slower(best: Point, timed: Sequence[Point]) -> list[Point]:
    """The points that are surely slower than the best, by interval and test; the best was chosen by its times.

    So every pair of points counts as a comparison, not only those with the best.
    """
    pairs = [(one, other) for number, one in enumerate(timed) for other in timed[number + 1 :]]
    tests = holm([unpaired_p(one.times_s, other.times_s, len(pairs)) for one, other in pairs])
    found = []
    for (one, other), p in zip(pairs, tests, strict=True):
        if (one is best or other is best) and p <= CLAIM_LEVEL:
            point = other if one is best else one
            ratio = ratio_estimate(point.times_s, best.times_s)
            if ratio is not None and ratio.low is not None and ratio.low > 1:
                found.append(point)
    return found


def _money(scaling: Scaling) -> Iterable[str]:
    """The cost of the paid backend and the break-even, at the first place beyond the last crossing, else at the last."""
    inside = [one for one in scaling.crossings if one.inside]
    beyond = inside[-1].root.at if inside else None
    few = {point.at for one in scaling.series if one.main for point in one.points if point.few}
    places = [place for place in scaling.places if place not in few] or list(scaling.places)
    place = next((p for p in places if beyond is not None and p >= beyond), places[-1])
    here = [one for one in scaling.break_evens if one.at == place]
    priced = [
        (point.usd, one)
        for one in scaling.series
        if one.main and not one.partial and (point := one.at(place)) is not None and point.usd is not None
    ]
    wanted = {one.above for one in inside}
    wanted_first = [pair for pair in priced if not wanted or pair[1].name in wanted] or priced
    chosen = min(wanted_first, key=lambda pair: pair[0].value, default=None)
    if chosen is None:
        return
    usd, series = chosen
    would = "costs" if series.origin == "measured" else "would cost"
    once = " (measured once)" if usd.count == 1 else ""
    yield f"{series_text(scaling, series.name)} {would} {usd_estimate_text(usd)}{once} a run at {axis_text(scaling, place)}"
    even = next((one for one in here if one.paid == series.name), None)
    if even is not None:
        yield break_even_text(even)


def _runs(count: float, *, down: bool = False) -> str:
    whole = math.floor(count) if down else math.ceil(count * (1 - 1e-12))
    return count_text(whole, "run")


def _count(count: float) -> str:
    return f"{math.ceil(count * (1 - 1e-12)):,}"
