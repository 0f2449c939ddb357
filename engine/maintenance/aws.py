"""Leftovers of killed runs on AWS: functions with a temporary change, objects under a run's prefix or in a `store=`.

AWS is queried only where this machine's records point to leftovers; they are listed, and removed on request. Objects of
other machines are deleted after a day by the lifecycle rule of lbench's bucket; a bucket of `store=` may have one, too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.aws import aws_client, aws_session
from lbench.config.aws_errors import AwsError
from lbench.config.deployment import TEMPORARY, account_in, outputs_of, read_outputs
from lbench.engine.backends.cluster import store_log
from lbench.engine.backends.cluster.shared_store import delete_objects_left, objects_left
from lbench.engine.backends.lambda_.change_log import Forced, forget, is_held, records
from lbench.engine.backends.lambda_.force_cold import put_back
from lbench.engine.journal.lock import is_live
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.index import session_folders
from lbench.engine.session.view import load_folder
from lbench.errors import LbenchError

__all__ = ["Remain", "find_remains"]

_KEPT_S = 2 * 86_400.0  # the bucket's rule deletes after a day, which S3 carries out within another
_AT_ONCE = 1000  # objects that one request deletes


class Remain(msgspec.Struct, frozen=True):
    """One leftover. `remove` raises LbenchError."""

    what: str
    where: str
    size_bytes: int
    remove: Callable[[], Awaitable[None]]


async def find_remains() -> tuple[list[Remain], list[str]]:
    """The leftovers that this machine's records point to, and a message for each place that could not be searched."""
    found = [_changed(record) for record in records() if not is_held(record)]
    problems = []
    for (stack, region), prefixes in _prefixes().items():
        try:
            found += await _objects(stack, region, prefixes)
        except LbenchError as error:
            problems.append(str(error))
    for place in store_log.abandoned_places():
        if place.bucket is not None:
            try:
                found += await _in_store(place)
            except LbenchError as error:
                problems.append(f"store=s3://{place.bucket}/{place.above}: {error}")
    return found, problems


async def _in_store(place: store_log.StorePlace) -> list[Remain]:
    """The objects that a killed engine has left in a bucket of the user's own."""
    keys = await objects_left(place)
    if not keys:
        if time.time() - place.made_s > _KEPT_S:  # until then a worker of that engine may still write
            store_log.forget(place.name)
        return []

    async def remove() -> None:
        await delete_objects_left(place)
        store_log.forget(place.name)

    count = f"{len(keys)}" if len(keys) < _AT_ONCE else f"{_AT_ONCE:,} or more"
    return [Remain("temporary objects of a killed run", f"{count} under s3://{place.bucket}/{place.path}/", 0, remove)]


def _changed(record: Forced) -> Remain:
    async def remove() -> None:
        session = aws_session(record.region)
        try:
            async with aws_client(session, "lambda") as client:
                await put_back(client, record)
        except AwsError as error:
            if error.code not in ("ResourceNotFoundException", "AccessDeniedException"):
                raise
            await _same_account(session, record)
            if error.code == "AccessDeniedException":
                raise
            # the function is gone, and its variable with it
        forget(record)

    return Remain(
        f"environment variable {record.variable} left on a function", f"{record.name} in {record.region}", 0, remove
    )


async def _same_account(session: Any, record: Forced) -> None:
    """Check that the function belongs to the account of these credentials: another account cannot tell whether it is gone.

    Raises:
        AwsError: it belongs to another account, or the account of the credentials is unknown.
    """
    async with aws_client(session, "sts") as client:
        account = str((await client.get_caller_identity())["Account"])
    if account != record.account:
        raise AwsError(
            f"the function was changed in account {record.account}, but these credentials belong to account {account}: "
            "run `lbench gc` with the profile that it was changed with (AWS_PROFILE)"
        )


def _prefixes() -> dict[tuple[str, str], set[str]]:
    """The S3 prefixes of killed runs, by stack and region. A killed run's journal has no end."""
    found: dict[tuple[str, str], set[str]] = {}
    for folder in _unfinished():
        with contextlib.suppress(LbenchError, OSError):
            for run in load_folder(folder).started_runs:
                assert run.started is not None
                settings = run.started.settings
                prefix, stack, region = (settings.get(name) for name in ("temporary", "stack", "region"))
                if isinstance(prefix, str) and prefix.startswith(TEMPORARY) and len(prefix) > len(TEMPORARY):
                    found.setdefault((str(stack), str(region)), set()).add(prefix)
    return found


def _unfinished() -> Iterator[Path]:
    for folder in session_folders():
        journal = folder / JOURNAL_NAME
        with contextlib.suppress(OSError):
            if time.time() - journal.stat().st_mtime < _KEPT_S and not is_live(folder):
                with journal.open("rb") as file:
                    file.seek(max(0, journal.stat().st_size - 4096))
                    ended = b'"event":"end"' in file.read()
                if not ended:
                    yield folder


async def _objects(stack: str, region: str, prefixes: set[str]) -> list[Remain]:
    from botocore.exceptions import ClientError

    session = aws_session(region)
    async with aws_client(session, "cloudformation") as client:
        try:
            described = await client.describe_stacks(StackName=stack)
        except ClientError as error:
            if "does not exist" not in str(error.response.get("Error", {}).get("Message", "")):
                raise
            return []  # it was destroyed, and the bucket with it
    there = described["Stacks"][0]
    bucket = read_outputs(stack, region, outputs_of(there)).bucket
    owned = {"Bucket": bucket, "ExpectedBucketOwner": account_in(there["StackId"])}  # else the name is another's by now
    found = []
    async with aws_client(session, "s3") as client:
        for prefix in sorted(prefixes):
            keys, size = [], 0
            async for page in client.get_paginator("list_objects_v2").paginate(**owned, Prefix=f"{prefix}/"):
                for one in page.get("Contents", []):
                    keys.append(one["Key"])
                    size += one["Size"]
            if keys:
                where = f"{len(keys)} under s3://{bucket}/{prefix}/"
                found.append(Remain("objects of a killed run", where, size, _deletion(session, owned, keys)))
    return found


def _deletion(session: Any, where: dict[str, str], keys: list[str]) -> Callable[[], Awaitable[None]]:
    async def remove() -> None:
        async with aws_client(session, "s3") as client:
            for begin in range(0, len(keys), _AT_ONCE):
                some = [{"Key": key} for key in keys[begin : begin + _AT_ONCE]]
                answer = await client.delete_objects(**where, Delete={"Objects": some, "Quiet": True})
                if count := len(answer.get("Errors", [])):
                    raise AwsError(
                        f"S3 kept {count} object{'s' * (count != 1)} of {where['Bucket']}: "
                        "the bucket's rule deletes them in a day"
                    )

    return remove
