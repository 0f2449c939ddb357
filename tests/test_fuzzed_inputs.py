"""10,000 damaged inputs: session files, journals, tables, zips and HTTP requests, each read or refused, at once.

What is refused is refused by an error of lbench's own, which the command line prints as one line; any other error fails
here. The inputs are the same in each run: Hypothesis derives their seed from the test itself, and keeps no database.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gzip
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbench.cli.documents import document_of, load_document
from lbench.cli.report import print_report
from lbench.engine.emulator.api.unpack import BadPackage, unpack
from lbench.engine.emulator.http.connection import Connection
from lbench.engine.emulator.http.server import Exchange, Server
from lbench.engine.export.document import encode_document
from lbench.engine.export.files import csv_text
from lbench.engine.journal.events import encode_lines
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.index import recorded
from lbench.engine.session.view import fold, load_journal
from lbench.errors import InputError
from lbench.lambda_src.archive import add_wheel
from lbench.lambda_src.package_file import read_package
from lbench.workloads.data_file import describe_file
from lbench.workloads.map_reduce import MapReduceParams
from lbench.workloads.map_reduce.inputs import load_input

pytestmark = pytest.mark.slow

OF_A_KIND = 2000
HANG_S = 20.0  # of one input: a machine may be busy
RECORDED = Path(__file__).parent / "engine" / "session" / "version_1"

Damage = list[tuple[int, str, Any]]
Make = Callable[..., list[Any]]


def inputs(count: int, **drawn: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """So many inputs, the same in each run."""
    fixed = settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return lambda test: fixed(given(**drawn)(test))


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not read within {HANG_S:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- damage

_TOKENS = [b"\0", b"\n", b"\r", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b'""', b",", b";", b"\t", b"{", b"]", b"\\",
           b"\\ud800", b"null", b"-1", b"1e999", b"NaN", b"9" * 400, b"\xc3\xa9", b"\x1b]0;x\x07", b"[" * 2000,
           b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b" ", b"\r\n\r\n", b"%00", b"0" * 70_000]  # fmt: skip
DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.sampled_from(["cut", "insert", "replace", "delete", "repeat", "flip"]),
        st.sampled_from(_TOKENS) | st.binary(min_size=1, max_size=8),
    ),
    max_size=4,
)


def damaged(content: bytes, damage: Damage) -> bytes:
    for place, what, piece in damage:
        at = place % (len(content) + 1)
        if what == "cut":
            content = content[:at]
        elif what == "insert":
            content = content[:at] + piece + content[at:]
        elif what == "replace":
            content = content[:at] + piece + content[at + len(piece) :]
        elif what == "delete":
            content = content[:at] + content[at + len(piece) :]
        elif what == "repeat":
            content = content[:at] + content[max(0, at - 200) : at] * 3 + content[at:]
        elif at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << place % 8)]) + content[at + 1 :]
    return content


_VALUES = st.sampled_from([
    None, True, -1, 0, 1, 2**31, 2**63, 2**64, 10**30, -0.5, 1e308, 5e-324, "", "x", "\0", "\x1b[31m", "1e99", "NaN", "-1",
    "9" * 300, "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "r1", "ok", [], [None], {}, {"": 0}, [[]],
])  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.sampled_from(["set", "set", "delete", "copy"]), _VALUES), max_size=4
)


def changed(value: Any, changes: Damage) -> Any:
    """The same JSON value, with parts of it replaced, removed or taken from elsewhere."""
    value = copy.deepcopy(value)
    for place, what, new in changes:
        places = list(_places(value))
        if not places:
            break
        holder, key = places[place % len(places)]
        if what == "delete":
            del holder[key]
        elif what == "set":
            holder[key] = copy.deepcopy(new)
        else:
            other, its_key = places[(place * 7919) % len(places)]
            holder[key] = copy.deepcopy(other[its_key])
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="lbench-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _events(make_events: Make) -> list[Any]:
    return make_events(
        {"sequential": [3.0, 3.1, 3.3], "processes": [1.0, 1.2, 1.1], "emulated": [0.5, 0.6, 0.4]},
        invocations=[{"cold": True, "billed_ms": 100, "memory_mb": 1769}, {"cold": False, "request_bytes": 99}],
        schedule="alternating",
    )


@pytest.fixture(scope="module")
def journals(make_events: Make) -> list[bytes]:
    return [encode_lines(_events(make_events)), (RECORDED / "events.jsonl").read_bytes()]


@pytest.fixture(scope="module")
def sessions(make_events: Make) -> list[Any]:
    whole = encode_document(document_of(fold(_events(make_events))))
    return [json.loads(whole), json.loads((RECORDED / "session.json").read_bytes())]


# -- sessions


@inputs(OF_A_KIND, number=st.integers(0, 1), changes=CHANGES, damage=DAMAGE)
def test_damaged_session_files(sessions: list[Any], folder: Path, number: int, changes: Damage, damage: Damage) -> None:
    path = folder / "session.json"
    path.write_bytes(damaged(json.dumps(changed(sessions[number], changes)).encode(), damage))
    with no_hang(), contextlib.suppress(InputError):
        document = load_document(str(path))
        encode_document(document)
        csv_text(document)


@inputs(OF_A_KIND, number=st.integers(0, 1), line=st.integers(0, 1 << 20), other=st.integers(0, 1 << 20),
        way=st.sampled_from(["change", "change", "drop", "twice", "swap"]), changes=CHANGES, damage=DAMAGE)  # fmt: skip
def test_damaged_journals(
    journals: list[bytes], folder: Path, number: int, line: int, other: int, way: str, changes: Damage, damage: Damage
) -> None:
    lines = journals[number].splitlines()
    line, other = line % len(lines), other % len(lines)
    if way == "change":
        lines[line] = json.dumps(changed(json.loads(lines[line]), changes)).encode()
    elif way == "drop":
        del lines[line]
    elif way == "twice":
        lines.insert(other, lines[line])
    else:
        lines[line], lines[other] = lines[other], lines[line]
    path = folder / JOURNAL_NAME
    path.write_bytes(damaged(b"\n".join(lines) + b"\n", damage))
    with no_hang():
        recorded(folder)  # tells its error
        with contextlib.suppress(InputError), contextlib.redirect_stdout(io.StringIO()):
            view = load_journal(path)
            document = document_of(view)
            encode_document(document)
            csv_text(document)
            print_report(view, document, "saved")


# -- tables

_LOANS = "id,loan_amnt,term,int_rate,emp_length,home_ownership,issue_d,total_pymnt,loan_status\n" + "".join(
    f'{n},"{1000 + n}"," 36 months",10.65%,10+ years,RENT,Dec-2011,5863.15,{"Charged Off" if n % 4 == 0 else "Fully Paid"}\n'
    for n in range(120)
)
_ADULT = "".join(
    f"{20 + n % 50}, Private, {n}, Bachelors, 13, Never-married, Sales, Husband, White, Male, {n}, 0, {n % 60}, Cuba, "
    f"{'>50K' if n % 3 else '<=50K'}\n"
    for n in range(60)
)
_TABLE = "by;amount;note\n" + "".join(f'k{n % 5};{n},5;"said ""{n}"" twice"\n' for n in range(80))
_QUOTED = 'by,amount\n"a\nb",1\n' + "".join(f'"k, {n % 3}",{n}\n' for n in range(50))
_TABLES = [_LOANS, _ADULT, _TABLE, _QUOTED, "sep=;\r\n" + _TABLE.replace("\n", "\r\n"), _TABLE.replace("\n", "\r")]


def _pack(content: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(content, 1, mtime=0)
    if how == "zstd":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        return bytes(zstd.compress(content))
    return content


@inputs(OF_A_KIND, number=st.integers(0, len(_TABLES) - 1), damage=DAMAGE, later=DAMAGE | st.just([]),
        codec=st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"]),
        packing=st.sampled_from(["plain", "plain", "gzip", "zstd"]),
        encoding=st.sampled_from([None, None, None, "latin-1", "utf-16-le", "utf-7", "shift_jis", "idna"]))  # fmt: skip
def test_damaged_tables(
    folder: Path, number: int, damage: Damage, later: Damage, codec: str, packing: str, encoding: str | None
) -> None:
    path = folder / "table.csv"
    text = damaged(_TABLES[number].encode(), damage).decode("utf-8", "replace")
    path.write_bytes(damaged(_pack(text.encode(codec, "replace"), packing), later))
    with no_hang():
        with contextlib.suppress(InputError):
            describe_file(path, encoding)
        with contextlib.suppress(InputError):
            load_input(MapReduceParams(by="by", column="amount"), path, encoding)
        with contextlib.suppress(InputError):
            load_input(MapReduceParams(job="word_count"), path, encoding)


# -- zips

_NAMES = ["app.py", "a/b/c.txt", "a/", "", "/", ".", "..", "../out", "/etc/out", "C:\\out", "a\\..\\..\\out", "x" * 300,
          "a" * 200 + "/" + "b" * 200, "d/" * 900 + "f", "\u00e9", "a\0b", "lbench.json", "a:b", "x.data/purelib/y.py",
          "x.data/z", "x.data"]  # fmt: skip


@inputs(OF_A_KIND, damage=DAMAGE,
        entries=st.lists(st.tuples(st.sampled_from(_NAMES), st.binary(max_size=40), st.sampled_from([0, 8, 8, 12, 14]),
                                   st.integers(0, 0xFFFF)), max_size=5),
        header=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 0xFF)), max_size=3))  # fmt: skip
def test_damaged_zips(
    folder: Path, damage: Damage, entries: list[tuple[str, bytes, int, int]], header: list[tuple[int, int]]
) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file, warnings.catch_warnings(action="ignore"):  # a name may come twice
        for name, content, method, mode in entries:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type, info.external_attr = name, method, mode << 16
            file.writestr(info, content)
    content = bytearray(made.getvalue())
    for place, value in header:  # the headers are most of it: sizes, flags, methods and places in the file
        content[place % len(content)] = value
    path = folder / "package.zip"
    path.write_bytes(damaged(bytes(content), damage))
    home = folder / "outer" / "home"
    shutil.rmtree(home.parent, ignore_errors=True)
    with no_hang():
        with contextlib.suppress(BadPackage):
            unpack(path.read_bytes(), home)
        with contextlib.suppress(InputError):
            read_package(path)
        with contextlib.suppress(InputError):
            add_wheel(path, home.parent / "wheel", "x86_64")
    assert {made.name for made in home.parent.iterdir()} <= {"home", "wheel"}
    assert not Path("/etc/out").exists()


# -- requests

_BODIES = [
    ("POST", "/2015-03-31/functions/echo/invocations", b'{"x": [1, 2.5, "\\u00e9"]}'),
    ("POST", "/2015-03-31/functions/echo/invocations?Qualifier=%24LATEST", b""),
    ("POST", "/2015-03-31/functions", json.dumps({
        "FunctionName": "made", "Runtime": "python3.12", "Handler": "app.handle", "Role": "arn:aws:iam::000000000000:role/r",
        "Code": {"ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}, "Timeout": 3, "MemorySize": 128, "Tags": {"a": "b"},
        "Environment": {"Variables": {"A": "b"}}, "EphemeralStorage": {"Size": 512}}).encode()),
    ("GET", "/2015-03-31/functions/?MaxItems=2&Marker=x", b""),
    ("GET", "/2015-03-31/functions/echo/configuration", b""),
    ("PUT", "/2015-03-31/functions/echo/configuration", b'{"Timeout": 5, "MemorySize": 256}'),
    ("PUT", "/2017-10-31/functions/echo/concurrency", b'{"ReservedConcurrentExecutions": 5}'),
    ("PUT", "/2019-09-25/functions/echo/event-invoke-config", b'{"MaximumRetryAttempts": 1}'),
    ("GET", "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:echo", b""),
    ("POST", "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:echo", b'{"Tags": {"a": "b"}}'),
    ("DELETE", "/2015-03-31/functions/nobody", b""),
]  # fmt: skip
_HEADERS = ["", "X-Amz-Invocation-Type: DryRun\r\n", "X-Amz-Log-Type: Tail\r\n", "X-Amz-Client-Context: e30=\r\n",
            "Expect: 100-continue\r\n", "Connection: close\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n",
            "Content-Type: text/\xff\r\n", "Authorization: AWS4-HMAC-SHA256 Credential=a/b/c\r\n"]  # fmt: skip


def _request(
    number: int, changes: Damage, in_path: Damage, in_body: Damage, header: str, whole: Damage, chunked: bool
) -> bytes:
    method, path, body = _BODIES[number]
    if body.startswith(b"{"):
        body = json.dumps(changed(json.loads(body), changes)).encode()
    body, target = damaged(body, in_body), damaged(path.encode(), in_path)
    head = method.encode() + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + header.encode("latin-1")
    if chunked:
        sent = (
            head
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%b\r\n" % (len(body), body) * bool(body)
            + b"0\r\n\r\n"
        )
    else:
        sent = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return damaged(sent, whole)


REQUEST = dict(number=st.integers(0, len(_BODIES) - 1), changes=CHANGES, in_path=DAMAGE | st.just([]),
               in_body=DAMAGE | st.just([]), header=st.sampled_from(_HEADERS), whole=DAMAGE | st.just([]),
               chunked=st.booleans())  # fmt: skip


class Wire(asyncio.Transport):
    """A client's end: what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def _echo(exchange: Exchange) -> None:
    exchange.reply(413 if exchange.too_large else 200, bytes(exchange.body))


@inputs(OF_A_KIND // 2, cuts=st.lists(st.integers(0, 400), max_size=5), **REQUEST)
def test_damaged_requests_at_the_parser(cuts: list[int], **request: Any) -> None:
    sent = _request(**request)
    edges = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]

    async def feed() -> Wire:
        wire = Wire()
        connection = Connection(Server(_echo, body_limit=1000, head_limit=2000))
        connection.connection_made(wire)
        for start, end in pairwise(edges):
            for at in range(start, end, 65536):
                piece = sent[at : min(end, at + 65536)]
                if not wire.closed:
                    connection.get_buffer(-1)[: len(piece)] = piece
                    connection.buffer_updated(len(piece))
                    await asyncio.sleep(0)
        connection.connection_lost(None)
        return wire

    with no_hang():
        wire = asyncio.run(feed())
    assert wire.written == b"" or wire.written.startswith(b"HTTP/1.1 "), wire.written[:100]


class _Answers:
    """Counts whole answers, and keeps their states."""

    def __init__(self) -> None:
        self.states: list[int] = []
        self._parser = httptools.HttpResponseParser(self)
        self.feed = self._parser.feed_data

    def on_message_complete(self) -> None:
        self.states.append(self._parser.get_status_code())


@pytest.fixture(scope="module")
def emulator(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a real emulator, which checks no signature: every request reaches its operation."""
    code = folder / "code"
    code.mkdir()
    (code / "app.py").write_text("def echo(event, context): return event\n")
    config = folder / "config.json"
    function = {"name": "echo", "code": str(code), "handler": "app.echo", "timeout_s": 5}
    config.write_text(json.dumps({"functions": [function], "auth": False, "activation_s": 0, "cpu_share": "none"}))
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "lbench.engine.emulator", "--config", str(config)],
            stdout=subprocess.PIPE, stderr=errors, text=True)  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().strip().removeprefix("http://")
    host, _, port = address.partition(":")
    yield host, int(port)
    process.terminate()
    process.stdout.close()
    assert process.wait(30) == 0
    assert "Traceback" not in (folder / "errors").read_text(), (folder / "errors").read_text()


@inputs(OF_A_KIND // 2, **REQUEST)
def test_damaged_requests_at_the_emulator(emulator: tuple[str, int], folder: Path, **request: Any) -> None:
    answers = _Answers()
    with no_hang(), socket.create_connection(emulator) as client:
        with contextlib.suppress(ConnectionError):  # it has refused, and closed
            client.sendall(_request(**request))
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(1 << 16):
                answers.feed(piece)
    assert [state for state in answers.states if state >= 500] == []
    assert "Traceback" not in (folder / "errors").read_text(), (folder / "errors").read_text()
