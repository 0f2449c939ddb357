"""A fold takes events together, and gives what it gives one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lbench.engine.journal.events import Dispatched, Event, Returned
from lbench.errors import EngineLostError
from lbench.tui.feeds.fold import Fold
from tests.engine.session.test_blocks import history, shown


@pytest.mark.parametrize("seed", range(6))
def test_events_folded_together_and_one_by_one_give_the_same(seed: int) -> None:
    events = history(seed, 900, 1 + seed % 3)
    together, single = Fold(), Fold()
    assert together.take_for(iter(events), 60.0)
    for event in events:
        single.take(event)
    assert shown(together.view) == shown(single.view)
    frames = together.frame("live", {}), single.frame("live", {})
    assert {run: sorted(rows) for run, rows in frames[0].touched.items()} == {
        run: sorted(rows) for run, rows in frames[1].touched.items()
    }
    assert frames[0].changed == frames[1].changed


def test_what_came_before_the_engine_was_lost_is_folded() -> None:
    events = history(1, 900, 1)

    def lost() -> Iterator[Event]:
        yield from events[:1000]
        raise EngineLostError("the engine has ended")

    fold, expected = Fold(), Fold()
    with pytest.raises(EngineLostError):
        fold.take_for(lost(), 60.0)
    expected.take_for(iter(events[:1000]), 60.0)
    assert shown(fold.view) == shown(expected.view)


def test_events_without_time_for_them_stay_in_their_iterator() -> None:
    events = iter(history(2, 900, 1))
    fold = Fold()
    assert not fold.take_for(events, -1.0)
    assert fold.view.events == 0
    assert fold.take_for(events, 60.0)
    assert fold.view.events > 1800


def test_what_is_forgotten_stays_forgotten() -> None:
    events = history(3, 900, 2)
    fold = Fold()
    fold._forgotten = {"r0"}
    fold.view.runs.clear()
    fold.take_for(
        iter(
            event for event in events if getattr(event, "run", None) != "r0" or isinstance(event, Dispatched | Returned)
        ),
        60.0,
    )
    assert set(fold.view.runs) == {"r1"}
