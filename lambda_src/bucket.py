"""The stack's bucket: uploads the package, removes old packages, and empties the bucket at the end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.aws import AwsError, aws_client

__all__ = ["CODE", "BucketGone", "empty_bucket", "package_key", "prune_packages", "put_package", "stored_bytes"]

CODE = "code/"  # keys of packages begin so
_PART_BYTES = 8 * 1024 * 1024
_LINES = 4  # parts under way at once
_FRESH = datetime.timedelta(hours=12)  # nobody removes a package that young, see `prune_packages`
_OLD = datetime.timedelta(days=1)
_AT_ONCE = 1000  # objects that one request deletes, at most


class BucketGone(Exception):
    """The bucket does not exist (any more)."""


def package_key(digest: str) -> str:
    """The key of a package, by its content: a function changes exactly when its package does."""
    return f"{CODE}{digest}.zip"


class _Stored(msgspec.Struct, frozen=True):
    bytes: int
    modified: datetime.datetime


async def put_package(
    session: Any,
    bucket: str,
    path: Path,
    digest: str,
    *,
    owner: str,
    deployed: bool = False,
    upload: Callable[[], None] = lambda: None,
) -> bool:
    """Upload a package into the bucket, unless it is there.

    Args:
        session: see `config.aws.aws_session`.
        bucket: its name.
        path: the zip.
        digest: its SHA-256, hex.
        owner: the account that the bucket must belong to: a name that was given up can be taken by anybody.
        deployed: functions use it already: then nobody removes it meanwhile, however old it is.
        upload: called before an upload.

    Returns:
        whether it was uploaded.

    Raises:
        BucketGone: there is no such bucket.
        AwsError: AWS refused something.
    """
    size = (await asyncio.to_thread(path.stat)).st_size
    key = package_key(digest)
    async with _s3(session) as s3:
        there = await _head(s3, bucket, key, owner)
        if there is not None and there.bytes == size and (deployed or _age(there.modified) < _FRESH):
            return False
        upload()
        if size <= _PART_BYTES:
            body = await asyncio.to_thread(path.read_bytes)
            await s3.put_object(**_of(bucket, owner), Key=key, Body=body, ChecksumAlgorithm="SHA256")
        else:
            await _in_parts(s3, _of(bucket, owner) | {"Key": key}, path, size)
    return True


async def _in_parts(s3: Any, what: dict[str, str], path: Path, size: int) -> None:
    """Upload in parts; a failed part is retried alone, and the bucket's rule deletes the parts of an aborted upload."""
    begun = await s3.create_multipart_upload(**what, ChecksumAlgorithm="SHA256")
    upload = begun["UploadId"]
    room = asyncio.Semaphore(_LINES)

    async def send(number: int) -> dict[str, Any]:
        async with room:
            piece = await asyncio.to_thread(_piece, path, (number - 1) * _PART_BYTES)
            sent = await s3.upload_part(
                **what, UploadId=upload, PartNumber=number, Body=piece, ChecksumAlgorithm="SHA256"
            )
        part = {"PartNumber": number, "ETag": sent["ETag"]}
        return part | ({"ChecksumSHA256": sent["ChecksumSHA256"]} if "ChecksumSHA256" in sent else {})

    async with _unwrapped(), asyncio.TaskGroup() as group:
        sending = [group.create_task(send(number)) for number in range(1, -(-size // _PART_BYTES) + 1)]
    parts = [one.result() for one in sending]
    await s3.complete_multipart_upload(**what, UploadId=upload, MultipartUpload={"Parts": parts})


def _piece(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(_PART_BYTES)


@contextlib.asynccontextmanager
async def _unwrapped() -> AsyncIterator[None]:
    """A task group's first error instead of a group of them."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def prune_packages(session: Any, bucket: str, keep: str, *, owner: str) -> None:
    """Remove the packages that no function uses any more. One less than a day old stays: another machine may be about
    to deploy it.
    """
    where = _of(bucket, owner)
    async with _s3(session) as s3:
        old = [
            {"Key": item["Key"]}
            async for page in s3.get_paginator("list_objects_v2").paginate(**where, Prefix=CODE)
            for item in page.get("Contents", ())
            if item["Key"] != package_key(keep) and _age(item["LastModified"]) > _OLD
        ]
        await _delete(s3, where, old)


async def stored_bytes(session: Any, bucket: str, *, owner: str) -> int:
    """The total size of the bucket's objects.

    Raises:
        BucketGone: there is no such bucket.
    """
    async with _s3(session) as s3:
        return sum(
            [
                int(item["Size"])
                async for page in s3.get_paginator("list_objects_v2").paginate(**_of(bucket, owner))
                for item in page.get("Contents", ())
            ]
        )


async def empty_bucket(session: Any, bucket: str, *, owner: str) -> None:
    """Remove everything: objects, all their versions and delete markers, unfinished uploads.

    Args:
        session: see `config.aws.aws_session`.
        bucket: its name.
        owner: the account that the bucket must belong to: a stranger's objects are nobody's to delete.

    Raises:
        BucketGone: there is no such bucket.
        AwsError: something may not be removed, or the bucket is another account's.
    """
    where = _of(bucket, owner)
    async with _s3(session) as s3:
        async for page in s3.get_paginator("list_object_versions").paginate(**where):
            items = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            await _delete(s3, where, [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in items])
        async for page in s3.get_paginator("list_multipart_uploads").paginate(**where):
            for item in page.get("Uploads", ()):
                with contextlib.suppress(s3.exceptions.NoSuchUpload):  # it has ended meanwhile
                    await s3.abort_multipart_upload(**where, Key=item["Key"], UploadId=item["UploadId"])


def _of(bucket: str, owner: str) -> dict[str, str]:
    """The parameters of a request about a bucket that S3 refuses where another account owns it."""
    return {"Bucket": bucket, "ExpectedBucketOwner": owner}


async def _delete(s3: Any, where: dict[str, str], items: list[dict[str, str]]) -> None:
    for start in range(0, len(items), _AT_ONCE):
        some = items[start : start + _AT_ONCE]
        done = await s3.delete_objects(**where, Delete={"Objects": some, "Quiet": True})
        failed: Iterable[dict[str, str]] = done.get("Errors", ())
        for one in failed:
            raise AwsError(
                f"cannot remove {one.get('Key')} from the bucket {where['Bucket']} "
                f"({one.get('Code')}: {one.get('Message')}): "
                "remove it in the S3 console, then try again",
                one.get("Code"),
            )


async def _head(s3: Any, bucket: str, key: str, owner: str) -> _Stored | None:
    """Find an object by listing: a HEAD's refusal has no text, so it cannot tell a missing key from a missing bucket."""
    listed = await s3.list_objects_v2(**_of(bucket, owner), Prefix=key, MaxKeys=1)
    for item in listed.get("Contents", ()):
        if item["Key"] == key:
            return _Stored(item["Size"], item["LastModified"])
    return None


def _age(when: datetime.datetime) -> datetime.timedelta:
    return datetime.datetime.now(datetime.UTC) - when


@contextlib.asynccontextmanager
async def _s3(session: Any) -> AsyncIterator[Any]:
    try:
        async with aws_client(session, "s3") as client:
            yield client
    except AwsError as error:
        if error.code == "NoSuchBucket":
            raise BucketGone from None
        raise
