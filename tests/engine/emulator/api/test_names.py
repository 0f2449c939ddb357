"""Names, ARNs and qualifiers on every operation: invalid, of another region, of another account."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest

from lbench.engine.emulator.core.arn import FUNCTION, NAMESPACED, QUALIFIER, parse
from lbench.engine.emulator.core.errors import Refusal
from tests.engine.emulator.conftest import zipped

ARN = "arn:aws:lambda:us-east-1:000000000000:function"
NOT_FOUND = "ResourceNotFoundException"
INVALID = "ValidationException"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "get_function": {},
    "get_function_configuration": {},
    "update_function_configuration": {"Timeout": 9},
    "update_function_code": {"ZipFile": zipped(app="")},
    "publish_version": {},
    "list_versions_by_function": {},
    "put_function_concurrency": {"ReservedConcurrentExecutions": 1},
    "get_function_concurrency": {},
    "delete_function_concurrency": {},
    "put_function_event_invoke_config": {"MaximumRetryAttempts": 1},
    "update_function_event_invoke_config": {"MaximumRetryAttempts": 1},
    "get_function_event_invoke_config": {},
    "delete_function_event_invoke_config": {},
    "list_function_event_invoke_configs": {},
    "invoke": {},
    "delete_function": {},
}


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    service = start_shared()
    service.create("mine", code="def handle(event, context): return event\n")
    return service


def refused(service: Any, operation: str, **call: Any) -> tuple[int, str, str | None]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(service.client, operation)(**call)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.mark.parametrize("operation", ARGUMENTS)
@pytest.mark.parametrize("form", ["arn:aws:lambda:us-west-2:000000000000:function:mine", "us-west-2:000000000000:mine"])
def test_a_function_of_another_region_is_not_reachable(service: Any, operation: str, form: str) -> None:
    assert refused(service, operation, FunctionName=form, **ARGUMENTS[operation]) == (
        404,
        NOT_FOUND,
        "Functions from 'us-west-2' are not reachable in this region ('us-east-1')",
    )
    assert service.invoke("mine", 1)["value"] == 1


@pytest.mark.parametrize("operation", ARGUMENTS)
@pytest.mark.parametrize("form", [ARN.replace("0" * 12, "1" * 12) + ":mine", "111111111111:function:mine"])
def test_a_function_of_another_account_is_denied(service: Any, operation: str, form: str) -> None:
    status, code, text = refused(service, operation, FunctionName=form, **ARGUMENTS[operation])
    assert (status, code) == (403, "AccessDeniedException")
    assert text is not None and "is not authorized to perform: lambda:" in text
    assert service.invoke("mine", 1)["value"] == 1


def test_a_new_function_of_another_region_or_account_is_refused(service: Any) -> None:
    call = {
        "Runtime": "python3.12",
        "Role": "arn:aws:iam::000000000000:role/any",
        "Handler": "app.handle",
        "Code": {"ZipFile": zipped(app="")},
    }
    other = ARN.replace("us-east-1", "ap-southeast-1")
    assert refused(service, "create_function", FunctionName=f"{other}:new", **call)[:2] == (404, NOT_FOUND)
    other = ARN.replace("0" * 12, "1" * 12)
    answer = refused(service, "create_function", FunctionName=f"{other}:new", **call)
    assert answer == (403, "AccessDeniedException", None)


@pytest.mark.parametrize("operation", ["get_function", "delete_function", "invoke"])
@pytest.mark.parametrize(
    "name",
    [
        "my-function!",
        "*",
        "invalid-account:function:my-function",
        "arn:aws:lambda:invalid-region:000000000000:function:my-function",
        "arn:aws:ec2:us-east-1:000000000000:instance:i-1234567890abcdef0",
        f"{ARN}:my-function:1:2",
        "function:my-function:$LATEST:extra",
        "arn:aws:lambda::000000000000:function:my-function",
        "arn:aws:lambda:us-east-1::function:my-function",
        f"{ARN}:my-function:$LATES",
        f"{ARN.replace('us-east-1', 'invalid-region')}:my-function{'a' * 170}",
    ],
)
def test_an_invalid_name_is_a_validation_error(service: Any, operation: str, name: str) -> None:
    text = f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
    text += f"Member must satisfy regular expression pattern: {NAMESPACED}"
    assert refused(service, operation, FunctionName=name) == (400, INVALID, text)


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("invalid:function:name", [f"Member must satisfy regular expression pattern: {FUNCTION}"]),
        ("my-function:" + "a" * 129, ["Member must have length less than or equal to 140"]),
        (
            f"{ARN.replace('us-east-1', 'invalid-region')}:my-function{'a' * 170}",
            [
                "Member must have length less than or equal to 140",
                f"Member must satisfy regular expression pattern: {FUNCTION}",
            ],
        ),
    ],
)
def test_a_new_function_has_a_stricter_pattern_and_a_length(service: Any, name: str, problems: list[str]) -> None:
    status, code, text = refused(
        service,
        "create_function",
        FunctionName=name,
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="app.handle",
        Code={"ZipFile": zipped(app="")},
    )
    assert (status, code) == (400, INVALID)
    shown = "; ".join(f"Value '{name}' at 'functionName' failed to satisfy constraint: {one}" for one in problems)
    assert text is not None and text.endswith(f"detected: {shown}")


@pytest.mark.parametrize("operation", ["get_function", "delete_function", "invoke"])
@pytest.mark.parametrize(
    ("qualifier", "constraint"),
    [
        ("invalid!", f"Member must satisfy regular expression pattern: {QUALIFIER}"),
        ("a" * 129, "Member must have length less than or equal to 128"),
    ],
)
def test_an_invalid_qualifier_is_a_validation_error(
    service: Any, operation: str, qualifier: str, constraint: str
) -> None:
    text = f"1 validation error detected: Value '{qualifier}' at 'qualifier' failed to satisfy constraint: {constraint}"
    assert refused(service, operation, FunctionName="mine", Qualifier=qualifier) == (400, INVALID, text)


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        ("get_function", ""),
        ("delete_function", ""),
        ("get_function_concurrency", ""),
        ("update_function_configuration", ""),
        ("publish_version", ""),
        ("list_versions_by_function", ""),
        ("invoke", ":$LATEST"),
        ("put_function_concurrency", ":$LATEST"),
    ],
)
def test_a_missing_function_is_named_as_by_aws(service: Any, operation: str, shown: str) -> None:
    for name in ("gone", "a" * 65):
        answer = refused(service, operation, FunctionName=name, **ARGUMENTS[operation])
        assert answer == (404, NOT_FOUND, f"Function not found: {ARN}:{name}{shown}")


@pytest.mark.parametrize(
    "text",
    [
        "mine",
        "function:mine",
        "000000000000:function:mine",
        "us-east-1:000000000000:function:mine",
        f"{ARN}:mine",
        "arn:aws-us-gov:lambda:us-east-1:000000000000:function:mine",
    ],
)
def test_each_form_of_a_name_is_parsed(text: str) -> None:
    assert parse(text, "us-east-1") == ("mine", "")
    if ":" in text:
        assert parse(f"{text}:7", "us-east-1") == parse(f"{text}:7", "us-east-1", "7") == ("mine", "7")


@pytest.mark.parametrize(
    "region", ["us-iso-east-1", "us-isob-east-1", "eusc-de-east-1", "us-gov-west-1", "eu-central-2"]
)
def test_regions_of_all_partitions_are_known(region: str) -> None:
    text = f"arn:aws:lambda:{region}:000000000000:function:mine:$LATEST"
    assert parse(text, region) == ("mine", "$LATEST")
    with pytest.raises(Refusal, match=f"Functions from '{region}' are not reachable"):
        parse(text, "us-east-1")


@pytest.mark.parametrize(
    "operation", ["put_function_concurrency", "get_function_concurrency", "delete_function_concurrency"]
)
def test_concurrency_is_the_function_s_not_a_version_s(service: Any, operation: str) -> None:
    answer = refused(service, operation, FunctionName=f"{ARN}:mine:$LATEST", **ARGUMENTS[operation])
    assert answer[:2] == (400, "InvalidParameterValueException")
    assert answer[2] is not None and answer[2].startswith("This operation is permitted on Lambda functions only.")
