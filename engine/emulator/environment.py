"""One execution environment: its process, its Runtime API, its temporary folder; one invocation at a time.

It lives through an init, which is begun again once under the first invocation's time when it fails, and then through
invocations, frozen in between, until its process ends.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lbench.engine.emulator.answers import (
    TOO_LARGE_PAYLOAD,
    Invocation,
    exit_payload,
    memory_payload,
    task_timed_out,
    timeout_payload,
)
from lbench.engine.emulator.http1 import Exchange
from lbench.engine.emulator.process import Process, variables
from lbench.engine.emulator.report import Report, ended, init_report
from lbench.engine.emulator.runtime_api import OK, RuntimeApi
from lbench.engine.emulator.shared import Shared
from lbench.engine.emulator.spec import FunctionSpec

__all__ = ["Environment"]

# Lambda freezes at once; here an invocation that follows at once finds the process running, which saves two signals
# and two switches of each. What runs on in the background gets this long and no longer.
FREEZE_AFTER_S = 0.002
_QUICK_S = 0.002  # after so short a time, memory that was looked at within _FRESH_S is not looked at again
_FRESH_S = 0.1


class Environment:
    """Created, it starts; `assign` gives it work; `stop` ends it.

    `released` is called when it can take the next invocation, `ended` (once) when its process has gone: with
    the invocation that it never got to see, if there was one.
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
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # Its log stream's name, as on Lambda: the one name of an environment that its function can see.
        version = spec.version
        self.id = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version}]{uuid.uuid4().hex}"
        self.spec = spec
        self.folder = folder
        self.created_s = self._loop.time()
        self.created_epoch_s = time.time()
        self.ended_s: float | None = None
        self.init_ms: float | None = None
        self.idle_since_s = self.created_s
        self.invocations = 0
        self.retired = False  # of a version that is no more: it ends after what it does
        self.slowness = 1.0 if shared.weather is None else shared.weather.slowness()
        self._shared = shared
        self._freeze = shared.config.freeze
        self._released, self._ended, self._finished = released, ended, finished
        self._current: Invocation | None = None
        self._answered = True  # whether the current invocation has its answer
        self._again = False  # whether its init is begun again, in the time of the invocation
        self._init_began_s = self.created_s
        self._init_failure: tuple[str, bytes | bytearray] | None = None  # what the runtime reported: type, payload
        self._told_init = False  # whether the init duration has been reported (and billed) with an invocation
        self._init_output = b""
        self._next: Exchange | None = None  # the runtime's waiting request for work
        self._deadline_s: float | None = None  # of the init or the current invocation, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._looked_s = 0.0  # when its memory was last looked at
        self._freezing: asyncio.TimerHandle | None = None
        self._over = False
        self._api = RuntimeApi(self)
        port = self._api.bind()
        self._environ = variables(
            spec, region=shared.config.region, api=f"127.0.0.1:{port}", stream=self.id, folder=folder
        ) | shared.more_variables(spec, folder)
        try:
            self.process = self._begin()
        except OSError:
            self._api.close()
            raise
        self._serving = self._loop.create_task(self._api.serve())
        self._watch(self.created_s + shared.config.init_limit_s)

    def _begin(self) -> Process:
        return Process(self.spec, self._environ, self._exited, self._shared)

    # -- work
    def assign(self, invocation: Invocation) -> None:
        """Give it an invocation; it must be starting or released."""
        self._current = invocation
        self._answered = False
        if self._next is not None and self.init_ms is not None:
            self._deliver()

    def _deliver(self) -> None:
        invocation, exchange = self._current, self._next
        assert invocation is not None and exchange is not None
        self._next = None
        now_s = self._loop.time()
        # An init that was begun again has taken some of the invocation's time.
        began_s = self._init_began_s if self._again and not self.invocations else now_s
        left_s = began_s + self.spec.timeout_s - now_s
        headers = (
            f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {int((time.time() + left_s) * 1000)}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {invocation.arn}\r\n"
        )
        if invocation.trace_id is not None:
            headers += f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
        if invocation.client_context is not None:
            headers += f"Lambda-Runtime-Client-Context: {invocation.client_context}\r\n"
        if invocation.tenant_id is not None:
            headers += f"Lambda-Runtime-Aws-Tenant-Id: {invocation.tenant_id}\r\n"
        invocation.delivered_s = began_s
        exchange.reply(200, invocation.event, headers)
        self.process.thaw()
        self.invocations += 1
        self._watch(began_s + self.spec.timeout_s)

    def _finish(
        self,
        payload: bytes | bytearray,
        *,
        failed: str | None = None,
        status: Any = None,
        error_type: str | None = None,
        duration_s: float | None = None,
        note: str = "",
    ) -> None:
        """Answer the current invocation. `note`: a line of the platform's own for the log."""
        invocation = self._current
        assert invocation is not None
        self._answered = True
        self._deadline_s = None
        log = None
        output = self.process.output.take()
        if note:
            output = ended(output) + note.encode()
        if invocation.wants_tail:
            began_s = self._init_began_s if invocation.delivered_s is None else invocation.delivered_s
            taken_s = self._loop.time() - began_s if duration_s is None else duration_s
            used_mb = self.process.max_memory_mb(within_s=_FRESH_S if taken_s < _QUICK_S else 0.0)
            report = Report(
                request_id=invocation.request_id,
                duration_ms=taken_s * 1000,
                memory_mb=self.spec.memory_mb,
                max_memory_mb=self.spec.memory_mb if error_type == "Runtime.OutOfMemory" else used_mb,
                init_ms=None if self._told_init else self.init_ms,
                status=status,
                error_type=error_type,
            )
            log = (self._init_output, output, report)
        self._init_output = b""
        self._told_init = True
        self._finished(invocation)
        if status is not None:  # the platform's own failure: its process has ended, or is about to
            invocation.ended_in = self.id
        invocation.answer(payload, failed=failed, log=log)

    # -- its time
    def _watch(self, deadline_s: float) -> None:
        """Set the current deadline. A timer that is due before it is kept: it will look again."""
        self._deadline_s = deadline_s
        if self._timer is not None and self._timer.when() > deadline_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._deadline_s is None:
            return
        if self._loop.time() < self._deadline_s - 0.001:
            self._timer = self._loop.call_at(self._deadline_s, self._look)
        elif self.init_ms is None and not self._again:
            self._note_init("timeout", None)
            self._deadline_s = None
            self.process.kill()  # and begun again when it has ended
        else:
            self._timed_out()

    def _timed_out(self) -> None:
        invocation = self._current
        assert invocation is not None
        self._over = True  # no longer to be given work
        self.process.kill()
        if self.init_ms is None:
            self._note_init("timeout", None)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03d}Z"
        self._finish(
            timeout_payload(invocation.request_id, self.spec.timeout_s),
            failed="Unhandled",
            status="timeout",
            duration_s=self.spec.timeout_s,  # billed in full, and no more
            note=f"{moment} {invocation.request_id} {task_timed_out(self.spec.timeout_s)}\n\n",
        )

    def _out_of_memory(self, taken_s: float) -> bool:
        """Whether it has passed its limit; after a short invocation an answer of a moment ago will do."""
        now_s = self._loop.time()
        if taken_s < _QUICK_S and now_s - self._looked_s < _FRESH_S:
            return False
        self._looked_s = now_s
        return self.process.out_of_memory()

    # -- its init
    def _note_init(self, status: str, error_type: str | None) -> None:
        """Write AWS's line on an init that has failed."""
        taken_s = self._loop.time() - self._init_began_s
        output = ended(self.process.output.take())
        self._init_output += output + init_report(taken_s, "invoke" if self._again else "init", status, error_type)

    def _begin_again(self) -> None:
        """The second init, in the time of the invocation: it is not told apart from it, and not billed apart."""
        self._again = True
        self._told_init = True
        self._init_failure = None
        self._next = None
        self._init_began_s = self._loop.time()
        self._api.drop_all()
        self.process.close()
        try:
            self.process = self._begin()
        except OSError as problem:
            self._over = True
            payload = json.dumps({"errorType": "Runtime.ExitError", "errorMessage": str(problem)}).encode()
            self._finish(payload, failed="Unhandled", status="error", error_type="Runtime.ExitError")
            self._gone(None)
            return
        self._watch(self._init_began_s + self.spec.timeout_s)

    def _initialised(self) -> None:
        self.init_ms = (self._loop.time() - self._init_began_s) * 1000
        self._init_output += self.process.output.take()
        self._deadline_s = None
        self.process.initialised()
        self.process.max_memory_mb()  # known from now on, should it crash

    # -- what its process asks for (runtime_api.Served)
    def awaits(self, request_id: str) -> bool:
        """Whether that invocation is under way and has no answer yet."""
        return not self._answered and self._current is not None and request_id == self._current.request_id

    def on_next(self, exchange: Exchange) -> None:
        """The runtime asks for work: it is initialised, or has finished what it did."""
        if self.init_ms is None:
            if self.slowness > 1.0:
                held_s = (self.slowness - 1) * (self._loop.time() - self._init_began_s)
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
        if self._current is not None:  # its answer was refused (too large) and yet it goes on
            self._free()
        self.idle_since_s = self._loop.time()
        if self._freeze and self._freezing is None:
            self._freezing = self._loop.call_later(FREEZE_AFTER_S, self._freeze_if_waiting)

    def _freeze_if_waiting(self) -> None:
        self._freezing = None
        if self._next is None or self._over:
            return
        left_s = self.idle_since_s + FREEZE_AFTER_S - self._loop.time()
        if left_s > 0.0002:  # it has worked meanwhile
            self._freezing = self._loop.call_later(left_s, self._freeze_if_waiting)
        else:
            self.process.freeze()

    def _forget(self, exchange: Exchange) -> None:
        if self._next is exchange:
            self._next = None

    def on_response(self, exchange: Exchange) -> None:
        """The result; later, where the environment is a slow one."""
        self._after_slowness(partial(self._respond, exchange))

    def on_error(self, exchange: Exchange, failed: str) -> None:
        """The function's own failure."""
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
            self._finish(TOO_LARGE_PAYLOAD, failed="Unhandled", status="error", error_type="Runtime.ExitError")
            return  # the runtime ends by itself now; it is free again only if it asks for work
        if self._out_of_memory(self._loop.time() - invocation.delivered_s):
            self._over = True
            self.process.kill()
            self._fail_for_memory()
            return
        self._finish(exchange.body, failed=failed)
        exchange.reply(202, OK)
        self._free()

    def _free(self) -> None:
        """Take the next invocation: it may come before the runtime has asked for it."""
        self._current = None
        if self.retired:
            self.stop()
        elif not self._over:
            self._released(self)

    def on_init_error(self, exchange: Exchange) -> None:
        """Remember why; the process ends by itself now."""
        try:
            kind = str(json.loads(exchange.body)["errorType"])
        except (ValueError, KeyError, TypeError):
            kind = "Runtime.Unknown"
        self._init_failure = kind, exchange.body
        exchange.reply(202, OK)

    # -- the end
    def _exited(self, code: int) -> None:
        invocation = self._current
        waiting = invocation is not None and not self._answered
        unseen = None
        if waiting and self.init_ms is None and not self._again and not self._over:
            if self._deadline_s is not None:  # else it was killed at the limit, and that has been told
                kind = self._init_failure[0] if self._init_failure else "Runtime.ExitError"
                self._note_init("error", "Runtime.OutOfMemory" if self.process.out_of_memory() else kind)
            self._begin_again()
            return
        self._over = True
        if waiting:
            assert invocation is not None
            if invocation.delivered_s is None and self.init_ms is not None:
                unseen = invocation  # assigned between two requests of the runtime, which ended before the second
            else:
                self._fail(invocation, code)
        self._gone(unseen)

    def _fail(self, invocation: Invocation, code: int) -> None:
        """Its process has ended, and this invocation with it."""
        if self.process.out_of_memory():
            self._fail_for_memory()
            return
        payload: bytes | bytearray
        if self._init_failure is not None:
            kind, payload = self._init_failure
            note = ""
        else:
            kind, payload = "Runtime.ExitError", exit_payload(invocation.request_id, code)
            note = f"{json.loads(payload)['errorMessage']}\n{kind}\n"
        if self.init_ms is None:
            self._note_init("error", kind)
        self._finish(payload, failed="Unhandled", status="error", error_type=kind, note=note)

    def _fail_for_memory(self) -> None:
        assert self._current is not None
        payload = memory_payload(self._current.request_id)
        kind = "Runtime.OutOfMemory"
        note = f"{json.loads(payload)['errorMessage']}\n{kind}\n"
        self._finish(payload, failed="Unhandled", status="error", error_type=kind, note=note)

    def _gone(self, unseen: Invocation | None) -> None:
        for timer in (self._timer, self._freezing):
            if timer is not None:
                timer.cancel()
        self._api.abort()
        self.ended_s = self._loop.time()
        self.process.close()
        self._ended(self, unseen)

    def retire(self) -> None:
        """End it when it has finished what it does; at once when that is nothing."""
        self.retired = True
        if self._current is None:
            self.stop()

    def stop(self) -> None:
        """End it; `ended` is called when it has gone."""
        self._over = True
        self.process.kill()

    @property
    def state(self) -> str:
        """One word for what it does."""
        if self.ended_s is not None or self.process.ended.done():
            return "ended"
        if self.init_ms is None:
            return "starting"
        if self._current is not None and not self._answered:
            return "busy"
        return "frozen" if self.process.frozen else "idle"

    def describe(self) -> dict[str, Any]:
        """What the list of environments tells."""
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
