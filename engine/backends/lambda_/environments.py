"""Learns about environments from their calls: their clocks, starts, ends, libraries."""

from __future__ import annotations

import math
from typing import Any

from lbench.engine.backends.base import EnvironmentInfo, Outcome
from lbench.engine.backends.lambda_.remote_clock import RemoteClock
from lbench.workloads.wire import Answer

__all__ = ["Environments"]


class Environments:
    """The environments of one backend, as its outcomes show them."""

    def __init__(self, memory_mb: int) -> None:
        self.cpu_share_method: str | None = None  # of environments that appear from now on
        self.versions: dict[str, dict[str, Any]] = {}  # an environment's Python, libraries, architecture
        self._memory_mb = memory_mb
        self._known: dict[str, tuple[EnvironmentInfo, RemoteClock]] = {}

    def all(self) -> list[EnvironmentInfo]:
        """All environments so far, with the current estimate of their clocks."""
        for info, clock in self._known.values():
            info.clock_offset_s, info.clock_bound_s = clock.offset_s, clock.bound_s
        return [info for info, _ in self._known.values()]

    def observe(self, outcome: Outcome) -> None:
        """Note what an outcome shows without the handler: its environment's name, start and end."""
        if outcome.environment is not None:
            info = self._of(outcome.environment, outcome)[0]
            self.note_end(outcome)
            _note_start(info, outcome)

    def note_end(self, outcome: Outcome) -> None:
        """Note that the call's environment has ended with it, where it has a name."""
        if outcome.ended and outcome.environment is not None:
            self._of(outcome.environment, outcome)[0].ended_s = outcome.returned_s

    def learn(self, answer: Answer, outcome: Outcome, sent_s: float) -> None:
        """Take the handler's times: of this call (into `outcome`), and of its environment."""
        outcome.environment, outcome.cold = answer.environment, answer.cold
        outcome.fetch_ms, outcome.compute_ms = answer.fetch_ms, answer.compute_ms
        arrived_s = outcome.returned_s
        assert arrived_s is not None
        if outcome.init_ms is None and answer.cold:
            outcome.init_ms = answer.init_ms
        if outcome.billed_ms is None:  # no REPORT line: the handler's own time, which is a little less
            init_ms = (outcome.init_ms or 0.0) if answer.cold else 0.0
            outcome.billed_ms = math.ceil((answer.sent - answer.received) * 1000 + init_ms)
            outcome.billed_source = "estimated"
            outcome.memory_mb = self._memory_mb
        info, clock = self._of(answer.environment, outcome)
        init_s = (outcome.init_ms or 0.0) / 1000
        clock.observe(sent_s, answer.received, answer.sent, arrived_s, init_s)
        started_s, finished_s = clock.local(answer.received), clock.local(answer.sent)
        if started_s is not None and finished_s is not None:
            # Clamped to this call's own interval: a call is never drawn before it was sent.
            outcome.started_s = min(max(started_s, sent_s), arrived_s)
            outcome.finished_s = min(max(finished_s, outcome.started_s), arrived_s)
        _note_start(info, outcome)
        if answer.cpu_model is not None:
            info.cpu_model = answer.cpu_model
        if answer.versions is not None:
            self.versions[answer.environment] = answer.versions

    def _of(self, environment: str, outcome: Outcome) -> tuple[EnvironmentInfo, RemoteClock]:
        if environment not in self._known:
            info = EnvironmentInfo(environment, memory_mb=outcome.memory_mb, cpu_share_method=self.cpu_share_method)
            self._known[environment] = info, RemoteClock()
        return self._known[environment]


def _note_start(info: EnvironmentInfo, outcome: Outcome) -> None:
    if outcome.cold and outcome.init_ms is not None and info.init_ms is None:
        info.init_ms = outcome.init_ms
        if outcome.started_s is not None:
            info.created_s = outcome.started_s - outcome.init_ms / 1000
