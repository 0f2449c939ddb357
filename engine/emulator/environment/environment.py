"""One execution environment: its process, its Runtime API, its temporary folder; one invocation at a time.

Its life: an init (repeated once within the first invocation's time when it fails), then invocations, frozen in
between, until its process ends.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lbench.engine.deadline import Deadline
from lbench.engine.emulator.core.context import Shared
from lbench.engine.emulator.core.invocation import Invocation
from lbench.engine.emulator.core.log import Report, ended
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.environment import failures as endings
from lbench.engine.emulator.environment.failures import Ending
from lbench.engine.emulator.environment.init import Init
from lbench.engine.emulator.environment.process import Process, variables
from lbench.engine.emulator.environment.runtime_api import OK, RuntimeApi, headers_of
from lbench.engine.emulator.http.server import Exchange

__all__ = ["Environment"]

# Lambda freezes at once. Here an invocation that follows within this time finds the process running, which saves two
# signals and their context switches. Background threads run on for this long.
FREEZE_AFTER_S = 0.002
_QUICK_S = 0.002  # after a shorter invocation, memory that was read within _FRESH_S is not read again
_FRESH_S = 0.1


class Environment:
    """Creation starts it; `assign` gives it work; `stop` ends it.

    `released` is called when it can take the next invocation; `ended` (once) after its process has ended, with
    the invocation that its runtime never received, if there is one. `ending` is called when it has failed an
    invocation and its process is about to end.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        shared: Shared,
        folder: Path,
        *,
        released: Callable[[Environment], None],
        ended: Callable[[Environment, Invocation | None], None],
        finished: Callable[[Invocation], None],
        ending: Callable[[Environment], None],
        trace_id: str | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # The log stream's name, the only name of an environment that a function on Lambda can see.
        version = spec.version
        self.id = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version}]{uuid.uuid4().hex}"
        self.spec = spec
        self.folder = folder
        self.created_s = self._loop.time()
        self.created_epoch_s = time.time()
        self.ended_s: float | None = None
        self.idle_since_s = self.created_s
        self.invocations = 0
        self.retired = False  # its version was replaced or deleted: it ends after the current invocation
        self.slowness = 1.0 if shared.weather is None else shared.weather.slowness()
        self._shared = shared
        self._freeze = shared.config.freeze
        self._released, self._ended, self._finished, self._ending = released, ended, finished, ending
        self._current: Invocation | None = None
        self._answered = True  # whether the current invocation has its answer
        self._last_id = ""  # of the invocation that was answered last
        self.reset = False  # it ended by itself: on Lambda the next one has the same /tmp
        self._init = Init(self.created_s)
        self._next: Exchange | None = None  # the runtime's waiting request for work
        self._deadline = Deadline(self._late)  # of the init or the current invocation
        self._looked_s = 0.0  # when its memory was last read
        self._freezing: asyncio.TimerHandle | None = None
        self._over = False
        self._api = RuntimeApi(self)
        port = self._api.bind()
        self._room = shared.sandbox.open(spec, folder, next(shared.numbers))
        self._environ = variables(
            spec,
            region=shared.config.region,
            api=f"127.0.0.1:{port}",
            stream=self.id,
            code=self._room.code,
            folder=self._room.tmp,
            trace_id=trace_id,
        )
        try:
            self.process = self._begin()
        except OSError:
            self._api.close()
            raise
        self._serving = self._loop.create_task(self._api.serve())
        self._deadline.set(self.created_s + shared.config.init_limit_s)

    @property
    def init_ms(self) -> float | None:
        """The duration of its init; None: not over."""
        return self._init.duration_ms

    def _begin(self) -> Process:
        return Process(self.spec, self._environ, self._exited, self._shared, self._room)

    # -- work
    def assign(self, invocation: Invocation) -> None:
        """Give it an invocation. It must be starting or released."""
        self._current = invocation
        self._answered = False
        if self._next is not None and self.init_ms is not None:
            self._deliver()

    def _deliver(self) -> None:
        invocation, exchange = self._current, self._next
        assert invocation is not None and exchange is not None
        self._next = None
        now_s = self._loop.time()
        # A repeated init has taken part of the invocation's time.
        began_s = self._init.began_s if self._init.again and not self.invocations else now_s
        left_s = began_s + self.spec.timeout_s - now_s
        invocation.delivered_s = began_s
        exchange.reply(200, invocation.event, headers_of(invocation, left_s))
        self.process.held.resume()
        self.invocations += 1
        self._deadline.set(began_s + self.spec.timeout_s)

    def _finish(
        self,
        payload: bytes | bytearray,
        *,
        failed: str | None = None,
        ending: Ending | None = None,
        duration_s: float | None = None,
    ) -> None:
        """Answer the current invocation. `ending`: the environment ended with it, for this reason."""
        invocation = self._current
        assert invocation is not None
        self._answered = True
        self._last_id = invocation.request_id
        self._deadline.clear()
        log = None
        output = self.process.output.take()
        if ending is not None and ending.note and self.spec.system_level is None:
            output = ended(output) + ending.note.encode()
        init_output, init_ms = self._init.report()
        if invocation.wants_tail:
            began_s = self._init.began_s if invocation.delivered_s is None else invocation.delivered_s
            taken_s = self._loop.time() - began_s if duration_s is None else duration_s
            used_mb = self.process.max_memory_mb(within_s=_FRESH_S if taken_s < _QUICK_S else 0.0)
            error_type = None if ending is None else ending.error_type
            report = Report(
                request_id=invocation.request_id,
                duration_ms=taken_s * 1000,
                memory_mb=self.spec.memory_mb,
                max_memory_mb=self.spec.memory_mb if error_type == "Runtime.OutOfMemory" else used_mb,
                init_ms=init_ms,
                status=None if ending is None else ending.status,
                error_type=error_type,
                system_level=self.spec.system_level,
            )
            log = (init_output, output, report)
        self._finished(invocation)
        if ending is not None:
            invocation.ended_in = self.id
            self.reset = True
            if self._over:
                self._ending(self)
        invocation.answer(payload, failed=failed, log=log)

    def _end(self, ending: Ending, duration_s: float | None = None) -> None:
        self._finish(ending.payload, failed="Unhandled", ending=ending, duration_s=duration_s)

    # -- its time
    def _late(self) -> None:
        """Handle a deadline that has passed."""
        self._room.hold(self.process.pid)
        if self.init_ms is None and not self._init.again:
            self._note_init("timeout", None)
            self._deadline.clear()
            self.process.kill()  # and repeated after its end
            return
        invocation = self._current
        assert invocation is not None
        self._over = True  # it gets no more work
        self.process.kill()
        if self.init_ms is None:
            self._note_init("timeout", None)
        # Billed for the timeout exactly.
        self._end(endings.timed_out(invocation.request_id, self.spec.timeout_s), self.spec.timeout_s)

    def _out_of_memory(self, taken_s: float) -> bool:
        """Whether it has exceeded its limit; after a short invocation a recent reading is enough."""
        now_s = self._loop.time()
        if taken_s < _QUICK_S and now_s - self._looked_s < _FRESH_S:
            return False
        self._looked_s = now_s
        return self.process.held.out_of_memory()

    # -- its init
    def _note_init(self, status: str, error_type: str | None) -> None:
        self._init.note_failure(self._loop.time(), self.process.output.take(), status, error_type)

    def _begin_again(self) -> None:
        """Start the second init, within the invocation's time."""
        self._next = None
        self._init.begin_again(self._loop.time())
        self._api.drop_all()
        self.process.close()
        try:
            self.process = self._begin()
        except OSError as problem:
            self._over = True
            self._end(endings.not_started(problem))
            self._gone(None)
            return
        self._deadline.set(self._init.began_s + self.spec.timeout_s)

    def _initialised(self) -> None:
        self._init.done(self._loop.time(), self.process.output.take())
        self._room.hold(self.process.pid)
        self._deadline.clear()
        self.process.held.initialised()
        self.process.max_memory_mb()  # known from now on, in case it crashes

    # -- requests of its process (runtime_api.Served)
    def awaits(self, request_id: str) -> bool:
        return not self._answered and self._current is not None and request_id == self._current.request_id

    def answered(self, request_id: str) -> bool:
        next_one = None if self._answered else self._current
        return request_id == self._last_id and (next_one is None or next_one.delivered_s is None)

    def initialised(self) -> bool:
        return self.init_ms is not None

    def is_own_connection(self, peer_port: int, our_port: int) -> bool:
        return self.process.has_connection(peer_port, our_port)

    def on_next(self, exchange: Exchange) -> None:
        """Handle the runtime's request for work, which ends the init or follows an answer."""
        if self.init_ms is None:
            if self.slowness > 1.0:
                held_s = (self.slowness - 1) * (self._loop.time() - self._init.began_s)
                self._loop.call_later(held_s, self._on_first_next, exchange, self.process)
                return
            self._initialised()
        self._take_next(exchange)

    def _on_first_next(self, exchange: Exchange, process: Process) -> None:
        if process is self.process and not process.ended.done() and not self._over:
            self._initialised()
            self._take_next(exchange)

    def _take_next(self, exchange: Exchange) -> None:
        self._next = exchange
        exchange.on_close = partial(self._forget, exchange)
        if self._current is not None and not self._answered:
            self._deliver()
            return
        if self._current is not None:  # its answer was refused (too large), and it runs on
            self._free()
        self.idle_since_s = self._loop.time()
        if self._freeze and self._freezing is None:
            self._freezing = self._loop.call_later(FREEZE_AFTER_S, self._freeze_if_waiting)

    def _freeze_if_waiting(self) -> None:
        self._freezing = None
        if self._next is None or self._over:
            return
        left_s = self.idle_since_s + FREEZE_AFTER_S - self._loop.time()
        if left_s > 0.0002:  # it has had an invocation meanwhile
            self._freezing = self._loop.call_later(left_s, self._freeze_if_waiting)
        else:
            self.process.held.pause()

    def _forget(self, exchange: Exchange) -> None:
        if self._next is exchange:
            self._next = None

    def on_response(self, exchange: Exchange) -> None:
        """Take the result, after a delay in a slow environment."""
        self._after_slowness(partial(self._respond, exchange))

    def on_error(self, exchange: Exchange, failed: str) -> None:
        self._after_slowness(partial(self._respond, exchange, failed))

    def _after_slowness(self, then: Callable[[], None]) -> None:
        if self.slowness == 1.0:
            then()
            return
        invocation = self._current
        assert invocation is not None and invocation.delivered_s is not None
        held_s = (self.slowness - 1) * (self._loop.time() - invocation.delivered_s)
        self._loop.call_later(held_s, lambda: then() if self.awaits(invocation.request_id) else None)

    def _respond(self, exchange: Exchange, failed: str | None = None) -> None:
        invocation = self._current
        assert invocation is not None and invocation.delivered_s is not None
        if exchange.too_large:
            exchange.reply(
                413,
                b'{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).",'
                b'"errorType":"RequestEntityTooLarge"}',
            )
            self._end(endings.TOO_LARGE)
            return  # the runtime ends by itself; the environment is free again only if it asks for work
        if self._out_of_memory(self._loop.time() - invocation.delivered_s):
            self._over = True
            self.process.kill()
            self._end(endings.out_of_memory(invocation.request_id))
            return
        self._finish(exchange.body, failed=failed)
        exchange.reply(202, OK)
        self._free()

    def _free(self) -> None:
        """Become free: the next invocation may come before the runtime asks for it."""
        self._current = None
        if self.retired:
            self.stop()
        elif not self._over:
            self._released(self)

    def on_init_error(self, exchange: Exchange) -> None:
        """Record the reason; the process ends by itself."""
        self._init.report_failure(exchange.body)
        self._room.hold(self.process.pid)
        self.process.max_memory_mb()  # while it is there
        exchange.reply(202, OK)

    # -- the end
    def _exited(self, code: int) -> None:
        invocation = self._current
        waiting = invocation is not None and not self._answered
        unseen = None
        if waiting and self.init_ms is None and not self._init.again and not self._over:
            if self._deadline:  # else it was killed at the limit, which has been noted
                kind = self._init.failure[0] if self._init.failure else "Runtime.ExitError"
                self._note_init("error", "Runtime.OutOfMemory" if self.process.held.out_of_memory() else kind)
            self._begin_again()
            return
        self._over = True
        if waiting:
            assert invocation is not None
            if invocation.delivered_s is None and self.init_ms is not None:
                unseen = invocation  # assigned between two requests of a runtime that ended before the second
            else:
                self._fail(invocation, code)
        self._gone(unseen)

    def _fail(self, invocation: Invocation, code: int) -> None:
        """Fail the invocation: its process has ended."""
        if self.process.held.out_of_memory():
            self._end(endings.out_of_memory(invocation.request_id))
            return
        if self._init.failure is not None:
            ending = endings.init_failed(*self._init.failure)
        else:
            ending = endings.exited(invocation.request_id, code)
        if self.init_ms is None:
            self._note_init("error", ending.error_type)
        self._end(ending)

    def _gone(self, unseen: Invocation | None) -> None:
        self._deadline.close()
        if self._freezing is not None:
            self._freezing.cancel()
        self._api.abort()
        self.ended_s = self._loop.time()
        self.process.close()
        self._ended(self, unseen)

    def retire(self) -> None:
        """End it after the current invocation; now where there is none."""
        self.retired = True
        if self._current is None:
            self.stop()

    def stop(self) -> None:
        """Kill it; `ended` is called after its end."""
        self._over = True
        self.process.kill()

    @property
    def state(self) -> str:
        if self.ended_s is not None or self.process.ended.done():
            return "ended"
        if self.init_ms is None:
            return "starting"
        if self._current is not None and not self._answered:
            return "busy"
        return "frozen" if self.process.held.frozen else "idle"

    def describe(self) -> dict[str, Any]:
        """Its entry in the list of environments."""
        return {
            "id": self.id,
            "function": self.spec.name,
            "version": self.spec.version,
            "pid": self.process.pid,
            "state": self.state,
            "created_s": self.created_s,  # CLOCK_MONOTONIC
            "created_epoch_s": self.created_epoch_s,
            "ended_s": self.ended_s,
            "init_ms": self.init_ms,
            "memory_mb": self.spec.memory_mb,
            "max_memory_mb": self.process.max_memory_mb(),
            "cpu_share_method": self._shared.confinement.cpu.method,
            "memory_method": self._shared.confinement.memory.method,
            "slowness": self.slowness,
            "invocations": self.invocations,
        }
