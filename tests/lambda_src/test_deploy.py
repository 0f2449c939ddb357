"""Deploying against moto's server: from any state, by any number of machines, broken off anywhere, to what was wanted."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import random
import zipfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

import boto3
import msgspec
import pytest

from lbench._version import __version__
from lbench.config.aws import AwsError, aws_session
from lbench.config.deployment import TAG, read_outputs
from lbench.config.manifest import MANIFEST, Manifest
from lbench.errors import InputError
from lbench.lambda_src.bucket import empty_bucket
from lbench.lambda_src.deploy import Deployed, Package, Wanted, deploy
from lbench.lambda_src.destroy import find_stray, remove_stacks, remove_stray
from lbench.lambda_src.stack import Pause

REGION = "us-east-1"
ACCOUNT = "123456789012"


async def no_pause(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Package]:
    """`package("a")`: a small zip that says what a package says."""
    folder = tmp_path_factory.mktemp("packages")

    def make(content: str = "a", **changes: Any) -> Package:
        manifest = Manifest(
            lbench_version=__version__,
            handler="lbench.lambda_src.handler.handle",
            python="3.13",
            arch="x86_64",
            workloads=("mandelbrot", "probe"),
            packages={},
            compiled=None,
        )
        manifest = msgspec.structs.replace(manifest, **changes)
        path = folder / f"{content}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo(MANIFEST), msgspec.json.encode(manifest))
            archive.writestr(zipfile.ZipInfo("content"), content)
        data = path.read_bytes()
        return Package(path=path, sha256=hashlib.sha256(data).hexdigest(), zipped_bytes=len(data), manifest=manifest)

    return make


def wanted(**changes: Any) -> Wanted:
    return Wanted(**({"stack": "lbench", "region": REGION, "default_memory_mb": 1769} | changes))


async def deploy_it(
    package: Package, *, lines: list[str] | None = None, pause: Pause = no_pause, **changes: Any
) -> Deployed:
    say = (lines if lines is not None else []).append
    return await deploy(aws_session(REGION), wanted(**changes), package, owner=ACCOUNT, say=say, pause=pause)


async def destroy_it() -> list[str]:
    session = aws_session(REGION)
    removed = await remove_stacks(session, REGION, ["lbench"], pause=no_pause)
    await remove_stray(session, await find_stray(session, REGION, ["lbench"]))
    return removed


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


EMPTY: dict[str, list[str]] = {name: [] for name in ("stacks", "buckets", "functions", "roles", "logs", "apis")}


async def test_a_first_deployment_makes_all_that_its_outputs_tell_of(aws: Any, package: Callable[..., Package]) -> None:
    made = await deploy_it(package(), memory_mb=(3008, 1769))
    assert made.changed and made.uploaded
    there = made.deployment
    assert there.memory_mb == (1769, 3008) and there.arch == "x86_64" and there.python == "3.13"
    assert there.workloads == ("mandelbrot", "probe") and there.timeout_s == 900 and there.http_api is None
    assert there.package_digest == package().sha256 and there.lbench_version == __version__
    found = aws.contents()
    assert found["functions"] == ["lbench-1769", "lbench-3008"] == [there.function(mb) for mb in (1769, 3008)]
    assert found["buckets"] == [there.bucket] and found["logs"] == [there.log_group]
    function = client("lambda").get_function_configuration(FunctionName="lbench-3008")
    assert function["MemorySize"] == 3008 and function["Timeout"] == 900 and function["Runtime"] == "python3.13"
    assert function["Environment"]["Variables"]["OMP_NUM_THREADS"] == "1"
    settings = client("lambda").get_function_event_invoke_config(FunctionName="lbench-3008")
    assert settings["MaximumRetryAttempts"] == 0
    (group,) = client("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 7
    assert read_outputs("lbench", REGION, _outputs(), "123456789012") == there
    tagged = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": TAG, "Values": ["lbench"]}])
    kinds = {item["ResourceARN"].split(":")[2] for item in tagged["ResourceTagMappingList"]}
    assert {"lambda", "logs", "s3"} <= kinds
    assert await find_stray(aws_session(REGION), REGION, ["lbench"]) == []  # what a stack has made is no leftover
    assert await destroy_it() == ["lbench"]
    assert await find_stray(aws_session(REGION), REGION, ["lbench"]) == []
    assert aws.contents() == EMPTY


def _outputs() -> dict[str, str]:
    (stack,) = client("cloudformation").describe_stacks(StackName="lbench")["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


async def test_deploying_the_same_again_changes_and_uploads_nothing(aws: Any, package: Callable[..., Package]) -> None:
    first = await deploy_it(package(), memory_mb=(1769, 3008), retention_days=30, ephemeral_mb=1024)
    again = await deploy_it(package())  # omitted values stay as they are
    assert again == Deployed(deployment=first.deployment, changed=False, uploaded=False)
    assert client("logs").describe_log_groups()["logGroups"][0]["retentionInDays"] == 30


async def test_another_package_changes_the_functions_and_the_old_one_goes_after_a_day(
    aws: Any, package: Callable[..., Package]
) -> None:
    first = (await deploy_it(package("a"))).deployment
    second = await deploy_it(package("b"))
    assert second.changed and second.uploaded and second.deployment.package_digest == package("b").sha256
    assert second.deployment.bucket == first.bucket
    keys = {f"code/{package(name).sha256}.zip" for name in "ab"}
    assert keys == _keys(first.bucket)  # another machine may be about to deploy it
    _make_older(aws, first.bucket, days=2)
    await deploy_it(package("c"))
    assert _keys(first.bucket) == {f"code/{package('c').sha256}.zip"}


def _keys(bucket: str) -> set[str]:
    return {item["Key"] for item in client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())}


def _make_older(aws: Any, bucket: str, days: int) -> None:
    from moto.s3.models import s3_backends

    for key in s3_backends[ACCOUNT]["aws"].buckets[bucket].keys.values():
        key.last_modified -= datetime.timedelta(days=days)


async def test_memory_sizes_are_those_that_were_asked_for_last(aws: Any, package: Callable[..., Package]) -> None:
    await deploy_it(package(), memory_mb=(1769,))
    await deploy_it(package(), memory_mb=(3008, 512))
    assert aws.contents()["functions"] == ["lbench-3008", "lbench-512"]
    there = (await deploy_it(package("b"))).deployment
    assert there.memory_mb == (512, 3008)
    with pytest.raises(
        InputError, match=r"no function of 1769 MB .*run `lbench deploy --memory 512,1769,3008 --region us-east-1`"
    ):
        there.function(1769)


async def test_the_front_is_there_only_while_it_is_asked_for(aws: Any, package: Callable[..., Package]) -> None:
    assert (await deploy_it(package())).deployment.http_api is None
    with_front = (await deploy_it(package(), http_api=True)).deployment
    (api,) = client("apigatewayv2").get_apis()["Items"]
    assert with_front.http_api == f"https://{api['ApiId']}.execute-api.us-east-1.amazonaws.com"
    assert (await deploy_it(package())).deployment.http_api == with_front.http_api
    assert (await deploy_it(package(), http_api=False)).deployment.http_api is None
    assert aws.contents()["apis"] == []


async def test_a_package_of_several_parts_arrives_whole(aws: Any, package: Callable[..., Package]) -> None:
    large = package("large", workloads=("probe",))
    with zipfile.ZipFile(large.path, "a") as archive:
        archive.writestr("noise", random.Random(1).randbytes(18_000_000))
    data = large.path.read_bytes()
    large = msgspec.structs.replace(large, sha256=hashlib.sha256(data).hexdigest(), zipped_bytes=len(data))
    there = (await deploy_it(large)).deployment
    stored = client("s3").get_object(Bucket=there.bucket, Key=f"code/{large.sha256}.zip")["Body"].read()
    assert stored == data
    variables = client("lambda").get_function_configuration(FunctionName="lbench-1769")["Environment"]["Variables"]
    assert variables["LBENCH_PRELOAD"] == "probe"


@pytest.mark.parametrize("state", ["ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "DELETE_FAILED", "CREATE_FAILED"])
async def test_what_an_earlier_attempt_left_is_removed_first(
    aws: Any, package: Callable[..., Package], state: str
) -> None:
    await deploy_it(package("a"))
    aws.stack("lbench").status = state
    before = aws.stack("lbench").stack_id
    lines: list[str] = []
    assert (await deploy_it(package("b"), lines=lines)).changed
    assert aws.stack("lbench").stack_id != before
    assert any(f"removing what an earlier attempt has left of the stack lbench ({state})" in line for line in lines)
    await destroy_it()
    assert aws.contents() == EMPTY


async def test_a_roll_back_that_failed_is_resumed(
    aws: Any, aws_server: ModuleType, package: Callable[..., Package]
) -> None:
    await deploy_it(package("a"))
    aws.stack("lbench").status = "UPDATE_ROLLBACK_FAILED"

    def resume(request: Any) -> Any:
        if request.operation != "ContinueUpdateRollback":
            return None
        aws.stack("lbench").status = "UPDATE_ROLLBACK_COMPLETE"
        body = b"<ContinueUpdateRollbackResponse><ContinueUpdateRollbackResult/></ContinueUpdateRollbackResponse>"
        return aws_server.Answer(200, body)

    aws.rule(resume)
    assert (await deploy_it(package("b"))).deployment.package_digest == package("b").sha256


async def test_states_that_pass_are_waited_for(aws: Any, package: Callable[..., Package]) -> None:
    aws.looks = 3
    lines: list[str] = []
    made = await deploy_it(package(), lines=lines)
    assert made.deployment.memory_mb == (1769,)
    assert "waiting for the stack lbench" in lines and "deploying the functions of 1,769 MB" in lines
    assert await destroy_it() == ["lbench"]
    assert aws.contents() == EMPTY


async def test_machines_that_deploy_at_once_take_turns(aws: Any, package: Callable[..., Package]) -> None:
    aws.looks = 2
    made = await asyncio.gather(*(deploy_it(package(name), memory_mb=(1769,)) for name in "ab"))
    assert len({one.deployment.bucket for one in made}) == 1
    last = read_outputs("lbench", REGION, _outputs(), "123456789012")
    assert last.package_digest in {package("a").sha256, package("b").sha256}
    assert aws.contents()["functions"] == ["lbench-1769"]


async def test_a_first_deployment_that_fails_leaves_what_another_machine_has_deployed_meanwhile(
    aws: Any, package: Callable[..., Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.roll_back_updates("Function10240", "AWS::Lambda::Function", "MemorySize must be at most 3008")

    async def just_then(session: Any, bucket: str, *, owner: str) -> None:
        aws.forget_rules()
        await deploy_it(package("b"), memory_mb=(1769,))
        await empty_bucket(session, bucket, owner=owner)

    monkeypatch.setattr("lbench.lambda_src.destroy.empty_bucket", just_then)
    with pytest.raises(AwsError, match="at most 3008; what another machine has deployed meanwhile is there"):
        await deploy_it(package("a"), memory_mb=(10240,))
    assert aws.contents()["functions"] == ["lbench-1769"]


async def test_another_machines_success_is_not_reported_as_ones_own(aws: Any, package: Callable[..., Package]) -> None:
    await deploy_it(package("first"), memory_mb=(512,))
    aws.looks = 1

    async def just_then(seconds: float) -> None:
        if aws.looks:
            aws.finish()
            await deploy_it(package("b"), memory_mb=(3008,))

    made = await deploy_it(package("a"), memory_mb=(1769,), pause=just_then)
    assert made.deployment.package_digest == package("a").sha256 and made.deployment.memory_mb == (1769,)
    assert read_outputs("lbench", REGION, _outputs(), "123456789012") == made.deployment


async def test_another_machines_failure_is_not_reported_as_ones_own(aws: Any, package: Callable[..., Package]) -> None:
    await deploy_it(package("first"), memory_mb=(512,))
    aws.looks = 1

    async def just_then(seconds: float) -> None:
        if aws.looks:
            aws.finish()
            client("cloudformation").describe_stacks(StackName="lbench")  # ours is over
            aws.roll_back_updates("Function3008", "AWS::Lambda::Function", "no room")
            with pytest.raises(AwsError, match="no room"):
                await deploy_it(package("b"), memory_mb=(3008,))
            aws.forget_rules()

    made = await deploy_it(package("a"), memory_mb=(1769,), pause=just_then)
    assert made.changed and made.deployment.package_digest == package("a").sha256
    assert aws.contents()["functions"] == ["lbench-1769"]


async def test_a_protected_stack_keeps_what_is_in_its_bucket(aws: Any, package: Callable[..., Package]) -> None:
    bucket = (await deploy_it(package())).deployment.bucket
    aws.stack("lbench").enable_termination_protection = True
    with pytest.raises(
        AwsError, match=r"lbench in us-east-1 has termination protection.*--no-enable-termination-protection "
    ):
        await destroy_it()
    assert _keys(bucket) == {f"code/{package().sha256}.zip"}


async def test_a_deletion_that_fails_for_another_reason_than_a_change_is_an_error(
    aws: Any, aws_server: ModuleType, package: Callable[..., Package]
) -> None:
    await deploy_it(package())
    why = "Stack [lbench] cannot be deleted while TerminationProtection is enabled"
    aws.fail("cloudformation", "DeleteStack", aws_server.refusal("ValidationError", why))
    with pytest.raises(AwsError, match="TerminationProtection is enabled"):
        await destroy_it()


async def test_one_machine_destroys_what_another_is_deploying(aws: Any, package: Callable[..., Package]) -> None:
    aws.looks = 2
    await deploy_it(package("a"))
    outcome = await asyncio.gather(deploy_it(package("b")), destroy_it(), return_exceptions=True)
    assert all(not isinstance(one, Exception) or isinstance(one, AwsError) for one in outcome), outcome
    await destroy_it()
    assert aws.contents() == EMPTY


async def test_a_creation_that_fails_tells_the_first_reason_and_leaves_nothing(
    aws: Any, package: Callable[..., Package]
) -> None:
    why = "User: arn:aws:iam::1:user/u is not authorized to perform: iam:CreateRole on resource: arn:aws:iam::1:role/r"
    aws.roll_back_creation("Role", "AWS::IAM::Role", why)
    with pytest.raises(AwsError) as caught:
        await deploy_it(package())
    line = str(caught.value)
    assert line.startswith("cannot deploy lbench in us-east-1: Role (AWS::IAM::Role): ")
    assert "iam:CreateRole" in line and line.endswith("nothing of it is left") and "\n" not in line
    assert aws.contents() == EMPTY


async def test_functions_that_fail_at_first_leave_nothing(aws: Any, package: Callable[..., Package]) -> None:
    aws.roll_back_updates("Function1769", "AWS::Lambda::Function", "lbench-1769 already exists in stack arn:aws:x")
    with pytest.raises(AwsError, match=r"Function1769 .*already exists.*--stack; nothing of it is left"):
        await deploy_it(package())
    assert aws.contents() == EMPTY


async def test_functions_that_fail_later_leave_what_was_deployed(aws: Any, package: Callable[..., Package]) -> None:
    there = (await deploy_it(package("a"))).deployment
    aws.roll_back_updates("Function1769", "AWS::Lambda::Function", "no room")
    with pytest.raises(AwsError, match=r"no room; what was deployed before is still there"):
        await deploy_it(package("b"))
    assert read_outputs("lbench", REGION, _outputs(), "123456789012") == there


async def test_a_stack_of_somebody_else_is_left_alone(aws: Any, package: Callable[..., Package]) -> None:
    topic = {"Resources": {"Theirs": {"Type": "AWS::SNS::Topic"}}}
    client("cloudformation").create_stack(StackName="lbench", TemplateBody=json.dumps(topic))
    for doing in (deploy_it(package()), destroy_it()):
        with pytest.raises(InputError, match=r"was not created by lbench: .*--stack"):
            await doing
    assert aws.contents() == EMPTY | {"stacks": ["lbench"]}


async def test_a_bucket_removed_by_hand_is_an_error(aws: Any, package: Callable[..., Package]) -> None:
    there = (await deploy_it(package("a"))).deployment
    client("s3").delete_object(Bucket=there.bucket, Key=f"code/{package('a').sha256}.zip")
    client("s3").delete_bucket(Bucket=there.bucket)
    with pytest.raises(
        AwsError,
        match=r"the bucket .* was removed outside lbench.*`lbench destroy --region [\w-]+`, then `lbench deploy --region ",
    ):
        await deploy_it(package("b"))


async def test_the_bucket_of_another_account_is_never_written_to(
    aws: Any, aws_server: ModuleType, package: Callable[..., Package]
) -> None:
    """A name that was given up can be taken: each request names the account that must own it."""
    seen = []

    def look(request: Any) -> None:
        if request.service == "s3" and request.operation.startswith("PUT"):
            seen.append(request.headers.get("X-Amz-Expected-Bucket-Owner"))

    aws.rule(look)
    await deploy_it(package())
    assert seen == [ACCOUNT]


async def test_a_package_is_tried_before_anything_is_made_and_only_if_it_is_new(
    aws: Any, package: Callable[..., Package]
) -> None:
    tried: list[dict[str, list[str]]] = []

    async def broken() -> None:
        tried.append(aws.contents())
        raise InputError("the package does not work")

    async def works() -> None:
        tried.append({})

    with pytest.raises(InputError, match="does not work"):
        await deploy(aws_session(REGION), wanted(), package(), owner=ACCOUNT, before=broken, pause=no_pause)
    assert tried == [EMPTY]
    await deploy(aws_session(REGION), wanted(), package(), owner=ACCOUNT, before=works, pause=no_pause)
    await deploy(aws_session(REGION), wanted(), package(), owner=ACCOUNT, before=works, pause=no_pause)
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"memory_mb": (64,)}, "--memory must be from 128 to 10240 MB, got 64"),
        ({"memory_mb": tuple(range(128, 149))}, "--memory must be at most 20 sizes for each stack, got 21"),
        ({"ephemeral_mb": 100}, "--ephemeral must be from 512 to 10240 MB, got 100"),
        ({"retention_days": 2}, "--retention-days must be one of 1, 3, 5"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_made(
    aws: Any, package: Callable[..., Package], changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        await deploy_it(package(), **changes)
    assert aws.contents() == EMPTY


@pytest.mark.parametrize("size", [4096, 10_240])
async def test_a_new_accounts_memory_limit_is_known_before_anything_is_made(
    aws: Any, aws_server: ModuleType, package: Callable[..., Package], size: int
) -> None:
    why = (
        f"1 validation error detected: Value '{size}' at 'memorySize' failed to satisfy constraint: "
        "Member must have value less than or equal to 3008"
    )
    refusal = aws_server.Answer(400, json.dumps({"message": why}).encode(), "application/json")
    aws.fail("lambda", "PUT /2015-03-31/functions/lbench-memory-limit/configuration", refusal)
    with pytest.raises(InputError, match=r"must be at most 3008, got .*new.* account to 3,008 MB.*Support Center"):
        await deploy_it(package(), memory_mb=(1769, size))
    assert aws.contents() == EMPTY
    assert (await deploy_it(package(), memory_mb=(1769, 3008))).changed


async def test_without_such_a_limit_the_largest_size_is_deployed(aws: Any, package: Callable[..., Package]) -> None:
    assert (await deploy_it(package(), memory_mb=(10_240,))).changed


async def test_a_denied_upload_says_what_stays_and_how_to_continue(
    aws: Any, aws_server: ModuleType, package: Callable[..., Package]
) -> None:
    aws.fail("s3", "PUT .*", aws_server.s3_refusal("AccessDenied", "Access Denied"))
    with pytest.raises(AwsError) as caught:
        await deploy_it(package())
    text = str(caught.value)
    assert text.startswith("the package was not uploaded: ") and "s3" in text and "\n" not in text
    assert "The stack lbench in us-east-1 stays (its bucket, log group and role are there, and no function yet)" in text
    assert "run `lbench deploy --region us-east-1` to continue, or `lbench destroy --region us-east-1`" in text
    assert caught.value.code == "AccessDenied" and aws.contents()["stacks"] == ["lbench"]
    aws.forget_rules()
    assert (await deploy_it(package())).uploaded
