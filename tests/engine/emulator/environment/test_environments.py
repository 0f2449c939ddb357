"""Environments under failed inits, exceeded limits and idleness."""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="by Linux's means")

CODE = """
import os, resource

def echo(event, context):
    return event

def stream(event, context):
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

def files(event, context):
    return resource.getrlimit(resource.RLIMIT_NOFILE)

def eat(event, context):
    held = []
    while True:
        held.append(bytearray(b"x" * 4_194_304))

def wait(event, context):
    with open(event["fifo"]) as fifo:
        fifo.read()
"""

# An init that goes wrong the first time only: the file says whether it has begun before.
ONCE = """
import os, threading
if not os.path.exists({mark!r}):
    open({mark!r}, "w").close()
    {how}

def handle(event, context):
    return event
"""


def module(folder: Path, name: str, text: str) -> dict[str, Any]:
    (folder / f"{name}.py").write_text(text)
    return {"handler": f"{name}.handle"}


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("threading.Event().wait()", r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: timeout\n"),
        ("os._exit(3)", r"INIT_REPORT .* ms\tPhase: init\tStatus: error\tError Type: Runtime\.ExitError\n"),
        ("import no_such_thing", r"Phase: init\tStatus: error\tError Type: Runtime\.ImportModuleError\n"),
    ],
)
def test_a_failed_init_is_repeated_within_the_invocation_s_time(
    start: Any, tmp_path: Path, how: str, line: str
) -> None:
    spec = module(tmp_path, "once", ONCE.format(mark=str(tmp_path / "mark"), how=how))
    service = start(CODE, {"once": spec}, init_limit_s=3 if "wait" in how else 10, isolation=False)
    answer = service.invoke("once", {"a": 1})
    assert answer["value"] == {"a": 1}
    assert re.search(line, answer["log"])
    report = answer["log"].splitlines()[-1]
    assert "Init Duration" not in report  # it is in the duration
    assert float(report.partition("\tDuration: ")[2].split()[0]) > 5
    assert len(service.environments()) == 1
    assert "INIT_REPORT" not in service.invoke("once")["log"]


def test_an_endless_init_is_ended_by_the_function_s_timeout(start: Any, tmp_path: Path) -> None:
    spec = module(tmp_path, "hangs", "import threading\nthreading.Event().wait()\n")
    service = start(CODE, {"hangs": {**spec, "timeout_s": 0.3}}, init_limit_s=0.2)
    answer = service.invoke("hangs")
    assert answer["value"]["errorType"] == "Sandbox.Timedout"
    assert answer["log"].count("INIT_REPORT") == 2
    assert re.search(r"Phase: invoke\tStatus: timeout\n", answer["log"])
    assert "Duration: 300.00 ms\tBilled Duration: 300 ms" in answer["log"]


@pytest.mark.parametrize(
    ("text", "handler", "kind"),
    [
        ("import no_such_thing", "bad.handle", "Runtime.ImportModuleError"),
        ("x = 1", "bad.handle", "Runtime.HandlerNotFound"),
        ("def (", "bad.handle", "Runtime.UserCodeSyntaxError"),
        ("x = 1", "bad", "Runtime.MalformedHandlerName"),
    ],
)
def test_init_errors_are_reported_as_by_awslambdaric(
    start: Any, tmp_path: Path, text: str, handler: str, kind: str
) -> None:
    (tmp_path / "bad.py").write_text(text)
    service = start(CODE, {"bad": {"handler": handler}})
    answer = service.invoke("bad")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == kind
    assert f"Status: error\tError Type: {kind}" in answer["log"].splitlines()[-1]


@pytest.mark.parametrize(("number", "how"), [(9, "killed"), (11, "segmentation fault"), (14, "alarm clock")])
def test_a_signal_is_reported_in_go_s_words(start: Any, number: int, how: str) -> None:
    code = f"import os\ndef dies(event, context):\n    os.kill(os.getpid(), {number})\n    while True: pass\n"
    answer = start(code, {"dies": {}}).invoke("dies")
    assert answer["value"]["errorType"] == "Runtime.ExitError"
    assert answer["value"]["errorMessage"].endswith(f"Runtime exited with error: signal: {how}")


@linux
def test_exceeding_the_memory_setting_kills_the_environment_and_is_reported(start: Any) -> None:
    service = start(CODE, {"eat": {"memory_mb": 128}, "echo": {}})
    answer = service.invoke("eat")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Runtime.OutOfMemory"
    assert answer["value"]["errorMessage"].endswith("Runtime exited with error: signal: killed")
    report = answer["log"].splitlines()[-1]
    assert "Memory Size: 128 MB\tMax Memory Used: 128 MB" in report
    assert "Status: error\tError Type: Runtime.OutOfMemory" in report
    assert service.invoke("echo", 1)["value"] == 1


@linux
def test_open_files_are_limited_as_on_lambda(start: Any) -> None:
    assert start(CODE, {"files": {}}).invoke("files")["value"] == [1024, 1024]


def test_an_idle_environment_ends(start: Any) -> None:
    service = start(CODE, {"stream": {}}, idle_s=0.2)
    first = service.invoke("stream")["value"]
    while service.environments()[0]["state"] != "ended":
        pass
    assert service.invoke("stream")["value"] != first


def test_a_function_grows_no_faster_than_its_ramp(start: Any, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    service = start(CODE, {"wait": {}, "echo": {}}, ramp_per_10_s=1, isolation=False)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.invoke, "wait", {"fifo": str(fifo)})
        with fifo.open("w"):
            refused = service.refused(FunctionName="wait")
            assert service.invoke("echo", 1)["value"] == 1  # each function has its own
        running.result()
    assert refused["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_too_many_requests_a_second_are_refused_with_their_reason(start: Any) -> None:
    service = start(CODE, {"echo": {}, "own": {"handler": "app.echo", "concurrency": 1}}, requests_per_s=13)
    for name, reason in (
        ("own", "ReservedFunctionInvocationRateLimitExceeded"),
        ("echo", "FunctionInvocationRateLimitExceeded"),
    ):
        refused = None
        while refused != reason:  # 10 a second for the one that is reserved, 13 for all
            try:
                assert service.client.invoke(FunctionName=name)["StatusCode"] == 200
            except service.client.exceptions.TooManyRequestsException as problem:
                refused = problem.response["Reason"]


def test_removed_code_is_an_invalid_zip_file(start: Any, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    service = start(CODE, {"gone": {"code": str(folder)}})
    folder.rmdir()
    refused = service.refused(FunctionName="gone")
    assert refused["Error"]["Code"] == "InvalidZipFileException"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 502


def test_a_runtime_s_own_handled_is_passed_on(start: Any) -> None:
    """Python's never does; a custom runtime may."""
    code = """
    import os, http.client
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    response = api.getresponse()
    response.read()
    api.request(
        "POST",
        f"/2018-06-01/runtime/invocation/{response.headers['Lambda-Runtime-Aws-Request-Id']}/error",
        b'{"errorType": "Mine", "errorMessage": "reported"}',
        {"Lambda-Runtime-Function-Error-Type": "Handled"},
    )
    api.getresponse().read()
    """
    answer = start(code, {"handled": {}}).invoke("handled")
    assert answer["FunctionError"] == "Handled"
    assert answer["value"] == {"errorType": "Mine", "errorMessage": "reported"}


def test_tenant_and_trace_reach_the_function(start: Any) -> None:
    code = "import os\ndef tell(e, c):\n    return [c.tenant_id, os.environ['_X_AMZN_TRACE_ID']]\n"
    service = start(code, {"tell": {}})
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    headers = {"X-Amz-Tenant-Id": "blue", "X-Amzn-Trace-Id": trace, "Content-Type": "application/json"}
    with service.open("/2015-03-31/functions/tell/invocations", b"{}", headers) as answer:
        assert json.load(answer) == ["blue", trace]
        assert answer.headers["X-Amzn-Trace-Id"] == trace
    tenant, made = service.invoke("tell")["value"]
    assert tenant is None
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=0", made)


STRAYS = """
import os, subprocess, sys, time

SLEEPS = "import time\\nwhile True: time.sleep(0.001)"

def stray(event, context):
    if event == "again":
        return None
    child = subprocess.Popen([sys.executable, "-S", "-c", SLEEPS], start_new_session=True)
    reader, writer = os.pipe()
    if os.fork() == 0:  # a daemon: its parent ends at once
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            while True:
                time.sleep(0.001)
        os._exit(0)
    return [child.pid, int(os.read(reader, 20))]

def parent(event, context):
    subprocess.run([sys.executable, "-S", "-c", "x = b'x' * 150_000_000; import time; time.sleep(2)"], check=True)

def greedy(event, context):
    subprocess.run([sys.executable, "-S", "-c", "x = b'x' * 300_000_000; import time; time.sleep(60)"], check=True)
"""


@linux
def test_processes_that_have_left_the_group_are_frozen_and_end_with_their_environment(start: Any) -> None:
    import psutil

    service = start(STRAYS, {"stray": {}})
    pids = service.invoke("stray")["value"]
    processes = [psutil.Process(pid) for pid in pids]
    while service.environments()[0]["state"] != "frozen":
        pass
    until_s = time.monotonic() + 180
    while [process.status() for process in processes] != ["stopped"] * 2:  # each is stopped in its turn
        assert time.monotonic() < until_s
    service.invoke("stray", "again")
    assert all(process.is_running() for process in processes)
    (entry,) = service.environments()
    os.kill(entry["pid"], 9)
    psutil.wait_procs(processes, timeout=60)
    assert not any(process.is_running() for process in processes)


@linux
def test_memory_is_that_of_all_processes(start: Any) -> None:
    service = start(STRAYS, {"parent": {"memory_mb": 512}, "greedy": {"memory_mb": 256}})
    used = re.search(r"Max Memory Used: (\d+) MB", service.invoke("parent")["log"])
    assert used and 150 < int(used[1]) < 300
    assert service.invoke("greedy")["value"]["errorType"] == "Runtime.OutOfMemory"


@pytest.mark.parametrize("how", ["import no_such_thing", "import os, time; time.sleep(1); os._exit(1)"])
def test_a_failed_init_reports_its_memory(start: Any, tmp_path: Path, how: str) -> None:
    service = start(CODE, {"bad": module(tmp_path, "bad", how)})
    used = re.search(r"Max Memory Used: (\d+) MB", service.invoke("bad")["log"])
    assert used and int(used[1]) > 5


@linux
def test_the_runtime_api_answers_its_own_environment_only(start: Any) -> None:
    code = "import os\ndef where(event, context):\n    return [os.environ['AWS_LAMBDA_RUNTIME_API'], os.getpid()]\n"
    service = start(code, {"where": {}})
    address, _ = service.invoke("where")["value"]
    for method, path in (("GET", "/2018-06-01/runtime/invocation/next"), ("POST", "/2018-06-01/runtime/init/error")):
        connection = http.client.HTTPConnection(address)
        connection.request(method, path)
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (403, b"")
        connection.close()
    assert service.invoke("where")["value"][0] == address
