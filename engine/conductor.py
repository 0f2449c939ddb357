"""Carries out a plan: loads the data, opens the backends, runs the job on each in the schedule's order, checks.

What belongs to no run's clock happens here, between the runs: nothing else runs while a run is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.folders import cache_folder
from lbench.engine import checking
from lbench.engine.backends import catalog
from lbench.engine.backends.base import Backend, EnvironmentInfo, Published
from lbench.engine.backends.opening import look_at, open_backend
from lbench.engine.backends.survey import Survey
from lbench.engine.budget import Budget, OverBudget, Purse
from lbench.engine.check import Request, Verdict
from lbench.engine.events import (
    Answered,
    EnvironmentSeen,
    Paused,
    Phase,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    Warned,
)
from lbench.engine.journal import JOURNAL_NAME, Journal, read_events
from lbench.engine.lag import LagMeter
from lbench.engine.model import DataInfo, Driver, LambdaEnvironment, RunStatus, Schedule
from lbench.engine.plan import BackendChoice, Plan, resolve_params, validate
from lbench.engine.previews import Previews
from lbench.engine.pricing import pricing_of, s3_each
from lbench.engine.runner import Policy, RunCancelled, RunFailed, Runner, offload_to_thread
from lbench.engine.samples import Sampler
from lbench.engine.session import fold
from lbench.engine.temporary import Temporary
from lbench.engine.versions import code_digest
from lbench.errors import LbenchError
from lbench.workloads import dataset, registry
from lbench.workloads.encoding import encode
from lbench.workloads.model import Description, Params, Workload
from lbench.workloads.parameters import settable

__all__ = ["Conductor", "relative"]

_SAMPLE_S = 1.0
_DATA_NAME = "data.lbds"


@dataclass(slots=True)
class _Job:
    """What all runs of a plan have in common."""

    plan: Plan
    description: Description
    workload: Workload[Any]
    params: Params
    data: Any
    info: DataInfo | None
    published: Published | None
    found: dict[str, Survey | None] = field(default_factory=dict)  # by a backend's label, what AWS has for it


@dataclass(slots=True)
class _Planned:
    """A run that is to come."""

    id: str
    choice: BackendChoice
    repeat: int
    warmup: bool


_Entry = tuple[_Planned, Backend, float | None]  # a run, its open backend, and how long that took for the first


class Conductor:
    """One plan at a time. `cancel`, `pause` and `resume` act on what is running now."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._numbers = itertools.count(1)
        self._runners: dict[str, Runner] = {}
        self._intervals: dict[str, tuple[float, float | None]] = {}
        self._cancelled = False
        self._paused = False
        self._pictured = False
        self._budget: Budget | None = None
        self._broken: set[str] = set()  # labels whose run failed: the same would happen again

    def cancel(self) -> None:
        """Stop the runs in progress and start no other."""
        self._cancelled = True
        for runner in self._runners.values():
            runner.cancel()

    def pause(self, paused: bool) -> None:
        """Stop dispatching, or go on."""
        self._paused = paused
        for runner in self._runners.values():
            if paused:
                runner.pause()
            else:
                runner.resume()
        self._journal.write(Paused(paused))

    async def carry_out(self, plan: Plan) -> bool:
        """Run the whole plan; returns whether it was carried out to its end (and not cancelled).

        Raises:
            LbenchError: the plan cannot be carried out at all (bad input, unreadable data).
        """
        validate(plan)
        self._pictured = False
        self._broken.clear()
        self._budget = None if plan.max_usd is None else Budget(Decimal(str(plan.max_usd)))
        try:
            job = await self._prepare(plan)
            await self._look(plan, job)
            groups = self._plan_runs(plan, job)
            if plan.schedule is None:
                await self._by_default(job, groups)
            elif plan.schedule == "isolated":
                for group in groups:
                    await self._series(job, [group])
            else:
                await self._series(job, groups)
            if plan.audit and not self._cancelled:
                await self._audit()
            return not self._cancelled
        finally:
            self._cancelled = False  # here, not at the start: a cancel may come before the plan's first step
            self._journal.write(Phase(""))
            (self._folder / _DATA_NAME).unlink(missing_ok=True)

    # -- before the runs

    async def _prepare(self, plan: Plan) -> _Job:
        description = registry.describe(plan.workload)
        params = resolve_params(plan)
        self._journal.write(Phase("loading the workload" if description.data is None else "loading the data"))
        path = None if plan.data is None else Path(plan.data)

        def load() -> tuple[Workload[Any], Any]:
            workload = registry.load(description)
            return workload, workload.load(params, path)

        workload, data = await asyncio.to_thread(load)
        info = published = None
        if data is not None:
            file = self._folder / _DATA_NAME
            digest = await asyncio.to_thread(dataset.write_dataset, data, file)
            size = file.stat().st_size
            published = Published(file, digest, size)
            info = DataInfo(data.source, digest, data.rows, data.columns, size, data.notes)
            data = dataset.open_dataset(file)
        # Everything after this runs just what was looked at, whatever becomes of a user's own file meanwhile.
        pinned = msgspec.structs.replace(plan, workload=description.pinned)
        return _Job(pinned, description, workload, params, data, info, published)

    async def _look(self, plan: Plan, job: _Job) -> None:
        """What is not on this machine is looked at before any run is begun: then nothing has been spent."""
        tasks = job.workload.limits(job.params).tasks
        for choice in plan.backends:
            if not catalog.shares_machine(choice.name):
                self._journal.write(Phase(f"looking for {choice.label} on AWS"))
            job.found[choice.label] = await look_at(choice, plan, tasks)

    def _plan_runs(self, plan: Plan, job: _Job) -> list[list[_Planned]]:
        groups: list[list[_Planned]] = []
        for choice in plan.backends:
            group = []
            for number in range(-plan.warmup, plan.repeats):
                warmup = number < 0
                repeat = number + plan.warmup if warmup else number
                group.append(_Planned(f"r{next(self._numbers)}", choice, repeat, warmup))
            groups.append(group)
        here, away = _apart(groups)
        by_default: Schedule = "concurrent" if here and away else "isolated"
        limits = job.workload.limits(job.params)
        for run in itertools.chain.from_iterable(groups):
            self._journal.write(
                RunPlanned(
                    run=run.id,
                    workload=job.description.name,
                    params=settable(job.params),
                    seed=plan.seed,
                    backend=run.choice.name,
                    label=run.choice.label,
                    origin="emulated" if run.choice.name == "emulated" else "measured",
                    repeat=run.repeat,
                    warmup=run.warmup,
                    schedule=plan.schedule or by_default,
                    tasks=limits.tasks if limits.sure else None,
                )
            )
        return groups

    # -- the runs

    async def _by_default(self, job: _Job, groups: list[list[_Planned]]) -> None:
        """What shares this machine's cores in isolation; AWS beside the first of it, a run beside a run."""
        here, away = _apart(groups)
        async with contextlib.AsyncExitStack() as stack:
            beside = deque(await self._open_all(job, away, stack))
            for group in here:
                async with contextlib.AsyncExitStack() as own:
                    for turn in await self._open_all(job, [group], own):
                        await self._at_once(job, turn + (beside.popleft() if beside else []))
            for turn in beside:
                await self._at_once(job, turn)

    async def _series(self, job: _Job, groups: list[list[_Planned]]) -> None:
        """Open these groups' backends and run them: turn by turn, or all at once where the schedule says so."""
        async with contextlib.AsyncExitStack() as stack:
            for turn in await self._open_all(job, groups, stack):
                if job.plan.schedule == "concurrent":
                    await self._at_once(job, turn)
                else:
                    for entry in turn:
                        await self._judge(job, entry[0], await self._one(job, *entry))

    async def _open_all(
        self, job: _Job, groups: list[list[_Planned]], stack: contextlib.AsyncExitStack
    ) -> list[list[_Entry]]:
        """Open these groups' backends; their runs, turn by turn."""
        opened: list[tuple[list[_Planned], Backend, float]] = []
        for group in groups:
            if self._cancelled:
                return []
            label = group[0].choice.label
            purse = self._purse(job, group[0].choice)
            if purse is not None and not purse.affords_one:
                self._never_started(group, purse.why_it_stopped(), "over_budget")
                continue
            try:
                backend, setup_s = await stack.enter_async_context(self._opened(job, group[0].choice))
            except (LbenchError, OSError) as error:
                self._never_started(group, f"{label} could not be opened: {error}")
                continue
            opened.append((group, backend, setup_s))
        turns = max((len(group) for group, _, _ in opened), default=0)
        return [
            [(group[turn], backend, setup_s if turn == 0 else None) for group, backend, setup_s in opened]
            for turn in range(turns)
        ]

    async def _at_once(self, job: _Job, turn: list[_Entry]) -> None:
        """Run these at the same time; they are checked afterwards, so that nothing computes beside a run."""
        answers = await asyncio.gather(*(self._one(job, *entry) for entry in turn))
        for (run, _, _), answer in zip(turn, answers, strict=True):
            await self._judge(job, run, answer)

    @contextlib.asynccontextmanager
    async def _opened(self, job: _Job, choice: BackendChoice) -> AsyncIterator[tuple[Backend, float]]:
        self._journal.write(Phase(f"starting {choice.label}"))
        started = time.monotonic()
        async with open_backend(choice, job.plan, job.found.get(choice.label)) as backend:
            await backend.publish(job.published)
            yield backend, time.monotonic() - started
            self._journal.write(Phase(f"closing {choice.label}"))

    def _purse(self, job: _Job, choice: BackendChoice) -> Purse | None:
        """A run's way to the budget; None where there is none, or nothing is charged."""
        if self._budget is None:
            return None
        limits = job.workload.limits(job.params)
        pricing = pricing_of(choice, job.plan, limits)
        return None if pricing.rates is None else Purse(self._budget, pricing, s3_each(choice, job.plan, limits))

    def _never_started(self, group: list[_Planned], why: str, status: RunStatus = "failed") -> None:
        self._broken.add(group[0].choice.label)
        for run in group:
            self._journal.write(RunEnded(run=run.id, status=status, makespan_s=None, driver=None, error=why))

    async def _one(self, job: _Job, run: _Planned, backend: Backend, setup_s: float | None) -> Any:
        if self._passes_over(run):
            return None
        try:
            # Nothing to send, but a worker that is being replaced is waited for.
            await backend.publish(job.published)
        except (LbenchError, OSError) as error:
            self._never_started([run], f"{run.choice.label} has broken down: {error}")
            return None
        if self._passes_over(run):  # it may have been cancelled meanwhile
            return None
        return await self._measure(job, run, backend, setup_s)

    def _passes_over(self, run: _Planned) -> bool:
        return self._cancelled or run.choice.label in self._broken

    async def _judge(self, job: _Job, run: _Planned, answer: Any) -> None:
        if answer is None:
            return
        try:
            encoded = await asyncio.to_thread(encode, answer)
            del answer
            verdict = await self._check(job, run, encoded)
        except LbenchError as error:
            verdict = Verdict(None, str(error))
        if verdict.answer is not None:
            self._journal.write(Answered(run.id, verdict.answer))
        elif not self._cancelled:
            why = f"the answer of {run.choice.label} could not be checked: {verdict.error}"
            self._journal.write(Warned("unchecked", why, run.id))
        await self._journal.sync()

    async def _measure(self, job: _Job, run: _Planned, backend: Backend, setup_s: float | None) -> Any:
        """The run itself. Returns the answer, or None where there is none."""
        plan = job.plan
        notes = [*backend.notes, *job.workload.notes(job.params)]
        hedge = plan.hedge
        if hedge is not None and catalog.shares_machine(run.choice.name):
            hedge = None
            notes.append("no hedging: what is issued once more would take this machine's cores from the others")
        policy = Policy(
            timeout_s=plan.timeout_s, retries=plan.retries, seed=plan.seed, keep_going=plan.keep_going, hedge=hedge
        )
        purse = self._purse(job, run.choice)
        if purse is not None:
            purse.watch(backend.own_s3)
        previews = self._open_previews(job, run.id)
        on_result = None if previews is None else previews.add
        temporary = Temporary(backend, self._folder, run.id)
        runner = Runner(
            run.id,
            backend,
            self._journal,
            policy,
            offload=offload_to_thread,
            on_result=on_result,
            store=temporary.place,
            purse=purse,
        )
        self._runners[run.id] = runner  # from here on a cancel reaches it, though its clock has not started
        if self._paused:
            runner.pause()
        pricing = pricing_of(run.choice, plan, job.workload.limits(job.params))
        steps = job.workload.job(job.params, job.data)
        lag = LagMeter()
        self._journal.write(Phase(""))
        self._journal.write(
            RunStarted(
                run=run.id,
                started=datetime.now(UTC).isoformat(timespec="milliseconds"),
                setup_s=None if setup_s is None else round(setup_s, 6),
                settings=dict(backend.settings),
                transport=backend.transport,
                oversubscribed=backend.oversubscribed,
                code_digest=code_digest(job.description.code),
                package_digest=backend.package_digest,
                pricing=pricing,
                notes=notes,
                data=job.info,
                capacity=backend.capacity,
            )
        )
        self._journal.flush()
        await asyncio.to_thread(gc.collect)  # and the job's thread is there before the clock starts
        gc.freeze()  # what is there already is not walked again while the run is measured
        sampling = asyncio.get_running_loop().create_task(self._sample(run.id, runner))
        cpu_s = time.process_time()
        lag.start()
        zero_s = runner.start_clock()
        self._intervals[run.id] = (zero_s, None)
        status: RunStatus = "failed"
        error: str | None = "the engine failed: see engine.log"  # unless one of the following is the case
        answer: Any = None
        try:
            answer = await runner.run(steps)
            status, error = "ok", None
        except RunCancelled:
            status, error = "cancelled", None
        except asyncio.CancelledError:  # the engine ends and cannot wait for the job's own code
            status, error = "cancelled", None
            raise
        except OverBudget as stopped:
            status, error = "over_budget", str(stopped)
            self._broken.add(run.choice.label)
        except LbenchError as failure:
            error = str(failure)
            if isinstance(failure, RunFailed):
                self._broken.add(run.choice.label)
        finally:
            elapsed_s = runner.elapsed_s
            cpu_s = time.process_time() - cpu_s
            lag.stop()
            sampling.cancel()
            if previews is not None:
                previews.close()
            del self._runners[run.id]
            gc.unfreeze()
            self._intervals[run.id] = (zero_s, zero_s + elapsed_s)
            for info in backend.environments():
                self._journal.write(EnvironmentSeen(run.id, relative(info, zero_s)))
            try:
                if (left := await temporary.clear()) is not None:
                    self._journal.write(Warned("left", left, run.id))
            finally:
                if purse is not None:
                    purse.count_own()
                self._journal.write(
                    RunEnded(
                        run=run.id,
                        status=status,
                        makespan_s=elapsed_s if status == "ok" else None,
                        driver=Driver(
                            cpu_s=round(cpu_s, 6),
                            encode_s=round(runner.steps.encode_s, 6),
                            decode_s=round(runner.steps.decode_s, 6),
                            merge_s=round(runner.steps.merge_s, 6),
                            loop_lag_p99_ms=lag.quantile_ms(0.99),
                            loop_lag_max_ms=lag.quantile_ms(1.0),
                        ),
                        error=error,
                        s3_put=backend.own_s3.pop("put", 0),
                        s3_get=backend.own_s3.pop("get", 0),
                        s3_bytes=backend.own_s3.pop("bytes", 0),
                        overlaps=self._overlapping(run.id, zero_s),
                    )
                )
            await self._journal.sync()
        return answer

    def _open_previews(self, job: _Job, run_id: str) -> Previews | None:
        """The growing preview, where somebody wants to look and there is something to see."""
        drawn = job.workload.previewer(job.params, job.data) if job.plan.preview else None
        return None if drawn is None else Previews(self._folder, self._journal, run_id, drawn)

    def _overlapping(self, run_id: str, zero_s: float) -> list[str]:
        """The runs that were under way at some time of this one (known at its end; theirs name it too)."""
        return [
            other
            for other, (_, end_s) in self._intervals.items()
            if other != run_id and (end_s is None or end_s > zero_s)
        ]

    async def _sample(self, run_id: str, runner: Runner) -> None:
        with Sampler() as sampler:
            while True:
                self._journal.write(Sampled(run_id, sampler.read(runner.elapsed_s)))
                await asyncio.sleep(_SAMPLE_S)

    # -- after the runs

    async def _audit(self) -> None:
        """Replace estimates of what was billed by what AWS's log says."""
        from lbench.engine.audit import audit

        self._journal.write(Phase("reading AWS's log"))
        await self._journal.sync()
        view = fold(await asyncio.to_thread(lambda: list(read_events(self._folder / JOURNAL_NAME))))
        try:
            result = await audit(view.runs.values(), self._journal.write)
        except LbenchError as error:
            self._journal.write(Warned("audit", f"the audit could not be made, estimates stay: {error}"))
            return
        if result.found < result.wanted:
            told = f"the log tells {result.found} of {result.wanted} invocations: the others stay estimates"
            self._journal.write(Warned("audit", told))
        await self._journal.sync()

    # -- after a run

    async def _check(self, job: _Job, run: _Planned, encoded: bytes) -> Verdict:
        self._journal.write(Phase(f"checking the answer of {run.choice.label}"))
        request = Request(
            workload=job.plan.workload,
            params=settable(job.params),
            tasks=job.params.tasks,
            seed=job.params.seed,
            data=None if job.published is None else str(job.published.path),
            data_digest=None if job.published is None else job.published.digest,
            versions=code_digest(job.description.code),
            cache=str(cache_folder("references")),
            picture=None if self._pictured else job.plan.picture,
        )
        self._pictured = True
        return await checking.ask(request, encoded, self._folder, lambda: self._cancelled)


def _apart(groups: list[list[_Planned]]) -> tuple[list[list[_Planned]], list[list[_Planned]]]:
    """Those that share this machine's cores, and those that do not."""
    here = [group for group in groups if catalog.shares_machine(group[0].choice.name)]
    return here, [group for group in groups if group not in here]


def relative(info: EnvironmentInfo, zero_s: float) -> LambdaEnvironment:
    """An environment as the journal tells it: its moments in seconds since a run's zero (on the loop's clock)."""

    def since(moment_s: float | None) -> float | None:
        return None if moment_s is None else round(moment_s - zero_s, 6)

    return LambdaEnvironment(
        id=info.id,
        created_s=since(info.created_s),
        ended_s=since(info.ended_s),
        init_ms=info.init_ms,
        cpu_model=info.cpu_model,
        memory_mb=info.memory_mb,
        cpu_share_method=info.cpu_share_method,
        clock_offset_s=info.clock_offset_s,
        clock_bound_s=info.clock_bound_s,
    )
