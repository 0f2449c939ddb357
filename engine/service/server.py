"""The engine of one session: its lock, journal and socket, and the plans that it carries out on command."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket as sockets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from lbench._version import __version__
from lbench.config.limits import NO_TEMPORARY, TOO_MANY_PROCESSES, no_more_processes, no_temporary
from lbench.engine.explore.explorer import Explorer
from lbench.engine.journal.events import JOURNAL_VERSION, SessionEnded, SessionStarted, Warned
from lbench.engine.journal.lock import FolderLock
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.fingerprint import fingerprint
from lbench.engine.measure.conductor import Conductor
from lbench.engine.measure.run_store import sweep_objects
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.validate import validate
from lbench.engine.service.control import Command, ControlServer
from lbench.engine.service.discovery import ENGINE_FILE, ENGINE_LOG, EngineFile, socket_path, sweep_sockets
from lbench.errors import InputError, LbenchError

__all__ = ["Service"]

_PATIENCE_S = 15.0  # for backends to close, while the launcher waits
_ORPHAN_PATIENCE_S = 2.0  # without a launcher: nothing may be left after 3 s


class Service:
    """Serves a session folder until it is stopped, or its last plan is done."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name or folder.name
        self.socket = socket_path(folder, os.getpid())
        self._stopping: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._work: asyncio.Task[None] | None = None
        self._complete = True
        self._last = False  # no other plan will come
        self._orphaned = False
        self._planned = False  # a plan was begun
        self._explorer: Explorer | None = None

    async def start(self) -> None:
        """Take the folder and listen.

        Raises:
            InputError: the folder cannot be written, or another engine holds it.
        """
        self._lock = FolderLock(self._folder)
        sweep_sockets()
        sweep_objects()
        self._journal = Journal(self._folder, on_trouble=self._disk_trouble)
        self._conductor = Conductor(self._folder, self._journal)
        self._journal.write(
            SessionStarted(
                id=self._folder.name,
                name=self._name,
                created=datetime.now(UTC).isoformat(timespec="milliseconds"),
                lbench_version=__version__,
                environment=fingerprint(),
                format="lbench.journal",
                version=JOURNAL_VERSION,
            )
        )
        self._control = ControlServer(self.socket, self._journal, self._execute)
        await self._control.start()
        where = EngineFile(str(self.socket), sockets.gethostname(), os.getpid())
        (self._folder / ENGINE_FILE).write_bytes(msgspec.json.encode(where))

    async def serve(self) -> bool:
        """Serve until the end, then close the journal and everything that was started.

        Returns False if something does not end, such as a thread in a job's own code: it ends with this process.
        """
        try:
            reason = await self._stopping
            ended = await self._end_work()
            self._journal.write(SessionEnded(complete=self._complete, reason=reason))
            await self._journal.sync()
            await self._control.close()
            return ended
        finally:
            self._journal.close()
            (self._folder / ENGINE_FILE).unlink(missing_ok=True)
            if self._orphaned and self._is_empty():
                shutil.rmtree(self._folder, ignore_errors=True)
            self._lock.release()

    def _is_empty(self) -> bool:
        """Whether there is nothing to keep: Explore was left before its first update began, and nothing went wrong."""
        explored = self._explorer is not None and self._explorer.begun
        log = self._folder / ENGINE_LOG
        return not self._planned and not explored and (not log.exists() or log.stat().st_size == 0)

    def stop(self, reason: str | None) -> None:
        """End the session at once and keep what was measured. `reason` is None when everything is done."""
        if self._explorer is not None:
            reason = None  # the only way in which an interactive session ends
            self._explorer.stop()
        if not self._stopping.done():
            self._stopping.set_result(reason)
            self._complete = self._complete and (reason is None or (self._work is not None and self._work.done()))
        self._conductor.cancel()

    def launcher_gone(self, on_hangup: str) -> None:
        """Act on the end of the launcher, whose end of the lifeline is closed."""
        self._orphaned = True
        nothing_to_finish = self._work is None or self._work.done() or self._explorer is not None
        if on_hangup == "stop" or self._stopping.done() or nothing_to_finish:
            self.stop("the launching process exited")
            if self._work is not None:
                asyncio.get_running_loop().call_later(_ORPHAN_PATIENCE_S, self._work.cancel)

    async def _end_work(self) -> bool:
        if self._work is None:
            return True
        done, _ = await asyncio.wait({self._work}, timeout=_PATIENCE_S)
        if not done:
            self._work.cancel()
            await asyncio.wait({self._work}, timeout=0.25)
        return bool(done) and not self._work.cancelled()

    # -- commands

    async def _execute(self, command: Command) -> None:
        match command.command:
            case "start":
                self._start_plan(command)
            case "pause" | "resume":
                self._conductor.pause(command.command == "pause")
            case "explore":
                self._explore(command)
            case "cancel" if self._explorer is not None:
                self._explorer.cancel()
            case "cancel":
                if self._work is not None and not self._work.done():
                    self._conductor.cancel()
            case "end":
                self._last = True
                if self._work is None or self._work.done():
                    self.stop(None)
            case "stop":
                self.stop("stopped on request")
            case other:
                raise InputError(f"unknown command {other!r}")

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._work is not None and not self._work.done():
            raise InputError("a plan is running: cancel it first")
        if self._stopping.done():
            raise InputError("this engine is ending: start another")
        self._work = asyncio.get_running_loop().create_task(work())
        self._work.add_done_callback(_log_failure)

    def _start_plan(self, command: Command) -> None:
        plan = _plan(command.plan)
        self._planned = True
        self._begin(lambda: self._carry_out(plan, command.last))

    def _explore(self, command: Command) -> None:
        """Take an update or a scripted sequence; the first one begins an interactive session, which lasts until the end."""
        plans = [_plan(fields) for fields in ([command.plan] if command.plans is None else command.plans)]
        if any(len(plan.backends) != 1 for plan in plans):
            raise InputError("an interaction must have one backend: send one interaction for each")
        if self._explorer is None or (self._work is not None and self._work.done()):
            explorer = Explorer(self._folder, self._journal)
            self._begin(explorer.work)
            self._explorer = explorer
        if command.plans is None:
            self._explorer.update(plans[0], command.generation)
        else:
            self._explorer.script(plans, command.generation)

    async def _carry_out(self, plan: Plan, last: bool) -> None:
        reason: str | None = "the engine failed: see engine.log"  # unless a line below replaces it
        try:
            reason = None if await self._conductor.carry_out(plan) else "cancelled"
        except asyncio.CancelledError:
            reason = "cancelled"
            raise
        except (LbenchError, OSError, RuntimeError) as error:
            if no_more_processes(error):
                reason = TOO_MANY_PROCESSES
            elif no_temporary(error):
                reason = NO_TEMPORARY
            elif isinstance(error, RuntimeError):
                raise
            else:
                reason = str(error)
            self._journal.write(Warned("failed", reason))
        finally:
            self._complete = self._complete and reason is None
            self._journal.flush()
            if last or self._last or self._orphaned:
                self.stop(reason)

    def _disk_trouble(self, error: OSError | None) -> None:
        if error is None:
            self._journal.write(Warned("disk", "the journal can be written again: nothing was lost"))
        else:
            self._journal.write(
                Warned(
                    "disk",
                    f"the journal cannot be written ({error.strerror}): the run goes on in memory; export it elsewhere "
                    "before closing, with -o",
                )
            )


def _plan(fields: dict[str, Any] | None) -> Plan:
    try:
        plan = msgspec.convert(fields, Plan)
    except msgspec.ValidationError as error:
        raise InputError(f"invalid plan: {error}") from None
    validate(plan)
    return plan


def _log_failure(work: asyncio.Task[None]) -> None:
    """Log an unexpected error at once, not when the task happens to be collected."""
    if not work.cancelled() and (error := work.exception()) is not None:
        work.get_loop().call_exception_handler({"message": "a plan failed", "exception": error, "task": work})
