"""What a run costs against a machine by the hour: the number of runs where they meet, and where none is known."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from lbench.analysis.comparison import Bill, Comparison, Summary, compare
from lbench.analysis.decision import Decision, decide, shared_cores_note
from lbench.engine.session.view import SessionView
from lbench.tui.widgets.cost import _break_even

Compared = Callable[..., Comparison]


@pytest.fixture
def compared(make_session: Callable[..., SessionView], flat_bill: Bill) -> Compared:
    """A comparison of these makespans; a run on emulated costs a dollar."""

    def make(times: dict[str, list[float]]) -> Comparison:
        found = compare(make_session(times).runs.values(), flat_bill)
        charged = [
            msgspec.structs.replace(one, region="us-east-1") for one in found.summaries if one.label == "emulated"
        ]
        return msgspec.structs.replace(
            found, summaries=[one for one in found.summaries if one.label != "emulated"] + charged
        )

    return make


def made(found: Decision | None) -> Decision:
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("hourly", "runs", "text"),
    [
        ("0.5", 1, "renting wins from 1 run an hour"),
        ("100", 100, "renting wins from about 100 runs an hour"),
        ("2000", 2000, "renting never wins: it is too slow"),
    ],
)
def test_from_so_many_runs_an_hour_a_rented_machine_is_cheaper(
    compared: Compared, hourly: str, runs: int, text: str
) -> None:
    found = made(decide(compared({"sequential": [4.0], "emulated": [2.0]}), Decimal(hourly)))
    assert found.break_even_runs == runs
    assert _break_even(found, 60) == text


def test_the_cheapest_of_several_is_what_is_weighed(compared: Compared) -> None:
    found = compared({"sequential": [4.0], "emulated": [2.0]})
    (paid,) = [one for one in found.summaries if one.label == "emulated"]

    def also(label: str, usd: str) -> Summary:
        lines = tuple(msgspec.structs.replace(line, usd=Decimal(usd)) for line in paid.lines)
        return msgspec.structs.replace(paid, label=label, lines=lines)

    several = [also("large", "3"), paid, also("small", "0.25"), also("free", "0"), *found.summaries[:1]]
    decision = made(decide(msgspec.structs.replace(found, summaries=several), Decimal("0.5")))
    assert (decision.label, decision.run_usd, decision.thousand_usd) == ("small", Decimal("0.25"), Decimal("250"))
    assert (decision.break_even_runs, decision.machine_usd_per_hour) == (2, Decimal("0.5"))


def test_without_a_run_on_this_machine_it_is_not_called_too_slow(compared: Compared) -> None:
    found = made(decide(compared({"emulated": [2.0]}), Decimal("0.5")))
    assert found.break_even_runs is None and _break_even(found, 60) is None


def test_without_a_price_of_the_machine_there_is_no_number_of_runs(compared: Compared) -> None:
    found = made(decide(compared({"sequential": [4.0], "emulated": [2.0]}), None))
    assert found.break_even_runs is None and _break_even(found, 60) is None


def test_a_cluster_that_is_paid_by_the_hour_is_not_the_machine_that_would_be_rented(compared: Compared) -> None:
    found = compared({"sequential": [4.0], "processes": [0.001], "emulated": [2.0]})
    priced = [msgspec.structs.replace(one, priced_by_worker=one.label == "processes") for one in found.summaries]
    decision = made(decide(msgspec.structs.replace(found, summaries=priced), Decimal("2000")))
    assert not decision.can_do


def test_emulated_environments_share_the_cores_that_there_are(compared: Compared) -> None:
    found = compared({"sequential": [4.0], "emulated": [2.0]})
    (emulated,) = [one for one in found.summaries if one.label == "emulated"]

    def note(capacity: int | None, cores: float | None) -> str | None:
        return shared_cores_note(msgspec.structs.replace(emulated, capacity=capacity), cores)

    assert note(3, 2.0) == "3 environments share this machine's 2 cores here; AWS gives each its own"
    assert note(1, 0.4) == "1 environment shares this machine's 1 core here; AWS gives each its own"
    assert note(None, 2.0) is None and note(3, None) is None
    assert shared_cores_note(msgspec.structs.replace(emulated, origin="measured", capacity=3), 2.0) is None
