"""Workers of a Dask cluster. A slot is a thread of a worker; a call is pinned to its worker: none is moved or repeated.

Dask pickles between its own parts: the cluster must be one's own. lbench sends and receives bytes in its own encoding.

Dask runs a task again when its worker is lost. A call is bound to its worker process, which refuses calls for another one,
so that no second run goes unseen: the attempt fails, and the runner decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lbench.config.folders import is_file
from lbench.engine.backends.cluster import remote
from lbench.engine.backends.cluster.backend import LostWorker
from lbench.engine.backends.cluster.local_cluster import LocalCluster
from lbench.engine.backends.settings import DaskSettings
from lbench.errors import BackendError, InputError
from lbench.workloads.encoding import encode
from lbench.workloads.textfile import why_no_file

__all__ = ["DaskWorkers", "WorkerFacts", "check_dask", "check_dask_settings", "look_at_cluster"]

_CONNECT_S = 10.0
_LOOK_S = 0.25  # between two looks at which workers there are
_GONE_S = 8.0  # without an answer of the scheduler, after which it is taken for lost
_FIRST_S = 10.0  # for the first worker to join
_NO_WORKERS_S = 30.0  # for a worker to come back when all have gone
_SCHEDULER_GONE = "dask: lost the connection to the scheduler"
_ASK_S = 60.0  # for a worker to import lbench and answer
_SEND_S = 0.001  # between two messages to the scheduler; dask's own 10 ms delay each call of an idle connection


class WorkerFacts(msgspec.Struct, frozen=True):
    """A worker of a cluster, for people."""

    address: str
    threads: int
    memory_bytes: int  # its limit; 0: none
    versions: dict[str, str]
    differing: str  # from the versions here; "" where they are equal


def check_dask(settings: DaskSettings) -> None:
    """Check what can be checked without a connection.

    Raises:
        InputError: dask is not installed, or as `check_dask_settings`.
    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise InputError("dask is not installed: run pip install 'lbench[dask]'") from None
    check_dask_settings(settings)


def check_dask_settings(settings: DaskSettings) -> None:
    """Check the settings alone, as somebody types them.

    Raises:
        InputError: a file is missing or no scheduler's, an address is invalid, or the settings contradict each other.
    """
    if settings.scheduler and settings.scheduler_file:
        raise InputError("dask: give either scheduler= or scheduler_file=, not both")
    for name in ("ca", "cert", "key", "scheduler_file"):
        path = getattr(settings, name)
        if path is not None and not is_file(path):
            raise InputError(f"dask: {name}={path}: {why_no_file(Path(path))}")
    tls = [settings.ca, settings.cert, settings.key]
    if any(tls) and not all(tls):
        raise InputError("dask: ca=, cert= and key= go together")
    try:
        where = settings.address()
    except (OSError, ValueError) as error:
        raise InputError(f"dask: scheduler_file={settings.scheduler_file} is not a scheduler file: {error}") from None
    if where is None:
        if any(tls):
            raise InputError("dask: ca=, cert= and key= are for a scheduler: name it with scheduler=tls://host:8786")
        return
    source = "DASK_SCHEDULER_ADDRESS" if settings.scheduler is None else "scheduler"
    if settings.scheduler_file is not None:
        source = f"scheduler_file={settings.scheduler_file}: its address"
    if not _is_address(where):
        raise InputError(f"dask: {source} must be tls://host:port, got {where!r}")
    if where.startswith("tls://") and not all(tls):
        raise InputError("dask: a tls:// scheduler needs ca=, cert= and key=")
    if where.startswith("tcp://") and all(tls):
        raise InputError(
            f"dask: {source} is {where}, which is not encrypted, so ca=, cert= and key= do not apply: use tls://"
        )
    if where.startswith("tcp://") and not settings.is_on_this_machine:
        raise InputError(
            f"dask: {source} is {where}, which is not encrypted, and anyone who reaches it can run code: "
            "use tls:// with ca=, cert= and key="
        )


def _is_address(text: str) -> bool:
    """Whether it is tls://host:port or tcp://host:port."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("tls", "tcp") and bool(parts.hostname and parts.port) and not parts.path
    except ValueError:  # no such port, or half an IPv6 address
        return False


class DaskWorkers:
    """The workers of a cluster, as `ClusterBackend` uses them."""

    def __init__(self, settings: DaskSettings, *, workers: int = 1) -> None:
        """`workers`: of a local cluster, which is started where no scheduler is named."""
        self._settings = settings
        self._local = LocalCluster(workers) if settings.starts_cluster else None
        self.client: Any = None  # dask's own
        self._watch: asyncio.Task[None] | None = None
        self._process: dict[str, str] = {}  # of each worker's address: the process that answered there
        self._threads: dict[str, int] = {}
        self._may_exit: dict[str, bool] = {}  # whether ending the process stops one call alone, and a nanny replaces it
        self._refused: set[str] = set()
        self._lost: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, list[dict[str, Any]]] = {}  # calls of this turn of the loop, by address
        self.slots: list[str] = []
        self.broken: str | None = None
        self.notes: list[str] = []
        self.facts: list[WorkerFacts] = []
        self.changed: Callable[[], None] = lambda: None

    @property
    def count(self) -> int:
        """Worker processes: each may have several threads."""
        return len(self._threads)

    async def open(self) -> None:
        """Connect to the cluster, or start one.

        Raises:
            BackendError: it cannot be reached, has no workers, or their versions differ.
        """
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it writes tracebacks of lost connections
        try:
            await self._connect()
            await self._first_workers()
        except BaseException:
            await self.close()
            raise
        self._watch = asyncio.create_task(self._watching(), name="dask workers")

    async def _first_workers(self) -> None:
        """Wait for a worker: those of a batch system start after the scheduler."""
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + _FIRST_S
        while True:
            await self._look(strict=True)
            if self.slots:
                return
            if loop.time() > limit_s:
                raise BackendError("dask: the cluster has no workers: start one with `dask worker`")
            await asyncio.sleep(_LOOK_S)

    async def _connect(self) -> None:
        from distributed import Client, Security

        settings = self._settings
        if self._local is not None:
            where, tls = await self._local.start()
            self.notes = [f"a cluster of {self._local.workers} Dask workers on this machine, started for this run"]
        else:
            where, tls = str(settings.address()), {"ca": settings.ca, "cert": settings.cert, "key": settings.key}
            self.notes = [f"Dask scheduler {where}"]
        security = None
        if where.startswith("tls://"):
            security = Security(
                tls_ca_file=tls["ca"], tls_client_cert=tls["cert"], tls_client_key=tls["key"], require_encryption=True
            )
        try:
            async with asyncio.timeout(_CONNECT_S + 2):
                self.client = await Client(
                    where, security=security, asynchronous=True, timeout=_CONNECT_S, set_as_default=False, name="lbench"
                )  # fmt: skip
        except Exception as error:
            raise BackendError(f"dask: cannot connect to {where}: {_short(error)}") from None
        comm: Any = getattr(self.client, "scheduler_comm", None)
        if hasattr(comm, "interval"):
            comm.interval = _SEND_S

    async def close(self) -> None:
        """Disconnect; a local cluster is stopped."""
        watch, self._watch = self._watch, None
        while watch is not None and not watch.done():
            watch.cancel()  # once may not be enough: dask turns a cancellation into an error of its connection
            await asyncio.wait({watch}, timeout=1)
        client, self.client = self.client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await _within(5, client.close(timeout=2))
        if self._local is not None:
            await self._local.stop()

    # -- which workers there are

    async def _look(self, *, strict: bool = False) -> None:
        """Take up which workers there are, and note which calls have lost theirs.

        Raises:
            BackendError: `strict`, and a worker cannot be used.
        """
        info = await _within(_GONE_S, self.client.scheduler.identity(n_workers=-1))
        workers: dict[str, Any] = info["workers"]
        for address in [one for one in self._process if one not in workers]:
            del self._process[address]
            self._threads.pop(address, None)
        self._take_up(workers)
        for address in [one for one in self._lost if one not in self._process]:
            self._lost.pop(address).set()
        self._refused &= set(workers)
        if new := [one for one in workers if one not in self._process and one not in self._refused]:
            await self._welcome({address: workers[address] for address in new}, strict=strict)
            self._take_up(workers)

    def _take_up(self, workers: dict[str, Any]) -> None:
        before = self.slots
        self.slots = [
            address if not number else f"{address}#{number}"
            for address, facts in workers.items()
            if facts["status"] == "running"  # one whose memory is full is paused, and takes no calls
            for number in range(self._threads.get(address, 0))
        ]
        if self.slots != before:
            self.changed()

    async def _welcome(self, new: dict[str, Any], *, strict: bool) -> None:
        """Ask new workers for their versions; those that differ are not used."""
        try:
            answers = await _within(_ASK_S, self.client.run(remote.hello, workers=list(new), on_error="return"))
        except Exception as error:
            if strict:
                raise BackendError(f"dask: the workers do not answer: {_short(error)}") from None
            return
        ours = remote.versions()
        for address, facts in new.items():
            found = answers.get(address)
            if not isinstance(found, dict):
                line = f"dask: lbench cannot be used on {address}: {_short(found) if found else 'no answer'}"
                self._refuse(address, f"{line}. Install the same lbench there", strict=strict)
                continue
            theirs = found["versions"]
            differing = ", ".join(
                f"{name} {theirs.get(name, 'none')} (here {ours[name]})"
                for name in ours
                if theirs.get(name) != ours[name]
            )
            self.facts.append(
                WorkerFacts(address, int(facts["nthreads"]), int(facts["memory_limit"] or 0), theirs, differing)
            )
            if differing:
                line = f"dask: {address} has {differing}"
                if not self._settings.any_versions:
                    self._refuse(address, f"{line}: make them equal, or pass --any-versions", strict=strict)
                    continue
                self.notes.append(line)
            self._process[address] = found["process"]
            self._threads[address] = int(facts["nthreads"])
            self._may_exit[address] = bool(facts.get("nanny")) and int(facts["nthreads"]) == 1

    def _refuse(self, address: str, line: str, *, strict: bool) -> None:
        if strict:
            raise BackendError(line)
        self._refused.add(address)
        self.notes.append(line)

    def _break(self, why: str) -> None:
        self.broken = why
        for event in self._lost.values():
            event.set()
        self.changed()

    def replaced(self, slot: str) -> None:
        address = slot.partition("#")[0]
        self._process.pop(address, None)
        if self._threads.pop(address, None) is not None:
            self.slots = [one for one in self.slots if one.partition("#")[0] != address]
            self.changed()

    async def _watching(self) -> None:
        answered = manned = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self._look()
                answered = time.monotonic()
            except Exception:
                client = self.client
                if client is None or client.status != "running" or time.monotonic() - answered > _GONE_S - 1:
                    self._break(_SCHEDULER_GONE)
                    return
            if self._threads:
                manned = time.monotonic()
            elif time.monotonic() - manned > _NO_WORKERS_S:
                self._break(f"dask: all workers left the cluster, and none came back within {_NO_WORKERS_S:g} s")
                return

    # -- calls

    async def send(self, slot: str, request: dict[str, Any]) -> bytes:
        address = slot.partition("#")[0]
        if self.broken is not None:
            raise BackendError(self.broken)
        process = self._process.get(address)
        if process is None:
            raise LostWorker(f"dask: the worker {address} has left the cluster")
        lost = self._lost.setdefault(address, asyncio.Event())
        encoded = encode(request | {"process": process, "exit": self._may_exit.get(address, False)})
        future = await self._submit(address, encoded)
        result = asyncio.ensure_future(self.client.gather([future], errors="skip"))
        gone = asyncio.ensure_future(lost.wait())
        try:
            await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
            if result.done() and (answers := result.result()):
                return bytes(answers[0])
        except asyncio.CancelledError:
            if result.cancelled():  # dask's own: the scheduler has dropped the call
                raise self._why(address, "the call was dropped") from None
            raise
        except Exception as error:  # KilledWorker, a lost connection
            raise self._why(address, _short(error)) from None
        finally:
            gone.cancel()
            result.cancel()
            if not future.done():
                with contextlib.suppress(Exception):
                    await _within(5, self.client.cancel([future], force=True))
        raise self._why(address, "the worker was lost")

    def _why(self, address: str, text: str) -> Exception:
        if self.broken is not None or self.client is None or self.client.status != "running":
            return BackendError(self.broken or _SCHEDULER_GONE)
        self.replaced(address)
        return LostWorker(f"dask: {address}: {text}")

    async def _submit(self, address: str, encoded: bytes) -> Any:
        """Submit a call, together with the others for this worker in the same turn of the loop: one message."""
        group = self._waiting.setdefault(address, [])
        entry: dict[str, Any] = {"request": encoded, "future": None}
        group.append(entry)
        await asyncio.sleep(0)
        if entry["future"] is None:
            group = self._waiting.pop(address)
            futures = self.client.map(
                remote.run, [one["request"] for one in group], key="lbench", pure=False, retries=0, workers=[address],
                allow_other_workers=False, fifo_timeout="0 ms",
            )  # fmt: skip
            for one, future in zip(group, futures, strict=True):
                one["future"] = future
        return entry["future"]

    async def stop(self, slot: str, call: str) -> None:
        """Raise in the running task."""
        address = slot.partition("#")[0]
        if self.client is not None and address in self._process and self.broken is None:
            with contextlib.suppress(Exception):
                await _within(5, self.client.run(remote.stop, call, workers=[address]))


@contextlib.asynccontextmanager
async def _connected(settings: DaskSettings) -> AsyncIterator[DaskWorkers]:
    workers = DaskWorkers(settings)
    try:
        await workers.open()
        yield workers
    finally:
        await workers.close()


async def look_at_cluster(settings: DaskSettings) -> list[WorkerFacts]:
    """The workers of a cluster that is there.

    Raises:
        InputError: the settings cannot be used.
        BackendError: it cannot be reached or used.
    """
    check_dask(settings)
    async with _connected(settings) as workers:
        return workers.facts


async def _within(limit_s: float, asked: Awaitable[Any]) -> Any:
    """What dask answers. It may take no notice of being cancelled, so nobody waits for that.

    Raises:
        TimeoutError: there is no answer in that time.
    """
    task = asyncio.ensure_future(asked)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # else Dask reports it as lost
    try:
        done, _ = await asyncio.wait({task}, timeout=limit_s)
    finally:
        task.cancel()
    if not done:
        raise TimeoutError
    return task.result()


def _short(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
