"""Forced cold starts change one variable of a function, and whatever happens it is put back: now, or by `lbench gc`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from lbench.config.aws_errors import AwsError
from lbench.engine.backends.aws_client.sdk_client import isolated_session
from lbench.engine.backends.function.configuration import check_forcing, parse_name
from lbench.engine.backends.lambda_ import force_cold as cold_forcing
from lbench.engine.backends.lambda_.change_log import Forced, forget, records, remember
from lbench.engine.backends.lambda_.force_cold import VARIABLE, ColdForcing, put_back
from lbench.engine.maintenance.aws import find_remains
from lbench.errors import InputError
from lbench.workloads.sigv4 import Credentials

THEIRS = "theirs"
CALLS = 9  # of a run with two batches: looks and updates, and what puts it back


class Watched:
    """The SDK's client; `at(n)` is called before or after call n (from 0) is made."""

    def __init__(self, client: Any, at: Callable[[int, bool], None]) -> None:
        self.calls = 0
        self._client = client
        self._at = at

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)

        async def watched(**arguments: Any) -> Any:
            n, self.calls = self.calls, self.calls + 1
            self._at(n, False)
            answer = await real(**arguments)
            self._at(n, True)
            return answer

        return watched


@contextlib.asynccontextmanager
async def client(theirs: Any) -> AsyncIterator[Any]:
    session = isolated_session(lambda: Credentials("lbench-emulated", "lbench-emulated"), "us-east-1")
    async with session.client("lambda", endpoint_url=theirs.endpoint) as made:
        yield made


def forcing(watched: Any) -> ColdForcing:
    @contextlib.asynccontextmanager
    async def control() -> AsyncIterator[Any]:
        yield watched

    return ColdForcing(control, THEIRS, region="us-east-1")


async def two_batches(watched: Any) -> None:
    async with forcing(watched) as forced:
        await forced.fresh(1)
        await forced.fresh(1)
        await forced.fresh(2)


async def test_each_batch_has_another_value_and_at_the_end_it_is_as_it_was(theirs: Any) -> None:
    seen = []
    async with client(theirs) as real:
        watched = Watched(real, lambda n, after: None)
        async with forcing(watched) as forced:
            for batch in (1, 1, 2):
                await forced.fresh(batch)
                seen.append(theirs.now)
                assert [record.name for record in records()] == ["theirs"]
    assert seen[0] == seen[1] != seen[2] and all(VARIABLE in one and "THEIRS" in one for one in seen)
    assert theirs.now == theirs.variables and records() == []
    assert watched.calls == CALLS + 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_interrupt_at_any_call_leaves_it_as_it_was_or_to_gc(theirs: Any, after: bool) -> None:
    left = 0
    async with client(theirs) as real:
        for at in range(CALLS + 1):

            def interrupt(n: int, done: bool, at: int = at) -> None:
                if n == at and done == after:
                    raise asyncio.CancelledError

            with pytest.raises(asyncio.CancelledError):
                await two_batches(Watched(real, interrupt))
            changed = theirs.now != theirs.variables
            left += changed
            assert not changed or [record.name for record in records()] == ["theirs"]
            for record in records():  # as gc does
                await put_back(real, record)
                forget(record)
            assert theirs.now == theirs.variables
    assert left  # an interrupt of putting it back itself leaves it to gc


async def test_gc_puts_back_what_a_killed_process_has_changed(theirs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = theirs.client.get_function_configuration(FunctionName="theirs")["FunctionArn"]
    remember(Forced(function=arn, region="us-east-1", variable=VARIABLE))
    theirs.client.update_function_configuration(
        FunctionName="theirs", Environment={"Variables": theirs.variables | {VARIABLE: "1"}}
    )
    monkeypatch.setattr("lbench.engine.maintenance.aws.is_held", lambda record: False)
    (remain,), problems = await find_remains()
    assert not problems and "theirs in us-east-1" in remain.where
    await remain.remove()
    assert theirs.now == theirs.variables and records() == []


def gone(account: str) -> Forced:
    arn = f"arn:aws:lambda:us-east-1:{account}:function:gone"
    return Forced(function=arn, region="us-east-1", variable=VARIABLE)


async def test_a_record_of_a_function_that_is_gone_is_forgotten(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(gone("123456789012"))
    monkeypatch.setattr("lbench.engine.maintenance.aws.is_held", lambda record: False)
    (remain,), _ = await find_remains()
    await remain.remove()
    assert records() == []


@pytest.mark.parametrize("refused", ["ResourceNotFoundException", "AccessDeniedException"])
async def test_a_record_of_another_accounts_function_is_kept_and_the_profile_is_asked_for(
    aws: Any, aws_server: Any, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = aws_server.json_refusal(refused, "no", 404 if "NotFound" in refused else 403)
    aws.rule(lambda request: refusal if request.service == "lambda" else None)
    remember(gone("999999999999"))
    monkeypatch.setattr("lbench.engine.maintenance.aws.is_held", lambda record: False)
    (remain,), _ = await find_remains()
    with pytest.raises(
        AwsError, match=r"account 999999999999, but these credentials belong to account 123456789012.*AWS_PROFILE"
    ):
        await remain.remove()
    assert [record.name for record in records()] == ["gone"]


async def test_a_cancel_of_the_run_waits_until_it_is_put_back(theirs: Any) -> None:
    async with client(theirs) as real:
        for at in range(CALLS):
            tasks: list[asyncio.Task[None]] = []

            def cancel(n: int, done: bool, at: int = at, tasks: list[asyncio.Task[None]] = tasks) -> None:
                if n == at and not done:
                    tasks[0].cancel()

            tasks.append(asyncio.create_task(two_batches(Watched(real, cancel))))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            assert theirs.now == theirs.variables and records() == []


async def test_what_a_living_process_has_changed_is_left_to_it(theirs: Any) -> None:
    async with client(theirs) as real, forcing(Watched(real, lambda n, after: None)) as forced:
        await forced.fresh(1)
        assert await find_remains() == ([], [])


async def test_somebody_elses_change_in_between_is_kept(theirs: Any) -> None:
    def change(n: int, done: bool) -> None:
        if n == 1 and done:  # after our look, before our update
            variables = theirs.variables | {"NEW": "theirs"}
            theirs.client.update_function_configuration(FunctionName="theirs", Environment={"Variables": variables})

    async with client(theirs) as real:
        await two_batches(Watched(real, change))
    assert theirs.now == theirs.variables | {"NEW": "theirs"}


async def test_variables_that_cannot_be_read_are_not_overwritten() -> None:
    class Hidden:
        async def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:
            error = {"ErrorCode": "AccessDeniedException", "Message": "Lambda was unable to decrypt"}
            return {"FunctionName": FunctionName, "Environment": {"Error": error}}

    with pytest.raises(AwsError, match=r"could not be restored.*kms:Decrypt"):
        async with forcing(Hidden()):
            pass


async def test_an_update_that_fails_or_never_completes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        status = "InProgress"

        async def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:
            return {"FunctionName": FunctionName, "LastUpdateStatus": self.status, "RevisionId": "1"}

    monkeypatch.setattr(cold_forcing, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(cold_forcing, "_POLL_S", 0.001)
    stuck = Stuck()
    with pytest.raises(AwsError, match="did not complete within"):
        await cold_forcing._settled(stuck, "f")
    stuck.status = "Failed"
    with pytest.raises(AwsError, match="deploy it again"):
        await cold_forcing._settled(stuck, "f")


@pytest.mark.parametrize("name", ["f:live", "f:7", "arn:aws:lambda:us-east-1:123456789012:function:f:live"])
def test_a_version_or_an_alias_is_never_changed(name: str) -> None:
    with pytest.raises(InputError, match="an alias takes traffic"):
        check_forcing(parse_name(name), allowed=True)


def test_nothing_is_changed_unless_that_was_allowed() -> None:
    with pytest.raises(InputError, match="pass --allow-update"):
        check_forcing(parse_name("f"), allowed=False)
    check_forcing(parse_name("f:$LATEST"), allowed=True)
