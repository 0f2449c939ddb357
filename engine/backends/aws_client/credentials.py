"""Credentials from botocore's chain, renewed during a run without blocking the event loop.

The chain blocks: it reads files, runs a `credential_process`, calls STS. So it runs in a thread of its own, and a call gets
the last result, which costs nothing. botocore renews credentials 15 minutes before they expire, but only when asked; it is
asked once a minute here. Nothing may prompt: an engine has no one to answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any, Self, TypeVar

from lbench.config.aws import check_keys, prepare_chain
from lbench.config.aws_errors import AwsError, aws_error
from lbench.config.cli_credentials import no_credentials_text
from lbench.engine.processes.daemon_thread import in_daemon_thread
from lbench.errors import BackendError, InputError, LbenchError
from lbench.workloads.sigv4 import Credentials

__all__ = ["ChainCredentials", "chain_credentials"]

T = TypeVar("T")

_PATIENCE_S = 60.0  # a slower source waits for something, most likely for a person
_REFRESH_EVERY_S = 60.0
_REFRESH_OFTEN_S = 5.0  # where they last for less than two minutes
_SHORT_S = 120


class ChainCredentials:
    """`async with` finds the first credentials and keeps them fresh; calling it returns the current ones."""

    def __init__(self, profile: str | None = None, *, patience_s: float = _PATIENCE_S) -> None:
        """`profile` None: the chain's (`AWS_PROFILE`, else the default one)."""
        self.method: str | None = None  # botocore's name of their source: "env", "sso", ...
        self.renewals = 0
        self._profile = profile
        self._patience_s = patience_s
        self._source: Any = None
        self._current: Credentials | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    def __call__(self) -> Credentials:
        """The current credentials: the same object until they change."""
        if self._current is None:
            raise BackendError("the credentials are not open: use `async with`")
        return self._current

    async def __aenter__(self) -> Self:
        """Find the first credentials.

        Raises:
            InputError: there are none, their source fails, or it would prompt; with the remedy.
        """
        await self._load()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the renewal and forget the credentials."""
        tasks = [task for task in (self._keeper, self._renewing) if task is not None]
        self._keeper = self._renewing = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._current = self._source = None

    async def renew(self, stale: Credentials) -> Credentials:
        """Ask the chain again after a service refused `stale` as expired; returns at once where newer ones are known.

        The chain is asked once, however many calls were refused. A failure is not raised: the refusal stands.
        """
        if self._current is stale:
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.get_running_loop().create_task(self._reload())
            await asyncio.shield(self._renewing)
        return self()

    async def _reload(self) -> None:
        with contextlib.suppress(LbenchError):
            await self._load()

    async def _load(self) -> None:
        source = await _off_loop(functools.partial(_find, self._profile), self._patience_s)
        self._take(await _off_loop(source.get_frozen_credentials, self._patience_s))
        self._source, self.method = source, source.method
        if self._keeper is None and hasattr(source, "refresh_needed"):
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            refreshable = hasattr(self._source, "refresh_needed")  # maybe no longer, once the chain was asked again
            short = refreshable and self._source.refresh_needed(refresh_in=_SHORT_S)
            await asyncio.sleep(_REFRESH_OFTEN_S if short else _REFRESH_EVERY_S)
            # On failure the old ones serve until a service refuses them; then `renew` is called.
            with contextlib.suppress(LbenchError):
                self._take(await _off_loop(self._source.get_frozen_credentials, self._patience_s))

    def _take(self, frozen: Any) -> None:
        check_keys(frozen)
        found = Credentials(frozen.access_key, frozen.secret_key, frozen.token or None)
        if found != self._current:
            self.renewals += self._current is not None
            self._current = found


def chain_credentials() -> Callable[[], Credentials]:
    """A function that gives the chain's current credentials, for threads that may block: the same object until they change.

    Raises:
        InputError: there are none, their source fails, or it would prompt; with the remedy.
    """
    source = _asked(lambda: _find(None))
    kept: list[Credentials] = []

    def current() -> Credentials:
        frozen = _asked(source.get_frozen_credentials)
        found = Credentials(frozen.access_key, frozen.secret_key, frozen.token or None)
        if kept != [found]:
            check_keys(frozen)
            kept[:] = [found]
        return kept[0]

    current()
    return current


def _find(profile: str | None) -> Any:
    import botocore.session

    session = botocore.session.Session(profile=profile)
    prepare_chain(session)
    found = session.get_component("credential_provider").load_credentials()
    if found is None:
        raise AwsError(no_credentials_text(session))
    return found


def _asked(source: Callable[[], T]) -> T:
    """Ask the chain or a source of it, which may raise anything; its text is left out where it may hold a secret.

    Raises:
        LbenchError: it failed.
    """
    try:
        return source()
    except LbenchError:
        raise
    except Exception as error:
        raise aws_error(error, "looking for AWS credentials") from None


async def _off_loop(source: Callable[[], T], patience_s: float) -> T:
    """Ask in a daemon thread: a source that never answers holds up neither the loop nor the exit.

    Raises:
        LbenchError: it failed, or took longer than `patience_s`: it probably waits for a person.
    """
    try:
        async with asyncio.timeout(patience_s):
            return await in_daemon_thread(lambda: _asked(source), name="credentials")
    except TimeoutError:
        raise InputError(
            f"the source of the AWS credentials did not answer in {patience_s:g} s: does it wait for input? "
            "Log in first, or use another profile"
        ) from None
