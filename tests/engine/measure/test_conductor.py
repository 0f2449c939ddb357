"""Plans on scripted backends; the loop and its time are real, and short."""

from __future__ import annotations

import asyncio
import itertools
import threading
from pathlib import Path
from unittest.mock import ANY

import msgspec
import pytest

from lbench.engine.backends.base import Failure, Outcome
from lbench.engine.export.document import document
from lbench.engine.journal.events import (
    Answered,
    ComparisonEnded,
    Phase,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    SessionStarted,
    StageStarted,
    Warned,
)
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME, Journal
from lbench.engine.machine.loop_lag import LagMeter
from lbench.engine.measure import conductor as conducting
from lbench.engine.measure import stop_rule
from lbench.engine.measure.conductor import Conductor
from lbench.engine.model import Answer
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.service import server as serving
from lbench.engine.service.client import new_session_folder
from lbench.engine.service.control import Command
from lbench.engine.service.server import Service
from lbench.engine.session.view import fold, load_folder
from lbench.engine.verify import reference_client as checking
from lbench.engine.verify.reference_process import Verdict
from lbench.errors import BackendError, DataFileError, InputError
from lbench.workloads import registry
from lbench.workloads.encoding import decode, encode

TRUE = Verdict(Answer(True, "by decree", "digest"))
PAUSED = "a was paused while its clock ran: its time includes the pause and counts in no figure"


@pytest.fixture
def number(fakes):
    """A deed: the probe's own answer, after so long."""

    def make(seconds=0.001):
        from lbench.engine.backends.base import Outcome

        return lambda call: (seconds, Outcome(result=encode(decode(call.task)[1]["number"])))

    return make


class Stage:
    """A conductor on a stage of fakes; `events` are those of its journal."""

    def __init__(self, folder, monkeypatch, fakes, number):
        self.folder = folder
        self.backends = {}
        self.judge = lambda request: TRUE
        self.order = []
        self.number = number
        self.fakes = fakes

        def open_backend(choice, plan, *rest):
            made = self.backends.get(choice.label) or fakes.Backend(number())
            if isinstance(made, Exception):
                raise made
            self.order.append(choice.label)
            return made

        async def ask(request_file, stopped):
            self.order.append("check")
            verdict = self.judge(request_file)
            if isinstance(verdict, Exception):
                raise verdict
            return verdict

        monkeypatch.setattr(conducting, "open_backend", open_backend)
        monkeypatch.setattr(checking, "_ask_process", ask)

    def plan(self, *labels, tasks=4, **fields):
        backends = [BackendChoice("processes", label) for label in labels or ("a",)]
        return Plan("probe", {}, tasks=tasks, backends=backends, **fields)

    async def carry_out(self, plan, during=None):
        journal = Journal(self.folder)
        journal.write(SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", self.fakes.machine, "lbench.journal", 1))
        self.conductor = conductor = Conductor(self.folder, journal)
        if during is not None:
            journal.listen(lambda lines: during(conductor, lines))
        try:
            return await conductor.carry_out(plan)
        finally:
            journal.close()

    @property
    def events(self):
        return list(read_events(self.folder / JOURNAL_NAME))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def view(self):
        return fold(self.events)


@pytest.fixture
def stage(monkeypatch, fakes, number):
    return Stage(new_session_folder(), monkeypatch, fakes, number)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_happens_to_the_machine_in_a_run_below_a_second_is_sampled_at_its_end(stage, fakes, number, fails):
    """Throttling, swap and stolen time are those since the sample before: without one at the end nothing would be seen."""
    failure = Outcome(failure=Failure("error", "E", "no", retriable=False))
    stage.backends["a"] = fakes.Backend(lambda call: (0.001, failure) if fails else number()(call))
    await stage.carry_out(stage.plan("a", repeats=2))
    (run, *_) = stage.view.runs.values()
    assert run.status == ("failed" if fails else "ok")
    assert run.samples[-1].t_s >= run.columns["returned_s"].max()
    assert run.makespan_s is None or run.samples[-1].t_s == pytest.approx(run.makespan_s)
    own = [event for event in stage.events if isinstance(event, Sampled | RunEnded) and event.run == run.id]
    kinds = [type(event) for event in own]
    assert kinds[-2:] == [Sampled, RunEnded]


async def test_an_isolated_schedule_finishes_one_backend_before_it_opens_the_next(stage):
    assert await stage.carry_out(stage.plan("a", "b", repeats=2, schedule="isolated"))
    assert stage.order == ["a", "check", "b"]
    assert [(event.run, event.label, event.repeat) for event in stage.of(RunPlanned)] == [
        ("r1", "a", 0), ("r2", "a", 1), ("r3", "b", 0), ("r4", "b", 1),
    ]  # fmt: skip
    assert [event.run for event in stage.of(RunStarted)] == ["r1", "r2", "r3", "r4"]
    assert all(event.overlaps == [] for event in stage.of(RunEnded))
    assert {run.status for run in stage.view.runs.values()} == {"ok"}


async def test_backends_of_this_machine_take_turns_in_an_order_that_the_seed_draws_for_each_round(stage):
    await stage.carry_out(stage.plan("a", "b", "c", repeats=8))
    planned = {event.run: event for event in stage.of(RunPlanned)}
    assert {event.schedule for event in planned.values()} == {"alternating"}
    started = [planned[event.run] for event in stage.of(RunStarted)]
    assert [event.round for event in started] == [number for number in range(8) for _ in range(3)]
    orders = ["".join(event.label for event in started[3 * n : 3 * n + 3]) for n in range(8)]
    assert {"".join(sorted(order)) for order in orders} == {"abc"} and len(set(orders)) > 2
    assert all(event.overlaps == [] for event in stage.of(RunEnded))


async def test_another_seed_draws_another_order_and_the_same_seed_the_same(fakes, number, monkeypatch):
    orders = []
    for seed in (1, 1, 2):
        stage = Stage(new_session_folder(), monkeypatch, fakes, number)
        await stage.carry_out(stage.plan("a", "b", "c", repeats=6, seed=seed))
        orders.append([event.run for event in stage.of(RunStarted)])
    assert orders[0] == orders[1] != orders[2]


@pytest.fixture
def coarse(monkeypatch):
    """Any interval is narrow enough, as a busy machine delays sleeps: the rule itself has tests of its own."""
    monkeypatch.setattr(stop_rule, "PRECISION", 1000.0)


async def test_repeats_auto_end_once_every_speedup_is_known_well_enough(stage, fakes, number, coarse):
    stage.backends = {"a": fakes.Backend(number(0.05)), "b": fakes.Backend(number(0.02))}
    assert await stage.carry_out(stage.plan("a", "b", tasks=1, repeats="auto"))
    (end,) = stage.of(ComparisonEnded)
    assert end.ended_by == "precision" and end.rounds >= 6
    assert sorted(end.runs) == sorted(stage.view.runs) and len(end.runs) == 2 * end.rounds
    assert f"{end.rounds} rounds until the interval of the speedup was narrower than 100000 %: it spans" in end.text
    (comparison,) = document(stage.view).comparisons
    assert (comparison.ended_by, comparison.rounds, comparison.text) == (end.ended_by, end.rounds, end.text)


async def test_repeats_auto_end_at_the_time_limit_but_not_before_six_rounds(stage, fakes, number):
    times = itertools.cycle([0.01, 0.03, 0.02, 0.05])
    stage.backends = {"a": fakes.Backend(lambda call: number(next(times))(call)), "b": fakes.Backend(number(0.01))}
    assert await stage.carry_out(stage.plan("a", "b", tasks=1, repeats="auto", for_s=0.001))
    (end,) = stage.of(ComparisonEnded)
    assert (end.ended_by, end.rounds) == ("time", 6)
    assert ", the least that are made: the time limit (--for) had passed" in end.text


async def test_a_run_that_was_paused_is_no_pair_so_auto_measures_another_round(stage, fakes, number):
    calls = []

    def paused_by_its_first_call(call):
        calls.append(call)
        if len(calls) > 1:
            return number()(call)
        stage.conductor.pause(True)
        asyncio.get_running_loop().call_later(0.05, stage.conductor.pause, False)
        return number(1.0)(call)  # the run goes on until after the pause: the next one begins without it

    stage.backends = {"a": fakes.Backend(paused_by_its_first_call), "b": fakes.Backend(number())}
    assert await stage.carry_out(stage.plan("a", "b", tasks=1, repeats="auto", for_s=0.001))
    (end,) = stage.of(ComparisonEnded)
    assert (end.ended_by, end.rounds) == ("time", 7)
    assert [run.counts for run in stage.view.runs.values()].count(False) == 1


async def test_a_run_during_which_the_engine_stood_still_counts_in_no_figure(stage, monkeypatch):
    stills_s = iter([0.0, 3.2, 0.0])
    monkeypatch.setattr(LagMeter, "still_s", property(lambda _: next(stills_s)))
    await stage.carry_out(stage.plan("a", tasks=1, repeats=3))
    text = (
        "a was under way while the engine stood still for 3 s (stopped, or the machine slept): "
        "its time counts in no figure"
    )
    assert stage.of(Warned) == [Warned("paused", text, "r2")]
    assert [run.counts for run in stage.view.runs.values()] == [True, False, True]
    assert [run.paused for run in document(stage.view).runs] == [False, True, False]


async def test_auto_is_three_repeats_where_a_backend_is_paid(stage, monkeypatch):
    async def survey_choice(choice, plan, at_once):
        return None

    monkeypatch.setattr(conducting, "survey_choice", survey_choice)
    plan = stage.plan("near", repeats="auto")
    plan.backends.append(BackendChoice("lambda", "far"))
    assert await stage.carry_out(plan)
    (end,) = stage.of(ComparisonEnded)
    assert (end.ended_by, end.rounds, len(end.runs)) == ("count", 3, 6)


async def test_a_backend_that_fails_does_not_keep_the_others_from_ending(stage, fakes, number, coarse):
    stage.backends = {
        "a": fakes.Backend(number(0.02)),
        "b": fakes.Backend(lambda call: (0.0, fakes.failed(type_="ValueError", retriable=False))),
    }
    assert await stage.carry_out(stage.plan("a", "b", tasks=1, repeats="auto"))
    (end,) = stage.of(ComparisonEnded)
    assert end.ended_by in ("precision", "time") and ", without b, which failed" in end.text


async def test_a_wrong_answer_is_no_pair_and_does_not_hold_the_others_up_for_ever(stage, fakes, number, coarse):
    stage.judge = lambda request: Verdict(Answer(False, "no", "digest"))
    assert await stage.carry_out(stage.plan("a", tasks=1, repeats="auto", for_s=0.001))
    (end,) = stage.of(ComparisonEnded)
    assert end.rounds == 12 and end.text.endswith(" s, when the time limit (--for) ended them")


async def test_backends_one_after_the_other_end_each_for_itself(stage, fakes, number, coarse):
    plan = stage.plan("a", "b", tasks=1, repeats="auto", for_s=20.0, schedule="isolated")
    stage.backends = {name: fakes.Backend(number(0.02)) for name in "ab"}
    assert await stage.carry_out(plan)
    (end,) = stage.of(ComparisonEnded)
    first, second = end.text.split("; ")
    assert first.startswith("a: ") and second.startswith("b: ")
    assert all("rounds until the interval of its makespan was narrower than 100000 %" in one for one in (first, second))


async def test_loop_runs_the_answer_in_one_piece_as_one_task(stage, fakes):
    calls = []

    def deed(call):
        calls.append((decode(call.task), call.deadline_s))
        return 0.0, Outcome(result=encode([0, 1, 2, 3]))

    stage.backends["loop"] = fakes.Backend(deed)
    plan = stage.plan("loop", repeats=1)
    plan.backends[:] = [BackendChoice("loop", "loop")]
    assert await stage.carry_out(plan)
    ((task, deadline_s),) = calls
    assert task == ["whole.run", {"workload": "probe", "params": ANY, "tasks": 4, "seed": 1}]
    assert deadline_s > 3600  # a task's deadline is not the whole job's
    assert [event.tasks for event in stage.of(RunPlanned)] == [1]


async def test_loop_is_refused_where_the_workload_has_no_answer_in_one_piece(stage, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from lbench import Task\ndef double(x): return 2 * x\ndef job(): return (yield [Task(double, x=1)])\n"
    )
    plan = Plan(f"{file}:job", backends=[BackendChoice("loop", "loop")], repeats=1)
    with pytest.raises(InputError, match=r"add a function reference\(\) to .*mine.*, or leave -b loop out"):
        await stage.carry_out(plan)


async def test_cold_repeats_come_first_each_in_new_environments(stage, fakes, number):
    backend = stage.backends["a"] = fakes.Backend(number())
    await stage.carry_out(stage.plan("a", cold_repeats=2, warmup=1, repeats=2))
    assert [(event.cold, event.warmup, event.repeat) for event in stage.of(RunPlanned)] == [
        (True, False, 0), (True, False, 1), (None, True, 0), (None, False, 2), (None, False, 3),
    ]  # fmt: skip
    assert backend.renewed == 2


async def test_a_run_is_cold_if_all_environments_that_it_reached_were_new(stage, fakes):
    starts = iter([True, True, False, True, False, False])

    def deed(call):
        environment = f"e{call.index if call.run != 'r2' else 2 + call.index}"
        return 0.0, Outcome(result=encode(call.index), environment=environment, cold=next(starts))

    stage.backends["a"] = fakes.Backend(deed, capacity=1)
    await stage.carry_out(stage.plan("a", tasks=2, repeats=3))
    assert [run.cold for run in document(stage.view).runs] == [True, False, False]


async def test_a_cold_run_is_no_pair_of_a_warm_one(stage, fakes, coarse):
    calls = itertools.count()

    def deed(call):
        cold = not next(calls)
        return 0.5 if cold else 0.02, Outcome(result=encode(call.index), environment="e0", cold=cold)

    stage.backends = {"a": fakes.Backend(deed, capacity=1)}
    plan = stage.plan("a", tasks=1, repeats="auto")
    plan.backends[:] = [BackendChoice("emulated", "a")]
    assert await stage.carry_out(plan)
    (end,) = stage.of(ComparisonEnded)
    assert end.ended_by == "precision" and end.rounds >= 7


@pytest.fixture
def meeting(fakes, number):
    """Backends whose first tasks wait for each other: their runs overlap on any machine."""

    def make(*labels):
        barrier = asyncio.Barrier(len(labels))

        class Meeting(fakes.Backend):
            async def invoke(self, call):
                if call.index == 0:
                    await asyncio.wait_for(barrier.wait(), 60)
                return await super().invoke(call)

        return {label: Meeting(number()) for label in labels}

    return make


async def test_by_default_aws_runs_beside_the_first_local_backend(stage, meeting, monkeypatch):
    async def survey_choice(choice, plan, at_once):
        return None

    monkeypatch.setattr(conducting, "survey_choice", survey_choice)
    stage.backends = meeting("near", "far")
    plan = stage.plan("near", "next", repeats=2)
    plan.backends.append(BackendChoice("lambda", "far"))
    assert await stage.carry_out(plan)
    planned = {event.run: event for event in stage.of(RunPlanned)}
    schedules = {event.label: event.schedule for event in planned.values()}
    assert schedules == {"near": "alternating", "next": "alternating", "far": "concurrent"}
    overlaps = {event.run: event.overlaps for event in stage.of(RunEnded)}
    for far in ("r5", "r6"):
        (other,) = overlaps[far]
        assert overlaps[other] == [far] and planned[other].round == planned[far].round
    assert sum(not beside for beside in overlaps.values()) == 2
    assert stage.order == ["near", "next", "far", "check"]


async def test_backends_on_aws_alone_run_one_after_the_other(stage, fakes, number, monkeypatch):
    async def survey_choice(choice, plan, at_once):
        return None

    monkeypatch.setattr(conducting, "survey_choice", survey_choice)
    stage.backends = {label: fakes.Backend(number(0.05)) for label in ("one", "other")}
    plan = stage.plan(repeats=2)
    plan.backends[:] = [BackendChoice("lambda", label) for label in stage.backends]
    assert await stage.carry_out(plan)
    assert {event.schedule for event in stage.of(RunPlanned)} == {"alternating"}
    assert all(event.overlaps == [] for event in stage.of(RunEnded))


@pytest.mark.parametrize(
    ("workload", "tasks", "at_once"), [("kmeans", 8, 8), ("kmeans", None, 128), ("map_reduce", 3, 4), ("probe", 7, 7)]
)
async def test_aws_is_asked_for_the_environments_of_one_stage_not_of_all_stages(
    stage, monkeypatch, workload, tasks, at_once
):
    asked = []

    async def survey_choice(choice, plan, at_once):
        asked.append(at_once)
        raise DataFileError("that is all that was to be known")

    monkeypatch.setattr(conducting, "survey_choice", survey_choice)
    with pytest.raises(DataFileError):
        await stage.carry_out(Plan(workload, {}, tasks=tasks, backends=[BackendChoice("lambda", "far")]))
    assert asked == [at_once]


async def test_a_cancel_ends_the_audit_at_once_and_the_estimates_stay(stage, monkeypatch):
    from lbench.engine.billing import audit

    async def long_audit(runs, write):
        stage.conductor.cancel()
        await asyncio.sleep(3600)

    monkeypatch.setattr(audit, "audit", long_audit)
    assert not await stage.carry_out(stage.plan("a", repeats=1, audit=True))
    (warning,) = [event for event in stage.of(Warned) if event.code == "audit"]
    assert "estimates stay" in warning.text
    assert [event.status for event in stage.of(RunEnded)] == ["ok"]


async def test_concurrent_runs_record_their_overlap_and_are_checked_afterwards(stage, meeting):
    stage.backends = meeting("a", "b")
    await stage.carry_out(stage.plan("a", "b", repeats=2, schedule="concurrent"))
    assert stage.order == ["a", "b", "check"]
    overlaps = {event.run: event.overlaps for event in stage.of(RunEnded)}
    assert overlaps == {"r1": ["r3"], "r3": ["r1"], "r2": ["r4"], "r4": ["r2"]}
    kinds = [type(event).__name__ for event in stage.events if isinstance(event, RunEnded | Answered)]
    assert kinds == ["RunEnded", "RunEnded", "Answered", "Answered"] * 2


async def test_each_answer_is_checked_from_its_own_file(stage, fakes):
    seen = []

    def judge(request_file):
        import msgspec

        from lbench.engine.verify.reference_process import Request

        request = msgspec.json.decode(request_file.read_bytes(), type=Request)
        seen.append(decode(Path(request.answer).read_bytes()))
        return TRUE

    stage.judge = judge
    stage.backends["b"] = stage.fakes.Backend(lambda call: (0.0, Outcome(result=encode(7))))
    await stage.carry_out(stage.plan("a", "b", schedule="concurrent", repeats=2))
    assert seen == [[0, 1, 2, 3], [7, 7, 7, 7]]  # an equal answer is known already
    assert len(stage.of(Answered)) == 4
    assert [path.name for path in stage.folder.iterdir()] == [JOURNAL_NAME]


async def test_warm_up_runs_come_first_and_are_marked(stage):
    await stage.carry_out(stage.plan("a", warmup=2, repeats=2))
    assert [(event.warmup, event.repeat) for event in stage.of(RunPlanned)] == [
        (True, 0), (True, 1), (False, 0), (False, 1),
    ]  # fmt: skip


async def test_a_backend_that_cannot_be_opened_fails_only_its_own_runs(stage):
    stage.backends["a"] = BackendError("no workers today")
    assert await stage.carry_out(stage.plan("a", "b", repeats=2))
    statuses = [run.status for run in stage.view.runs.values()]
    assert statuses == ["failed", "failed", "ok", "ok"]
    assert stage.view.runs["r1"].ended.error == "a could not be opened: no workers today"
    exported = document(stage.view)
    assert [run.id for run in exported.runs] == ["r3", "r4"]
    assert [(warning.code, warning.text) for warning in exported.warnings] == [
        ("failed", "a could not be opened: no workers today")
    ]


async def test_a_backend_that_breaks_down_between_runs_fails_only_its_later_runs(stage, fakes, number):
    class Weak(fakes.Backend):
        published = 0

        async def publish(self, data):
            self.published += 1
            if self.published > 2:  # once when it is opened, once before the first run
                raise BackendError("the worker cannot be started again")

    stage.backends["a"] = Weak(number())
    assert await stage.carry_out(stage.plan("a", "b", repeats=2))
    assert [run.status for run in stage.view.runs.values()] == ["ok", "failed", "ok", "ok"]


async def test_a_run_that_failed_is_not_repeated_and_the_others_go_on(stage, fakes):
    stage.backends["a"] = fakes.Backend(lambda call: (0.0, fakes.failed(type_="ValueError", retriable=False)))
    assert await stage.carry_out(stage.plan("a", "b", repeats=3))
    ended = stage.of(RunEnded)
    assert {(event.run, event.status) for event in ended} == {
        ("r1", "failed"), ("r4", "ok"), ("r5", "ok"), ("r6", "ok"), ("r2", "cancelled"), ("r3", "cancelled"),
    }  # fmt: skip
    assert sorted(event.run for event in stage.of(RunStarted)) == ["r1", "r4", "r5", "r6"]
    (failed,) = [event for event in ended if event.status == "failed"]
    assert "ValueError" in failed.error and failed.makespan_s is None


async def test_a_wrong_answer_is_a_failed_run_whatever_its_time(stage):
    stage.judge = lambda request: Verdict(Answer(False, "by decree", "d"))
    await stage.carry_out(stage.plan("a", repeats=1))
    assert stage.view.runs["r1"].status == "wrong_answer"


@pytest.mark.parametrize(
    "trouble", [Verdict(None, "it died"), OSError(28, "No space left on device"), DataFileError("gone")]
)
async def test_an_answer_that_cannot_be_checked_is_a_warning_and_the_run_stays(stage, trouble):
    stage.judge = lambda request: trouble
    assert await stage.carry_out(stage.plan("a", repeats=2))
    view = stage.view
    assert [run.status for run in view.runs.values()] == ["ok", "ok"]
    assert view.runs["r1"].answer is None
    assert [warning.code for warning in view.warnings] == ["unchecked", "unchecked"]


async def test_without_a_folder_for_references_the_answer_is_checked_all_the_same(stage, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    asked = []

    def judge(request_file):
        asked.append(msgspec.json.decode(Path(request_file).read_bytes())["cache"])
        return TRUE

    stage.judge = judge
    assert await stage.carry_out(stage.plan("a", repeats=1))
    assert asked == [None]  # the reference is computed, and not kept
    assert stage.view.runs["r1"].answer == TRUE.answer and stage.view.warnings == []


async def test_a_cancel_ends_the_run_and_starts_no_other(stage, fakes, number):
    stage.backends = {label: fakes.Backend(number(30.0)) for label in ("a", "b")}

    def during(conductor, lines):
        if b'"dispatched"' in lines:
            conductor.cancel()

    assert not await stage.carry_out(stage.plan("a", "b", repeats=3), during)
    assert {(event.run, event.status) for event in stage.of(RunEnded)} == {(f"r{n}", "cancelled") for n in range(1, 7)}
    (started,) = stage.of(RunStarted)
    assert stage.view.runs[started.run].in_flight == 0
    assert stage.of(Answered) == []


@pytest.mark.parametrize("moment", [b'"started"', b'"planned"', b'"phase"', b'"stage"'])
async def test_a_cancel_works_at_any_time(stage, fakes, number, moment):
    stage.backends["a"] = fakes.Backend(number(30.0))

    def during(conductor, lines):
        if moment in lines:
            conductor.cancel()

    assert not await asyncio.wait_for(stage.carry_out(stage.plan("a", "b"), during), 20)
    assert all(event.status == "cancelled" for event in stage.of(RunEnded))


async def test_a_cancel_works_while_a_backend_gets_ready(stage, fakes, number):
    class Slow(fakes.Backend):
        published = 0

        async def publish(self, data):
            self.published += 1
            if self.published == 2:
                stage.conductor.cancel()

    stage.backends["a"] = Slow(number(30.0))
    assert not await asyncio.wait_for(stage.carry_out(stage.plan("a")), 20)
    assert stage.of(RunStarted) == []


async def test_a_cancel_ends_the_look_for_a_backend(stage, monkeypatch):
    async def survey_choice(choice, plan, at_once):
        asyncio.get_running_loop().call_soon(stage.conductor.cancel)
        await asyncio.Event().wait()

    monkeypatch.setattr(conducting, "survey_choice", survey_choice)
    assert not await asyncio.wait_for(stage.carry_out(stage.plan("a", "b", repeats=1)), 20)
    assert [event.status for event in stage.of(RunEnded)] == ["cancelled", "cancelled"]


async def test_a_pause_before_the_run_holds_it_until_resumed(stage):
    def during(conductor, lines):
        if b'"planned"' in lines:
            conductor.pause(True)
        if b'"stage"' in lines:
            asyncio.get_running_loop().call_later(0.2, conductor.pause, False)

    await asyncio.wait_for(stage.carry_out(stage.plan("a", repeats=1), during), 20)
    kinds = [type(event).__name__ for event in stage.events]
    assert kinds.index("StageStarted") < kinds.index("Dispatched")
    resumed = [n for n, kind in enumerate(kinds) if kind == "Paused"][1]
    assert resumed < kinds.index("Dispatched")
    assert stage.of(Warned) == [Warned("paused", PAUSED, "r1")]


async def test_a_run_that_was_paused_says_that_its_time_includes_the_pause(stage, fakes, number):
    calls = []

    def paused_by_its_first_call(call):
        calls.append(call)
        if len(calls) > 1:
            return number()(call)
        stage.conductor.pause(True)
        asyncio.get_running_loop().call_later(0.05, stage.conductor.pause, False)
        return number(1.0)(call)  # the run goes on until after the pause: the next one begins without it

    stage.backends["a"] = fakes.Backend(paused_by_its_first_call)
    await asyncio.wait_for(stage.carry_out(stage.plan("a", repeats=1)), 20)
    assert stage.of(Warned) == [Warned("paused", PAUSED, "r1")]


async def test_the_preparation_of_a_run_is_outside_its_clock(stage):
    await stage.carry_out(stage.plan("a", repeats=1))
    kinds = [type(event) for event in stage.events]
    assert kinds.index(RunStarted) < kinds.index(StageStarted)
    (first,) = stage.of(StageStarted)
    assert first.at_s < stage.view.runs["r1"].makespan_s
    phases = [event.text for event in stage.of(Phase)]
    assert phases[0] == "loading the workload" and phases[-1] == ""


# -- the service around it


@pytest.fixture
async def service(stage, monkeypatch):
    made = Service(stage.folder, "")
    await made.start()
    made.serving = asyncio.ensure_future(made.serve())
    yield made
    made.stop("the test is over")
    await made.serving


def start(service, plan, *, last=True):
    import msgspec

    return service._execute(Command("start", msgspec.to_builtins(plan), last))


async def test_a_plan_whose_data_cannot_be_used_ends_with_its_reason(service, stage, monkeypatch):
    def load(description):
        raise DataFileError("loans.csv is empty")

    monkeypatch.setattr(registry, "load", load)
    await start(service, stage.plan())
    assert await service.serving is True
    view = load_folder(stage.folder)
    assert (view.end.complete, view.end.reason) == (False, "loans.csv is empty")
    assert [(warning.code, warning.text) for warning in view.warnings] == [("failed", "loans.csv is empty")]


async def test_a_bug_is_logged_and_the_session_is_not_called_complete(service, stage, monkeypatch, caplog):
    def load(description):
        raise KeyError("a bug")

    monkeypatch.setattr(registry, "load", load)
    await start(service, stage.plan())
    await service.serving
    view = load_folder(stage.folder)
    assert (view.end.complete, view.end.reason) == (False, "the engine failed: see engine.log")
    assert "KeyError: 'a bug'" in caplog.text


async def test_a_stopping_engine_does_not_wait_for_a_thread_that_will_not_end(service, stage, monkeypatch):
    loading, go_on = threading.Event(), threading.Event()

    def load(description):
        loading.set()
        go_on.wait(30)
        raise DataFileError("too late")

    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr(serving, "_ORPHAN_PATIENCE_S", 0.1)
    await start(service, stage.plan())
    await asyncio.to_thread(loading.wait, 30)
    service.launcher_gone("stop")
    assert await asyncio.wait_for(service.serving, 20) is False  # the process must end itself
    go_on.set()
    view = load_folder(stage.folder)
    assert (view.end.complete, view.end.reason) == (False, "the launching process exited")


async def test_a_job_that_computes_on_and_on_is_cancelled_with_a_record(service, stage, monkeypatch):
    computing, go_on = threading.Event(), threading.Event()
    probe = registry.load(registry.describe("probe"))

    class Endless(type(probe)):
        def job(self, params, data):
            yield from ()
            computing.set()
            go_on.wait(30)

    monkeypatch.setattr(registry, "load", lambda description: Endless())
    monkeypatch.setattr(serving, "_ORPHAN_PATIENCE_S", 0.1)
    await start(service, stage.plan())
    await asyncio.to_thread(computing.wait, 30)
    service.launcher_gone("stop")
    assert await asyncio.wait_for(service.serving, 20) is False
    go_on.set()
    assert load_folder(stage.folder).runs["r1"].status == "cancelled"


async def test_two_plans_one_after_the_other_number_their_runs_on(service, stage):
    await start(service, stage.plan(repeats=1), last=False)
    await asyncio.wait({service._work})
    await start(service, stage.plan(repeats=1), last=True)
    await service.serving
    view = load_folder(stage.folder)
    assert list(view.runs) == ["r1", "r2"] and view.complete
