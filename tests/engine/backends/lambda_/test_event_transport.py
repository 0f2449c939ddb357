"""Letters, in virtual time: which are read, which are deleted, and how many calls are sent at once."""

from __future__ import annotations

import asyncio
from typing import Any

from lbench.engine.backends.aws_client.invoke_api import Reply
from lbench.engine.backends.lambda_.event_transport import Letterbox, Queued
from lbench.engine.virtual_time import run_virtual
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.wire import Event, Object


class Shelf:
    """An S3 whose GET takes its time, and finds nothing if the object has been deleted by then."""

    def __init__(self, get_s: float = 0.01) -> None:
        self.letters: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self._get_s = get_s
        self._number = 0

    def place(self, kind: str, folder: str = "") -> Object:
        self._number += 1
        return self.at(f"{folder}/{self._number}.{kind}")

    def at(self, key: str) -> Object:
        return Object("bucket", key)

    async def keys(self, folder: str, made: dict[str, int] | None = None) -> list[str]:
        await asyncio.sleep(0.01)
        return list(self.letters)

    async def get(self, place: Object, made: dict[str, int] | None = None) -> bytes:
        await asyncio.sleep(self._get_s)
        if place.key not in self.letters:
            raise ObjectStoreError("S3 GET failed: 404 NoSuchKey")
        return self.letters[place.key]

    async def delete(self, key: str) -> None:
        self.deleted.append(key)
        await asyncio.sleep(0.3)
        self.letters.pop(key, None)


def nobody() -> None:
    """Nobody wants to know when a letter is found."""


def letterbox(shelf: Shelf) -> Letterbox:
    return Letterbox(shelf, lambda made: None)  # type: ignore[arg-type]


def test_a_letter_that_takes_longer_to_fetch_than_the_next_listing_is_read_and_deleted_once() -> None:
    async def main() -> None:
        shelf = Shelf(get_s=5.0)
        box = letterbox(shelf)
        other, place = box.place(), box.place()
        looking = asyncio.ensure_future(box.wait(other, nobody))  # what is awaited still keeps the listings coming
        shelf.letters[place.key] = b"hello"
        assert await box.wait(place, nobody) == b"hello"
        box.forget(place)
        await asyncio.sleep(5.0)
        assert shelf.deleted == [place.key]
        looking.cancel()
        await box.close()

    run_virtual(main())


def test_a_letter_that_comes_before_its_call_has_been_accepted_is_kept_and_one_that_comes_after_its_end_goes() -> None:
    async def main() -> None:
        shelf = Shelf()
        box = letterbox(shelf)
        other, early, late = box.place(), box.place(), box.place()
        looking = asyncio.ensure_future(box.wait(other, nobody))
        box.forget(late)
        shelf.letters |= {early.key: b"early", late.key: b"late"}
        await asyncio.sleep(5.0)
        assert set(shelf.letters) == {early.key}
        assert await box.wait(early, nobody) == b"early"
        looking.cancel()
        await box.close()

    run_virtual(main())


class Queue:
    """Takes events, and lets the letters come."""

    def __init__(self, shelf: Shelf) -> None:
        self.opened = self.sending = self.most = 0
        self._shelf = shelf

    async def open(self, connections: int) -> None:
        self.opened = connections

    async def invoke(self, function: str, payload: bytes, timeout_s: float, kind: str) -> Reply:
        self.sending += 1
        self.most = max(self.most, self.sending)
        await asyncio.sleep(1.0)
        self.sending -= 1
        self._shelf.letters[payload.decode()] = b'{"answer":{"environment":"e","cold":false,"received":1,"sent":2}}'
        return Reply(202, b"", asyncio.get_running_loop().time())


def test_calls_are_sent_over_the_connections_that_were_opened_before_the_run() -> None:
    async def main() -> None:
        shelf = Shelf()
        queue: Any = Queue(shelf)
        transport = Queued(queue, "function", letterbox(shelf))
        await transport.open(1000)

        async def call() -> None:
            event = Event(deadline_ms=1000, result_limit=0)
            transport.prepare(event)
            assert event.answer_to is not None
            _, answer = await transport.carry(event, event.answer_to.key.encode(), 60.0, 10.0, nobody)
            assert answer is not None

        await asyncio.gather(*(call() for _ in range(300)))
        assert queue.most == queue.opened < 300

    run_virtual(main())


def test_a_letter_that_is_there_is_fetched_however_long_that_takes() -> None:
    async def main() -> None:
        shelf = Shelf(get_s=1000.0)
        queue: Any = Queue(shelf)
        transport = Queued(queue, "function", letterbox(shelf))
        event = Event(deadline_ms=1000, result_limit=0)
        transport.prepare(event)
        assert event.answer_to is not None
        arrivals: list[float] = []
        loop = asyncio.get_running_loop()
        payload = event.answer_to.key.encode()
        outcome, answer = await transport.carry(event, payload, 60.0, 10.0, lambda: arrivals.append(loop.time()))
        assert answer is not None
        assert len(arrivals) == 1 and arrivals[0] < 10 and 999 < outcome.collected_s < 1001

    run_virtual(main())
