"""CPU shares without a quota: process groups are stopped and continued, with feedback on their CPU time.

Each environment has a budget: credit in seconds of CPU that grows with the share of the time that passes and shrinks
by the CPU time that was used. When it is used up the group is stopped until it has credit for another round. What a
late timer lets through is paid back by the next pause, so the share holds over many rounds although each round
is only as exact as the loop's timers. A round takes 100 ms.
"""

from __future__ import annotations

import signal

from lbench.engine.emulator.resources.cpu import Method, Signalled
from lbench.engine.emulator.resources.process_tree import Tree, refresh_after_s
from lbench.engine.emulator.resources.timers import Agenda, Entry

__all__ = ["Budget", "DutyCycle"]

PERIOD_S = 0.1
_TOLERANCE = 0.02  # a group within its share and this tolerance gets no signal at all
_LEAST_ON_S = 0.002  # the shortest running time of a round: the loop's timers are exact to 1 ms
_ONE_MOMENT_S = 0.0002
_LOOK_S = 0.001  # the shortest time between two looks


class Budget:
    """The arithmetic of one environment's share. All times in seconds, all CPU in seconds of CPU time."""

    __slots__ = ("_now_s", "_period_s", "_used_s", "credit_s", "rate", "share")

    def __init__(self, share: float, now_s: float, used_s: float, *, period_s: float = PERIOD_S) -> None:
        self.share = share
        self._period_s = period_s
        self._now_s = now_s
        self._used_s = used_s
        self.rate = 1.0  # CPUs that it takes when it runs freely, by its last round; at least one
        self.credit_s = self.round_s

    @property
    def round_s(self) -> float:
        """Credit for one round.

        A group that takes `rate` CPUs runs credit / (rate - share) with it and then waits credit / share for the
        next: together a period, for credit = period * share * (1 - share / rate).
        """
        whole_s = max(self._period_s, _LEAST_ON_S * self.rate / self.share)
        return whole_s * self.share * max(1.0 - self.share / self.rate, 0.02)

    def account(self, now_s: float, used_s: float, *, ran: bool) -> None:
        """Bring it up to this moment, at which the group's CPU time is `used_s`.

        `ran`: it has been running since the last time, so that its demand shows; what it did not take while it ran
        is kept for two rounds at most, as with a quota.
        """
        elapsed_s, taken_s = now_s - self._now_s, max(0.0, used_s - self._used_s)
        self._now_s, self._used_s = now_s, max(used_s, self._used_s)
        self.credit_s += elapsed_s * self.share - taken_s
        if not ran:
            return
        if elapsed_s >= _LOOK_S:
            rate = taken_s / elapsed_s
            self.rate = max(1.0, rate)
            if rate <= self.share * (1 + _TOLERANCE):
                self.credit_s = max(self.credit_s, 0.0)
        self.credit_s = min(self.credit_s, 2 * self.round_s)

    def rest(self) -> None:
        """Keep at most one round's credit after an idle time."""
        self.credit_s = min(self.credit_s, self.round_s)

    @property
    def spent(self) -> bool:
        """Whether it must be stopped now."""
        return self.credit_s < 0.0 and self.rate > self.share * (1 + _TOLERANCE)

    @property
    def lasts_s(self) -> float:
        """How long it can run now before its credit is used up, at its last rate."""
        return max(self.credit_s, 0.0) / max(self.rate - self.share, 0.02)

    @property
    def wait_s(self) -> float:
        """How long it must wait now until it has credit for a round."""
        return max(0.0, (self.round_s - self.credit_s) / self.share)


class _Cycled(Signalled):
    """One process group under the duty cycle."""

    def __init__(self, tree: Tree, share: float, cycle: DutyCycle) -> None:
        super().__init__(tree)
        self._share = share
        self._cycle = cycle
        self._budget: Budget | None = None  # none before its init is over
        self._stopped = False  # by the duty cycle
        self._entry = Entry(self._look)
        self.stops = 0

    def initialised(self) -> None:
        """Start to hold the share."""
        if self._budget is None and not self._over:
            now_s, used_s = self._measure()
            self._budget = Budget(self._share, now_s, used_s, period_s=self._cycle.period_s)
            if not self.frozen:
                self._look_later()

    def resume(self) -> None:
        """Continue it as soon as it has credit."""
        if not self.frozen:
            return
        self.frozen = False
        if self._budget is None:
            self._signal(signal.SIGCONT)
            return
        now_s, used_s = self._measure()
        self._budget.account(now_s, used_s, ran=False)
        self._budget.rest()
        if self._budget.spent:
            self._stopped = True
            self._cycle.agenda.at(now_s + self._budget.wait_s, self._entry)
        else:
            self._stopped = False
            self._signal(signal.SIGCONT)
            self._look_later()

    def pause(self) -> None:
        """Stop it until `resume`; the duty cycle is suspended meanwhile."""
        if self.frozen:
            return
        self.frozen = True
        self._cycle.agenda.cancel(self._entry)
        if not self._stopped:
            self._stop()

    def detach(self) -> None:
        if not self._over:
            super().detach()
            self._cycle.agenda.cancel(self._entry)
            self._cycle.groups -= 1

    def _measure(self) -> tuple[float, float]:
        """(time, CPU time used) at one moment, though on a busy machine the CPU may be lost between the two."""
        clock = self._cycle.agenda.time
        for _ in range(3):
            before_s = clock()
            used_s = self._tree.cpu_s(refresh_after_s(self._cycle.groups))
            now_s = clock()
            if now_s - before_s < _ONE_MOMENT_S:
                break
        return now_s, used_s

    def _look_later(self) -> None:
        assert self._budget is not None
        if self._share < self._cycle.cpus:  # else it cannot exceed its share
            # A group with a moderate rate may demand more later (a second thread): look once a period in any case.
            after_s = min(max(self._budget.lasts_s, _LOOK_S), self._cycle.period_s)
            self._cycle.agenda.at(self._cycle.agenda.time() + after_s, self._entry)

    def _look(self, due_s: float) -> None:
        budget = self._budget
        assert budget is not None
        now_s, used_s = self._measure()
        budget.account(now_s, used_s, ran=not self._stopped)
        if self._stopped:
            self._stopped = False
            self._signal(signal.SIGCONT)
            self._look_later()
        elif budget.spent:
            self._stopped = True
            self.stops += 1
            self._signal(signal.SIGSTOP)
            self._cycle.agenda.at(now_s + budget.wait_s, self._entry)
        else:
            self._look_later()


class DutyCycle:
    """All environments' duty cycles, on one timer of the running loop. `cpus`: how many this machine has."""

    method: Method = "duty-cycle"

    def __init__(self, agenda: Agenda, cpus: int, *, period_s: float = PERIOD_S) -> None:
        self.agenda = agenda
        self.cpus = cpus
        self.period_s = period_s
        self.groups = 0

    def attach(self, tree: Tree, share: float) -> _Cycled:
        """Hold the tree at its share after its init."""
        self.groups += 1
        return _Cycled(tree, share, self)
