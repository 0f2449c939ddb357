"""The attempts of a run: each is recorded, invoked within its deadline, paid for and recorded again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from lbench.engine.backends.base import Backend, Call, Failure, LooksAhead, Outcome
from lbench.engine.journal.events import Dispatched, Returned
from lbench.engine.journal.writer import Sink
from lbench.engine.model import ErrorInfo, InvocationStatus
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.batches import tasks_in
from lbench.engine.runner.failure_text import user_call
from lbench.engine.runner.hedging import Stragglers
from lbench.engine.runner.retry import Pending

__all__ = ["Attempts"]


class Attempts:
    """The attempts of a run: their numbers, their clock, and the environments that they reached."""

    def __init__(
        self,
        run_id: str,
        backend: Backend,
        sink: Sink,
        policy: Policy,
        detached: set[asyncio.Task[Outcome]] | None = None,
    ) -> None:
        """`detached` holds the calls that run on after a cancel, until they end; None: every cancel stops its call."""
        self.environments: set[str] = set()
        self._new: set[str] | None = None  # those whose first call was one of these; None: no outcome tells
        self._detached = detached
        self._run_id = run_id
        self._backend = backend
        self._sink = sink
        self._deadline_s = policy.timeout_s
        self._patience_s = policy.timeout_s + backend.start_allowance_s
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()
        self._next_n = 0
        self._keeps_deadlines = isinstance(backend, LooksAhead)

    @property
    def cold(self) -> bool | None:
        """Whether all environments that were reached were new; None: the backend does not tell."""
        return None if self._new is None else self._new == self.environments

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's clock started."""
        return self._loop.time() - self._zero_s

    def start_clock(self, at_s: float | None = None) -> float:
        """Set the run's zero to now, or to `at_s` on the loop's clock, and return it."""
        self._zero_s = self._loop.time() if at_s is None else at_s
        return self._zero_s

    @property
    def interactive(self) -> bool:
        """Whether a cancel makes room for a newer call."""
        return self._detached is not None

    async def make(
        self,
        pending: Pending,
        stage: int,
        stragglers: Stragglers | None,
        freed: Callable[[], None] | None = None,
        *,
        deferred: bool = False,
        may_wait: bool = False,
    ) -> tuple[Outcome, float] | None:
        """Make one attempt; returns its outcome and its duration in seconds. `pending.hold` is settled with its cost.

        A deferred one is an attempt from the moment on at which it has an environment for itself. None is returned if that
        never came, as the environment where it waited has ended: nothing is recorded.

        Args:
            pending: the task.
            stage: the stage's number.
            stragglers: watches the attempts under way.
            freed: called once there is a result, before it is recorded: the next call goes out while this one is recorded.
            deferred: whether the backend tells when the attempt begins (`LooksAhead`).
            may_wait: whether it may wait in an environment behind another.

        Raises:
            Exception: whatever a backend raises that has broken down.
        """
        made_s = self._loop.time()
        begun: list[tuple[Dispatched, float]] = []  # with the moment on the loop's clock; empty: it has not begun

        def begin(at_s: float) -> None:
            at_s = max(at_s, made_s)
            dispatched = self._begin(pending, stage, at_s)
            begun.append((dispatched, at_s))
            if stragglers is not None:
                stragglers.began(dispatched.n, pending, at_s)

        def placed(environment: str) -> None:
            begun[0][0].environment = environment
            self.environments.add(environment)

        call = self._call(pending, stage, placed, begin if deferred else None, may_wait)
        if not deferred:
            begin(made_s)
            call.number = begun[0][0].n
        hold, pending.hold = pending.hold, None
        if hold is not None:
            call.may_fetch = hold.may_fetch
        if stragglers is not None:
            call.arrived = partial(stragglers.ended, call.number)  # from then on a duplicate would gain nothing
        paid: Outcome | None = None  # the outcome that tells the cost; None: the worst case counts
        try:
            outcome = paid = await self._carry_out(call, pending, freed)
            if not begun:
                return None
        except asyncio.CancelledError:
            for dispatched, _ in begun:
                if call.detached is None:
                    self._record_cancelled(dispatched.n, dispatched.environment, late=pending.done)
                else:
                    ended = partial(self._detached_ended, dispatched.n, dispatched.environment)
                    call.detached.add_done_callback(ended)
            raise
        except Exception as error:  # the backend has broken down: the record still gets an end for each beginning
            for dispatched, _ in begun:
                self._record(dispatched.n, dispatched.environment, _broken(error), late=False)
            raise
        finally:
            for dispatched, _ in begun:
                pending.in_flight.discard(dispatched.n)
                if stragglers is not None:
                    stragglers.ended(dispatched.n)
            if hold is not None and call.detached is not None:
                call.detached.add_done_callback(lambda work: hold.settle(_outcome_of(work)))  # it may still be cheap
            elif hold is not None:
                hold.settle(paid)
        ((dispatched, began_s),) = begun
        self._record(dispatched.n, dispatched.environment, outcome, late=pending.done)
        return outcome, (self._loop.time() if outcome.returned_s is None else outcome.returned_s) - began_s

    def _call(
        self,
        pending: Pending,
        stage: int,
        placed: Callable[[str], None],
        begin: Callable[[float], None] | None,
        may_wait: bool,
    ) -> Call:
        return Call(
            task=pending.encoded,
            stage=stage,
            index=pending.index,
            attempt=pending.attempts,
            deadline_s=self._deadline_s,
            placed=placed,
            run=self._run_id,
            number=-1,  # until it begins
            interactive=self.interactive,
            begin=begin,
            may_wait=may_wait,
        )

    async def _carry_out(self, call: Call, pending: Pending, freed: Callable[[], None] | None) -> Outcome:
        """Invoke, and add to the outcome what only the driver knows: the batch, and the user's call that failed."""
        outcome = await self._invoke(call)
        outcome.batch = tasks_in(pending.task)
        if outcome.failure is not None:
            if (text := user_call(pending.task)) is not None:
                outcome.failure.log_tail = f"{text}\n{outcome.failure.log_tail or ''}"
        elif freed is not None:
            freed()
            with contextlib.suppress(asyncio.CancelledError):  # too late: it has its result
                await asyncio.sleep(0)
        return outcome

    def _begin(self, pending: Pending, stage: int, at_s: float) -> Dispatched:
        """Number an attempt and record that it begins."""
        n, self._next_n = self._next_n, self._next_n + 1
        attempt, pending.attempts = pending.attempts, pending.attempts + 1
        hedge_of, pending.hedge_of = pending.hedge_of, None
        pending.in_flight.add(n)
        dispatched = Dispatched(
            run=self._run_id,
            n=n,
            stage=stage,
            task=pending.index,
            attempt=attempt,
            queued_s=pending.queued_s,
            dispatched_s=at_s - self._zero_s,
            hedge_of=hedge_of,
        )
        self._sink.write(dispatched)
        return dispatched

    async def _invoke(self, call: Call) -> Outcome:
        try:
            if self._keeps_deadlines:
                return await self._backend.invoke(call)
            async with asyncio.timeout(self._patience_s) as call.limit:
                if self._detached is None or self._backend.on_cancel == "stop":
                    return await self._backend.invoke(call)
                return await self._invoke_detachable(call, self._detached)
        except TimeoutError:
            message = f"no result within the deadline of {self._deadline_s:g} s"
            return Outcome(failure=Failure("timeout", "DeadlineExceeded", message, retriable=True))

    async def _invoke_detachable(self, call: Call, detached: set[asyncio.Task[Outcome]]) -> Outcome:
        """Invoke; a cancel leaves the call running. AWS bills a function that was started, whatever its caller does."""
        work = self._loop.create_task(self._backend.invoke(call))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            detached.add(work)
            work.add_done_callback(detached.discard)
            call.detached = work  # also if it has just ended: it is billed all the same
            raise

    def _detached_ended(self, n: int, placed: str | None, work: asyncio.Task[Outcome]) -> None:
        """Record the end of a call that ran on after its cancel."""
        if work.cancelled():
            self._record_cancelled(n, placed, late=False)
        else:
            error = work.exception()
            self._record(n, placed, work.result() if error is None else _broken(error), late=True)

    def _record_cancelled(self, n: int, placed: str | None, *, late: bool) -> None:
        """Record the end of a stopped call, of which nothing more is known."""
        status: InvocationStatus = "superseded" if late else "cancelled"
        self._sink.write(Returned(self._run_id, n, status, self.elapsed_s, environment=placed))

    def _record(self, n: int, placed: str | None, outcome: Outcome, *, late: bool) -> None:
        """Record the end of an attempt. `late`: the task had a result already, so an answer is superseded."""
        failure = outcome.failure
        put, get = outcome.s3_requests.get("put", 0), outcome.s3_requests.get("get", 0)
        if outcome.environment is not None:
            self.environments.add(outcome.environment)
            if outcome.cold is not None:
                self._new = self._new or set()
                if outcome.cold:
                    self._new.add(outcome.environment)
        zero_s = self._zero_s
        self._sink.write(
            Returned(
                run=self._run_id,
                n=n,
                status=_status(outcome, late),
                returned_s=(self._loop.time() if outcome.returned_s is None else outcome.returned_s) - zero_s,
                environment=outcome.environment or placed,
                cold=outcome.cold,
                started_s=None if outcome.started_s is None else outcome.started_s - zero_s,
                finished_s=None if outcome.finished_s is None else outcome.finished_s - zero_s,
                s3_put=put,
                s3_get=get,
                s3_bytes=outcome.s3_bytes,
                request_id=outcome.request_id,
                log_tail=failure.log_tail if failure else None,
                error=(ErrorInfo(failure.type, failure.message, failure.retriable, failure.unrun) if failure else None),
                **outcome.measures(),
            )
        )


def _broken(error: BaseException) -> Outcome:
    return Outcome(failure=Failure("error", type(error).__name__, str(error), retriable=False))


def _outcome_of(work: asyncio.Task[Outcome]) -> Outcome | None:
    return None if work.cancelled() or work.exception() is not None else work.result()


def _status(outcome: Outcome, late: bool) -> InvocationStatus:
    if outcome.discarded:
        return "superseded"
    if outcome.failure is not None:
        return outcome.failure.kind
    return "superseded" if late else "ok"
