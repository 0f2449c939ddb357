"""Forces cold starts of a function by changing one of its environment variables, and restores the function.

The change is recorded before it is made (`change_log`), so that `lbench gc` can undo it where this process was killed. Only
the variable's name is recorded, never the function's other variables: those may be secrets. Somebody else's change in
between is not overwritten: each update names the revision that it was made from.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeVar

from lbench.config.aws_errors import AwsError, aws_error
from lbench.engine.backends.lambda_.change_log import Forced, forget, remember
from lbench.errors import LbenchError

__all__ = ["VARIABLE", "ColdForcing", "put_back"]

VARIABLE = "LBENCH_FORCE_COLD"
_POLL_S = 0.5  # the control plane takes 15 requests a second in all
_PATIENCE_S = 120.0  # for an update to complete
_TRIES = 5  # against concurrent changes by others

T = TypeVar("T")
Control = Callable[[], AbstractAsyncContextManager[Any]]


class ColdForcing:
    """`async with` checks that the function can be changed, and restores it at the end; `fresh` changes it once a batch."""

    def __init__(self, control: Control, function: str, *, region: str, lasting: bool = True) -> None:
        """`function`: its name or ARN. `lasting`: it outlives this process, so a change is recorded first."""
        self.updates = 0
        self._control = control
        self._function = function
        self._region = region
        self._record: Forced | None = None
        self._lasting = lasting
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None
        self._batch: Any = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Check that the function can be changed.

        Raises:
            AwsError: its configuration or its variables cannot be read, so they could not be restored.
        """
        self._client = await self._stack.enter_async_context(self._control())
        try:
            now = await _request(self._client.get_function_configuration(FunctionName=self._function))
            _variables(now)
        except BaseException:
            await self._stack.aclose()
            raise
        arn = ":".join(now["FunctionArn"].split(":")[:7])
        self._record = Forced(function=arn, region=self._region, variable=VARIABLE)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Restore the function, whatever has happened; a cancel waits for that.

        Raises:
            AwsError: that failed; the message says how to do it later.
        """
        try:
            await _finish(self._put_back())
        finally:
            await self._stack.aclose()

    async def fresh(self, batch: Any) -> None:
        """Change the function, once for this batch: the next calls are cold starts.

        Raises:
            AwsError: the change is refused, or takes too long.
        """
        async with self._turn:
            if batch == self._batch:
                return
            assert self._record is not None
            if not self.updates and self._lasting:
                remember(self._record)
            self.updates += 1
            await _change(self._client, self._function, secrets.token_hex(8))
            self._batch = batch

    async def _put_back(self) -> None:
        if not self.updates:
            return
        assert self._record is not None
        try:
            await put_back(self._client, self._record)
        except LbenchError as error:
            raise AwsError(
                f"{self._function} still has the variable {VARIABLE}, which does no harm ({error}): "
                "run `lbench gc` to remove it"
            ) from None
        if self._lasting:
            forget(self._record)


async def put_back(client: Any, record: Forced) -> bool:
    """Remove the variable; returns whether it was set.

    Raises:
        AwsError: the change is refused, or takes too long.
    """
    return await _change(client, record.function, None)


async def _change(client: Any, function: str, value: str | None) -> bool:
    """Set the variable, or remove it, and wait until the update is complete. The function's other variables stay."""
    for left in reversed(range(_TRIES)):
        now = await _settled(client, function)
        variables = _variables(now)
        wanted = {name: kept for name, kept in variables.items() if name != VARIABLE}
        if value is not None:
            wanted[VARIABLE] = value
        if wanted == variables:
            return False
        try:
            await _request(
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
    """Wait until no update is in progress; returns the configuration."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                now: dict[str, Any] = await _request(client.get_function_configuration(FunctionName=function))
                status = now.get("LastUpdateStatus", "Successful")
                if status == "Failed":
                    why = now.get("LastUpdateStatusReason") or "see the console"
                    raise AwsError(f"the last update of {function} failed ({why}): deploy it again")
                if status != "InProgress" and now.get("State") != "Pending":
                    return now
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise AwsError(f"the update of {function} did not complete within {_PATIENCE_S:g} s: try again later") from None


def _variables(configuration: dict[str, Any]) -> dict[str, str]:
    """The function's variables, which an update must repeat: it deletes those that it omits."""
    environment = configuration.get("Environment") or {}
    if environment.get("Error"):
        code = environment["Error"].get("ErrorCode", "unknown")
        raise AwsError(
            f"the variables of {configuration['FunctionName']} cannot be read ({code}), so they could not be restored: "
            "forcing cold starts needs kms:Decrypt on the function's key"
        )
    return dict(environment.get("Variables") or {})


async def _request(operation: Awaitable[T]) -> T:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return await operation
    except (BotoCoreError, ClientError) as error:
        raise aws_error(error, "changing the function") from None


async def _finish(work: Any) -> None:
    """Await the work to its end; a cancel meanwhile takes effect afterwards."""
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
