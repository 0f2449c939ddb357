"""The surroundings of a function: variables, limits, log records, wrappers, /tmp after a reset, order of the Runtime API."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.emulator.environment import process
from lbench.engine.emulator.environment.process import unframed

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's limits")

CODE = """
import json, logging, os, resource, sys, time
logging.getLogger().setLevel(logging.INFO)
class Lost(Exception):
    pass

def variables(event, context):
    return dict(os.environ)

def limits(event, context):
    return {name: resource.getrlimit(getattr(resource, name)) for name in event}

def logs(event, context):
    print("before")
    logging.info("first\\nsecond")
    print("after")
    logging.getLogger("mine").warning("with no end")
    if event == "raise":
        raise Lost("on purpose")
    sys.stdout.write("no end of line")

def tmp(event, context):
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), "kept")
    if event == "write":
        open(path, "w").write("kept")
    elif event == "exit":
        os._exit(3)
    elif event == "hang":
        time.sleep(60)
    return os.path.exists(path)
"""


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    names = ("variables", "limits", "logs", "tmp")
    functions: dict[str, dict[str, Any]] = {name: {"environment": {"MINE": "x"}} for name in names}
    functions["tmp"]["timeout_s"] = 3
    return start_shared(CODE, functions)


def test_the_variables_are_lambda_s(service: Any) -> None:
    seen = service.invoke("variables")["value"]
    assert (seen["LANG"], seen["TZ"], seen["SHLVL"], seen["MINE"]) == ("en_US.UTF-8", ":UTC", "0", "x")
    assert seen["PWD"] == seen["LAMBDA_TASK_ROOT"]
    assert seen["PWD"] in ("/var/task", str(service.folder))  # the latter where the system allows no mounts
    assert seen["PATH"] == "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert seen["AWS_XRAY_CONTEXT_MISSING"] == "LOG_ERROR"
    assert seen["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert "PYTHONUNBUFFERED" not in seen and "_LAMBDA_TELEMETRY_LOG_FD" not in seen


@linux
def test_the_limits_are_lambda_s(service: Any) -> None:
    names = ["RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_STACK"]
    assert service.invoke("limits", names)["value"] == {
        "RLIMIT_NOFILE": [1024, 1024],
        "RLIMIT_MEMLOCK": [65536, 65536],
        "RLIMIT_STACK": [8388608, -1],
    }
    if os.getuid() == 0:
        assert service.invoke("limits", ["RLIMIT_NPROC"])["value"]["RLIMIT_NPROC"] == [742, 742]


def test_records_keep_their_lines_and_their_place_in_the_output(service: Any) -> None:
    answer = service.invoke("logs")
    lines = answer["log"].splitlines()[1:-2]
    assert lines[0] == "before"
    assert lines[1].endswith("\tfirst") and lines[1].startswith("[INFO]\t")
    assert lines[2:4] == ["second", "after"]
    assert lines[4].startswith("[WARNING]\t") and lines[4].endswith("\twith no end")
    assert lines[5] == "no end of line"


def test_a_traceback_has_a_line_for_each_of_its_own(service: Any) -> None:
    lines = service.invoke("logs", "raise")["log"].splitlines()
    begin = lines.index("[ERROR] Lost: on purpose")
    assert lines[begin + 1] == "Traceback (most recent call last):"
    assert lines[begin + 2].startswith("\u00a0\u00a0File ")
    assert lines[begin + 3].strip("\u00a0") == 'raise Lost("on purpose")'


@pytest.mark.parametrize("end", ["exit", "hang"])
def test_tmp_outlives_an_environment_that_ended_by_itself(service: Any, end: str) -> None:
    service.invoke("tmp", "write")
    assert service.invoke("tmp", end)["FunctionError"] == "Unhandled"
    assert service.invoke("tmp")["value"] is True


def frame(text: str, level: int = 0x17) -> bytes:
    data = text.encode()
    return b"\xa5\x5a\x00" + bytes([level]) + len(data).to_bytes(4, "big") + bytes(8) + data


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (b"plain\n", b"plain\n"),
        (frame("one") + frame("two\n"), b"one\ntwo\n"),
        (b"a" + frame("b") + b"c\n" + frame("d"), b"ab\nc\nd\n"),
        (frame("line\nline"), b"line\nline\n"),
        (b"\xa5\x5a\x00", b"\xa5\x5a\x00"),
        (frame("cut off")[:-1], frame("cut off")[:-1]),
        (b"\xa5\x5a\x00" + frame("x"), b"\xa5\x5a\x00x\n"),
    ],
)
def test_frames_are_unpacked_and_everything_else_stays(output: bytes, text: bytes) -> None:
    assert unframed(output) == text


def test_a_function_with_json_logs_has_json_alone(start: Any) -> None:
    code = "import logging\ndef handle(event, context):\n    logging.getLogger().warning('careful')\n    return 1 / event\n"
    service = start()
    service.create("json", code=code, LoggingConfig={"LogFormat": "JSON", "LogGroup": "mine"})
    first, record, report = (json.loads(line) for line in service.invoke("json", 1)["log"].splitlines())
    assert (first["type"], first["record"]["version"]) == ("platform.start", "$LATEST")
    assert (record["level"], record["message"]) == ("WARNING", "careful")
    assert (report["type"], report["record"]["status"]) == ("platform.report", "success")
    metrics = report["record"]["metrics"]
    assert metrics["billedDurationMs"] >= metrics["durationMs"] + metrics["initDurationMs"]
    failed = [json.loads(line) for line in service.invoke("json", 0)["log"].splitlines()]
    assert [one.get("errorType") for one in failed if one.get("level") == "ERROR"] == ["ZeroDivisionError"]
    service.client.update_function_configuration(
        FunctionName="json", LoggingConfig={"SystemLogLevel": "WARN", "ApplicationLogLevel": "ERROR"}
    )
    assert service.invoke("json", 1)["log"] == ""
    config = service.client.get_function_configuration(FunctionName="json")["LoggingConfig"]
    assert config == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "ERROR",
        "SystemLogLevel": "WARN",
        "LogGroup": "mine",
    }


@pytest.mark.parametrize("line", ['exec "$@"', '"$@"'])
def test_an_exec_wrapper_starts_the_runtime(start: Any, line: str) -> None:
    code = "import os\ndef handle(event, context): return [os.environ['FROM'], os.environ['_HANDLER']]\n"
    service = start(code, {"handle": {"environment": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}}})
    wrapper = service.folder / "wrap"
    wrapper.write_text(f"#!/bin/sh\nexport FROM=wrapper\n{line}\n")
    wrapper.chmod(0o755)
    assert service.invoke("handle")["value"] == ["wrapper", "app.handle"]


def test_a_missing_exec_wrapper_is_an_exit_error(start: Any) -> None:
    service = start("", {"none": {"environment": {"AWS_LAMBDA_EXEC_WRAPPER": "/idontexist.sh"}}})
    value = service.invoke("none")["value"]
    assert value["errorType"] == "Runtime.ExitError"
    assert value["errorMessage"].endswith("Error: Runtime exited with error: exit status 127")


RUNTIME = """
import http.client, json, os

def call(method, path):
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request(method, f"/2018-06-01/runtime/{path}", b"1" if method == "POST" else None)
    response = api.getresponse()
    return response.status, response.read().decode(), response.headers.get("Lambda-Runtime-Aws-Request-Id")

seen = []
while True:
    request_id = call("GET", "invocation/next")[2]
    for method, path in (
        ("POST", "invocation/next"),
        ("GET", f"invocation/{request_id}/response"),
        ("GET", "init/error"),
        ("POST", "init/error"),
        ("POST", f"invocation/{request_id}/other"),
        ("POST", "invocation/other/error"),
    ):
        seen.append(call(method, path)[:2])
    if len(seen) > 8:
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", json.dumps(seen))
        api.getresponse().read()
        seen = []
    else:
        seen.append(call("POST", f"invocation/{request_id}/response")[:2])
        seen.append(call("POST", f"invocation/{request_id}/response")[:2])
        seen.append(call("POST", f"invocation/{request_id}/error")[:2])
"""


def test_the_runtime_api_checks_methods_and_order(start: Any) -> None:
    service = start(RUNTIME, {"raw": {}})
    service.invoke("raw")
    value = service.invoke("raw")["value"]
    while not isinstance(value, list):  # the second one may have met the first one's runtime before it was ready
        value = service.invoke("raw")["value"]
    statuses = [status for status, _ in value]
    assert statuses[:6] == [405, 405, 405, 403, 404, 400]
    assert statuses[6:9] == [202, 403, 403]
    assert json.loads(value[3][1])["errorType"] == "InvalidStateTransition"
    assert json.loads(value[7][1]) == {
        "errorMessage": "State transition from ResponseSent to InvocationResponse failed for runtime. "
        "Error: State transition is not allowed",
        "errorType": "InvalidStateTransition",
    }


def test_libraries_that_pythonpath_lends_are_those_of_environments_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lent").mkdir()
    (tmp_path / "lent" / "__init__.py").touch()
    monkeypatch.setattr(process, "_NEEDED", ("lent", "nowhere"))
    monkeypatch.syspath_prepend(tmp_path)
    process.libraries.cache_clear()
    try:
        assert str(tmp_path) in process.libraries() and str(tmp_path) in process.needed_paths()
    finally:
        process.libraries.cache_clear()
