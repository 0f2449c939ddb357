"""Sessions and clients of the AWS SDK; `aws_errors` turns their exceptions into messages.

The hot path (Invoke, S3) has clients of its own; everything else (CloudFormation, IAM, quotas, prices, logs) goes through
aioboto3, here. Credentials, endpoint, proxy and CA are botocore's chain's; a source that would have to prompt is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lbench.config.aws_errors import AwsError, CliFailed, Prompted, aws_error, without_secrets
from lbench.config.cli_credentials import add_cli_source, no_credentials_text
from lbench.errors import LbenchError

__all__ = [
    "DEFAULT_REGION",
    "AwsError",
    "Prompted",
    "aws_client",
    "aws_error",
    "aws_session",
    "chain_region",
    "check_ca_bundle",
    "check_keys",
    "find_credentials",
    "prepare_chain",
]

DEFAULT_REGION = "us-east-1"
_ATTEMPTS = 5
_CONNECT_S, _READ_S = 10, 70
_KEY = re.compile(r"[!-~]+")
_SILENT = logging.NullHandler()
_PATIENCE_S = 60.0  # a source of credentials that takes longer waits for something: most likely for a person


def chain_region(session: Any) -> str:
    """The region that the AWS CLI would use, for a botocore or aiobotocore session; else us-east-1.

    botocore reads AWS_DEFAULT_REGION alone; the CLI and the other SDKs read AWS_REGION, which comes first.
    """
    return os.environ.get("AWS_REGION") or session.get_config_variable("region") or DEFAULT_REGION


def prepare_chain(session: Any) -> None:
    """Let a botocore or aiobotocore session fail where a source of credentials would ask somebody, and ask the CLI last."""
    add_cli_source(session)
    for provider in session.get_component("credential_provider").providers:
        if provider.METHOD == "assume-role":
            provider._prompter = _prompt  # it would read a code of an MFA device from the terminal
        elif provider.METHOD == "custom-process":
            # Without a terminal of its own a process cannot ask anything, and says so instead.
            popen = _watched if provider._popen is asyncio.create_subprocess_exec else provider._popen
            provider._popen = functools.partial(popen, stdin=subprocess.DEVNULL, start_new_session=True)


class _Watched:
    """A `credential_process` that ends with the patience for it: what waits for a person is not left behind."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        try:
            return await self._process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()
            raise


async def _watched(*argv: str, **how: Any) -> _Watched:
    return _Watched(await asyncio.create_subprocess_exec(*argv, **how))


def _prompt(text: str) -> str:
    raise Prompted


def aws_session(region: str | None = None) -> Any:
    """An aioboto3 session of the chain's profile.

    Args:
        region: None: the chain's, else us-east-1.

    Raises:
        AwsError: the profile or the configuration cannot be used.
    """
    import aioboto3
    from botocore.exceptions import BotoCoreError

    # What it logs is raised as well; without a handler Python would write it to stderr, traceback and all.
    logging.getLogger("aiobotocore").addHandler(_SILENT)
    try:
        session = aioboto3.Session(region_name=region or chain_region(aioboto3.Session()._session))
        prepare_chain(session._session)
    except BotoCoreError as error:
        raise aws_error(error, "reading the AWS configuration") from None
    return session


def check_keys(keys: Any) -> None:
    """Whether they can stand in a request, by botocore's `ReadOnlyCredentials`.

    Raises:
        AwsError: one holds what none has, most likely the end of a line; it is not repeated.
    """
    named = {"access key": keys.access_key, "secret key": keys.secret_key, "session token": keys.token}
    for name, value in named.items():
        if value and _KEY.fullmatch(value) is None:
            raise AwsError(
                f"the AWS {name} contains a space, a line end or another character that is not allowed: set it "
                "again, for example with `aws configure`"
            )


async def find_credentials(session: Any, *, patience_s: float = _PATIENCE_S) -> Any:
    """The session's credentials, found and read (botocore's `ReadOnlyCredentials`).

    Raises:
        AwsError: there are no usable credentials, or a person would be needed; without any output of their source.
    """
    try:
        async with asyncio.timeout(patience_s):
            found = await session._session.get_credentials()
            keys = None if found is None else await found.get_frozen_credentials()
    except TimeoutError:
        raise AwsError(
            f"the source of the AWS credentials did not answer in {patience_s:g} s: does it wait for input? "
            "Log in first, or use another profile"
        ) from None
    except Exception as error:  # whatever a source raises: reported without its text, which may hold a secret
        raise aws_error(error, "looking for AWS credentials") from None
    if keys is None:
        raise AwsError(no_credentials_text(session._session))
    check_keys(keys)
    return keys


def check_ca_bundle(session: Any) -> None:
    """Check the CA bundle that AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or the profile's ca_bundle names, if any.

    Raises:
        AwsError: it does not exist, cannot be read, or holds no certificate.
    """
    bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if not bundle:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})
    except OSError as error:  # ssl.SSLError is one
        missing = not Path(bundle).exists()
        why = (
            "does not exist"
            if missing
            else "holds no certificate"
            if isinstance(error, ssl.SSLError)
            else error.strerror
        )
        raise AwsError(f"the CA bundle {bundle} {why}: correct AWS_CA_BUNDLE, or ca_bundle in the profile") from None


@contextlib.asynccontextmanager
async def aws_client(
    session: Any,
    service: str,
    *,
    region: str | None = None,
    attempts: int | None = None,
    policy: str | None = None,
) -> AsyncIterator[Any]:
    """A client with bounded patience; exceptions in the block become messages with a remedy.

    Args:
        session: see `aws_session`.
        service: botocore's name of it.
        region: None: the session's.
        attempts: of each request, the first among them; None: as many as usual.
        policy: what a person without permission has to have attached (`aws_errors.aws_error`).

    Raises:
        AwsError: see `aws_error`.
    """
    from aiobotocore.config import AioConfig
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    config = AioConfig(
        defaults_mode="standard",  # `auto` would ask the machine's metadata service where it is
        retries={"total_max_attempts": attempts or _ATTEMPTS, "mode": "standard"},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
    )
    region = region or session.region_name
    try:
        check_ca_bundle(session._session)
        await find_credentials(session)
        async with session.client(service, region_name=region, config=config) as client:
            yield client
    except LbenchError:
        raise
    except (BotoCoreError, ClientError, CliFailed, Prompted) as error:
        raise aws_error(error, f"asking {service}", region=region, policy=policy) from None
    except ResponseParserError:
        raise AwsError(
            f"asking {service}: the reply is not from AWS: is a proxy or a sign-on page in between? "
            "See HTTPS_PROXY and AWS_ENDPOINT_URL"
        ) from None
    except ValueError as error:
        if "endpoint" not in str(error):
            raise
        what = without_secrets(str(error))
        raise AwsError(f"the AWS endpoint cannot be used ({what}): see AWS_ENDPOINT_URL and the profile") from None
