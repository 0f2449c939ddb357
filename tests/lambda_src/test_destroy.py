"""Destroying against moto's server: whatever a deployment and its runs left goes, and is looked for."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import boto3
import pytest

from lbench.config.aws import AwsError, aws_session
from lbench.config.deployment import TAG
from lbench.lambda_src.destroy import find_stray, remove_stacks, remove_stray
from lbench.lambda_src.stack import Stacks
from lbench.lambda_src.template import body, render

REGION = "us-east-1"
TAGS = [{"Key": TAG, "Value": "lbench"}]


async def no_pause(seconds: float) -> None:
    """No time passes."""


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


class Destroyed(NamedTuple):
    stacks: list[str]
    stray: list[str]
    left: dict[str, str]


async def destroy_it() -> Destroyed:
    session = aws_session(REGION)
    stacks = await remove_stacks(session, REGION, ["lbench"], pause=no_pause)
    stray = await find_stray(session, REGION, ["lbench"])
    return Destroyed(stacks, stray, await remove_stray(session, stray))


@pytest.fixture
def bucket(aws: Any) -> str:
    """The bucket of a stack that is there without functions yet."""
    client("cloudformation").create_stack(StackName="lbench", TemplateBody=body(render([1769])), Tags=TAGS)
    (name,) = aws.contents()["buckets"]
    return str(name)


async def test_a_bucket_goes_with_all_versions_marks_and_begun_uploads(aws: Any, bucket: str) -> None:
    s3 = client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        s3.put_object(Bucket=bucket, Key="tmp/a", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="tmp/a")
    s3.create_multipart_upload(Bucket=bucket, Key="code/b")
    assert await destroy_it() == Destroyed(["lbench"], [], {})
    assert not any(aws.contents().values())


async def test_more_objects_than_one_request_deletes(aws: Any, bucket: str) -> None:
    from moto.s3.models import s3_backends

    for number in range(1_100):
        s3_backends["123456789012"]["aws"].put_object(bucket, f"tmp/{number}", b"")
    await destroy_it()
    assert not any(aws.contents().values())


async def test_what_a_run_puts_there_meanwhile_goes_at_the_second_turn(
    aws: Any, aws_server: ModuleType, bucket: str
) -> None:
    late = [1]

    def run_goes_on(request: Any) -> None:
        if request.operation == "DeleteStack" and late:
            from moto.s3.models import s3_backends

            s3_backends["123456789012"]["aws"].put_object(bucket, "tmp/late", b"")
            late.clear()

    aws.rule(run_goes_on)
    assert (await destroy_it()).stacks == ["lbench"]
    assert not any(aws.contents().values())


async def test_a_bucket_that_belongs_to_another_account_by_now_keeps_its_objects(
    aws: Any, aws_server: ModuleType, bucket: str
) -> None:
    """It was removed outside lbench, and its name is free for anybody."""
    client("s3").put_object(Bucket=bucket, Key="theirs", Body=b"x")

    def of_another(request: Any) -> Any:
        owner = request.headers.get("X-Amz-Expected-Bucket-Owner")
        if request.service == "s3" and owner == "123456789012":
            return aws_server.s3_refusal("AccessDenied", "Access Denied")
        return None

    aws.rule(of_another)
    with pytest.raises(AwsError, match="may not do ListObjectVersions"):
        await destroy_it()
    aws.forget_rules()
    assert client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 1


async def test_a_stack_that_cannot_be_removed_does_not_keep_the_other(
    aws: Any, aws_server: ModuleType, bucket: str
) -> None:
    tags = [{"Key": TAG, "Value": "lbench-arm64"}]
    client("cloudformation").create_stack(StackName="lbench-arm64", TemplateBody=body(render([1769])), Tags=tags)
    client("s3").put_object(Bucket=bucket, Key="tmp/kept", Body=b"x")
    why = b"<Key>tmp/kept</Key><Code>AccessDenied</Code><Message>Access Denied</Message>"
    answer = aws_server.Answer(200, b"<DeleteResult><Error>%b</Error></DeleteResult>" % why)
    aws.fail("s3", rf"POST /{bucket}", answer)
    with pytest.raises(AwsError, match=r"^lbench-arm64 was removed; cannot remove tmp/kept from the bucket"):
        await remove_stacks(aws_session(REGION), REGION, ["lbench", "lbench-arm64"], pause=no_pause)
    assert aws.contents()["stacks"] == ["lbench"]


async def test_a_leftover_that_may_not_go_does_not_keep_the_others(aws: Any, aws_server: ModuleType) -> None:
    client("s3").create_bucket(Bucket="a-stray")
    client("s3").put_bucket_tagging(Bucket="a-stray", Tagging={"TagSet": TAGS})
    client("logs").create_log_group(logGroupName="stray", tags={TAG: "lbench"})
    aws.fail("s3", r"(HEAD|GET|DELETE) /a-stray.*", aws_server.s3_refusal("AccessDenied", "Access Denied"))
    done = await destroy_it()
    assert list(done.left) == ["arn:aws:s3:::a-stray"] and "may not do" in done.left["arn:aws:s3:::a-stray"]
    assert aws.contents()["logs"] == []


async def test_an_object_that_may_not_go_is_named(aws: Any, aws_server: ModuleType, bucket: str) -> None:
    client("s3").put_object(Bucket=bucket, Key="tmp/kept", Body=b"x")
    why = b"<Key>tmp/kept</Key><Code>AccessDenied</Code><Message>Access Denied</Message>"
    body = b"<DeleteResult><Error>%b</Error></DeleteResult>" % why
    aws.fail("s3", rf"POST /{bucket}", aws_server.Answer(200, body))
    with pytest.raises(AwsError, match=r"cannot remove tmp/kept from the bucket .* \(AccessDenied"):
        await destroy_it()


async def test_a_resource_that_cannot_be_removed_is_named(aws: Any, aws_server: ModuleType, bucket: str) -> None:
    def still_there(request: Any) -> Any:
        if request.operation != "DeleteStack":
            return None
        stack = aws.stack("lbench")
        stack.events.append(aws_server.event(stack, "Role", "AWS::IAM::Role", "DELETE_FAILED", "it is used elsewhere"))
        stack.status = "DELETE_FAILED"
        return aws_server.Answer(200, b"<DeleteStackResponse/>")

    aws.rule(still_there)
    with pytest.raises(
        AwsError, match=r"cannot remove the stack lbench in us-east-1: Role \(AWS::IAM::Role\): it is used elsewhere; "
    ):
        await destroy_it()


async def test_what_carries_the_tag_without_a_stack_goes_too(aws: Any) -> None:
    client("s3").create_bucket(Bucket="stray")
    client("s3").put_bucket_tagging(Bucket="stray", Tagging={"TagSet": TAGS})
    client("s3").put_object(Bucket="stray", Key="x", Body=b"x")
    client("logs").create_log_group(logGroupName="stray", tags={TAG: "lbench"})
    for name in ("/aws/lambda/lbench-1769", "/aws/lambda/lbench-report"):  # somebody else's
        client("logs").create_log_group(logGroupName=name)
    client("apigatewayv2").create_api(Name="stray", ProtocolType="HTTP", Tags={TAG: "lbench"})
    done = await destroy_it()
    assert (done.stacks, done.left) == ([], {})
    assert sorted(arn.split(":", 5)[2] for arn in done.stray) in (
        ["apigateway", "logs", "s3"],
        ["logs", "s3"],  # moto's tagging API knows no HTTP APIs
    )
    there = aws.contents()
    assert there["buckets"] == [] and there["logs"] == ["/aws/lambda/lbench-1769", "/aws/lambda/lbench-report"]


async def test_what_the_tagging_api_still_tells_of_though_it_is_gone_is_no_leftover(
    aws: Any, aws_server: ModuleType
) -> None:
    arns = [
        "arn:aws:s3:::lbench-bucket-x",
        "arn:aws:lambda:us-east-1:123456789012:function:lbench-1769",
        "arn:aws:logs:us-east-1:123456789012:log-group:lbench-LogGroup-X",
        "arn:aws:apigateway:us-east-1::/apis/abc123/stages/$default",
        "arn:aws:cloudformation:us-east-1:123456789012:stack/lbench/0b1c",
    ]
    listed = [{"ResourceARN": arn, "Tags": TAGS} for arn in arns]
    aws.fail(
        "tagging",
        "GetResources",
        aws_server.recorded("resourcegroupstaggingapi", "GetResources", {"ResourceTagMappingList": listed}),
    )
    assert await destroy_it() == Destroyed([], [], {})


async def test_resources_that_lbench_does_not_deploy_are_reported_and_kept(aws: Any) -> None:
    client("sqs").create_queue(QueueName="theirs", tags={TAG: "lbench"})
    arn = client("sns").create_topic(Name="theirs", Tags=TAGS)["TopicArn"]
    assert arn in (await destroy_it()).left


async def test_a_stack_that_never_settles_is_an_error(aws: Any, bucket: str) -> None:
    aws.stack("lbench").status = "UPDATE_IN_PROGRESS"
    from lbench.config.aws import aws_client

    async with aws_client(aws_session(REGION), "cloudformation") as cloudformation:
        with pytest.raises(AwsError, match="has been UPDATE_IN_PROGRESS for half an hour"):
            await Stacks(cloudformation, REGION, pause=no_pause).settled("lbench")
