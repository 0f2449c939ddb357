"""Credentials that only the AWS CLI can resolve, as those of `aws login`: asked of the CLI itself.

The pinned botocore lacks some of the CLI's sources. `aws configure export-credentials` (AWS CLI 2.9 and later; `aws login`
came with 2.32) prints what the CLI has resolved, in the form of a `credential_process`. It is asked last, where every source
of botocore's chain had nothing; botocore asks again before they expire.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import subprocess
from typing import Any

import msgspec

from lbench.config.aws_errors import NO_CREDENTIALS, CliFailed

__all__ = ["add_cli_source", "no_credentials_text"]

_METHOD = "aws-cli"
_PATIENCE_S = 45.0
_RENEW_S = 300  # before they expire: those of `aws login` last for 15 minutes, which is when botocore would renew them


class _Exported(msgspec.Struct, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expiration: str | None = None


def add_cli_source(session: Any) -> None:
    """Let a botocore or aiobotocore session ask the CLI, after all its own sources."""
    from botocore.credentials import Credentials, RefreshableCredentials

    chain = session.get_component("credential_provider")
    if any(provider.METHOD == _METHOD for provider in chain.providers):
        return
    if inspect.iscoroutinefunction(chain.load_credentials):
        from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials

        chain.providers.append(_AsyncSource(session, AioCredentials, AioRefreshableCredentials))
    else:
        chain.providers.append(_Source(session, Credentials, RefreshableCredentials))


def no_credentials_text(session: Any) -> str:
    """Why there are none, with the remedy. Reads the profile's configuration."""
    if _has_login(session) and shutil.which("aws") is None:
        name = session.profile or "default"
        return (
            f"the profile {name} was made by `aws login`, which needs the AWS CLI: install it (2.32 or later), or export "
            "credentials where it is (`aws configure export-credentials --format env`)"
        )
    return NO_CREDENTIALS


def _has_login(session: Any) -> bool:
    from botocore.exceptions import BotoCoreError

    try:
        return "login_session" in session.get_scoped_config()
    except BotoCoreError:
        return False


class _Source:
    """A source of credentials as botocore's chain has them."""

    METHOD = _METHOD
    CANONICAL_NAME = None

    def __init__(self, session: Any, fixed: Any, refreshed: Any) -> None:
        self._session = session
        self._fixed = fixed
        self._refreshed = refreshed

    def load(self) -> Any:
        """The CLI's credentials; None: it is not installed, or has none."""
        return self._made(self._ask(), self._ask_again)

    def _made(self, exported: _Exported | None, again: Any) -> Any:
        if exported is None:
            return None
        if exported.expiration is None:
            keys = exported.access_key_id, exported.secret_access_key, exported.session_token
            return self._fixed(*keys, method=self.METHOD)
        made = self._refreshed.create_from_metadata(_metadata(exported), refresh_using=again, method=self.METHOD)
        made._advisory_refresh_timeout = made._mandatory_refresh_timeout = _RENEW_S
        return made

    def _ask_again(self) -> dict[str, str | None]:
        exported = self._ask()
        if exported is None:
            raise CliFailed
        return _metadata(exported)

    def _ask(self) -> _Exported | None:
        program = shutil.which("aws")
        if program is None:
            return None
        argv = [program, "configure", "export-credentials", "--format", "process"]
        if self._session.profile is not None:
            argv += ["--profile", self._session.profile]
        try:
            # Without a terminal of its own it cannot ask anything, and ends instead.
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE_S,
                check=False,
                start_new_session=True,
            )
            return msgspec.json.decode(done.stdout, type=_Exported)
        except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError, UnicodeDecodeError):
            if _has_login(self._session):
                raise CliFailed from None
            return None  # it has none either


class _AsyncSource(_Source):
    """The same for aiobotocore."""

    async def load(self) -> Any:
        return self._made(await asyncio.to_thread(self._ask), self._ask_again_async)

    async def _ask_again_async(self) -> dict[str, str | None]:
        return await asyncio.to_thread(self._ask_again)


def _metadata(exported: _Exported) -> dict[str, str | None]:
    return {
        "access_key": exported.access_key_id,
        "secret_key": exported.secret_access_key,
        "token": exported.session_token,
        "expiry_time": exported.expiration,
    }
