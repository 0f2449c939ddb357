"""`event`: the call is queued (Invoke's type Event, up to 256 KB), and its answer is an object in S3, a letter.

One LIST of the letters' prefix finds all that have arrived, however many are awaited. A letter that was read is deleted,
which is free, so the listing stays short. The interval adapts between 50 ms and 1 s; each LIST costs as much as a PUT, and
is counted. An environment that ends early (its deadline, a crash) leaves no letter: the driver gives up once the deadline
and the longest start have passed. An on-failure destination would report it sooner, but S3's has a fixed prefix
(aws/lambda/async/), and Lambda accepts it only if the function's role may write and list the whole bucket, packages too.
That is too much for a role that runs anybody's code.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from lbench.config.limits import INLINE_BYTES
from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.invoke_api import InvokeClient
from lbench.engine.backends.base import Outcome, reschedule
from lbench.engine.backends.lambda_.letters import read_letter
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.lambda_.outcomes import read_queued
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.wire import Answer, Event, Object

__all__ = ["EVENT_BYTES", "Letterbox", "Queued"]

EVENT_BYTES = 256_000  # AWS takes 1 MiB, but above 256 KB each 64 KB are charged as another request
_FOLDER = "letters"
_SHORTEST_S, _LONGEST_S = 0.05, 1.0
_PATIENCE = 5  # failed listings in a row (each tried five times), before the calls fail
_ACCEPT_S = 30.0  # for the queue to take an event
_SENT_AT_ONCE = 64  # a connection is busy only until the queue has accepted the event


class Letterbox:
    """Waits for letters. It lists only while one is awaited; `counted({"put": n})` is called with each LIST's requests."""

    def __init__(self, store: ObjectStore, counted: Callable[[dict[str, int]], None]) -> None:
        self._store = store
        self._counted = counted
        self._expected: set[str] = set()  # letters of calls that have not ended, awaited or not
        self._awaited: dict[str, tuple[asyncio.Future[bytes | memoryview], Callable[[], None]]] = {}
        self._in_hand: set[str] = set()  # being read or deleted
        self._looking: asyncio.Task[None] | None = None
        self._fetching: set[asyncio.Task[None]] = set()

    def place(self) -> Object:
        """The place of a new letter. A letter there is kept for its call until `forget`."""
        place = self._store.place("letter", folder=_FOLDER)
        self._expected.add(place.key)
        return place

    def forget(self, place: Object) -> None:
        """Delete the letter if it still arrives: its call has ended."""
        self._expected.discard(place.key)

    async def wait(self, place: Object, found: Callable[[], None]) -> bytes | memoryview:
        """Wait for the letter's bytes; `found` is called once it is in S3 and only has to be fetched.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        arrived: asyncio.Future[bytes | memoryview] = asyncio.get_running_loop().create_future()
        self._awaited[place.key] = arrived, found
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            return await arrived
        finally:
            self._awaited.pop(place.key, None)

    async def close(self) -> None:
        """Stop listing; calls that still wait fail."""
        tasks = [task for task in (self._looking, *self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._give_up(ObjectStoreError("S3: the transport was closed"))

    async def _look(self) -> None:
        wait_s, failed = _SHORTEST_S, 0
        while self._awaited:
            await asyncio.sleep(wait_s)
            made: dict[str, int] = {}
            try:
                keys = await self._store.keys(_FOLDER, made)
                failed = 0
            except ObjectStoreError as error:
                failed += 1
                if failed == _PATIENCE:
                    self._give_up(error)
                    return
                continue
            finally:
                self._counted(made)
            some = False
            for key in keys:
                if key in self._in_hand:
                    continue
                if key in self._awaited:
                    some = True
                    arrived, found = self._awaited.pop(key)
                    found()
                    self._start(key, self._fetch(key, arrived))
                elif key not in self._expected:  # late, or a duplicate: its call has ended already
                    self._start(key, self._delete(key))
            wait_s = max(_SHORTEST_S, wait_s / 2) if some else min(_LONGEST_S, wait_s * 1.5)

    def _start(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._in_hand.add(key)
        self._fetching.add(task)

        def over(task: asyncio.Task[None]) -> None:
            self._in_hand.discard(key)
            self._fetching.discard(task)

        task.add_done_callback(over)

    async def _fetch(self, key: str, arrived: asyncio.Future[bytes | memoryview]) -> None:
        try:
            letter = await self._store.get(self._store.at(key))
        except ObjectStoreError as error:
            if not arrived.done():
                arrived.set_exception(error)
            return
        if not arrived.done():
            arrived.set_result(letter)
        await self._delete(key)

    async def _delete(self, key: str) -> None:
        with contextlib.suppress(ObjectStoreError):  # an object that stays is deleted at the end
            await self._store.delete(key)

    def _give_up(self, error: ObjectStoreError) -> None:
        for arrived, _ in self._awaited.values():
            if not arrived.done():
                arrived.set_exception(error)


class Queued:
    """Invokes asynchronously and waits for the letter."""

    event_bytes = EVENT_BYTES

    def __init__(self, client: InvokeClient, function: str, letters: Letterbox) -> None:
        self._client = client
        self._function = function
        self._letters = letters
        self._sending = asyncio.Semaphore(_SENT_AT_ONCE)

    async def open(self, connections: int) -> None:
        """Open connections; a few serve any number of calls."""
        await self._client.open(min(connections, _SENT_AT_ONCE))

    def prepare(self, event: Event) -> None:
        """Have the answer put into S3."""
        event.result_limit = INLINE_BYTES
        event.answer_to = self._letters.place()

    async def carry(
        self, event: Event, payload: bytes, deadline_s: float, allowance_s: float, arriving: Callable[[], None]
    ) -> tuple[Outcome, Answer | None]:
        """Queue the event, and wait for its letter."""
        place = event.answer_to
        assert place is not None
        loop = asyncio.get_running_loop()
        found_s = 0.0

        def found() -> None:
            nonlocal found_s
            found_s = loop.time()
            reschedule(limit, None)
            arriving()

        try:
            async with self._sending:
                reply = await self._client.invoke(self._function, payload, _ACCEPT_S, "Event")
            refused = read_queued(reply)
            if refused is not None:
                return refused, None
            async with asyncio.timeout(deadline_s + allowance_s) as limit:
                letter = await self._letters.wait(place, found)
        except TimeoutError:
            message = f"no response in S3 within {deadline_s + allowance_s:g} s"
            raise ConnectionLost(message, timed_out=True) from None
        finally:
            self._letters.forget(place)
        outcome, answer = read_letter(letter, loop.time(), reply.connect_ms)
        outcome.collected_s = loop.time() - found_s
        outcome.request_id = reply.request_id
        outcome.via_s3 = True
        outcome.s3_requests = {"put": 1, "get": 1}  # the letter's own
        return outcome, answer

    async def close(self) -> None:
        """Stop waiting for letters; close all connections."""
        await self._letters.close()
        await self._client.close()
