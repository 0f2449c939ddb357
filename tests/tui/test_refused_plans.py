"""A plan that an engine cannot begin is reported on the screen, also where others were measured before it."""

from collections.abc import Iterator
from typing import Any

from lbench.engine.journal.events import Event, SessionEnded, Warned
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.feeds.live import EngineFeed

WHY = "no AWS credentials: set AWS_PROFILE"
PLAN = Plan(workload="mandelbrot", backends=[parse_backend("lambda", {})])


class RecordedFollower:
    """A follower that gives these events and keeps the plans it is sent."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.started: list[Plan] = []

    def follow(self) -> None: ...

    def start(self, plan: Plan, *, last: bool) -> None:
        self.started.append(plan)

    def problems(self) -> list[str]:
        return []

    def receive(self, timeout_s: float | None = None) -> Iterator[Event]:
        events, self.events = self.events, []
        return iter(events)

    def close(self) -> None: ...


def test_a_plan_that_cannot_be_begun_is_reported_and_nothing_is_shown_as_running(making: Any) -> None:
    before = [event for _, event in making.events() if not isinstance(event, SessionEnded)]
    follower = RecordedFollower(before)
    feed = EngineFeed(lambda: (follower, None))  # type: ignore[arg-type,return-value]
    feed._thread.join()
    while feed.frame().behind:
        pass
    feed.start(PLAN)
    assert feed.running and feed.frame().problem is None
    follower.events = [Warned("failed", WHY)]
    assert feed.frame().problem == WHY
    assert not feed.running
    feed.start(PLAN)  # another try: the old error is not shown for it
    assert feed.running and feed.frame().problem is None
    assert len(follower.started) == 2
