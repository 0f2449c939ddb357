"""Latencies that are shown together have one unit: milliseconds, or seconds as soon as one of them has ten."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lbench.analysis.statistics import median_estimate
from lbench.engine.plan.parse import parse_backend
from lbench.tui.explore.backends import Chosen, ExploreBackends
from lbench.tui.explore.latency_strip import LatencyStrip
from lbench.tui.explore.messages import comparison_pieces, notes
from lbench.tui.explore.metrics import Tally


def tally(label: str, *latencies_ms: float, first_ms: float) -> Tally:
    return Tally(
        label=label,
        backend=label,
        origin="measured" if label == "sequential" else "emulated",
        latencies_ms=latencies_ms,
        steps_ms=latencies_ms,
        p50=median_estimate(latencies_ms),
        p95_ms=max(latencies_ms),
        first_ms=first_ms,
        usd=None if label == "sequential" else Decimal("0.001"),
        total_usd=None,
        cancelled=0,
        failed=0,
    )


SLOW = {
    "sequential": tally("sequential", *(9_000.0 + 400 * number for number in range(9)), first_ms=31.0),
    "emulated": tally("emulated", *(2_000.0 + 10 * number for number in range(9)), first_ms=400.0),
}
QUICK = {
    "sequential": tally("sequential", *(900.0 + 40 * number for number in range(9)), first_ms=3.1),
    "emulated": tally("emulated", *(2_000.0 + 10 * number for number in range(9)), first_ms=400.0),
}


def table_of(tallies: dict[str, Tally]) -> str:
    table = ExploreBackends()
    table.show([Chosen(parse_backend(name, {}), True) for name in tallies], "sequential", tallies, "")
    return "\n".join(strip.text for strip in table.draw(80, 5))


def strip_of(tallies: dict[str, Tally]) -> str:
    strip = LatencyStrip()
    strip.show([(one.backend, one.label, value) for one in tallies.values() for value in one.latencies_ms], [])
    return "\n".join(line.text for line in strip.draw(60, 9))


@pytest.mark.parametrize(
    ("tallies", "unit", "figures"),
    [(SLOW, "s", ["10.6", "2.04", "0.031", "0.400"]), (QUICK, "ms", ["1,060", "2,040", "3.1", "400"])],
)
def test_a_table_of_latencies_has_the_unit_of_its_title(
    tallies: dict[str, Tally], unit: str, figures: list[str]
) -> None:
    text = table_of(tallies)
    assert f"an update, {unit} " in text
    assert all(f" {figure} " in f"{text} ".replace("\n", " ") for figure in figures)
    assert " s" not in text.replace(f"an update, {unit}", "").replace(" sequential", "")


def test_bars_of_ten_seconds_and_more_have_a_scale_in_seconds() -> None:
    assert "the last updates, s " in strip_of(SLOW)
    assert "15 " in strip_of(SLOW)
    assert "the last updates, ms " in strip_of(QUICK)
    assert "3,000 " in strip_of(QUICK)


@pytest.mark.parametrize(("tallies", "unit", "other"), [(SLOW, " s ", " ms"), (QUICK, " ms ", " s ")])
@pytest.mark.parametrize("short", [True, False])
def test_a_sentence_of_latencies_has_one_unit(tallies: dict[str, Tally], unit: str, other: str, short: bool) -> None:
    pieces = comparison_pieces(tallies, short=short)
    assert pieces is not None
    text = "".join(text for text, _ in pieces)
    assert text.count(unit) == 2
    assert other not in text


def test_a_latency_by_itself_has_its_own_unit() -> None:
    def added(value_ms: float) -> str:
        return notes([], [], value_ms, 3, short=True)[0][1][0]

    assert (added(9_000.0), added(12_345.0)) == ("9,000 ms", "12.3 s")
