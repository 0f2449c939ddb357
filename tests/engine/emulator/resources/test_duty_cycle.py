"""The duty cycle holds a share despite late timers, and does not interfere with freezing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lbench.engine.emulator.resources import process_tree as proctree
from lbench.engine.emulator.resources.duty_cycle import Budget, DutyCycle
from lbench.engine.emulator.resources.process_tree import Tree
from lbench.engine.emulator.resources.timers import Agenda, Entry
from lbench.engine.virtual_time import run_virtual

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")


class Group:
    """A process group that exists in virtual time only; `rate` CPUs is what it takes while it runs."""

    def __init__(self, rate: float, agenda: Agenda, monkeypatch: pytest.MonkeyPatch, late_s: float = 0.0) -> None:
        self.root = 4711
        self.strays: set[int] = set()
        self.rate = rate
        self.signals: list[tuple[int, signal.Signals]] = []
        self._agenda = agenda
        self._used_s = 0.0
        self._since_s = agenda.time()
        self._running = True
        self._delay = random.Random(1)
        monkeypatch.setattr(os, "killpg", self._signal)
        monkeypatch.setattr(os, "kill", self._signal)
        at = agenda.at
        monkeypatch.setattr(agenda, "at", lambda when, entry: at(when + self._delay.uniform(0, late_s), entry))

    def _signal(self, pid: int, number: signal.Signals) -> None:
        self.cpu_s()
        self.signals.append((pid, number))
        if pid == self.root:
            self._running = number == signal.SIGCONT

    def refresh(self, after_s: float = 0.0) -> None:
        """Find nobody new."""

    def cpu_s(self, refresh_after_s: float = 0.0) -> float:
        now_s = self._agenda.time()
        if self._running:
            self._used_s += (now_s - self._since_s) * self.rate
        self._since_s = now_s
        return self._used_s

    @property
    def running(self) -> bool:
        return self._running


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test's coroutine in virtual time (a hundred rounds take no time)."""

    def run(monkeypatch: pytest.MonkeyPatch) -> None:
        run_virtual(test(monkeypatch))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.008, 0.03])
@pytest.mark.parametrize(
    ("share", "rate"), [(0.0724, 1), (0.289, 1), (0.5, 1), (0.75, 1), (0.289, 2), (1.0, 2), (1.5, 4)]
)
def test_a_busy_group_gets_its_share_however_late_the_timers_are(
    share: float, rate: float, late_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> float:
        agenda = Agenda()
        group = Group(rate, agenda, monkeypatch, late_s)
        held = DutyCycle(agenda, 4).attach(group, share)  # type: ignore[arg-type]
        held.initialised()
        await asyncio.sleep(1)
        before_s = group.cpu_s()
        await asyncio.sleep(60)
        return (group.cpu_s() - before_s) / 60

    assert run_virtual(run()) == pytest.approx(share, rel=0.03)


@virtually
async def test_init_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(2, agenda, monkeypatch)
    held = DutyCycle(agenda, 4).attach(group, 0.07)  # type: ignore[arg-type]
    await asyncio.sleep(10)
    assert group.signals == []
    held.initialised()
    await asyncio.sleep(1)
    assert group.signals != []


@virtually
async def test_one_busy_thread_with_a_whole_cpu_gets_no_signal_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(1.01, agenda, monkeypatch, 0.01)  # a clock that is read a little late
    held = DutyCycle(agenda, 4).attach(group, 1.0)  # type: ignore[arg-type]
    held.initialised()
    await asyncio.sleep(600)
    assert group.signals == []


@virtually
async def test_a_group_that_cannot_take_more_than_its_share_is_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(2, agenda, monkeypatch)
    held = DutyCycle(agenda, 2).attach(group, 2.0)  # type: ignore[arg-type]
    held.initialised()
    assert agenda._timer is None


@virtually
async def test_a_group_that_others_keep_from_running_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(0.2, agenda, monkeypatch)
    held = DutyCycle(agenda, 2).attach(group, 0.289)  # type: ignore[arg-type]
    held.initialised()
    await asyncio.sleep(60)
    assert group.signals == []


@virtually
async def test_a_frozen_group_stays_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(1, agenda, monkeypatch)
    held = DutyCycle(agenda, 2).attach(group, 0.289)  # type: ignore[arg-type]
    held.initialised()
    for running_s in (0.01, 0.05, 0.1, 0.13, 1.0):  # at all points of a round
        await asyncio.sleep(running_s)
        held.pause()
        signals = len(group.signals)
        assert not group.running
        await asyncio.sleep(10)
        assert len(group.signals) == signals
        assert held.frozen
        held.resume()


@virtually
async def test_a_pause_in_init_and_a_resume_from_it_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(1, agenda, monkeypatch)
    held = DutyCycle(agenda, 2).attach(group, 0.289)  # type: ignore[arg-type]
    held.pause()
    held.initialised()
    await asyncio.sleep(10)
    assert not group.running
    held.resume()
    assert group.running
    held.resume()  # not paused: nothing
    assert [number for _, number in group.signals] == [signal.SIGSTOP, signal.SIGCONT]


@virtually
async def test_short_invocations_one_after_the_other_do_not_escape_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(1, agenda, monkeypatch)
    held = DutyCycle(agenda, 2).attach(group, 0.25)  # type: ignore[arg-type]
    held.initialised()
    for _ in range(1000):  # each runs for 10 ms, and is frozen for 1 ms: without memory it would be 0.9
        await asyncio.sleep(0.010)
        held.pause()
        await asyncio.sleep(0.001)
        held.resume()
    assert group.cpu_s() / agenda.time() == pytest.approx(0.25, rel=0.1)


@virtually
async def test_rest_is_not_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(1, agenda, monkeypatch)
    held = DutyCycle(agenda, 2).attach(group, 0.25)  # type: ignore[arg-type]
    held.initialised()
    held.pause()
    await asyncio.sleep(3600)
    held.resume()
    before_s = group.cpu_s()
    await asyncio.sleep(1)
    assert group.cpu_s() - before_s < 0.25 + 0.05  # a round's worth more, at most


@virtually
async def test_those_that_left_the_group_are_stopped_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(1, agenda, monkeypatch)
    group.strays = {4713}
    held = DutyCycle(agenda, 2).attach(group, 0.25)  # type: ignore[arg-type]
    held.initialised()
    await asyncio.sleep(1)
    assert (4713, signal.SIGSTOP) in group.signals
    assert (4713, signal.SIGCONT) in group.signals


@virtually
async def test_a_group_that_has_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    group = Group(1, agenda, monkeypatch)
    cycle = DutyCycle(agenda, 2)
    held = cycle.attach(group, 0.25)  # type: ignore[arg-type]
    held.initialised()
    await asyncio.sleep(1)
    held.detach()
    held.detach()
    signals = len(group.signals)
    held.initialised()
    held.pause()
    held.resume()
    await asyncio.sleep(10)
    assert len(group.signals) == signals
    assert cycle.groups == 0


def test_a_budget_keeps_its_debt() -> None:
    budget = Budget(0.5, 0.0, 0.0)
    assert budget.round_s == pytest.approx(0.025)  # runs 50 ms of 100
    budget.account(0.3, 0.3, ran=True)  # the timer came 250 ms late
    assert budget.spent
    assert budget.credit_s == pytest.approx(0.025 + 0.15 - 0.3)
    assert budget.wait_s == pytest.approx(0.3)  # 600 ms for 300 ms of CPU: one half


@virtually
async def test_timers_fire_in_order_and_a_new_setting_replaces_the_old(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    calls: list[str] = []
    first, second, third = (Entry(lambda now_s, name=name: calls.append(name)) for name in ("a", "b", "c"))  # type: ignore[misc]
    agenda.at(3.0, first)
    agenda.at(2.0, second)
    agenda.at(1.0, third)
    agenda.at(4.0, third)
    agenda.cancel(second)
    await asyncio.sleep(5)
    assert calls == ["a", "c"]
    agenda.at(6.0, first)
    agenda.close()
    await asyncio.sleep(5)
    assert calls == ["a", "c"]


@virtually
async def test_timers_that_are_due_together_may_cancel_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    agenda = Agenda()
    calls: list[str] = []
    second = Entry(lambda now_s: calls.append("second"))
    agenda.at(1.0, Entry(lambda now_s: agenda.cancel(second)))
    agenda.at(1.0, second)
    await asyncio.sleep(2)
    assert calls == []


@posix
async def test_a_real_busy_process_is_stopped_and_continued() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], process_group=0) as process:  # noqa: ASYNC220
        agenda = Agenda()
        tree = Tree(process.pid)
        held = DutyCycle(agenda, 2).attach(tree, 0.02)  # less than a busy machine leaves it
        held.initialised()
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await loop.run_in_executor(None, os.waitid, os.P_PID, process.pid, os.WSTOPPED)
            await loop.run_in_executor(None, os.waitid, os.P_PID, process.pid, os.WCONTINUED)
        held.detach()
        agenda.close()
        tree.close()
        process.kill()


@posix
def test_the_cpu_of_children_counts_ended_ones_too() -> None:
    work = "sum(range(3_000_000))"
    code = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-S', '-c', '{work}'])\n"  # one that ends
        f"child = subprocess.Popen([sys.executable, '-S', '-c', '{work}; print(1, flush=True); input()'],"
        " stdin=subprocess.PIPE, start_new_session=True)\n"  # and one that stays, in a session of its own
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tree = Tree(process.pid)
        tree.refresh()
        own_s = proctree.cpu_s(process.pid)
        assert own_s is not None
        assert tree.cpu_s() > own_s
        assert len(tree.members) == 1
        assert tree.strays == tree.members
        assert tree.memory_bytes() > 5_000_000
        for pid in tree.members:
            os.kill(pid, signal.SIGKILL)
        tree.close()
        process.kill()


def test_an_ended_process_has_used_no_cpu() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert proctree.cpu_s(process.pid) is None
    tree = Tree(process.pid)
    assert tree.cpu_s() == 0.0
    assert tree.memory_bytes() == 0
