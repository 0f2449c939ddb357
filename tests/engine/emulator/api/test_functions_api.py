"""Functions are created, changed and deleted through the API by unmodified boto3."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import botocore.exceptions
import pytest

ECHO = "def handle(event, context):\n    return event\n"
VERSION = "import os\ndef handle(event, context):\n    return [{n}, os.environ['AWS_LAMBDA_FUNCTION_VERSION']]\n"


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    return start_shared("def none(e, c): pass", concurrency=1000)


def test_a_function_is_created_from_a_zip_and_runs(service: Any, make_zip: Any) -> None:
    reply = service.create(
        "made", code=ECHO, MemorySize=256, Timeout=7, Description="mine", Environment={"Variables": {"AB": "c"}}
    )
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (reply["MemorySize"], reply["Timeout"], reply["Description"]) == (256, 7, "mine")
    assert (reply["Version"], reply["State"], reply["Runtime"]) == ("$LATEST", "Active", "python3.12")
    digest = hashlib.sha256(make_zip(app=ECHO)).digest()
    assert reply["CodeSha256"] == base64.b64encode(digest).decode()
    assert reply["CodeSize"] == len(make_zip(app=ECHO))
    service.client.get_waiter("function_active_v2").wait(FunctionName="made")
    assert service.invoke("made", {"a": 1})["value"] == {"a": 1}


def test_defaults_are_aws_s(service: Any) -> None:
    reply = service.create("plain", code=ECHO)
    assert (reply["MemorySize"], reply["Timeout"], reply["Description"]) == (128, 3, "")
    assert service.client.get_function_configuration(FunctionName="plain")["MemorySize"] == 128


def test_new_code_takes_over_at_once(service: Any, make_zip: Any) -> None:
    service.create("changing", code=VERSION.format(n=1))
    assert service.invoke("changing")["value"] == [1, "$LATEST"]
    reply = service.client.update_function_code(FunctionName="changing", ZipFile=make_zip(app=VERSION.format(n=2)))
    assert reply["LastUpdateStatus"] == "Successful"
    service.client.get_waiter("function_updated_v2").wait(FunctionName="changing")
    assert service.invoke("changing")["value"] == [2, "$LATEST"]


def test_a_dry_run_of_new_code_changes_nothing(service: Any, make_zip: Any) -> None:
    service.create("kept", code=VERSION.format(n=1))
    service.client.update_function_code(FunctionName="kept", ZipFile=make_zip(app=ECHO), DryRun=True)
    assert service.invoke("kept")["value"] == [1, "$LATEST"]


def test_changed_settings_leave_the_others_unchanged(service: Any) -> None:
    service.create("settings", code=ECHO, Timeout=9)
    reply = service.client.update_function_configuration(FunctionName="settings", MemorySize=512)
    assert (reply["MemorySize"], reply["Timeout"]) == (512, 9)
    assert "Memory Size: 512 MB" in service.invoke("settings")["log"]


def test_a_published_version_does_not_change(service: Any, make_zip: Any) -> None:
    service.create("versions", code=VERSION.format(n=1))
    reply = service.client.publish_version(FunctionName="versions", Description="first")
    assert (reply["Version"], reply["Description"]) == ("1", "first")
    assert reply["FunctionArn"].endswith(":versions:1")
    assert service.client.publish_version(FunctionName="versions")["Version"] == "1"  # nothing has changed
    service.client.update_function_code(FunctionName="versions", ZipFile=make_zip(app=VERSION.format(n=2)))
    assert service.client.publish_version(FunctionName="versions")["Version"] == "2"
    answer = service.invoke("versions", Qualifier="1")
    assert (answer["value"], answer["ExecutedVersion"]) == ([1, "1"], "1")
    assert "Version: 1\n" in answer["log"]
    assert service.invoke("versions:2")["value"] == [2, "2"]
    listed = service.client.list_versions_by_function(FunctionName="versions")["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1", "2"]
    service.client.delete_function(FunctionName="versions", Qualifier="1")
    assert service.refused(FunctionName="versions", Qualifier="1")["Error"]["Code"] == "ResourceNotFoundException"


def test_a_deleted_function_frees_its_name(service: Any) -> None:
    service.create("brief", code=ECHO)
    service.invoke("brief")
    answer = service.client.delete_function(FunctionName="brief")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert service.refused(FunctionName="brief")["Error"]["Code"] == "ResourceNotFoundException"
    while any(reply["function"] == "brief" for reply in service.environments() if reply["state"] != "ended"):
        pass
    service.create("brief", code=ECHO)


def test_functions_are_listed_in_pages(start: Any) -> None:
    names = [f"f{number:02}" for number in range(5)]
    service = start("def handle(e, c): pass", {name: {"handler": "app.handle"} for name in names})
    first = service.client.list_functions(MaxItems=2)
    assert [one["FunctionName"] for one in first["Functions"]] == names[:2]
    pages = service.client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    assert [one["FunctionName"] for page in pages for one in page["Functions"]] == names


def test_reserved_concurrency_is_set_read_and_deleted(service: Any) -> None:
    service.create("reserved", code=ECHO)
    client = service.client
    assert client.put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=5)
    assert client.get_function_concurrency(FunctionName="reserved")["ReservedConcurrentExecutions"] == 5
    assert client.get_function(FunctionName="reserved")["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 995
    client.put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=0)
    refused = service.refused(FunctionName="reserved")
    assert refused["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.delete_function_concurrency(FunctionName="reserved")
    assert service.invoke("reserved", 1)["value"] == 1
    assert client.get_account_settings()["AccountLimit"] | {} == client.get_account_settings()["AccountLimit"]


def test_100_concurrent_executions_stay_unreserved(service: Any) -> None:
    service.create("greedy", code=ECHO)
    refused = service.refused("put_function_concurrency", FunctionName="greedy", ReservedConcurrentExecutions=901)
    assert refused["Error"]["Code"] == "InvalidParameterValueException"
    assert "below its minimum value of [100]" in refused["Error"]["Message"]


def test_event_settings_are_put_updated_read_and_deleted(service: Any) -> None:
    service.create("evented", code=ECHO)
    client, name = service.client, {"FunctionName": "evented"}
    assert (
        "doesn't have an EventInvokeConfig"
        in (service.refused("get_function_event_invoke_config", **name)["Error"]["Message"])
    )
    put = client.put_function_event_invoke_config(**name, MaximumRetryAttempts=1)
    assert (put["MaximumRetryAttempts"], "MaximumEventAgeInSeconds" in put) == (1, False)
    client.update_function_event_invoke_config(**name, MaximumEventAgeInSeconds=60)
    reply = client.get_function_event_invoke_config(**name)
    assert (reply["MaximumRetryAttempts"], reply["MaximumEventAgeInSeconds"]) == (1, 60)
    assert reply["FunctionArn"].endswith(":evented:$LATEST")
    client.delete_function_event_invoke_config(**name)
    assert service.refused("get_function_event_invoke_config", **name)["Error"]["Code"] == "ResourceNotFoundException"
    place = {"OnFailure": {"Destination": "arn:aws:s3:::bucket"}}
    refused = service.refused("put_function_event_invoke_config", **name, DestinationConfig=place)
    assert "--s3-endpoint" in refused["Error"]["Message"]


@pytest.mark.parametrize(
    ("change", "code", "status", "part"),
    [
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", 400, "Could not unzip uploaded file"),
        (
            {"Code": {"S3Bucket": "bucket", "S3Key": "k"}},
            "InvalidParameterValueException",
            400,
            "send the code as a ZipFile",
        ),
        ({"Runtime": "nodejs22.x"}, "InvalidParameterValueException", 400, "use Python"),
        ({"Layers": ["arn:aws:lambda:us-east-1:0:layer:x:1"]}, "InvalidParameterValueException", 400, "not emulated"),
        ({"FunctionName": "none"}, "ResourceConflictException", 409, "Function already exist: none"),
        ({"Environment": {"Variables": {"AB": "x" * 5000}}}, "InvalidParameterValueException", 400, "4KB"),
    ],
)
def test_an_invalid_function_is_refused(
    service: Any, change: dict[str, Any], code: str, status: int, part: str
) -> None:
    call = {
        "FunctionName": "refused",
        "Runtime": "python3.13",
        "Role": "arn:aws:iam::000000000000:role/any",
        "Handler": "app.handle",
        "Code": {"ZipFile": b"PK"},
    }
    refused = service.refused("create_function", **call | change)
    assert (refused["Error"]["Code"], refused["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert part in refused["Error"]["Message"]


@pytest.mark.parametrize(
    ("field", "value", "name", "bound"),
    [
        ("MemorySize", 64, "memorySize", "greater than or equal to 128"),
        ("MemorySize", 20_000, "memorySize", "less than or equal to 10240"),
        ("Timeout", 901, "timeout", "less than or equal to 900"),
        ("Timeout", 0, "timeout", "greater than or equal to 1"),
    ],
)
def test_memory_and_timeout_out_of_range_are_refused(
    service: Any, field: str, value: int, name: str, bound: str
) -> None:
    client = service.boto3()
    client.meta.events.register("before-call.lambda.UpdateFunctionConfiguration", _put(field, value))
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.update_function_configuration(FunctionName="none")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert f"Value '{value}' at '{name}' failed to satisfy constraint: Member must have value {bound}" in str(
        caught.value
    )


def _put(field: str, value: int) -> Any:
    """Past boto3's own check of the range."""

    def change(params: dict[str, Any], **_: Any) -> None:
        params["body"] = f'{{"{field}": {value}}}'.encode()

    return change


def test_a_missing_handler_is_reported_at_the_invocation(service: Any) -> None:
    service.create("nohandler", code=ECHO, Handler="app.nowhere")
    answer = service.invoke("nohandler")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Runtime.HandlerNotFound"


def test_a_stale_revision_is_refused(service: Any) -> None:
    refused = service.refused("update_function_configuration", FunctionName="none", RevisionId="old", Timeout=5)
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 412


def test_too_many_control_requests_are_throttled(start: Any) -> None:
    service = start("def none(e, c): pass", control_requests_per_s=1)
    with pytest.raises(service.client.exceptions.TooManyRequestsException) as caught:
        while True:
            service.client.list_functions()
    assert caught.value.response["Reason"] == "CallerRateLimitExceeded"
