"""The Invoke API as unmodified boto3 sees it, the functions run by unmodified awslambdaric (or our clients)."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from lbench.engine.emulator.resources.cpu import METHODS

HANDLERS = """
import os, sys, logging

def echo(event, context):
    return event

def fail(event, context):
    raise ValueError("no " + event["what"])

def crash(event, context):
    print("last words", end="")
    sys.stdout.flush()
    os._exit(event["code"])

def wait(event, context):
    with open(event["fifo"]) as fifo:
        fifo.read()
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

def where(event, context):
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

def noisy(event, context):
    print(event["text"], end="")

def big(event, context):
    return "x" * (event["size"] - 2)

def variables(event, context):
    return dict(os.environ)

def context_fields(event, context):
    return {
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left_ms": context.get_remaining_time_in_millis(),
        "memory": context.memory_limit_in_mb,
        "custom": context.client_context.custom if context.client_context else None,
        "stdin": sys.stdin.read(),
        "cwd": os.getcwd(),
    }

def modules(event, context):
    import importlib.util
    return {name: importlib.util.find_spec(name) is not None for name in event}

def logs(event, context):
    logging.getLogger().warning("careful")
    print("to stderr", file=sys.stderr)

def memory(event, context):
    bytearray(event["bytes"])[::4096] = b"x" * len(range(0, event["bytes"], 4096))
"""

REPORT = re.compile(
    r"REPORT RequestId: (?P<id>[0-9a-f-]{36})\tDuration: (?P<duration>[0-9]+\.[0-9]{2}) ms\t"
    r"Billed Duration: (?P<billed>[0-9]+) ms\tMemory Size: (?P<size>[0-9]+) MB\tMax Memory Used: (?P<used>[0-9]+) MB\t"
    r"(?:Init Duration: (?P<init>[0-9]+\.[0-9]{2}) ms\t)?(?:Status: (?P<status>\w+)\t)?"
    r"(?:Error Type: (?P<type>[\w.]+)\t)?\n"
)


class Service:
    """A running emulator, and boto3 pointed at it."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self.client: Any = boto3.client(
            "lambda",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=botocore.config.Config(retries={"max_attempts": 0}, max_pool_connections=20),
        )

    def invoke(self, name: str, event: Any = None, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.invoke(
            FunctionName=name, Payload=json.dumps(event), LogType="Tail", **more
        )
        answer["value"] = json.loads(answer["Payload"].read())
        answer["log"] = base64.b64decode(answer["LogResult"]).decode()
        answer["report"] = REPORT.fullmatch(answer["log"].splitlines(keepends=True)[-1])
        return answer

    def environments(self, function: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.endpoint}/_lbench/environments") as answer:
            listed: list[dict[str, Any]] = json.load(answer)["environments"]
        return [entry for entry in listed if entry["function"] == function]

    def error(self, **call: Any) -> dict[str, Any]:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            self.client.invoke(**call)
        answer: dict[str, Any] = caught.value.response
        return answer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "app.py").write_text(textwrap.dedent(HANDLERS))
    (folder / "broken.py").write_text("import there_is_no_such_module\n")
    (folder / "dies.py").write_text("import os\nos._exit(7)\n")
    (folder / "hangs.py").write_text("import threading\nthreading.Event().wait()\n")

    def function(name: str, handler: str = "", **more: Any) -> dict[str, Any]:
        return {"name": name, "code": str(folder), "handler": handler or f"app.{name}", "timeout_s": 30, **more}

    plain = ("echo", "fail", "crash", "wait", "where", "noisy", "big", "context_fields", "modules", "logs", "memory")
    functions = [function(name) for name in plain]
    functions += [
        function("variables", environment={"OWN": "yes", "AWS_ACCESS_KEY_ID": "given"}),
        function("slow", "app.wait", timeout_s=0.25, memory_mb=512),
        function("one", "app.wait", concurrency=1),
        function("broken", "broken.handle"),
        function("missing", "app.nowhere"),
        function("dies", "dies.handle"),
    ]
    for client in ("python", "plain"):
        functions += [
            function(f"{name}-{client}", f"app.{name}", runtime_client=client)
            for name in ("echo", "fail", "context_fields", "big", "logs")
        ]
        functions.append(function(f"broken-{client}", "broken.handle", runtime_client=client))
    config = folder / "config.json"
    config.write_text(json.dumps({"functions": functions, "concurrency": 7, "auth": False, "isolation": False}))
    process = subprocess.Popen(
        [sys.executable, "-m", "lbench.engine.emulator", "--config", str(config)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "AWS_SESSION_TOKEN": "secret", "AWS_PROFILE": "mine", "MY_PASSWORD": "secret"},
    )
    with process:
        assert process.stdout is not None
        try:
            yield Service(process.stdout.readline().strip(), folder)
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


CLIENTS = ["", "-python", "-plain"]


@pytest.mark.parametrize("client", CLIENTS)
def test_an_event_is_returned_unchanged(service: Service, client: str) -> None:
    event = {"text": "žluťoučký \U0001f40e", "n": [1, 2.5, None, True]}
    answer = service.invoke(f"echo{client}", event)
    assert answer["value"] == event
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert uuid.UUID(request_id).version == 4
    assert request_id in answer["log"]


def test_a_cold_start_bills_its_init_and_a_warm_start_has_none(service: Service) -> None:
    cold, warm = service.invoke("where"), service.invoke("where")
    assert cold["value"] == warm["value"]
    report = cold["report"]
    exact = float(report["duration"]) + float(report["init"])
    assert int(report["billed"]) - 1 < exact <= int(report["billed"])
    assert warm["report"]["init"] is None
    assert report["size"] == "1769"
    assert 5 < int(report["used"]) < 200


def test_the_tail_is_start_output_end_report(service: Service) -> None:
    service.invoke("noisy", {"text": ""})
    answer = service.invoke("noisy", {"text": "one\ntwo"})
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert answer["log"].splitlines()[:-1] == [
        f"START RequestId: {request_id} Version: $LATEST",
        "one",
        "two",
        f"END RequestId: {request_id}",
    ]
    assert answer["report"]["id"] == request_id


def test_output_that_imitates_the_report_does_not_replace_it(service: Service) -> None:
    forged = "REPORT RequestId: x\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 1 MB\t"
    answer = service.invoke("noisy", {"text": f"{forged}\r\n{forged}"})
    assert answer["report"]["id"] == answer["ResponseMetadata"]["RequestId"]


def test_the_tail_is_the_last_4_kb(service: Service) -> None:
    answer = service.invoke("noisy", {"text": "long line " * 20_000})
    assert len(base64.b64decode(answer["LogResult"])) == 4096
    assert answer["report"] is not None
    assert service.invoke("noisy", {"text": ""})["log"].startswith("START")


@pytest.mark.parametrize("client", CLIENTS)
def test_logging_and_standard_error_are_in_the_log(service: Service, client: str) -> None:
    log = service.invoke(f"logs{client}")["log"]
    assert "careful" in log
    assert "to stderr\n" in log


def test_without_tail_there_is_no_log(service: Service) -> None:
    assert "LogResult" not in service.client.invoke(FunctionName="echo", Payload=b"{}")


def test_a_missing_event_is_an_empty_object(service: Service) -> None:
    assert json.load(service.client.invoke(FunctionName="echo")["Payload"]) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_an_exception_of_the_function_is_its_payload(service: Service, client: str) -> None:
    answer = service.invoke(f"fail{client}", {"what": "luck"})
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert answer["value"]["errorType"] == "ValueError"
    assert answer["value"]["errorMessage"] == "no luck"
    assert answer["value"]["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert "app.py" in answer["value"]["stackTrace"][-1]
    assert "[ERROR] ValueError: no luck" in answer["log"]
    assert service.invoke(f"fail{client}", {"what": "luck"})["report"]["init"] is None  # it lives on


def test_a_timeout_kills_the_environment_and_is_billed_in_full(service: Service, fifo: str) -> None:
    answer = service.invoke("slow", {"fifo": fifo})
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"] == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 0.25 seconds",
    }
    report = answer["report"]
    assert (report["status"], report["duration"], report["size"]) == ("timeout", "250.00", "512")
    assert int(report["billed"]) >= 250 + int(float(report["init"]))
    assert f"{request_id} Task timed out after 0.25 seconds" in answer["log"]
    assert service.invoke("slow", {"fifo": fifo})["report"]["init"] is not None
    assert len({entry["pid"] for entry in service.environments("slow")}) == 2


@pytest.mark.parametrize(
    ("code", "how"),
    [(3, "exit status 3"), (1, "exit status 1")],
)
def test_a_crash_is_an_exit_error(service: Service, code: int, how: str) -> None:
    answer = service.invoke("crash", {"code": code})
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"] == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: {how}",
    }
    assert (answer["report"]["status"], answer["report"]["type"]) == ("error", "Runtime.ExitError")
    assert "last words\n" in answer["log"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_failed_import_is_reported(service: Service, client: str) -> None:
    answer = service.invoke(f"broken{client}")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Runtime.ImportModuleError"
    assert answer["value"]["errorMessage"] == (
        "Unable to import module 'broken': No module named 'there_is_no_such_module'"
    )
    assert answer["report"]["type"] == "Runtime.ImportModuleError"


def test_a_missing_handler_is_reported(service: Service) -> None:
    assert service.invoke("missing")["value"]["errorType"] == "Runtime.HandlerNotFound"


def test_a_process_that_dies_in_its_init_is_an_exit_error(service: Service) -> None:
    assert "exit status 7" in service.invoke("dies")["value"]["errorMessage"]


def test_the_context_is_as_on_lambda(service: Service) -> None:
    context = base64.b64encode(json.dumps({"custom": {"a": "ž"}}).encode()).decode()
    answer = service.invoke("context_fields", ClientContext=context)
    entry = answer["value"]
    assert entry["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert entry["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:context_fields"
    assert 29_000 < entry["left_ms"] <= 30_000
    assert entry["memory"] == "1769"
    assert entry["custom"] == {"a": "ž"}
    assert entry["stdin"] == ""
    assert Path(entry["cwd"]) == service.folder


def test_environment_variables_are_lambdas_and_nothing_of_the_users(service: Service) -> None:
    got = service.invoke("variables")["value"]
    assert "secret" not in str(got)
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "MY_PASSWORD", "USER"} & set(got)
    assert got["OWN"] == "yes"
    assert got["AWS_ACCESS_KEY_ID"] == "given"
    assert got["AWS_LAMBDA_FUNCTION_NAME"] == "variables"
    assert got["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "1769"
    assert got["AWS_REGION"] == "us-east-1"
    assert got["AWS_EC2_METADATA_DISABLED"] == "true"
    assert not [name for name in got if name.endswith("_NUM_THREADS") or "LBENCH" in name]
    assert got["TMPDIR"] == got["HOME"]
    assert Path(got["TMPDIR"]).is_dir()
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", got["AWS_LAMBDA_LOG_STREAM_NAME"])


def test_libraries_are_the_interpreters_but_the_driver_side_of_lbench_is_not_there(service: Service) -> None:
    assert service.invoke("modules", ["numpy", "sklearn", "msgspec", "lbench"])["value"] == {
        "numpy": True,
        "sklearn": True,
        "msgspec": True,
        "lbench": False,  # it ships in the code folder, or not at all
    }


def test_the_most_recently_used_environment_is_taken(service: Service, tmp_path: Path) -> None:
    fifos = [str(tmp_path / name) for name in ("a", "b")]
    for path in fifos:
        os.mkfifo(path)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(service.invoke, "wait", {"fifo": path}) for path in fifos]
        writers = [Path(path).open("w") for path in fifos]  # noqa: SIM115  each blocks until its handler has opened the fifo
        used = []
        for writer, one in zip(reversed(writers), reversed(running), strict=True):
            writer.close()
            used.append(one.result()["value"])
    assert len(set(used)) == 2
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(service.invoke, "wait", {"fifo": fifos[0]})
        with Path(fifos[0]).open("w"):
            pass
        assert again.result()["value"] == used[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_environment_is_frozen_between_invocations(service: Service) -> None:
    service.invoke("echo", 1)
    (entry,) = [one for one in service.environments("echo") if one["state"] != "ended"]
    while entry["state"] != "frozen":  # it asks for its next invocation right after its answer
        (entry,) = [one for one in service.environments("echo") if one["state"] != "ended"]
    while Path(f"/proc/{entry['pid']}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass  # the signal has been sent, and takes effect when the process is next looked at
    assert service.invoke("echo", 2)["value"] == 2


def test_environments_are_listed_with_their_figures(service: Service) -> None:
    stream = service.invoke("where")["value"]
    (entry,) = [one for one in service.environments("where") if one["id"] == stream]
    assert entry["cpu_share_method"] in METHODS
    assert entry["init_ms"] > 0
    assert entry["memory_mb"] == 1769
    assert entry["invocations"] >= 1
    assert entry["created_epoch_s"] > entry["created_s"] > 0


def test_the_function_s_own_limit_answers_429_at_once(service: Service, fifo: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.invoke, "one", {"fifo": fifo})
        with Path(fifo).open("w"):
            refused = service.error(FunctionName="one", Payload="{}")
        running.result()
    assert refused["Error"]["Code"] == "TooManyRequestsException"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert refused["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert "retry-after" not in refused["ResponseMetadata"]["HTTPHeaders"]


def test_the_limit_over_all_functions_answers_429_until_it_is_free_again(service: Service, tmp_path: Path) -> None:
    fifos = [str(tmp_path / str(number)) for number in range(6)]
    for path in fifos:
        os.mkfifo(path)
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(service.invoke, "wait", {"fifo": path}) for path in fifos]
        writers = [Path(path).open("w") for path in fifos]  # noqa: SIM115
        refused = service.error(FunctionName="echo", Payload="{}")
        for writer in writers:
            writer.close()
        for one in running:
            one.result()
    assert refused["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert service.invoke("echo", 3)["value"] == 3


def test_a_large_event_and_a_large_response_are_accepted(service: Service) -> None:
    event = "x" * (6_291_456 - 2)  # boto3 sends Expect: 100-continue
    assert service.invoke("echo", event)["value"] == event


def test_an_event_above_6_mb_is_refused(service: Service) -> None:
    refused = service.error(FunctionName="echo", Payload=json.dumps("x" * 6_291_456))
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert refused["Error"]["Code"] == "RequestTooLargeException"
    assert service.invoke("echo", 4)["value"] == 4


@pytest.mark.parametrize("client", CLIENTS)
def test_a_response_above_6_mb_is_the_function_s_error(service: Service, client: str) -> None:
    assert len(service.invoke(f"big{client}", {"size": 6_291_556})["value"]) == 6_291_554
    answer = service.invoke(f"big{client}", {"size": 6_291_557})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"] == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert service.invoke(f"big{client}", {"size": 10})["value"] == "x" * 8


def test_a_body_that_is_not_json_is_refused(service: Service) -> None:
    refused = service.error(FunctionName="echo", Payload=b"{no")
    assert refused["Error"]["Code"] == "InvalidRequestContentException"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("name", ["nope", "arn:aws:lambda:us-east-1:000000000000:function:nope", "echo:7"])
def test_a_missing_function_is_not_found(service: Service, name: str) -> None:
    refused = service.error(FunctionName=name, Payload="{}")
    assert refused["Error"]["Code"] == "ResourceNotFoundException"
    assert refused["Error"]["Message"].startswith("Function not found: arn:aws:lambda:us-east-1:")


@pytest.mark.parametrize(
    "name",
    ["arn:aws:lambda:us-east-1:000000000000:function:echo", "000000000000:function:echo", "echo:$LATEST"],
)
def test_a_function_is_found_by_each_form_of_its_name(service: Service, name: str) -> None:
    assert service.invoke(name, 5)["value"] == 5


def test_a_dry_run_runs_nothing(service: Service) -> None:
    before = len(service.environments("missing"))
    answer = service.client.invoke(FunctionName="missing", InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""
    assert len(service.environments("missing")) == before


def test_the_functions_are_listed_and_described(service: Service) -> None:
    listed = {entry["FunctionName"]: entry for entry in service.client.list_functions()["Functions"]}
    assert listed["slow"]["MemorySize"] == 512
    entry = service.client.get_function_configuration(FunctionName="echo")
    assert entry["State"] == "Active"
    assert "site-packages" in entry["Description"]
    whole = service.client.get_function(FunctionName="one")
    assert whole["Configuration"]["FunctionName"] == "one"
    assert whole["Concurrency"] == {"ReservedConcurrentExecutions": 1}


def test_an_operation_that_is_not_emulated_is_an_error(service: Service) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="not emulated"):
        service.client.list_aliases(FunctionName="echo")


def test_the_peak_memory_is_reported(service: Service) -> None:
    assert int(service.invoke("memory", {"bytes": 64 * 1_048_576})["report"]["used"]) > 64


def test_many_callers_at_once_are_all_answered(service: Service) -> None:
    barrier = threading.Barrier(5)

    def calls(number: int) -> list[int]:
        barrier.wait()
        return [service.invoke("echo", number * 100 + n)["value"] for n in range(20)]

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(calls, range(5)))
    assert answers == [[number * 100 + n for n in range(20)] for number in range(5)]
