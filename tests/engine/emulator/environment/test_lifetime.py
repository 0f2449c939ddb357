"""Start and end of the emulator; no process or folder is left however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.emulator.resources.scratch import Scratch

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfds")

APP = """
import os, subprocess, sys

def where(event, context):
    with open(os.path.join(os.environ["TMPDIR"], "data"), "w") as file:
        file.write("x")
    return {"pid": os.getpid(), "tmp": os.environ["TMPDIR"]}

def starts(event, context):
    return {"pid": os.getpid(), "child": subprocess.Popen(["sleep", "600"]).pid}

def waits(event, context):
    with open(event["ready"], "w"):
        pass
    with open(event["fifo"]) as fifo:
        fifo.read()

def dies_after(event, context):
    import threading
    threading.Thread(target=lambda: (open(event).read(), os._exit(1))).start()
    return os.getpid()
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    path = tmp_path / "tmp"
    path.mkdir()
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    functions = [
        {"name": name, "code": str(tmp_path), "handler": f"app.{name}", "timeout_s": 60}
        for name in ("where", "starts", "waits", "dies_after")
    ]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"functions": functions, "auth": False, "isolation": False}))
    return path


@contextlib.contextmanager
def emulator(config: Path, temporary: Path, *more: str, **popen: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "lbench.engine.emulator", "--config", str(config), *more],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        **popen,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def invoke(endpoint: str, name: str, event: Any = None) -> Any:
    url = f"{endpoint}/2015-03-31/functions/{name}/invocations"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode())) as answer:
        return json.load(answer)


def environments(endpoint: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{endpoint}/_lbench/environments") as answer:
        listed: list[dict[str, Any]] = json.load(answer)["environments"]
    return listed


def until(endpoint: str, state: str) -> dict[str, Any]:
    """The one environment, once it is in that state."""
    while True:
        (entry,) = environments(endpoint)
        if entry["state"] == state:
            return entry


def has_ended(pid: int, within_s: float = 30.0) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], within_s)[0])
    finally:
        os.close(pidfd)


def folders(temporary: Path) -> list[str]:
    """The emulators' folders that are there."""
    return [path.name for base in temporary.iterdir() for path in base.iterdir() if path.is_dir()]


def is_listening(endpoint: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(endpoint.rsplit(":", 1)[1]))).close()
    except ConnectionRefusedError:
        return False
    return True


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_emulator_and_leaves_nothing(config: Path, temporary: Path, number: int) -> None:
    with emulator(config, temporary) as (process, endpoint):
        entry = invoke(endpoint, "starts")
        process.send_signal(number)
        assert process.wait(60) == 0
    assert has_ended(entry["pid"])
    assert has_ended(entry["child"])
    assert folders(temporary) == []
    assert not is_listening(endpoint)


@linux
def test_the_end_of_its_lifeline_ends_the_emulator(config: Path, temporary: Path) -> None:
    with emulator(config, temporary, "--lifeline", stdin=subprocess.PIPE) as (process, endpoint):
        entry = invoke(endpoint, "starts")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
    assert has_ended(entry["child"])
    assert folders(temporary) == []


def test_the_guardian_knows_the_folder_before_it_is_made(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    entry: list[tuple[Path, bool]] = []
    with Scratch(lambda path: entry.append((path, path.exists()))) as scratch:
        assert entry == [(scratch.path, False)]
        assert scratch.path.is_dir()
    assert not scratch.path.exists()


@linux
def test_kill_9_ends_frozen_environments_and_their_children(config: Path, temporary: Path) -> None:
    with emulator(config, temporary) as (process, endpoint):
        entry = invoke(endpoint, "starts")
        until(endpoint, "frozen")
        process.kill()
        assert has_ended(entry["pid"])
        assert has_ended(entry["child"])
    assert not is_listening(endpoint)


@linux
def test_kill_9_ends_an_environment_that_is_starting(config: Path, temporary: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "app.py").write_text(
        f"import os\nwith open({str(fifo)!r}, 'w') as f:\n    f.write(str(os.getpid()))\nopen({str(fifo)!r}).read()"
    )
    with (
        emulator(config, temporary) as (process, endpoint),
        socket.create_connection(("127.0.0.1", int(endpoint.rsplit(":", 1)[1]))) as client,
    ):
        client.sendall(b"POST /2015-03-31/functions/where/invocations HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        pid = int(fifo.read_text())
        process.kill()
        assert has_ended(pid)


def test_the_next_emulator_removes_the_leftovers_of_a_killed_one(config: Path, temporary: Path) -> None:
    with emulator(config, temporary) as (process, endpoint):
        assert Path(invoke(endpoint, "where")["tmp"], "data").exists()
        process.kill()
        process.wait()
    (left,) = folders(temporary)
    with emulator(config, temporary) as (process, endpoint):
        (own,) = folders(temporary)
        assert own != left
        with emulator(config, temporary):
            assert own in folders(temporary)  # of one that lives


@linux
def test_a_killed_environment_is_an_exit_error_and_is_replaced(config: Path, temporary: Path, tmp_path: Path) -> None:
    ready, fifo = tmp_path / "ready", tmp_path / "fifo"
    os.mkfifo(ready)
    os.mkfifo(fifo)
    with emulator(config, temporary) as (_, endpoint):
        event = json.dumps({"ready": str(ready), "fifo": str(fifo)}).encode()
        with socket.create_connection(("127.0.0.1", int(endpoint.rsplit(":", 1)[1]))) as client:
            head = b"POST /2015-03-31/functions/waits/invocations HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % len(event) + event)
            ready.read_text()
            (entry,) = environments(endpoint)
            os.kill(entry["pid"], signal.SIGKILL)
            answer = b""
            while b"signal: killed" not in answer and (part := client.recv(65_536)):
                answer += part
        assert b"X-Amz-Function-Error: Unhandled" in answer
        assert b"signal: killed" in answer
        assert until(endpoint, "ended")["pid"] == entry["pid"]


@linux
def test_a_killed_idle_environment_is_replaced(config: Path, temporary: Path) -> None:
    with emulator(config, temporary) as (_, endpoint):
        first = invoke(endpoint, "where")
        until(endpoint, "frozen")
        os.kill(first["pid"], signal.SIGKILL)
        until(endpoint, "ended")
        second = invoke(endpoint, "where")
        assert second["pid"] != first["pid"]
        assert second["tmp"] != first["tmp"]
        while Path(first["tmp"]).exists():  # removed in the background
            environments(endpoint)
        assert Path(second["tmp"]).exists()


def test_without_freezing_environments_keep_running(config: Path, temporary: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    entry = json.loads(config.read_text())
    config.write_text(json.dumps(entry | {"freeze": False}))
    with emulator(config, temporary) as (_, endpoint):
        pid = invoke(endpoint, "dies_after", str(fifo))
        fifo.write_text("now")
        assert until(endpoint, "ended")["pid"] == pid


def failing(*arguments: str, stdin: str = "") -> str:
    """The one line on standard error of an emulator that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "lbench.engine.emulator", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_port_in_use_is_one_line_and_exit_2(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        assert f"port {port}" in failing("--config", str(config), "--port", port)
    assert "65535" in failing("--config", str(config), "--port", "70000")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "configuration"),
        ('{"functions": [{"name": "x"}]}', "handler"),
        ('{"functions": [{"name": "x", "handler": "a.b", "code": "/not/there"}]}', "/not/there"),
        ('{"colour": 1}', "colour"),
        ('{"functions": [{"name": "x", "handler": "a.b", "code": "/", "memory_mb": 64}]}', "128"),
        ('{"functions": [{"name": "a b", "handler": "a.b", "code": "/"}]}', "name"),
        ('{"conditions": {"lost_rate": 2}}', "lost_rate"),
        ('{"conditions": {"fail_error": "ServiceExeption"}}', "did you mean 'ServiceException'?"),
    ],
)
def test_an_invalid_configuration_is_one_line_and_exit_2(text: str, part: str) -> None:
    assert part in failing("--config", "-", stdin=text)


def test_an_activation_that_is_no_time_is_one_line_and_exit_2() -> None:
    assert "--activation must be from 0s to 60s, got soon" in failing("--activation", "soon")


def test_code_that_is_not_a_zip_is_one_line_and_exit_2(tmp_path: Path) -> None:
    code = tmp_path / "code.zip"
    code.write_bytes(b"no zip")
    function = {"name": "x", "handler": "a.b", "code": str(code)}
    assert "is not a zip file" in failing("--config", "-", stdin=json.dumps({"functions": [function]}))
    other = code.rename(tmp_path / "code.txt")
    function["code"] = str(other)
    assert "must be a folder or a .zip file" in failing("--config", "-", stdin=json.dumps({"functions": [function]}))
    function["code"] = str(other.rename(code))
    with zipfile.ZipFile(code, "w") as file:
        file.writestr("../out.py", "")
    assert "leads out" in failing("--config", "-", stdin=json.dumps({"functions": [function]}))


def test_a_zip_file_is_accepted_as_code(tmp_path: Path, temporary: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as file:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o100644 << 16
        file.writestr(entry, "def handle(e, c): return e")
    config = tmp_path / "config.json"
    function = {"name": "zipped", "handler": "app.handle", "code": str(tmp_path / "code.zip")}
    config.write_text(json.dumps({"functions": [function], "auth": False}))
    with emulator(config, temporary) as (process, endpoint):
        assert invoke(endpoint, "zipped", [1]) == [1]
        process.terminate()
        assert process.wait(60) == 0
    assert folders(temporary) == []


def test_a_missing_configuration_is_one_line_and_exit_2(tmp_path: Path) -> None:
    assert "nothing.json" in failing("--config", str(tmp_path / "nothing.json"))


def test_without_a_configuration_lbench_s_own_function_is_served(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lbench.engine.emulator", "--no-auth"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )
    with process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{endpoint}/2015-03-31/functions/") as answer:
            (entry,) = json.load(answer)["Functions"]
        process.terminate()
    assert (entry["FunctionName"], entry["MemorySize"], entry["Timeout"]) == ("lbench-1769", 1769, 900)
    assert entry["Handler"] == "lbench.lambda_src.handler.handle"
    assert entry["CodeSha256"]


def test_a_store_that_is_no_url_is_one_line_and_exit_2() -> None:
    assert "s3_endpoint must be an http(s) URL" in failing("--s3-endpoint", "localhost:9000")
