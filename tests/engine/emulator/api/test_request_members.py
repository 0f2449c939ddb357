"""Nothing in a request is ignored in silence: each member that botocore knows has its effect, or is refused by name."""

from __future__ import annotations

import base64
import json
import urllib.error
from typing import Any

import botocore.session
import pytest

from lbench.engine.emulator.api.constraints import OPERATIONS, Member
from tests.engine.emulator.conftest import zipped

MODEL = botocore.session.get_session().get_service_model("lambda")
ROLE = "arn:aws:iam::000000000000:role/any"
CODE = base64.b64encode(zipped(app="def handle(event, context): return event\n")).decode()
# What each emulated member is given, and where its effect is seen in the reply; None: in another test
EFFECTS: dict[str, tuple[Any, Any]] = {
    "Runtime": ("python3.13", ("Runtime", "python3.13")),
    "Role": (ROLE + "2", ("Role", ROLE + "2")),
    "Handler": ("app.other", ("Handler", "app.other")),
    "Description": ("text", ("Description", "text")),
    "Timeout": (9, ("Timeout", 9)),
    "MemorySize": (256, ("MemorySize", 256)),
    "Environment.Variables": ({"AB": "c"}, ("Environment", {"Variables": {"AB": "c"}})),
    "EphemeralStorage.Size": (1024, ("EphemeralStorage", {"Size": 1024})),
    "TracingConfig.Mode": ("Active", ("TracingConfig", {"Mode": "Active"})),
    "SnapStart.ApplyOn": ("None", ("SnapStart", {"ApplyOn": "None", "OptimizationStatus": "Off"})),
    "LoggingConfig.LogGroup": ("mine", ("LoggingConfig", {"LogFormat": "Text", "LogGroup": "mine"})),
    "Publish": (True, ("Version", "1")),
    "PackageType": ("Zip", ("PackageType", "Zip")),
    "DryRun": (True, None),
    "RevisionId": ("", None),
    "CodeSha256": ("", None),
    "FunctionName": ("members", None),
    "Code.ZipFile": (CODE, None),
    "ZipFile": (CODE, None),
    "ImageUri": ("", None),
    "Tags": ({"a": "b"}, None),
    "Architectures": ([], None),
    "LoggingConfig.LogFormat": ("JSON", None),
    "LoggingConfig.ApplicationLogLevel": ("INFO", None),
    "LoggingConfig.SystemLogLevel": ("INFO", None),
    "ReservedConcurrentExecutions": (1, ("ReservedConcurrentExecutions", 1)),
    "MaximumRetryAttempts": (1, ("MaximumRetryAttempts", 1)),
    "MaximumEventAgeInSeconds": (60, ("MaximumEventAgeInSeconds", 60)),
    "DestinationConfig.OnSuccess.Destination": ("", None),
    "DestinationConfig.OnFailure.Destination": ("", None),
}
HTTP = {name: MODEL.operation_model(name).http for name in OPERATIONS}


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    return start_shared()


def send(service: Any, operation: str, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A request past the SDK's own checks."""
    path = HTTP[operation]["requestUri"].replace("{FunctionName}", name)
    path = path.replace("{Resource}", f"arn:aws:lambda:us-east-1:000000000000:function:{name}")
    try:
        with service.open(path, json.dumps(body).encode(), method=HTTP[operation]["method"]) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, json.load(problem)


def in_body(operation: str) -> list[tuple[str, ...]]:
    """The members of an operation's body, by their path; structures are followed where they are emulated."""
    found: list[tuple[str, ...]] = []

    def follow(shape: Any, ours: dict[str, Member], path: tuple[str, ...]) -> None:
        for name, member in shape.members.items():
            if member.serialization.get("location") is not None:
                continue
            here = ours.get(name)
            if here is not None and here.kind == "structure":
                follow(member, dict(here.members), (*path, name))
            else:
                found.append((*path, name))

    follow(MODEL.operation_model(operation).input_shape, OPERATIONS[operation], ())
    return found


def member_of(operation: str, path: tuple[str, ...]) -> Member | None:
    members: Any = OPERATIONS[operation]
    member = None
    for name in path:
        member = members.get(name)
        if member is None:
            return None
        members = member.members
    return member


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return dict(value)


CASES = [(operation, path) for operation in OPERATIONS for path in in_body(operation)]


@pytest.mark.parametrize(("operation", "path"), CASES, ids=[f"{o}-{'.'.join(p)}" for o, p in CASES])
def test_each_member_has_its_effect_or_is_refused_by_name(service: Any, operation: str, path: tuple[str, ...]) -> None:
    name = "members"
    service.client.delete_function(FunctionName=name) if name in names(service) else None
    if operation != "CreateFunction":
        service.create(name, code="def handle(event, context): return event\n")
    if operation == "UpdateFunctionEventInvokeConfig":
        service.client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    member = member_of(operation, path)
    dotted = ".".join(path)
    if member is None or member.kind == "foreign":
        status, reply = send(service, operation, name, base(operation) | nested(path, sample(operation, path)))
        assert status == 400
        assert f"{dotted} is not emulated" in reply["message"]
        return
    value, effect = EFFECTS[dotted]
    body = base(operation)
    for key, one in nested(path, value).items():
        body[key] = body[key] | one if isinstance(one, dict) and isinstance(body.get(key), dict) else one
    status, reply = send(service, operation, name, body)
    if effect is not None:
        key, wanted = effect
        assert (status // 100, reply[key]) == (2, wanted)


def names(service: Any) -> list[str]:
    return [one["FunctionName"] for one in service.client.list_functions()["Functions"]]


def base(operation: str) -> dict[str, Any]:
    """What a request of that operation cannot be without."""
    if operation == "CreateFunction":
        return {
            "FunctionName": "members",
            "Runtime": "python3.12",
            "Role": ROLE,
            "Handler": "app.handle",
            "Code": {"ZipFile": CODE},
        }
    return {"ZipFile": CODE} if operation == "UpdateFunctionCode" else {}


def sample(operation: str, path: tuple[str, ...]) -> Any:
    """A value of the member's own type."""
    shape: Any = MODEL.operation_model(operation).input_shape
    for name in path:
        shape = shape.members[name]
    return of_type(shape)


def of_type(shape: Any) -> Any:
    match shape.type_name:
        case "structure":
            return {name: of_type(member) for name, member in shape.members.items()}
        case "list":
            return [of_type(shape.member)]
        case "integer" | "double" | "long":
            return 1
        case "boolean":
            return True
    return "text"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_unknown_member_is_refused_by_name(service: Any, operation: str) -> None:
    service.create("unknown", code="") if "unknown" not in names(service) else None
    status, reply = send(service, operation, "unknown", base(operation) | {"Novelty": {"Mode": "On"}})
    assert (status, reply["message"]) == (400, "Novelty is not emulated: leave it out")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "SnapStart ApplyOn PublishedVersions is not emulated"),
        ({"TracingConfig": {"Mode": "Off"}}, "Member must satisfy enum value set: [Active, PassThrough]"),
        ({"PackageType": "Image"}, "PackageType Image is not emulated"),
        ({"LoggingConfig": {"SystemLogLevel": "WARN"}}, "only available with LogFormat JSON"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "Reserved keys used in this request: AWS_REGION"),
        ({"Environment": {"Variables": {"AB": "a\0b"}}}, "null character in the value of AB"),
        ({"Environment": {"Variables": {"A": "one letter"}}}, "Map keys must satisfy constraint"),
        ({"Environment": {"Variables": {"_HANDLER": "x"}}}, "Map keys must satisfy constraint"),
        ({"Timeout": "9"}, "STRING_VALUE can not be converted to an Integer"),
        ({"Handler": 9}, "NUMBER_VALUE can not be converted to a String"),
        ({"Publish": 1}, "NUMBER_VALUE can not be converted to a Boolean"),
        ({"MemorySize": True}, "TRUE_VALUE can not be converted to an Integer"),
        ({"Tags": [1]}, "Start of list found where not expected."),
        ({"Handler": {"a": 1}}, "Start of structure or map found where not expected."),
        ({"Role": None}, "Value null at 'role' failed to satisfy constraint: Member must not be null"),
        ({"Role": "r", "Timeout": 0}, "2 validation errors detected: Value 'r' at 'role'"),
        (
            {"Architectures": ["X86_64"]},
            "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
        ),
        ({"Architectures": ["x86_64", "arm64"]}, "Member must have length less than or equal to 1"),
        ({"Runtime": "PYTHON3.9"}, "Value PYTHON3.9 at 'runtime' failed to satisfy constraint"),
        ({"Tags": {str(number): "x" for number in range(51)}}, "Number of tags exceeds resource tag limit."),
        ({"EphemeralStorage": {"Size": 511}}, "at 'ephemeralStorage.size' failed to satisfy constraint"),
        ({"EphemeralStorage": {}}, "Value null at 'ephemeralStorage.size'"),
        ({"FunctionName": "a b"}, "at 'functionName' failed to satisfy constraint"),
        ({"FunctionName": "members:7"}, "without the qualifier 7"),
    ],
)
def test_a_value_that_is_impossible_is_refused(service: Any, change: dict[str, Any], text: str) -> None:
    status, reply = send(service, "CreateFunction", "", base("CreateFunction") | {"FunctionName": "bad"} | change)
    assert status == 400
    assert text in reply["message"]
    assert "bad" not in names(service)


@pytest.mark.parametrize("body", [b"{", b'{"FunctionName": "caf\xe9"}', b"[]", b"7", b'"text"', b'{"Role": "\\ud800"}'])
def test_a_body_that_is_not_the_operation_s_is_a_400(service: Any, body: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        service.open("/2015-03-31/functions", body)
    with caught.value as answer:
        assert answer.code == 400
        assert answer.headers["x-amzn-ErrorType"] in ("SerializationException", "ValidationException")
