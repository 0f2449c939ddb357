"""One execution environment: a process, its own Runtime API port, its temporary folder; one invocation at a time."""

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
    RESPONSE_LIMIT,
    TOO_LARGE_PAYLOAD,
    Invocation,
    exit_payload,
    task_timed_out,
    timeout_payload,
)
from lbench.engine.emulator.http1 import Exchange, Server
from lbench.engine.emulator.process import Process, variables
from lbench.engine.emulator.report import Report, ended
from lbench.engine.emulator.spec import EmulatorConfig, FunctionSpec

__all__ = ["INIT_LIMIT_S", "Environment"]

INIT_LIMIT_S = 10.0  # AWS: an init that takes longer is begun again under the function's timeout; here it just goes on
# Lambda freezes at once; here an invocation that follows at once finds the process running, which saves two signals
# and two switches of each. What runs on in the background gets this long and no longer.
FREEZE_AFTER_S = 0.002
_HEAD_LIMIT = 2_097_152  # bytes: awslambdaric sends up to 1 MB of X-Ray cause in a header
_RUNTIME = b"/2018-06-01/runtime"
_OK = b'{"status":"OK"}'


class Environment:
    """Created, it starts; `assign` gives it work; `stop` ends it.

    `released` is called when it can take the next invocation, `ended` (once) when its process has gone: with
    the invocation that it never got to see, if there was one.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        config: EmulatorConfig,
        folder: Path,
        *,
        released: Callable[[Environment], None],
        ended: Callable[[Environment, Invocation | None], None],
        finished: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # Its log stream's name, as on Lambda: the one name of an environment that its function can see.
        self.id = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid.uuid4().hex}"
        self.spec = spec
        self.folder = folder
        self.created_s = self._loop.time()
        self.created_epoch_s = time.time()
        self.ended_s: float | None = None
        self.init_ms: float | None = None
        self.invocations = 0
        self._freeze = config.freeze
        self._released, self._ended, self._finished = released, ended, finished
        self._current: Invocation | None = None
        self._answered = True  # whether the current invocation has its answer
        self._told_init = False  # whether the init duration has been reported (and billed) with an invocation
        self._init_output = b""
        self._next: Exchange | None = None  # the runtime's waiting request for work
        self._deadline_s: float | None = None  # of the current invocation, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._waits_since_s = 0.0
        self._freezing: asyncio.TimerHandle | None = None
        self._over = False
        self._server = Server(self._runtime_api, body_limit=RESPONSE_LIMIT, head_limit=_HEAD_LIMIT, keep_headers=False)
        port = self._server.bind()
        environ = variables(spec, region=config.region, api=f"127.0.0.1:{port}", stream=self.id, folder=folder)
        try:
            self.process = Process(spec, environ, self._exited)
        except OSError:
            self._server.close()
            raise
        self._serving = self._loop.create_task(self._server.serve())

    # -- work
    def assign(self, invocation: Invocation) -> None:
        """Give it an invocation; it must be starting or released."""
        self._current = invocation
        self._answered = False
        if self.init_ms is None:
            self._watch(self._loop.time() + INIT_LIMIT_S + self.spec.timeout_s)
        elif self._next is not None:
            self._deliver()

    def _deliver(self) -> None:
        invocation, exchange = self._current, self._next
        assert invocation is not None and exchange is not None
        self._next = None
        headers = (
            f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {int((time.time() + self.spec.timeout_s) * 1000)}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {invocation.arn}\r\n"
        )
        if invocation.client_context is not None:
            headers += f"Lambda-Runtime-Client-Context: {invocation.client_context}\r\n"
        if invocation.trace_id is not None:
            headers += f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
        invocation.delivered_s = self._loop.time()
        exchange.reply(200, invocation.event, headers)
        self.process.thaw()
        self.invocations += 1
        self._watch(invocation.delivered_s + self.spec.timeout_s)

    def _finish(
        self,
        payload: bytes | bytearray,
        *,
        failed: bool = False,
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
            began = self.created_s if invocation.delivered_s is None else invocation.delivered_s
            taken_s = self._loop.time() - began if duration_s is None else duration_s
            report = Report(
                request_id=invocation.request_id,
                duration_ms=taken_s * 1000,
                memory_mb=self.spec.memory_mb,
                max_memory_mb=self.process.max_memory_mb(within_s=0.1 if taken_s < 0.002 else 0.0),
                init_ms=None if self._told_init else self.init_ms,
                status=status,
                error_type=error_type,
            )
            log = (self._init_output, output, report)
        self._init_output = b""
        self._told_init = True
        invocation.answer(payload, failed=failed, log=log)
        self._finished()

    def _watch(self, deadline_s: float) -> None:
        """Set the current invocation's deadline. A timer that is due before it is kept: it will look again."""
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
        else:
            self._timed_out()

    def _timed_out(self) -> None:
        invocation = self._current
        assert invocation is not None
        self._over = True  # no longer to be given work
        self.process.kill()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03d}Z"
        self._finish(
            timeout_payload(invocation.request_id, self.spec.timeout_s),
            failed=True,
            status="timeout",
            duration_s=self.spec.timeout_s,  # billed in full, and no more
            note=f"{moment} {invocation.request_id} {task_timed_out(self.spec.timeout_s)}\n\n",
        )

    # -- the Runtime API
    def _runtime_api(self, exchange: Exchange) -> None:
        path = exchange.path
        if not path.startswith(_RUNTIME):
            exchange.reply(404, b'{"errorMessage":"no such path","errorType":"NotFound"}')
            return
        route = path[len(_RUNTIME) :]
        if route == b"/invocation/next":
            self._on_next(exchange)
        elif route == b"/init/error":
            self._on_init_error(exchange)
        elif route.startswith(b"/invocation/"):
            request_id, _, what = route[len(b"/invocation/") :].decode("latin-1").partition("/")
            if self._answered or self._current is None or request_id != self._current.request_id:
                exchange.reply(400, b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}')
            elif what == "response":
                self._on_response(exchange)
            elif what == "error":
                exchange.reply(202, _OK)
                self._finish(exchange.body, failed=True)
                self._free()
            else:
                exchange.reply(404, b'{"errorMessage":"no such path","errorType":"NotFound"}')
        else:
            exchange.reply(404, b'{"errorMessage":"no such path","errorType":"NotFound"}')

    def _on_next(self, exchange: Exchange) -> None:
        self._next = exchange
        exchange.on_close = partial(self._forget, exchange)
        if self.init_ms is None:
            self.init_ms = (self._loop.time() - self.created_s) * 1000
            self._init_output = self.process.output.take()
            self.process.max_memory_mb()  # known from now on, should it crash
        if self._current is not None and not self._answered:
            self._deliver()
            return
        if self._current is not None:  # its answer was refused (too large) and yet it goes on
            self._free()
        if self._freeze:
            self._waits_since_s = self._loop.time()
            if self._freezing is None:
                self._freezing = self._loop.call_later(FREEZE_AFTER_S, self._freeze_if_waiting)

    def _freeze_if_waiting(self) -> None:
        self._freezing = None
        if self._next is None or self._over:
            return
        left_s = self._waits_since_s + FREEZE_AFTER_S - self._loop.time()
        if left_s > 0.0002:  # it has worked meanwhile
            self._freezing = self._loop.call_later(left_s, self._freeze_if_waiting)
        else:
            self.process.freeze()

    def _forget(self, exchange: Exchange) -> None:
        if self._next is exchange:
            self._next = None

    def _on_response(self, exchange: Exchange) -> None:
        if exchange.too_large:
            exchange.reply(
                413,
                b'{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).",'
                b'"errorType":"RequestEntityTooLarge"}',
            )
            self._finish(TOO_LARGE_PAYLOAD, failed=True, status="error", error_type="Runtime.ExitError")
            return  # the runtime ends by itself now; it is free again only if it asks for work
        self._finish(exchange.body)
        exchange.reply(202, _OK)
        self._free()

    def _free(self) -> None:
        """Take the next invocation: it may come before the runtime has asked for it."""
        self._current = None
        if not self._over:
            self._released(self)

    def _on_init_error(self, exchange: Exchange) -> None:
        self._over = True
        if self._current is not None and not self._answered:
            try:
                kind = str(json.loads(exchange.body)["errorType"])
            except (ValueError, KeyError, TypeError):
                kind = "Runtime.Unknown"
            self._finish(exchange.body, failed=True, status="error", error_type=kind)
        exchange.reply(202, _OK)

    # -- the end
    def _exited(self, code: int) -> None:
        invocation = self._current
        unseen = None
        self._over = True
        if invocation is not None and not self._answered:
            if invocation.delivered_s is None and self.init_ms is not None:
                unseen = invocation  # assigned between two requests of the runtime, which ended before the second
            else:
                payload = exit_payload(invocation.request_id, code)
                message = json.loads(payload)["errorMessage"]
                note = f"{message}\nRuntime.ExitError\n"
                self._finish(payload, failed=True, status="error", error_type="Runtime.ExitError", note=note)
        for timer in (self._timer, self._freezing):
            if timer is not None:
                timer.cancel()
        self._server.abort()
        self.ended_s = self._loop.time()
        self.process.close()
        self._ended(self, unseen)

    def stop(self) -> None:
        """End it; `ended` is called when it has gone."""
        self._over = True
        self.process.kill()

    @property
    def state(self) -> str:
        """One word for what it does."""
        if self.process.ended.done():
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
            "pid": self.process.pid,
            "state": self.state,
            "created_s": self.created_s,  # CLOCK_MONOTONIC
            "created_epoch_s": self.created_epoch_s,
            "ended_s": self.ended_s,
            "init_ms": self.init_ms,
            "memory_mb": self.spec.memory_mb,
            "max_memory_mb": self.process.max_memory_mb(),
            "cpu_share_method": "none",
            "invocations": self.invocations,
        }
