"""Makes a function's next calls cold starts, by changing an environment variable of it, and puts that back.

What is changed is written down before it is changed (`records`), so that `lbench gc` can put it back where this process was
killed. Only the variable is remembered, never the function's others: those may be secrets, and are nobody's business.
Somebody else's change in between is not overwritten: each update names the revision that it was made from.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

from lbench.config.aws_errors import AwsError, aws_error
from lbench.engine.backends.function.change_log import Forced, forget, remember
from lbench.engine.backends.function.configuration import FunctionName
from lbench.errors import InputError, LbenchError

__all__ = ["VARIABLE", "ColdForcing", "check_forcing", "put_back"]

VARIABLE = "LBENCH_FORCE_COLD"
_ASKED_EVERY_S = 0.5  # the control plane takes 15 requests a second in all
_PATIENCE_S = 120.0  # for an update to be carried out
_TRIES = 5  # against somebody who changes it at the same time

T = TypeVar("T")
Control = Callable[[], AbstractAsyncContextManager[Any]]


def check_forcing(name: FunctionName, *, allowed: bool) -> None:
    """Whether this function may be changed.

    Raises:
        InputError: nobody said so, or it is a version or an alias, which takes traffic.
    """
    if not name.is_latest:
        raise InputError(
            f"--force-cold changes a function's $LATEST, and {name.text} names {name.qualifier}: "
            "a version cannot be changed and an alias takes traffic; measure it without --force-cold"
        )
    if not allowed:
        raise InputError(
            f"--force-cold changes an environment variable of {name.name} for a while, which restarts it for everybody who "
            "calls it: say --allow-update if that may be"
        )


class ColdForcing:
    """`async with`: the function may be changed; `fresh` changes it once for each batch; at the end it is as it was."""

    def __init__(self, control: Control, name: FunctionName, *, region: str, lasting: bool = True) -> None:
        """`lasting`: the function outlives this process, so that what is changed is written down first."""
        self.updates = 0
        self._control = control
        self._name = name
        self._region = region
        self._record: Forced | None = None
        self._lasting = lasting
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None
        self._batch: Any = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """See whether the function can be changed.

        Raises:
            AwsError: it may not be looked at, or its variables cannot be read and so not be put back.
        """
        self._client = await self._stack.enter_async_context(self._control())
        try:
            now = await _asked(self._client.get_function_configuration(FunctionName=self._name.text))
            _variables(now)
        except BaseException:
            await self._stack.aclose()
            raise
        arn = ":".join(now["FunctionArn"].split(":")[:7])
        self._record = Forced(function=arn, region=self._region, variable=VARIABLE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put it back, whatever has happened; a cancel waits for that.

        Raises:
            AwsError: it cannot be; the message says how to do so later.
        """
        try:
            await _to_its_end(self._put_back())
        finally:
            await self._stack.aclose()

    async def fresh(self, batch: Any) -> None:
        """Change the function, once for this batch: the calls after that are cold starts.

        Raises:
            AwsError: that is refused, or takes too long.
        """
        async with self._turn:
            if batch == self._batch:
                return
            assert self._record is not None
            if not self.updates and self._lasting:
                remember(self._record)
            self.updates += 1
            await _change(self._client, self._name.text, secrets.token_hex(8))
            self._batch = batch

    async def _put_back(self) -> None:
        if not self.updates:
            return
        assert self._record is not None
        try:
            await put_back(self._client, self._record)
        except LbenchError as error:
            raise AwsError(
                f"{self._name.name} still has the variable {VARIABLE}, which does no harm ({error}): "
                "run `lbench gc` to take it off"
            ) from None
        if self._lasting:
            forget(self._record)


async def put_back(client: Any, record: Forced) -> bool:
    """Take the variable off; returns whether it was there.

    Raises:
        AwsError: that is refused, or takes too long.
    """
    return await _change(client, record.function, None)


async def _change(client: Any, function: str, value: str | None) -> bool:
    """Set the variable, or take it off, and wait until that is so. The others stay as they are at this moment."""
    for left in reversed(range(_TRIES)):
        now = await _settled(client, function)
        variables = _variables(now)
        wanted = {name: kept for name, kept in variables.items() if name != VARIABLE}
        if value is not None:
            wanted[VARIABLE] = value
        if wanted == variables:
            return False
        try:
            await _asked(
                client.update_function_configuration(
                    FunctionName=function, Environment={"Variables": wanted}, RevisionId=now["RevisionId"]
                )
            )
        except AwsError as error:
            if error.code not in ("PreconditionFailedException", "ResourceConflictException") or not left:
                raise
            continue
        await _settled(client, function)
        return True
    raise AssertionError("unreachable")


async def _settled(client: Any, function: str) -> dict[str, Any]:
    """The configuration once no update is under way."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                now: dict[str, Any] = await _asked(client.get_function_configuration(FunctionName=function))
                status = now.get("LastUpdateStatus", "Successful")
                if status == "Failed":
                    why = now.get("LastUpdateStatusReason") or "see the console"
                    raise AwsError(f"the last change to {function} has failed ({why}): deploy it again")
                if status != "InProgress" and now.get("State") != "Pending":
                    return now
                await asyncio.sleep(_ASKED_EVERY_S)
    except TimeoutError:
        raise AwsError(f"a change to {function} is not carried out within {_PATIENCE_S:g} s: try again later") from None


def _variables(configuration: dict[str, Any]) -> dict[str, str]:
    """The function's variables, which an update has to repeat: without them it would wipe them."""
    environment = configuration.get("Environment") or {}
    if environment.get("Error"):
        code = environment["Error"].get("ErrorCode", "unknown")
        raise AwsError(
            f"the variables of {configuration['FunctionName']} cannot be read ({code}), so they could not be put back: "
            "--force-cold needs kms:Decrypt on the function's key"
        )
    return dict(environment.get("Variables") or {})


async def _asked(request: Awaitable[T]) -> T:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return await request
    except (BotoCoreError, ClientError) as error:
        raise aws_error(error, "changing the function") from None


async def _to_its_end(work: Any) -> None:
    """Await it; a cancel that comes meanwhile is kept until it is over."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.cancelled() and task.exception() is None:
        raise asyncio.CancelledError
    task.result()
