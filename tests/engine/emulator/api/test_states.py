"""States, revisions and versions through the times of a creation and an update."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lbench.engine.emulator.api.functions import LATEST, Function
from lbench.engine.emulator.api.functions_api import Control
from lbench.engine.emulator.core.spec import EmulatorConfig, FunctionSpec
from lbench.engine.emulator.core.throttles import Limits

ONE = "def handle(event, context): return 1\n"
TWO = "def handle(event, context): return 2\n"


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    return start_shared(activation_s=0.4)


def settled(service: Any, name: str) -> dict[str, Any]:
    while True:
        config: dict[str, Any] = service.client.get_function_configuration(FunctionName=name)
        if config.get("LastUpdateStatus") == "Successful":
            return config


@pytest.fixture(scope="module")
def lasting(start_shared: Any) -> Any:
    """An emulator whose creations and updates are not over before its tests are; its own function is active."""
    code = "def one(event, context): return 1\n"
    return start_shared(code, {"one": {}}, activation_s=60)


def test_a_pending_function_cannot_be_changed(lasting: Any) -> None:
    created = lasting.create("fresh", code=ONE)
    assert (created["State"], created["StateReasonCode"], "LastUpdateStatus" in created) == (
        "Pending",
        "Creating",
        False,
    )
    pending = lasting.client.get_function_configuration(FunctionName="fresh")
    assert (pending["State"], pending["RevisionId"]) == ("Pending", created["RevisionId"])
    refused = lasting.refused("update_function_configuration", FunctionName="fresh", Timeout=9)
    assert refused["Error"]["Code"] == "ResourceConflictException"
    assert refused["Error"]["Message"].endswith("The function is currently in the following state: Pending")


def test_the_old_code_serves_while_an_update_is_in_progress(lasting: Any, make_zip: Any) -> None:
    before = lasting.client.get_function_configuration(FunctionName="one")
    updated = lasting.client.update_function_code(FunctionName="one", ZipFile=make_zip(app=TWO))
    assert (updated["State"], updated["LastUpdateStatus"]) == ("Active", "InProgress")
    assert updated["LastUpdateStatusReasonCode"] == "Creating"
    assert updated["CodeSha256"] != before["CodeSha256"]
    assert lasting.invoke("one")["value"] == 1
    for operation in ("update_function_configuration", "update_function_code", "publish_version"):
        more = {"ZipFile": make_zip(app=ONE)} if operation == "update_function_code" else {}
        refused = lasting.refused(operation, FunctionName="one", **more)
        assert refused["ResponseMetadata"]["HTTPStatusCode"] == 409
        assert refused["Error"]["Message"].endswith(f"An update is in progress for resource: {before['FunctionArn']}")


def test_a_creation_and_an_update_each_end_with_a_new_revision(service: Any, make_zip: Any) -> None:
    created = service.create("changing", code=ONE)
    before = settled(service, "changing")
    assert before["State"] == "Active" and "StateReason" not in before
    assert settled(service, "changing")["RevisionId"] == before["RevisionId"]
    updated = service.client.update_function_code(FunctionName="changing", ZipFile=make_zip(app=TWO))
    after = settled(service, "changing")
    assert len({one["RevisionId"] for one in (created, before, updated, after)}) == 4
    assert service.invoke("changing")["value"] == 2


async def test_what_is_reported_as_updated_runs_the_new_code_on_a_busy_loop(tmp_path: Path) -> None:
    """Requests that wait are read before a timer that is due: the code must not depend on the timer."""
    config = EmulatorConfig(functions=[], activation_s=0.01)
    shared = SimpleNamespace(config=config, limits=Limits(100, 100, None), scratch=SimpleNamespace(path=tmp_path))
    functions: dict[str, Function] = {}
    control: Any = Control(shared, functions, None)  # type: ignore[arg-type]
    function = control.add(FunctionSpec(name="changing", handler="app.handle", code=str(tmp_path), memory_mb=128))
    control.update_configuration("changing", b'{"Timeout": 9}')
    while control.get_configuration("changing", "")["LastUpdateStatus"] != "Successful":
        assert function.pools[LATEST].spec.timeout_s == 3
    assert function.pools[LATEST].spec.timeout_s == 9


def test_an_invocation_of_a_pending_function_waits_for_it(service: Any) -> None:
    service.create("eager", code=ONE)
    assert service.invoke("eager")["value"] == 1
    assert service.client.get_function_configuration(FunctionName="eager")["State"] == "Active"


def test_boto3_s_waiters_work(service: Any, make_zip: Any) -> None:
    client, name = service.client, {"FunctionName": "waited"}
    config = {"Delay": 1, "MaxAttempts": 10}
    service.create("waited", code=ONE)
    for waiter in ("function_exists", "function_active", "function_active_v2"):
        client.get_waiter(waiter).wait(**name, WaiterConfig=config)
    client.update_function_code(**name, ZipFile=make_zip(app=TWO), Publish=True)
    for waiter in ("function_updated", "function_updated_v2"):
        client.get_waiter(waiter).wait(**name, WaiterConfig=config)
    client.get_waiter("published_version_active").wait(**name, Qualifier="1", WaiterConfig=config)


def test_a_published_creation_has_the_unqualified_arn(service: Any) -> None:
    created = service.create("born", code=ONE, Publish=True)
    assert created["FunctionArn"].endswith(":function:born")
    assert (created["Version"], created["State"]) == ("1", "Pending")
    version = service.client.get_function_configuration(FunctionName="born", Qualifier="1")
    assert version["FunctionArn"].endswith(":function:born:1")
    settled(service, "born")
    again = service.client.publish_version(FunctionName="born")
    assert (again["Version"], again["State"], again["LastUpdateStatus"]) == ("1", "Active", "Successful")


def test_a_version_is_published_where_something_has_changed(service: Any, make_zip: Any) -> None:
    client, name = service.client, {"FunctionName": "versions"}
    service.create("versions", code=ONE)
    settled(service, "versions")

    def publish(**more: Any) -> str:
        settled(service, "versions")
        return str(client.publish_version(**name, **more)["Version"])

    assert publish(Description="first") == "1"
    assert publish(Description="another description alone") == "1"
    client.update_function_configuration(**name, Description="changed")
    assert publish() == "2"
    client.update_function_configuration(**name, Description="changed")
    assert publish() == "2"
    client.update_function_code(**name, ZipFile=make_zip(app=ONE))
    assert publish() == "3"
    client.delete_function(**name, Qualifier="3")
    client.delete_function(**name, Qualifier="3")
    listed = client.list_versions_by_function(**name)["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1", "2"]
    assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & listed[0].keys()
    assert publish() == "4"


def test_a_wrong_digest_or_revision_publishes_nothing(service: Any) -> None:
    service.create("strict", code=ONE)
    config = settled(service, "strict")
    refused = service.refused("publish_version", FunctionName="strict", CodeSha256="wrong")
    assert f"current CodeSHA256 in $LATEST ({config['CodeSha256']})" in refused["Error"]["Message"]
    assert service.refused("publish_version", FunctionName="strict", RevisionId="x")["Error"]["Code"] == (
        "PreconditionFailedException"
    )
    published = service.client.publish_version(
        FunctionName="strict", CodeSha256=config["CodeSha256"], RevisionId=config["RevisionId"]
    )
    assert published["Version"] == "1"


def test_an_invocation_sees_the_qualifier_that_it_used(service: Any) -> None:
    code = "def handle(event, context): return [context.invoked_function_arn, context.function_version]\n"
    service.create("seen", code=code, Publish=True)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:seen"
    for qualifier, version in (("", "$LATEST"), ("$LATEST", "$LATEST"), ("1", "1")):
        more = {"Qualifier": qualifier} if qualifier else {}
        shown = f"{arn}:{qualifier}" if qualifier else arn
        assert service.invoke("seen", **more)["value"] == [shown, version]
        assert service.invoke(shown)["value"] == [shown, version]


def test_the_code_of_a_function_can_be_downloaded(service: Any, make_zip: Any) -> None:
    service.create("kept", code=ONE)
    location = service.client.get_function(FunctionName="kept")["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == make_zip(app=ONE)


def test_a_function_that_is_deleted_while_pending_runs_nothing_more(service: Any) -> None:
    service.create("brief", code=ONE)
    service.client.delete_function(FunctionName="brief")
    assert service.refused(FunctionName="brief")["Error"]["Code"] == "ResourceNotFoundException"
    service.create("brief", code=TWO)
    assert service.invoke("brief")["value"] == 2


def test_an_event_to_a_pending_function_runs_when_it_is_active(service: Any) -> None:
    service.create("later", code=ONE)
    before = service.status("events")["succeeded"]
    service.client.invoke(FunctionName="later", InvocationType="Event", Payload="{}")
    while service.status("events")["succeeded"] == before:
        time.sleep(0.02)
