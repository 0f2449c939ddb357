"""A function's tags, through creation and the three operations on them."""

from __future__ import annotations

import urllib.error
import urllib.parse
from typing import Any

import pytest

ARN = "arn:aws:lambda:us-east-1:000000000000:function"


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    service = start_shared()
    service.create("tagged", code="", Tags={"made": "with it"})
    return service


def test_tags_are_set_read_and_removed(service: Any) -> None:
    client, arn = service.client, f"{ARN}:tagged"
    assert client.get_function(FunctionName="tagged")["Tags"] == {"made": "with it"}
    client.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
    client.tag_resource(Resource=arn, Tags={"b": "3"})
    assert client.list_tags(Resource=arn)["Tags"] == {"made": "with it", "a": "1", "b": "3"}
    client.untag_resource(Resource=arn, TagKeys=["a", "made", "unknown"])
    assert client.list_tags(Resource=arn)["Tags"] == {"b": "3"}
    client.untag_resource(Resource=arn, TagKeys=["b"])
    assert client.list_tags(Resource=arn)["Tags"] == {}
    assert "Tags" not in client.get_function(FunctionName="tagged")


@pytest.mark.parametrize(
    ("resource", "code", "text"),
    [
        (f"{ARN}:gone", "ResourceNotFoundException", f"Function not found: {ARN}:gone"),
        (
            f"{ARN}:tagged:1",
            "InvalidParameterValueException",
            "Tags on function aliases and versions are not supported.",
        ),
        (f"{ARN}:tagged:$LATEST", "InvalidParameterValueException", "Tags on function aliases and versions"),
        (f"{ARN.replace('us-east-1', 'us-west-2')}:tagged", "ResourceNotFoundException", "Functions from 'us-west-2'"),
        ("arn:aws:something", "ValidationException", "Value 'arn:aws:something' at 'resource' failed to satisfy"),
    ],
)
def test_a_resource_without_tags_of_its_own_is_refused(service: Any, resource: str, code: str, text: str) -> None:
    for operation, more in (
        ("tag_resource", {"Tags": {"a": "b"}}),
        ("untag_resource", {"TagKeys": ["a"]}),
        ("list_tags", {}),
    ):
        refused = service.refused(operation, Resource=resource, **more)
        assert refused["Error"]["Code"] == code
        assert text in refused["Error"]["Message"]


def test_no_tags_and_too_many_tags_are_refused(service: Any) -> None:
    arn = f"{ARN}:tagged"
    refused = service.refused("tag_resource", Resource=arn, Tags={})
    assert refused["Error"]["Message"] == "An error occurred and the request cannot be processed."
    many = {str(number): "x" for number in range(51)}
    refused = service.refused("tag_resource", Resource=arn, Tags=many)
    assert refused["Error"]["Message"] == "Number of tags exceeds resource tag limit."
    with pytest.raises(urllib.error.HTTPError) as caught:
        service.open(f"/2017-03-31/tags/{urllib.parse.quote(arn, safe='')}", method="DELETE")
    with caught.value as answer:
        assert b"Value null at 'tagKeys' failed to satisfy constraint: Member must not be null" in answer.read()
