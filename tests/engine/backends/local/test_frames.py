"""A frame arrives whole, however the socket cuts it."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.engine.backends.local import frames


def _reply(body: bytes) -> bytes:
    return frames.REPLY.pack(frames.RESULT, len(body), 1.5, 2.5, 7) + body


@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(0, 330), max_size=6))
def test_a_reply_cut_anywhere_is_the_same_reply(body: bytes, cuts: list[int]) -> None:
    frame = _reply(body)
    edges = sorted({0, len(frame), *(cut for cut in cuts if cut < len(frame))})
    reader = frames.ReplyReader()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        for start, end in itertools.pairwise(edges):
            theirs.sendall(frame[start:end])
            reply = reader.read(ours)
            assert (reply is not None) == (end == len(frame))
        assert reply is not None
        assert (reply.kind, reply.started_s, reply.finished_s, reply.peak_kib) == (frames.RESULT, 1.5, 2.5, 7)
        assert bytes(reply.body) == body


def test_two_replies_one_after_the_other_are_kept_apart() -> None:
    reader = frames.ReplyReader()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for body in (b"one", b"", b"three"):
            theirs.sendall(_reply(body))
            reply = reader.read(ours)
            assert reply is not None
            assert bytes(reply.body) == body


def test_a_large_request_is_received_into_one_buffer() -> None:
    body = bytes(range(256)) * 40_000
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(
            target=frames.send_blocking, args=(ours, frames.REQUEST.pack(frames.CALL, len(body)), body)
        )
        sender.start()
        kind, received = frames.RequestReader(theirs).receive()
        sender.join()
    assert kind == frames.CALL
    assert received.readonly
    assert received == body


def test_a_closed_socket_ends_the_frames() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(EOFError):
            frames.ReplyReader().read(ours)
        with pytest.raises(EOFError):
            frames.RequestReader(ours).receive()


def test_two_frames_that_come_together_are_taken_one_by_one() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(frames.REQUEST.pack(frames.CALL, len(body)) + body for body in (b"one", b"", b"three")))
        requests = frames.RequestReader(theirs)
        assert [bytes(requests.receive()[1]) for _ in range(3)] == [b"one", b"", b"three"]
        reader = frames.ReplyReader()
        theirs.sendall(_reply(b"one") + _reply(b"") + _reply(b"three")[:-2])
        first, second = reader.read(ours), reader.buffered()
        assert first is not None and second is not None
        assert (bytes(first.body), bytes(second.body), reader.buffered()) == (b"one", b"", None)
        theirs.sendall(_reply(b"three")[-2:] + _reply(b"four"))
        third = reader.read(ours)
        assert third is not None and bytes(third.body) == b"three"
        fourth = reader.read(ours)
        assert fourth is not None and bytes(fourth.body) == b"four"
