"""Starting the emulator from a program."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.launch import RunningEmulator, launch
from lbench.errors import BackendError
from lbench.workloads.sigv4 import Signer


@pytest.fixture
def function(tmp_path: Path) -> FunctionSpec:
    (tmp_path / "app.py").write_text("def handle(event, context):\n    return event\n")
    return FunctionSpec(name="echo", code=str(tmp_path), handler="app.handle", environment={"TEXT": "a\nž"})


def fetch(emulator: RunningEmulator, path: str, body: bytes | None = None) -> Any:
    signer = Signer(emulator.credentials, "us-east-1", "lambda")
    method, host = ("GET" if body is None else "POST"), emulator.endpoint.removeprefix("http://")
    headers = signer.sign(method, path, "", {"host": host}, hashlib.sha256(body or b"").hexdigest())
    with urllib.request.urlopen(urllib.request.Request(emulator.endpoint + path, body, headers)) as answer:
        return json.load(answer)


async def test_the_emulator_serves_its_functions_and_ends(function: FunctionSpec) -> None:
    async with await launch([function], concurrency=5) as emulator:
        path = "/2015-03-31/functions"
        (listed,) = (await asyncio.to_thread(fetch, emulator, f"{path}/"))["Functions"]
        assert listed["FunctionName"] == "echo"
        assert listed["Environment"]["Variables"] == {"TEXT": "a\nž"}
        assert await asyncio.to_thread(fetch, emulator, f"{path}/echo/invocations", b"[1]") == [1]
    assert emulator.child.returncode == 0
    await emulator.stop()


async def test_an_emulator_that_ends_by_itself_is_noticed(function: FunctionSpec) -> None:
    async with await launch([function]) as emulator:
        os.kill(emulator.child.pid, 9)
        assert await emulator.child.wait() == -9


async def test_a_port_in_use_is_reported_in_one_line(function: FunctionSpec) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = int(holder.getsockname()[1])
        with pytest.raises(BackendError, match=f"did not start: port {port} is not available"):
            await launch([function], port=port)


async def test_a_missing_code_folder_is_reported(function: FunctionSpec) -> None:
    with pytest.raises(BackendError, match="/not/there"):
        await launch([FunctionSpec(name="x", code="/not/there", handler="a.b")])
