"""Both clients against ministack, another emulator of Lambda, so that client and emulator aren't fitted to each other.

ministack runs in a venv of its own under build/peers, made the first time; without a network the tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import os
import socket
import subprocess
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.invoke_api import InvokeClient
from lbench.engine.backends.aws_client.invoke_client import make_client
from lbench.engine.backends.lambda_.outcomes import read_reply
from lbench.workloads.sigv4 import Credentials

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[4]
KEYS = Credentials("test", "test")
CODE = """
import time
def handle(event, context):
    if event.get("raise"):
        raise ValueError("no " + event["raise"])
    now = time.time()
    return {"environment": "e", "cold": False, "received": now, "sent": now, "result": event.get("echo"),
            "call": event.get("call")}
"""


def python_of_ministack() -> Path:
    spec = importlib.util.spec_from_file_location("pairs_for_tests", ROOT / "benchmarks" / "pairs.py")
    assert spec is not None and spec.loader is not None
    import sys

    pairs = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = pairs
    spec.loader.exec_module(pairs)
    try:
        python: Path = pairs.peer_venv("ministack", ["ministack==1.5.33"])
    except pairs.PeerError as error:
        pytest.skip(str(error))
    return python


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python, folder = python_of_ministack(), tmp_path_factory.mktemp("ministack")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "ERROR",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([str(python), "-m", "ministack"], env=env, cwd=folder, **quiet)
    try:
        limit = time.monotonic() + 180
        while True:  # it says nowhere that it is ready
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None and time.monotonic() < limit, "ministack did not start"
            time.sleep(0.05)
        create(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def create(endpoint: str) -> None:
    import boto3

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", CODE)
    client = boto3.client(
        "lambda",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_function(
        FunctionName="echo",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/none",
        Handler="app.handle",
        Code={"ZipFile": archive.getvalue()},
        Timeout=5,
    )
    client.get_waiter("function_active_v2").wait(FunctionName="echo")


@pytest.fixture(params=["fast", "aioboto3"])
async def client(request: pytest.FixtureRequest, endpoint: str) -> AsyncIterator[InvokeClient]:
    kind: Literal["fast", "aioboto3"] = request.param
    made = make_client(kind, Resolved(endpoint, "us-east-1"), lambda: KEYS)
    await made.open(4)
    yield made
    await made.close()


async def test_an_answer_comes_back_as_ours_does(client: InvokeClient) -> None:
    reply = await client.invoke("echo", b'{"echo":"AAE=","call":7}', 60)
    assert reply.status == 200 and reply.function_error is None and reply.request_id
    outcome, answer = read_reply(reply, 5)
    assert outcome.result == b"\x00\x01" and answer is not None and answer.call == 7


async def test_by_arn_it_is_the_same_function(client: InvokeClient) -> None:
    reply = await client.invoke("arn:aws:lambda:us-east-1:000000000000:function:echo", b'{"echo":"AA=="}', 60)
    assert reply.status == 200 and b"AA==" in reply.body


async def test_what_the_function_raises_is_a_function_error(client: InvokeClient) -> None:
    reply = await client.invoke("echo", b'{"raise":"way"}', 60)
    outcome, _ = read_reply(reply, 5)
    assert reply.status == 200 and reply.function_error is not None
    assert outcome.failure is not None and "no way" in outcome.failure.message
    assert outcome.failure.type in ("ValueError", "Runtime.HandlerError")  # AWS's; ministack's for every exception


async def test_a_function_that_is_not_there_is_refused(client: InvokeClient) -> None:
    reply = await client.invoke("nothing", b"{}", 60)
    outcome, _ = read_reply(reply, 5)
    assert reply.status == 404 and reply.error_type == "ResourceNotFoundException"
    assert outcome.failure is not None and not outcome.failure.retriable


async def test_several_calls_at_once_each_get_their_own_answer(client: InvokeClient) -> None:
    replies = await asyncio.gather(
        *(client.invoke("echo", b'{"echo":"AA==","call":%d}' % number, 60) for number in range(8))
    )
    answers = [read_reply(reply, 5)[1] for reply in replies]
    assert [answer and answer.call for answer in answers] == list(range(8))
