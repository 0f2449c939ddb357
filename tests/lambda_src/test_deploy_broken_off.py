"""Whatever AWS call a deploy or a destroy is broken off before, the next command goes on from there and ends right.

Being killed before a call and having lost the answer of the one before it are the same to the account, so each call but the
last is also broken off after it was carried out. A killed process does nothing more: no call after that one is let through.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from lbench.config.aws import aws_session
from lbench.config.deployment import TAG
from lbench.config.manifest import MANIFEST, Manifest
from lbench.lambda_src.deploy import Package, Wanted, deploy
from lbench.lambda_src.destroy import find_stray, remove_stacks, remove_stray
from lbench.lambda_src.template import body, render

REGION = "us-east-1"
STRAY = "stray"


class Killed(BaseException):
    """The process is gone."""


class Session:
    """A session whose process is killed before a call: number `at` of its calls, from 0; None: never."""

    def __init__(self, at: int | None = None) -> None:
        self.calls = 0
        self._at = at
        self.session = aws_session(REGION)
        self.session._session.register("before-call.*", self._count)

    def _count(self, **_: Any) -> None:
        if self._at is not None and self.calls >= self._at:
            raise Killed
        self.calls += 1


async def no_pause(seconds: float) -> None:
    """No time passes."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Package]:
    made = []
    for name in ("first", "second"):
        path = tmp_path_factory.mktemp("packages") / f"{name}.zip"
        manifest = Manifest(
            lbench_version="0",
            handler="h.h",
            python="3.13",
            arch="x86_64",
            workloads=(name,),
            packages={},
            compiled=None,
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(MANIFEST, msgspec.json.encode(manifest))
        data = path.read_bytes()
        made.append(
            Package(path=path, sha256=hashlib.sha256(data).hexdigest(), zipped_bytes=len(data), manifest=manifest)
        )
    return made


def _deploy(
    session: Session, package: Package, memory_mb: tuple[int, ...] = (1769, 512), http_api: bool = False
) -> Awaitable[Any]:
    wanted = Wanted(stack="lbench", region=REGION, memory_mb=memory_mb, default_memory_mb=1769, http_api=http_api)
    return deploy(session.session, wanted, package, owner="123456789012", pause=no_pause)


async def _destroy(session: Session) -> None:
    await remove_stacks(session.session, REGION, ["lbench"], pause=no_pause)
    await remove_stray(session.session, await find_stray(session.session, REGION, ["lbench"]))


def _is_deployed(aws: Any, package: Package, memory_mb: tuple[int, ...] = (1769, 512), http_api: bool = False) -> None:
    there = aws.contents()
    there["logs"] = [name for name in there["logs"] if name != STRAY]
    assert there["functions"] == [f"lbench-{size}" for size in memory_mb]
    assert [len(there[name]) for name in ("stacks", "buckets", "roles", "logs", "apis")] == [1, 1, 1, 1, int(http_api)]
    assert aws.stack("lbench").stack_parameters["PackageDigest"] == package.sha256


def _is_empty(aws: Any) -> None:
    assert not any(aws.contents().values()), aws.contents()


async def _broken_off(doing: Callable[[Session], Awaitable[Any]], at: int) -> bool:
    """Do it, killed before that call; whether it came that far."""
    try:
        await doing(Session(at))
    except Killed:
        return True
    return False


@pytest.mark.parametrize("looks", [0, 1])
async def test_a_first_deployment(aws: Any, packages: list[Package], looks: int) -> None:
    package = packages[0]
    at = 0
    while True:
        aws.reset()
        aws.looks = looks
        reached = await _broken_off(lambda session: _deploy(session, package), at)
        if (at + looks) % 2:  # by turns: what the next command is
            await _deploy(Session(), package)
            _is_deployed(aws, package)
        await _destroy(Session())
        _is_empty(aws)
        if not reached:
            break
        at += 1
    assert at >= 8


async def test_a_large_package_after_a_creation_that_failed(aws: Any, packages: list[Package], tmp_path: Path) -> None:
    """It goes up in parts; what the failed creation has left goes first."""
    path = tmp_path / "large.zip"
    path.write_bytes(packages[0].path.read_bytes() + bytes(8 * 2**20))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    large = msgspec.structs.replace(packages[0], path=path, sha256=digest, zipped_bytes=path.stat().st_size)
    at = 0
    reached = True
    while reached:
        aws.reset()
        template = body(render([1769]))
        tags = [{"Key": TAG, "Value": "lbench"}]
        boto3.client("cloudformation", REGION).create_stack(StackName="lbench", TemplateBody=template, Tags=tags)
        aws.stack("lbench").status = "ROLLBACK_COMPLETE"
        reached = await _broken_off(lambda session: _deploy(session, large), at)
        await _deploy(Session(), large)
        _is_deployed(aws, large)
        at += 1
    assert at >= 16


@pytest.mark.parametrize("front", [True, False])
async def test_other_sizes_and_another_front(aws: Any, packages: list[Package], front: bool) -> None:
    at = 0
    reached = True
    while reached:
        aws.reset()
        aws.looks = 1
        await _deploy(Session(), packages[0], http_api=not front)
        reached = await _broken_off(lambda session: _deploy(session, packages[0], (3008, 512), front), at)
        await _deploy(Session(), packages[0], (3008, 512), front)
        _is_deployed(aws, packages[0], (3008, 512), front)
        at += 1
    assert at >= 3


async def test_another_package(aws: Any, packages: list[Package]) -> None:
    at = 0
    reached = True
    while reached:
        aws.reset()
        aws.looks = 1
        await _deploy(Session(), packages[0])
        reached = await _broken_off(lambda session: _deploy(session, packages[1]), at)
        await _deploy(Session(), packages[1])
        _is_deployed(aws, packages[1])
        at += 1
    assert at >= 5


async def test_a_removal(aws: Any, packages: list[Package]) -> None:
    """With versions in the bucket, and something that carries the tag beside the stack."""
    at = 0
    reached = True
    while reached:
        aws.reset()
        aws.looks = at % 2
        await _deploy(Session(), packages[0])
        s3, (bucket,) = boto3.client("s3", REGION), aws.contents()["buckets"]
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=bucket, Key="tmp/a", Body=b"x")
        s3.delete_object(Bucket=bucket, Key="tmp/a")
        boto3.client("logs", REGION).create_log_group(logGroupName=STRAY, tags={TAG: "lbench"})
        reached = await _broken_off(_destroy, at)
        if at % 2:
            await _deploy(Session(), packages[1])
            _is_deployed(aws, packages[1])
        await _destroy(Session())
        _is_empty(aws)
        at += 1
    assert at >= 11


async def test_what_a_failed_deployment_clears_away(aws: Any, packages: list[Package]) -> None:
    """The deployment that is broken off is in the middle of removing what it could not make."""
    at = 0
    ended = False
    while not ended:
        aws.reset()
        aws.roll_back_updates("Function1769", "AWS::Lambda::Function", "no room")
        try:
            ended = not await _broken_off(lambda session: _deploy(session, packages[0]), at)
        except Exception as error:
            assert "no room" in str(error)
            ended = True
        aws.forget_rules()
        if at % 2:
            await _deploy(Session(), packages[0])
            _is_deployed(aws, packages[0])
        else:
            await _destroy(Session())
            _is_empty(aws)
        at += 1
    assert at >= 11
