"""How AWS is reached by the SDK, and what its errors mean to a person: the one place that turns them into a remedy.

The hot path (Invoke, S3) has clients of its own; everything else (CloudFormation, IAM, quotas, prices, logs) goes through
aioboto3, here. Credentials, endpoint, proxy and CA are botocore's chain's; a source that would have to prompt is refused.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import AsyncIterator
from typing import Any

from lbench.errors import InputError, LbenchError

__all__ = ["DEFAULT_REGION", "AwsError", "Prompted", "aws_client", "aws_session", "refuse_prompts", "told"]

DEFAULT_REGION = "us-east-1"
_ATTEMPTS = 5
_CONNECT_S, _READ_S = 10, 70


class AwsError(InputError):
    """AWS refused something, or could not be reached; the message ends with the remedy."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code  # AWS's own, as in "AccessDenied"


class Prompted(Exception):
    """A source of credentials asked for a person."""


def refuse_prompts(chain: Any) -> None:
    """Make botocore's (or aiobotocore's) chain of credential providers fail where it would ask somebody."""
    for provider in chain.providers:
        if provider.METHOD == "assume-role":
            provider._prompter = _prompt  # it would read a code of an MFA device from the terminal
        elif provider.METHOD == "custom-process":
            popen = getattr(provider, "_popen", None)
            if popen is subprocess.Popen:
                # Without a terminal of its own a process cannot ask anything, and says so instead.
                provider._popen = functools.partial(popen, stdin=subprocess.DEVNULL, start_new_session=True)


def _prompt(text: str) -> str:
    raise Prompted


def aws_session(region: str | None = None) -> Any:
    """An aioboto3 session of the chain's profile.

    Args:
        region: None: the chain's, else us-east-1.

    Raises:
        InputError: the profile or the configuration cannot be used.
    """
    import aioboto3
    from botocore.exceptions import BotoCoreError

    try:
        session = aioboto3.Session(region_name=region)
        if session.region_name is None:
            session = aioboto3.Session(region_name=DEFAULT_REGION)
        refuse_prompts(session._session.get_component("credential_provider"))
    except BotoCoreError as error:
        raise told(error, "reading the AWS configuration") from None
    return session


@contextlib.asynccontextmanager
async def aws_client(session: Any, service: str, *, region: str | None = None) -> AsyncIterator[Any]:
    """A client with bounded patience; what goes wrong in the block is told as a remedy.

    Raises:
        AwsError: see `told`.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(
        defaults_mode="standard",  # `auto` would ask the machine's metadata service where it is
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
    )
    try:
        async with session.client(service, region_name=region, config=config) as client:
            yield client
    except LbenchError:
        raise
    except (BotoCoreError, ClientError, Prompted) as error:
        raise told(error, f"asking {service}") from None


def told(error: BaseException, doing: str) -> AwsError:
    """One line that says what happened and what to do; never a text that may hold a secret."""
    from botocore import exceptions

    text = " ".join(str(error).split())
    code = None
    if isinstance(error, exceptions.ClientError):
        code = str(error.response.get("Error", {}).get("Code", "")) or None
    return AwsError(f"{doing}: {text}", code)
