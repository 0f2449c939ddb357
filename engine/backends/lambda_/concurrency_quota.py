"""The account's quota of concurrent calls, and how fast they may grow (`config/limits.toml` has the sources).

The account's limit is one pool for all functions in a region; a function with reserved concurrency has its own share. A
tenth of the pool is left to the account's other work, unless `--concurrency` says otherwise.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from lbench.config.limits import limits
from lbench.errors import InputError

__all__ = ["Chosen", "Quota", "Ramp", "check_permission", "choose_concurrency", "read_quota"]

_UNKNOWN = ("AccessDeniedException", "AccessDenied", "ResourceNotFoundException")  # the limit is then not known
_SHARE = 0.9  # of what is not reserved


class Quota(msgspec.Struct, frozen=True):
    """The concurrency limits in one region of an account. None: not known."""

    account: int | None
    unreserved: int | None
    reserved: int | None = None  # the function's own; then only this limit counts

    @property
    def most(self) -> int | None:
        """The limit of this function."""
        return self.unreserved if self.reserved is None else self.reserved


class Chosen(msgspec.Struct, frozen=True):
    """How many environments a run uses, and the note that explains it."""

    concurrency: int
    note: str


async def read_quota(client: Any, function: str) -> Quota:
    """Ask AWS by a Lambda client. None: AWS denied the lookup; throttling will then show the limit.

    A function of another account has no reserved share that can be looked up.
    """
    settings, reserved = await asyncio.gather(
        _allowed(client.get_account_settings()), _allowed(client.get_function_concurrency(FunctionName=function))
    )
    limit = settings.get("AccountLimit", {})
    most = limit.get("ConcurrentExecutions")
    return Quota(most, limit.get("UnreservedConcurrentExecutions", most), reserved.get("ReservedConcurrentExecutions"))


async def check_permission(client: Any, function: str) -> None:
    """Check that the caller may invoke the function, by Lambda's dry run: nothing runs and nothing is charged.

    Raises:
        ClientError: it may not. Any other obstacle shows at the first call.
    """
    from botocore.exceptions import ClientError

    try:
        await client.invoke(FunctionName=function, InvocationType="DryRun")
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 403:
            raise


async def _allowed(asked: Any) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = await asked
        return answer
    except ClientError as error:
        if error.response["Error"].get("Code") in _UNKNOWN:
            return {}
        raise


def choose_concurrency(quota: Quota, asked: int | None, tasks: int | None, region: str, sharers: int = 1) -> Chosen:
    """The run's concurrency: what was asked for, else one environment a task as far as the limit allows.

    Args:
        quota: the account's and the function's.
        asked: `--concurrency`.
        tasks: the most tasks that the job can have ready at once, where that is known.
        region: for the message.
        sharers: backends that share the limit at the same time: each without an own `--concurrency` gets an equal part.

    Raises:
        InputError: more was asked for than the limit.
    """
    most, whose = quota.most, f"the account's limit in {region}"
    if quota.reserved is not None:
        whose = "the function's reserved concurrency"
    if most == 0:
        raise InputError(f"{whose} is 0: raise it in the AWS console, or run `lbench deploy` again")
    if asked is not None:
        if most is not None and asked > most:
            raise InputError(
                f"--concurrency must be at most {most}, got {asked}: that is {whose}. "
                "Raise it under Service Quotas in the AWS console"
            )
        return Chosen(asked, f"at most {_environments(asked)} at once (--concurrency)")
    if most is None:
        within, why = limits().concurrency, f"{whose} is not known (lambda:GetAccountSettings is not allowed)"
    else:
        within = max(1, int((most if quota.reserved is not None else most * _SHARE) / sharers))
        why = f"{whose} is {most}" + (
            "" if within == most else f", of which {within} {'is' if within == 1 else 'are'} used"
        )
        why += f" by each of {sharers} backends at once" if sharers > 1 else ""
    wanted = within if tasks is None else max(1, tasks)
    if wanted <= within and tasks is not None:
        return Chosen(wanted, f"{_environments(wanted)} at once, one per task")
    return Chosen(within, f"{_environments(within)} at once: {why}")


def _environments(count: int) -> str:
    return f"{count} environment{'s' * (count != 1)}"


class Ramp:
    """Limits the growth of a function's environments to Lambda's own rate: 1,000 at once, and 100 more each second.

    Calls above that rate would be throttled. Only calls that need a new environment wait: those above the highest number of
    concurrent calls so far.
    """

    def __init__(self, burst: int | None = None) -> None:
        self._burst = limits().ramp_environments_per_10_s if burst is None else burst
        self._per_s = self._burst / 10
        self._loop = asyncio.get_running_loop()
        self._free = float(self._burst)
        self._at_s = self._loop.time()
        self._peak = 0
        self._under_way = 0

    async def __aenter__(self) -> None:
        self._under_way += 1
        if self._under_way <= self._peak:
            return
        self._peak += 1
        now_s = self._loop.time()
        self._free = min(self._burst, self._free + (now_s - self._at_s) * self._per_s) - 1
        self._at_s = now_s
        if self._free < 0:
            try:
                await asyncio.sleep(-self._free / self._per_s)
            except BaseException:
                self._under_way -= 1
                raise

    async def __aexit__(self, *_: object) -> None:
        self._under_way -= 1
