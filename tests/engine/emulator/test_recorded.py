"""Each recorded answer of AWS is a row: the same request gets the same answer here, as unmodified boto3 sees it.

The recordings are those of public test suites; each names its source and its date. They are no part of the project.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from moto.server import ThreadedMotoServer

from tests.conftest import ROOT

ROLE = "arn:aws:iam::000000000000:role/r1"
ECHO = "import json\ndef handler(event, context):\n    print(json.dumps(event))\n    return event\n"
# Returns once it has got a signal
HELD = """import signal, threading
end = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: end.set())
def handler(e, c):
    end.wait()
    return "variant-1"
"""
TRACE = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"
PLACEHOLDERS = {
    "<account>": "0{12}",
    "<region>": "us-east-1",
    "<uuid>": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "<ms>": r"\d+\.\d\d",
    "<int>": r"\d+",
    "<date>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+0000)",
    "<sha>": "[A-Za-z0-9+/]{43}=",
    "<any>": r"[\s\S]*",
}
# Rows that are not equal, each explained in docs/emulator.md
NOT_EQUAL = {
    "environment-variables": "paths of this machine; the number of threads is set",
    "get": "the code's location is a URL of the emulator, which has no https",
    "silent-snapstart": "SnapStart is refused by name",
}


def recordings() -> list[Any]:
    folder = os.environ.get("LBENCH_TEST_DATA") or Path(ROOT.parent, "shared", "data")
    path = Path(folder, "aws-recorded.json")
    if not path.is_file():
        return [pytest.param(None, marks=pytest.mark.skip(reason="no aws-recorded.json: set LBENCH_TEST_DATA"))]
    return [pytest.param(case, id=case["id"]) for case in json.loads(path.read_text())["cases"]]


def zip_of(source: str) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        entry = zipfile.ZipInfo("handler.py")
        entry.external_attr = 0o100644 << 16
        file.writestr(entry, source)
    return archive.getvalue()


class Lambda:
    """The emulator, and what a row needs before its request."""

    def __init__(self, service: Any, s3: Any) -> None:
        self.service, self.client, self.s3 = service, service.client, s3
        self.endpoint = service.endpoint
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"row-{self.count}"

    def make(self, source: str = ECHO, **more: Any) -> str:
        name = self.name()
        call = {"Runtime": "python3.12", "Role": ROLE, "Handler": "handler.handler", "Timeout": 5} | more
        self.client.create_function(FunctionName=name, Code={"ZipFile": zip_of(source)}, **call)
        self.settled(name)
        return name

    def settled(self, name: str, qualifier: str = "$LATEST") -> None:
        while True:
            config = self.client.get_function_configuration(FunctionName=name, Qualifier=qualifier)
            if (config["State"], config.get("LastUpdateStatus")) == ("Active", "Successful"):
                return

    def update(self, name: str, **change: Any) -> None:
        self.client.update_function_configuration(FunctionName=name, **change)
        self.settled(name)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer in the recordings' form."""
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        try:
            answer = getattr(self.client, method)(**parameters)
        except botocore.exceptions.ClientError as problem:
            answer = problem.response
            error = answer.pop("Error")
            answer |= {"code": error["Code"], "error_message": error["Message"]}
        meta = answer.pop("ResponseMetadata")
        answer["status"], self.request_id = meta["HTTPStatusCode"], meta["RequestId"]
        if "Payload" in answer:
            answer["Payload"] = answer["Payload"].read().decode()
        if "LogResult" in answer:
            self.log = base64.b64decode(answer.pop("LogResult")).decode()
        for key in ("LastModified",):
            if key in answer and not isinstance(answer[key], str):
                answer[key] = str(answer[key])
        return dict(answer)

    def invoke(self, name: str, event: Any = None, **more: Any) -> Any:
        answer = self.client.invoke(FunctionName=name, Payload=json.dumps({} if event is None else event), **more)
        return json.loads(answer["Payload"].read())

    @contextlib.contextmanager
    def running(self, name: str, event: Any) -> Iterator[threading.Thread]:
        """A thread that invokes a function, once the function runs; the environment ends with the block."""
        thread = threading.Thread(target=self.invoke, args=(name, event))
        thread.start()
        while not (busy := [one for one in self.environments(name) if one["state"] == "busy"]):
            assert thread.is_alive()
        yield thread
        with contextlib.suppress(ProcessLookupError):
            os.kill(busy[0]["pid"], signal.SIGKILL)
        thread.join()

    def environments(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.service.environments() if one["function"] == name]

    def record(self, name: str) -> dict[str, Any]:
        """The record of a failed event."""
        prefix = f"aws/lambda/async/{name}/"
        while True:
            listed = self.s3.list_objects_v2(Bucket="failures", Prefix=prefix).get("Contents", [])
            if listed:
                break
            time.sleep(0.02)
        found: dict[str, Any] = json.load(self.s3.get_object(Bucket="failures", Key=listed[0]["Key"])["Body"])
        return found | {"status": 200}


@pytest.fixture(scope="module")
def aws(start_shared: Any) -> Iterator[Lambda]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    s3_endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    s3 = boto3.client(
        "s3", endpoint_url=s3_endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    s3.create_bucket(Bucket="failures")
    yield Lambda(start_shared(activation_s=0.1, event_time_scale=0.001, s3_endpoint=s3_endpoint), s3)
    server.stop()


def filled(value: Any, name: str) -> Any:
    """The parameters of a call, with the values that the recordings abbreviate."""
    if isinstance(value, dict):
        return {key: filled(one, name) for key, one in value.items()}
    if not isinstance(value, str):
        return value
    if (found := re.fullmatch(r"<(.) x (\d+)>", value)) is not None:
        return found[1] * int(found[2])
    if (found := re.fullmatch(r"<bytes: (\d+) bytes>", value)) is not None:
        return b"x" * int(found[1])
    if value.startswith("<zip:"):
        return zip_of(ECHO)
    return value.replace("<function>", name).replace("<account>", "0" * 12).replace("<region>", "us-east-1")


def simple(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Rows that need a function of their source at most."""
    operation, parameters = case["call"]["operation"], case["call"]["parameters"]
    if operation == "CreateFunction":
        name = aws.name()
    else:
        name = aws.make(case.get("handler_source") or ECHO, MemorySize=128)
    return name, aws.call(operation, **filled(parameters, name))


def lines(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, answer = simple(aws, case)
    return name, {"lines": aws.log.splitlines(keepends=True), "status": answer["status"]}


def lines_of_version(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, answer = version_1(aws, case)
    kept = [line for line in aws.log.splitlines() if not line.startswith("REPORT")]
    return name, {"lines": kept, "status": answer["status"]}


def error_lines(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, answer = simple(aws, case)
    kept = [line for line in aws.log.splitlines() if line and not line.startswith("REPORT")]
    return name, {"lines": kept, "status": answer["status"]}


def wrapper(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/idontexist.sh"}})
    return name, aws.call("Invoke", FunctionName=name, Payload="{}")


def not_utf8(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make()
    return name, aws.call("Invoke", FunctionName=name, Payload=b"n\x87r\x9e\xe9\xb5\xd7I\xee\x9bmt")


def timeout(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"], Timeout=1)
    return name, aws.call("Invoke", **filled(case["call"]["parameters"], name))


def after_timeout(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"], Timeout=3)
    aws.invoke(name, {"write": "some-content"})
    aws.invoke(name, {"set": 42})
    aws.invoke(name, {"sleep": 600})
    return name, aws.call("Invoke", **filled(case["call"]["parameters"], name))


def version_1(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"], MemorySize=128)
    aws.client.publish_version(FunctionName=name)
    return name, aws.call("Invoke", **filled(case["call"]["parameters"], name))


def context(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, answer = simple(aws, case)
    seen = json.loads(answer["Payload"])["context"]
    if "client_context" in case["aws"]:
        seen["client_context"].pop("client")
        return name, {"client_context": seen["client_context"], "status": answer["status"]}
    found = {"arn": seen["invoked_function_arn"], "version": seen["function_version"]}
    return name, found | {"status": answer["status"]}


def variables(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"], MemorySize=1024, Environment={"Variables": {"TEST_KEY": "TEST_VAL"}})
    return name, aws.invoke(name) | {"status": 200}


def get(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(MemorySize=256, Environment={"Variables": {}})
    return name, aws.call("GetFunction", FunctionName=name)


def versions(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(Timeout=30, Publish=True)
    return name, aws.call("ListVersionsByFunction", FunctionName=name)


def second_version(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(Timeout=30)
    aws.update(name, Description="First version :)")
    aws.client.publish_version(FunctionName=name, Description="First version description :)")
    aws.update(name, Description="Second version :))")
    return name, aws.call("PublishVersion", FunctionName=name)


def publish_with_code(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(Timeout=30)
    return name, aws.call("UpdateFunctionCode", **filled(case["call"]["parameters"], name))


def same_code(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(Publish=True)
    for _ in range(2):
        aws.client.update_function_code(FunctionName=name, ZipFile=zip_of("def handler(e, c): pass\n"))
        aws.settled(name)
        answer = aws.call("PublishVersion", FunctionName=name)
    return name, answer


def code_change(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"])
    aws.client.publish_version(FunctionName=name)
    aws.client.update_function_code(FunctionName=name, ZipFile=zip_of("def handler(e, c): return 2\n"))
    aws.settled(name)
    assert aws.invoke(name) == 2
    return name, aws.call("Invoke", **filled(case["call"]["parameters"], name))


def reserved_0(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"])
    aws.client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    return name, aws.call("Invoke", FunctionName=name, Payload="{}")


def busy(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"], Timeout=900)
    aws.client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    with aws.running(name, {"s": 600}):
        return name, aws.call("Invoke", FunctionName=name, Payload="{}")


def account(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    answer = aws.call("GetAccountSettings")
    return "", {key: sorted(answer[key]) for key in ("AccountLimit", "AccountUsage")} | {"status": answer["status"]}


def code_size(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    sizes = [aws.client.get_account_settings()["AccountUsage"]["TotalCodeSize"]]

    def measure() -> None:
        sizes.append(aws.client.get_account_settings()["AccountUsage"]["TotalCodeSize"])

    name = aws.make()
    measure()
    aws.client.update_function_code(FunctionName=name, ZipFile=zip_of(ECHO), Publish=True)
    aws.settled(name)
    measure()
    aws.update(name, Timeout=9)
    measure()
    aws.client.publish_version(FunctionName=name)
    measure()
    steps = ("create", "update_and_publish", "configuration", "publish")
    grown = [(after - before) / len(zip_of(ECHO)) for before, after in itertools.pairwise(sizes)]
    return name, dict(zip(steps, grown, strict=True)) | {"status": 200}


def unzipped(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("handler.py", "x" * 262_144_001)
    parameters = filled(case["call"]["parameters"], aws.name()) | {"Code": {"ZipFile": archive.getvalue()}}
    return "", aws.call("CreateFunction", **parameters)


def event_config(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make()
    if case["call"]["operation"].startswith("Update"):
        aws.client.put_function_event_invoke_config(
            FunctionName=name, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60
        )
    return name, aws.call(case["call"]["operation"], **filled(case["call"]["parameters"], name))


def failed_event(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"])
    more = {"MaximumEventAgeInSeconds": 60} if case["id"] == "record-age" else {}
    place = {"OnFailure": {"Destination": "arn:aws:s3:::failures"}}
    aws.client.put_function_event_invoke_config(FunctionName=name, DestinationConfig=place, **more)
    if case["id"] == "record-zero-reserved":
        aws.client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    aws.call("Invoke", **filled(case["call"]["parameters"], name))
    return name, aws.record(name)


def retried_event(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Each run notes its id in /tmp, which the environment keeps; a last invocation reads the notes."""
    name = aws.make(
        "import os\nNOTES = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'ids')\ndef handler(e, c):\n"
        "    if e.get('read'): return open(NOTES).read().split()\n"
        "    open(NOTES, 'a').write(c.aws_request_id + ' ')\n    raise Exception('x')\n"
    )
    aws.client.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::failures"}},
    )
    aws.call("Invoke", FunctionName=name, Payload="{}", InvocationType="Event")
    aws.record(name)
    assert aws.invoke(name, {"read": True}) == [aws.request_id] * 2
    return name, {"ids": case["aws"]["ids"], "status": 200}


def next_headers(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"])
    (seen,) = aws.invoke(name, {"a": 1})
    kept = {key: value for key, value in seen.items() if key in case["aws"]}
    return name, kept | {"body": seen["body"].replace(" ", ""), "status": 200}


def runtime_api(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The runtime reports a request of its own with the first result, or with the second where the first is a trial."""
    name = aws.make(case["handler_source"])
    reported: Any = None
    while not (isinstance(reported, dict) and "body" in reported):
        reported = aws.invoke(name)
        if isinstance(reported, list):
            (reported, *_) = reported
    body = json.loads(reported["body"]) if isinstance(case["aws"]["body"], dict) else reported["body"]
    found = {"rt_status": reported["status"], "content_type": reported["content_type"], "body": body}
    return name, found | {"status": 200}


def large_answer(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, answer = simple(aws, case)
    answer["Payload"] = len(answer["Payload"])
    if isinstance(case["aws"]["Payload"], str):
        answer["Payload"] = f"length {answer['Payload']}"
    return name, answer


def trace(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(case["handler_source"])

    def add(request: Any, **_: Any) -> None:
        request.headers.add_header("X-Amzn-Trace-Id", TRACE)

    aws.client.meta.events.register("before-sign.lambda.Invoke", add)
    try:
        seen = aws.invoke(name)
    finally:
        aws.client.meta.events.unregister("before-sign.lambda.Invoke", add)
    return name, {"trace": seen[1], "status": 200}


def update_during_invoke(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The running invocation ends by a signal, after the update."""
    name = aws.make(HELD, Timeout=900)
    answers: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: answers.append(aws.call("Invoke", FunctionName=name, Payload="{}")))
    running.start()
    while not (busy := [one for one in aws.environments(name) if one["state"] == "busy"]):
        assert running.is_alive()
    aws.client.update_function_code(FunctionName=name, ZipFile=zip_of("def handler(e, c): return 'variant-2'\n"))
    aws.settled(name)
    assert aws.invoke(name) == "variant-2"
    assert not answers
    while running.is_alive():
        os.kill(busy[0]["pid"], signal.SIGUSR1)
        running.join(0.1)
    return name, answers[0]


def update_in_progress(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Again where the second request came after the first update's end: a busy machine."""
    name = aws.make()
    for number in itertools.count(1):
        aws.client.update_function_code(FunctionName=name, ZipFile=zip_of(ECHO + "\n" * number))
        answer = aws.call("UpdateFunctionConfiguration", FunctionName=name, Timeout=9)
        if answer["status"] != 200:
            break
        aws.settled(name)
    return name, answer


def tags(aws: Lambda, case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = aws.make(Tags={"testtag": "v"})
    return name, aws.call("GetFunction", FunctionName=name)


SETUPS: dict[str, Callable[[Lambda, dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "invoke-tail-lines": lines,
    "error-wrapper": wrapper,
    "payload-utf8-start": not_utf8,
    "timeout": timeout,
    "reuse-read-after-timeout": after_timeout,
    "reuse-number-after-timeout": after_timeout,
    "response-6mib": large_answer,
    "rt-limit": large_answer,
    "invoke-qualifier": version_1,
    "log-qualifier": lines_of_version,
    "context-latest-qualified": context,
    "context-client": context,
    "environment-variables": variables,
    "log-error": error_lines,
    "get": get,
    "publish-list-versions": versions,
    "version-publish-2": second_version,
    "update-code-publish": publish_with_code,
    "publish-after-same-code": same_code,
    "code-change-v1": code_change,
    "concurrency-invoke-0": reserved_0,
    "concurrency-retry-after": reserved_0,
    "concurrency-busy": busy,
    "account-settings": account,
    "total-code-size": code_size,
    "unzipped-too-large": unzipped,
    "eic-put-retries": event_config,
    "eic-update-retries": event_config,
    "record-zero-reserved": failed_event,
    "record-retries-2": failed_event,
    "record-age": failed_event,
    "event-retry-id": retried_event,
    "rt-next-headers": next_headers,
    "rt-wrong-id-response": runtime_api,
    "rt-response-accepted": runtime_api,
    "rt-wrong-method": runtime_api,
    "rt-413": runtime_api,
    "trace-propagated": trace,
    "update-during-invoke": update_during_invoke,
    "update-in-progress": update_in_progress,
    "silent-tags": tags,
}


def differences(wanted: Any, found: Any, values: dict[str, str], place: str = "") -> Iterator[str]:
    """Where an answer differs from a recorded one."""
    if wanted == "<any value>":
        if found is None:
            yield f"{place}: missing"
    elif isinstance(wanted, dict):
        if isinstance(found, str) and found[:1] == "{":
            found = json.loads(found)
        if not isinstance(found, dict):
            yield f"{place}: AWS {wanted} here {found}"
            return
        for key in wanted.keys() - {"..."}:
            if key not in found:
                if wanted[key] != "<absent>":
                    yield f"{place}.{key}: missing, AWS {wanted[key]}"
            else:
                yield from differences(wanted[key], found[key], values, f"{place}.{key}")
        if "..." not in wanted:
            for key in found.keys() - wanted.keys():
                yield f"{place}.{key}: AWS has none, here {found[key]}"
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            yield f"{place}: AWS {wanted} here {found}"
            return
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, values, f"{place}[{number}]")
    elif isinstance(wanted, str):
        pattern = re.escape(wanted)
        for mark, text in values.items():
            pattern = pattern.replace(re.escape(mark), text)
        if re.fullmatch(pattern, str(found)) is None:
            yield f"{place}: AWS {wanted} here {found}"
    elif wanted != found:
        yield f"{place}: AWS {wanted} here {found}"


@pytest.mark.parametrize("case", recordings())
def test_an_answer_is_the_recorded_one(aws: Lambda, case: dict[str, Any]) -> None:
    name, answer = SETUPS.get(case["id"], simple)(aws, case)
    current = ""
    if case["id"] == "publish-wrong-sha":
        current = aws.client.get_function_configuration(FunctionName=name)["CodeSha256"]
    values = PLACEHOLDERS | {
        "<function>": re.escape(name),
        "<rid>": re.escape(aws.request_id) if hasattr(aws, "request_id") else "",
        "<current>": re.escape(current),
        "snap-37-d5f23d": re.escape(name),
    }
    found = list(differences(case["aws"], answer, values))
    if case["id"] in NOT_EQUAL:
        assert found, f"{case['id']} is equal now: take it out of NOT_EQUAL and the docs"
    else:
        assert not found, "\n".join(found)
