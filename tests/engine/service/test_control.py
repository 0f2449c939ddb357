from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat

import msgspec
import pytest

from lbench.engine.journal.events import Phase, encode_lines
from lbench.engine.journal.writer import JOURNAL_NAME, Journal
from lbench.engine.service import control
from lbench.engine.service.client import Follower
from lbench.engine.service.control import Command, ControlServer
from lbench.errors import EngineLostError, InputError


class Engine:
    """A journal with its socket, without an engine around it."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "s.sock"
        self.commands: list[Command] = []
        self.journal = Journal(folder)
        self.server = ControlServer(self.path, self.journal, self._execute)

    async def _execute(self, command):
        if command.command == "refuse":
            raise InputError("not that")
        self.commands.append(command)

    def tell(self, *texts):
        for text in texts:
            self.journal.write(Phase(text))
        self.journal.flush()

    def file(self):
        return (self.folder / JOURNAL_NAME).read_bytes()


@contextlib.asynccontextmanager
async def serving(folder):
    engine = Engine(folder)
    await engine.server.start()
    try:
        yield engine
    finally:
        await engine.server.close()
        engine.journal.close()


@pytest.fixture
def folder(tmp_path_factory, monkeypatch):
    import os
    from pathlib import Path

    made = Path(os.environ["XDG_RUNTIME_DIR"]) / "f"  # short: a socket's path is at most 104 bytes
    made.mkdir()
    return made


async def connect(engine):
    return await asyncio.open_unix_connection(str(engine.path), limit=2**24)


async def ask(writer, **command):
    writer.write(json.dumps(command).encode() + b"\n")
    await writer.drain()


async def control_line(reader):
    return json.loads(await asyncio.wait_for(reader.readline(), 10))


async def test_the_socket_is_for_its_owner_only_and_goes_with_the_server(folder):
    async with serving(folder) as engine:
        assert stat.S_IMODE(engine.path.stat().st_mode) == 0o600
        assert engine.path.is_socket()
    assert not engine.path.exists()


async def test_two_viewers_get_the_very_lines_of_the_file(folder):
    async with serving(folder) as engine:
        engine.tell("before")
        viewers = [await connect(engine), await connect(engine)]
        for reader, writer in viewers:
            await ask(writer, command="follow")
            read_to = (await control_line(reader))["read_to"]
            assert read_to == len(engine.file())
        engine.tell(*(f"live {number}" for number in range(500)))
        await engine.journal.sync()
        live = engine.file()[read_to:]
        for reader, writer in viewers:
            assert await reader.readexactly(len(live)) == live
            writer.close()


@pytest.mark.parametrize(
    "line", [b"\n", b"hello\n", b"{}\n", b'{"command": 5}\n', b'["follow"]\n', b"\xff\xfe\n", b'{"command":"refuse"}\n']
)
async def test_an_invalid_line_gets_an_error_and_affects_no_other_client(folder, line):
    async with serving(folder) as engine:
        reader, writer = await connect(engine)
        writer.write(line)
        answer = await control_line(reader)
        assert answer["control"] == "error" and "\n" not in answer["message"]
        await ask(writer, command="pause")
        assert await control_line(reader) == {"control": "ok", "command": "pause"}
        assert [command.command for command in engine.commands] == ["pause"]
        writer.close()


async def test_a_line_without_end_is_cut_off_and_others_are_served(folder, monkeypatch):
    monkeypatch.setattr(control, "_LINE_LIMIT_BYTES", 2**16)
    async with serving(folder) as engine:
        reader, writer = await connect(engine)
        with contextlib.suppress(ConnectionError):
            writer.write(b"x" * 2**20)
            await writer.drain()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        other_reader, other = await connect(engine)
        await ask(other, command="pause")
        assert (await control_line(other_reader))["control"] == "ok"
        other.close()


async def test_a_viewer_that_leaves_in_mid_stream_is_forgotten(folder):
    async with serving(folder) as engine:
        reader, writer = await connect(engine)
        await ask(writer, command="follow")
        await control_line(reader)
        writer.transport.abort()
        while engine.journal._listeners:
            engine.tell("more")
            await asyncio.sleep(0)
        assert engine.server._writers == {}


async def test_half_a_command_before_a_disconnect_is_ignored(folder):
    async with serving(folder) as engine:
        reader, writer = await connect(engine)
        writer.write(b'{"command":"stop"')
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 10)
        assert engine.commands == []
        writer.close()


# -- a viewer that does not read


async def test_the_queue_of_a_viewer_that_stops_reading_is_bounded_and_it_misses_nothing(folder):
    async with serving(folder) as engine:
        follower = Follower(folder, engine.path)
        follower.follow()
        first = await asyncio.to_thread(lambda: list(follower.receive(5)))
        assert first == []
        block = [f"{number:06} {'x' * 1000}" for number in range(500)]
        for _ in range(40):  # 20 MB, and it does not read one of them
            engine.tell(*block)
            await asyncio.sleep(0)
        (writer,) = engine.server._writers
        assert writer.transport.get_write_buffer_size() <= control._VIEWER_QUEUE_BYTES + 100
        engine.tell("the last")

        def read_all():
            texts = []
            while not texts or texts[-1] != "the last":
                texts += [event.text for event in follower.receive(5)]
            return texts

        texts = await asyncio.to_thread(read_all)
        assert texts == block * 40 + ["the last"]
        engine.tell("and on")
        assert [event.text for event in await asyncio.to_thread(lambda: list(follower.receive(5)))] == ["and on"]
        follower.close()


async def test_a_viewer_that_never_reads_holds_up_neither_the_others_nor_the_end(folder):
    async with serving(folder) as engine:
        stuck = [Follower(folder, engine.path) for _ in range(8)]
        for follower in stuck:
            follower.follow()
        reader, writer = await connect(engine)
        await ask(writer, command="follow")
        await control_line(reader)
        for _ in range(30):
            engine.tell("x" * 500_000)
            assert len(await asyncio.wait_for(reader.readline(), 10)) > 500_000
        writer.close()

    def read_all(follower):  # the server is closed; what it could not send is in the file
        texts_seen = []
        with pytest.raises(EngineLostError), contextlib.closing(follower):
            while True:
                for event in follower.receive(5):
                    texts_seen.append(event.text)
        return len(texts_seen)

    for follower in stuck:
        assert await asyncio.to_thread(read_all, follower) == 30


@pytest.mark.parametrize("lagging", [False, True])
async def test_on_a_full_disk_a_slow_viewer_gets_all_before_the_engine_ends(folder, monkeypatch, lagging):
    real = os.write

    def full(descriptor, data):
        if os.path.samestat(os.fstat(descriptor), (folder / JOURNAL_NAME).stat()):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(control, "_PARTING_S", 0.01)
    if lagging:
        monkeypatch.setattr(control, "_VIEWER_QUEUE_BYTES", 10_000)
    async with serving(folder) as engine:
        monkeypatch.setattr(os, "write", full)
        follower = Follower(folder, engine.path)
        follower.follow()
        assert [event async for event in _some(follower)] == []
        count = 3_000
        for number in range(count):
            engine.tell(f"{number} {'x' * 500}")  # more than the socket holds
        closing = asyncio.create_task(engine.server.close())
        await asyncio.wait({closing}, timeout=0.3)
        assert not closing.done()  # nothing of it is in the file
        seen = []
        while len(seen) < count:
            seen += [event async for event in _some(follower)]
        assert [int(event.text.split()[0]) for event in seen] == list(range(count))
        await closing
        follower.close()


async def _some(follower):
    for event in await asyncio.to_thread(lambda: list(follower.receive(10))):
        yield event


# -- the follower and a disk that is full


class Script:
    """A server that sends scripted bytes to the follower."""

    def __init__(self, path):
        import socket

        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()

    def accept(self):
        self._connection, _ = self._listening.accept()
        self._listening.close()

    def expect(self, command):
        assert json.loads(self._connection.recv(1000)) == {"command": command}

    def say(self, data):
        self._connection.sendall(data)

    def follow(self, read_to, rest=b""):
        self.expect("follow")
        self.say(msgspec.json.encode({"control": "follow", "read_to": read_to}) + b"\n" + rest)

    def close(self):
        self._connection.close()


@pytest.fixture
def script(folder):
    made = Script(folder / "s.sock")
    made.follower = Follower(folder, folder / "s.sock")
    made.accept()
    yield made
    made.follower.close()
    made.close()


def lines(*numbers):
    return encode_lines([Phase(str(number)) for number in numbers])


def texts(follower):
    return [int(event.text) for event in follower.receive(5)]


@pytest.mark.parametrize("in_file", range(0, len(lines(0, 1, 2)) + 1, 7))
def test_events_missing_on_disk_come_once_wherever_the_file_ends(script, folder, in_file):
    stream = lines(0, 1, 2)
    (folder / JOURNAL_NAME).write_bytes(stream[:in_file])
    script.follower.follow()
    script.follow(in_file, stream[in_file:] + lines(3))
    assert texts(script.follower) == [0, 1, 2, 3]


@pytest.mark.parametrize("in_file", range(0, len(lines(0, 1, 2, 3, 4)) + 1, 7))
def test_following_again_on_a_full_disk_repeats_no_event(script, folder, in_file):
    stream = lines(0, 1, 2, 3, 4)
    seen = len(lines(0, 1, 2))
    (folder / JOURNAL_NAME).write_bytes(stream[: min(in_file, 10)])
    script.follower.follow()
    script.follow(min(in_file, 10), stream[min(in_file, 10) : seen])
    assert texts(script.follower) == [0, 1, 2]
    (folder / JOURNAL_NAME).write_bytes(stream[:in_file])
    script.say(b'{"control":"reread"}\n')
    assert texts(script.follower) == []
    script.follow(in_file, stream[in_file:] + lines(5))
    assert texts(script.follower) == [3, 4, 5]


def test_lines_torn_by_the_socket_are_put_together(script, folder):
    (folder / JOURNAL_NAME).touch()
    script.follower.follow()
    script.follow(0)
    assert texts(script.follower) == []
    numbers = []
    for byte in lines(*range(20)):
        script.say(bytes([byte]))
        numbers += texts(script.follower)
    assert numbers == list(range(20))


def test_events_that_an_engine_could_not_send_are_read_from_the_file(script, folder):
    (folder / JOURNAL_NAME).write_bytes(lines(0))
    script.follower.follow()
    script.follow(len(lines(0)), lines(1))
    assert texts(script.follower) == [0, 1]
    (folder / JOURNAL_NAME).write_bytes(lines(0, 1, 2, 3) + lines(4)[:-3])
    script.close()
    numbers = []
    with pytest.raises(EngineLostError, match="the engine has ended"):
        for event in script.follower.receive(5):
            numbers.append(int(event.text))
    assert numbers == [2, 3]
    with pytest.raises(EngineLostError):
        list(script.follower.receive(5))


def test_a_follower_that_only_sends_commands_gets_no_events_at_the_end(script, folder):
    (folder / JOURNAL_NAME).write_bytes(lines(0))
    script.follower.command("stop")
    script.expect("stop")
    script.close()
    with pytest.raises(EngineLostError):
        next(script.follower.receive(5))


def test_refusals_appear_in_problems_once(script):
    script.say(b'{"control":"error","message":"not that"}\n')
    assert texts(script.follower) == []
    assert script.follower.problems() == ["not that"]
    assert script.follower.problems() == []


def test_nothing_to_read_is_no_error(script):
    assert list(script.follower.receive(0)) == []
    assert list(script.follower.receive(0.001)) == []


def test_a_socket_without_an_engine_is_an_error_of_one_line(folder):
    with pytest.raises(EngineLostError, match="does not answer: No such file"):
        Follower(folder, folder / "none.sock")
