"""`lambda` against one endpoint that is the emulator for Invoke and moto for the rest: the real client, handler and S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.base import Call
from lbench.engine.backends.lambda_.aws import AwsBackend
from lbench.engine.backends.lambda_.preflight import survey
from lbench.engine.backends.settings import AwsSettings
from lbench.engine.plan.open_backend import survey_choice
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.errors import InputError
from lbench.workloads.encoding import encode
from tests.engine.backends.outcomes import value


async def opened(tasks: int | None = 2, workload: str = "probe", timeout_s: float = 300, **settings: Any) -> AwsBackend:
    chosen = AwsSettings(**settings)
    return AwsBackend(chosen, await survey(chosen, workload=workload, timeout_s=timeout_s, tasks=tasks))


def call(function: str, *, deadline_s: float = 30.0, n: int = 0, **arguments: Any) -> Call:
    return Call(
        task=encode([function, arguments]), stage=0, index=0, attempt=0, deadline_s=deadline_s, run="r1", number=n
    )


async def test_a_call_runs_on_the_deployed_function_and_nothing_is_left_in_the_bucket(aws_lambda: Any) -> None:
    bucket = aws_lambda.deploy()
    async with await opened() as backend:
        outcome = await backend.invoke(call("probe.noop", number=5))
        assert value(outcome) == 5
        assert (outcome.billed_source, outcome.cold) == ("report", True)
        blob = bytes(7_000_000)
        large = await backend.invoke(call("probe.carry", blob=blob, number=0))
        assert value(large) == blob
        assert large.s3_requests == {"put": 2, "get": 2}
        assert all(key.startswith("tmp/") for key in aws_lambda.keys(bucket))
        assert len(aws_lambda.keys(bucket)) == 2
    assert aws_lambda.keys(bucket) == []
    assert backend.package_digest == "0" * 64 and backend.settings["stack"] == "lbench"
    assert backend.settings["ephemeral_mb"] == 512
    assert aws_lambda.invoked == [("lbench-1769", "RequestResponse", 200)] * 2


async def test_two_backends_share_their_region_s_quota_only_when_they_run_at_once(aws_lambda: Any) -> None:
    aws_lambda.deploy()
    aws_lambda.quota = 10
    one, other = (BackendChoice("lambda", label) for label in ("one", "other"))
    here = BackendChoice("sequential", "here")
    for backends, schedule, expected in (
        ([one, other], None, 9),
        ([one, other, here], None, 4),
        ([one, other], "concurrent", 4),
        ([one, other, here], "alternating", 9),
        ([one, here], None, 9),
    ):
        found = await survey_choice(one, Plan("probe", backends=backends, schedule=schedule), 100)
        assert found is not None and found.chosen.concurrency == expected


@pytest.mark.parametrize(
    ("settings", "deployed", "expected"),
    [
        ({"memory": 3008}, {}, "run `lbench deploy --memory 1769,3008 --region us-east-1`"),
        ({"stack": "elsewhere"}, {}, "nothing is deployed as elsewhere in us-east-1"),
        (
            {"arch": "arm64"},
            {},
            "nothing is deployed as lbench-arm64 in us-east-1: run `lbench deploy --arch arm64 --region us-east-1`",
        ),
        ({"region": "eu-west-1"}, {}, "nothing is deployed as lbench in eu-west-1"),
        ({}, {"Version": "0.0.1"}, "was deployed by lbench 0.0.1"),
        ({}, {"Format": ""}, "is incomplete"),
        ({}, {"Format": "99"}, "was not deployed by this version of lbench"),
        ({}, {"Workloads": "kmeans,"}, "run `lbench deploy --workload probe --region us-east-1`"),
        ({}, {"Workloads": "probe@0123456789ab,"}, "was made for another version of probe"),
        ({}, {"Timeout": "60"}, "--timeout must be at most 60, the timeout of the functions of lbench, got 300"),
        ({"transport": "http-api"}, {}, "has no HTTP API: run `lbench deploy --http-api --region us-east-1`"),
    ],
)
async def test_an_unusable_deployment_is_one_line_before_anything_runs(
    aws_lambda: Any, settings: dict[str, Any], deployed: dict[str, str], expected: str
) -> None:
    aws_lambda.deploy(**deployed)
    with pytest.raises(InputError) as refused:
        await opened(**settings)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert aws_lambda.invoked == []


async def test_a_run_stays_inside_the_account_s_limit_and_says_so(aws_lambda: Any) -> None:
    aws_lambda.deploy()
    aws_lambda.quota = 10
    backend = await opened(tasks=100)
    assert backend.capacity == 9
    assert "9 environments at once: the account's limit in us-east-1 is 10, of which 9 are used" in backend.notes
    with pytest.raises(
        InputError, match="--concurrency must be at most 10, got 11: that is the account's limit in us-east-1"
    ):
        await opened(concurrency=11)
    assert (await opened(concurrency=10)).capacity == 10
    aws_lambda.reserved = 5
    assert (await opened(tasks=100)).capacity == 5
    with pytest.raises(InputError, match="at most 5, got 6: that is the function's reserved concurrency"):
        await opened(concurrency=6)


async def test_without_the_right_to_ask_for_the_limit_a_run_goes_on(aws_lambda: Any, aws_server: Any) -> None:
    aws_lambda.deploy()
    denied = aws_server.json_refusal(
        "AccessDeniedException", "not authorized to perform: lambda:GetAccountSettings", 403
    )
    aws_lambda.aws._rules.clear()
    aws_lambda.aws.fail("lambda", r"GET .*(account-settings|concurrency)/?", denied)
    backend = await opened(tasks=5000)
    assert backend.capacity == 1000
    assert "is not known" in backend.notes[0]


async def test_by_events_the_answer_comes_through_s3_and_its_cost_is_counted(aws_lambda: Any) -> None:
    bucket = aws_lambda.deploy()
    async with await opened(transport="event") as backend:
        outcome = await backend.invoke(call("probe.noop", number=6))
        assert value(outcome) == 6
        assert outcome.via_s3 and outcome.s3_requests == {"put": 1, "get": 1}
        assert outcome.billed_source == "estimated" and (outcome.billed_ms or 0) >= (outcome.init_ms or 0) > 0
        assert backend.own_s3["put"] >= 1  # the listings
        raised = await backend.invoke(call("probe.fail", number=0, message="of course"))
        assert raised.failure is not None
        assert (raised.failure.type, raised.failure.message) == ("ValueError", "of course")
        large = await backend.invoke(call("probe.carry", blob=bytes(300_000), number=0))  # above 256 KB: by S3
        assert len(value(large)) == 300_000 and large.s3_requests == {"put": 2, "get": 2}
    assert aws_lambda.keys(bucket) == []
    assert {kind for _, kind, _ in aws_lambda.invoked} == {"Event"}


async def test_the_front_of_a_deployment_is_called_at_the_route_of_the_memory_size(aws_lambda: Any) -> None:
    aws_lambda.deploy(HttpApi=f"{aws_lambda.endpoint}/front")
    async with await opened(transport="http-api") as backend:
        assert value(await backend.invoke(call("probe.noop", number=7))) == 7
        raised = await backend.invoke(call("probe.fail", number=0, message="of course"))
        assert raised.failure is not None and raised.failure.type == "ValueError"
    assert {kind for _, kind, _ in aws_lambda.invoked} == {"http-api"}


async def test_a_workload_of_one_s_own_is_asked_for_by_its_name_not_by_the_copy_that_runs(
    aws_lambda: Any, tmp_path: Path
) -> None:
    from lbench.workloads import registry

    aws_lambda.deploy()
    (tmp_path / "mine.py").write_text("def job():\n    yield []\n    return 1\n")
    with pytest.raises(InputError) as refused:
        await opened(workload=registry.describe(f"{tmp_path}/mine.py:job").pinned)
    assert "run `lbench deploy --workload mine.py:job --region us-east-1`" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
