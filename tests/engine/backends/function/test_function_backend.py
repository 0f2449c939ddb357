"""Somebody's own function as a backend: REPORT is the measure, its errors are results, and it is called as it is."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.validate import validate_parameters

from lbench.engine.backends.aws_client.invoke_api import Reply
from lbench.engine.backends.base import Call, Outcome
from lbench.engine.backends.function.backend import FunctionBackend, open_function
from lbench.engine.backends.function.configuration import facts_of, parse_name
from lbench.engine.backends.function.outcomes import read_call
from lbench.engine.backends.settings import AwsSettings, EmulatedSettings
from lbench.errors import InputError, LbenchError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.function import FunctionParams


def call(event: Any, index: int = 0, stage: int = 0) -> Call:
    task = encode(["function.invoke", {"payload": json.dumps(event).encode()}])
    return Call(task=task, stage=stage, index=index, attempt=0, deadline_s=300.0, run="r1")


def on_aws(**more: Any) -> FunctionBackend:
    settings = AwsSettings(memory=256, arch=None, **more)
    return open_function(settings, FunctionParams(name="theirs"), timeout_s=1.0)


async def test_the_first_call_is_cold_the_next_is_warm_and_each_has_what_report_says(theirs: Any) -> None:
    async with on_aws(concurrency=1) as backend:
        first, second = [await backend.invoke(call({"n": n})) for n in range(2)]
    assert first.cold is True and second.cold is False
    assert first.init_ms is not None and second.init_ms is None
    for outcome in (first, second):
        assert outcome.failure is None and decode(outcome.result or b"") is True
        assert outcome.billed_source == "report" and outcome.memory_mb == 256
        assert outcome.compute_ms is not None and outcome.billed_ms is not None and outcome.max_memory_mb is not None
        assert outcome.started_s is not None and outcome.finished_s is not None and outcome.returned_s is not None
        assert outcome.started_s <= outcome.finished_s <= outcome.returned_s
        assert outcome.environment is None  # its log does not tell
    assert first.request_bytes == len('{"n": 0}')


async def test_an_environment_is_known_where_the_log_names_its_stream(theirs: Any) -> None:
    async with on_aws(concurrency=1) as backend:
        outcome = await backend.invoke(call({"log": True}))
        again = await backend.invoke(call({"log": True}))
        assert outcome.environment is not None and "[$LATEST]" in outcome.environment
        assert again.environment == outcome.environment
        assert [one.id for one in backend.environments()] == [outcome.environment]


async def test_an_error_of_the_function_is_a_result_and_never_tried_again(theirs: Any) -> None:
    async with on_aws(concurrency=1) as backend:
        outcome = await backend.invoke(call({"fail": 1}))
        late = await backend.invoke(call({"slow": 1}))
    assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.type) == ("error", "ValueError")
    assert not outcome.failure.retriable and outcome.result is not None
    assert "asked to" in outcome.failure.message and "REPORT" in (outcome.failure.log_tail or "")
    assert outcome.billed_ms is not None
    assert late.failure is not None and late.failure.kind == "timeout" and late.result is not None


async def test_its_memory_must_be_the_settings_so_that_the_price_is_right(theirs: Any) -> None:
    settings = AwsSettings(memory=1769, concurrency=1)
    with pytest.raises(InputError, match="memory=256"):
        async with open_function(settings, FunctionParams(name="theirs"), timeout_s=1.0):
            pass


async def test_a_concurrency_above_the_accounts_limit_is_refused(theirs: Any) -> None:
    with pytest.raises(InputError, match=r"--concurrency must be at most 1000, got 2000: .* Service Quotas"):
        async with on_aws(concurrency=2000):
            pass


async def test_without_a_wish_few_are_called_at_once(theirs: Any) -> None:
    async with on_aws() as backend:
        assert backend.capacity == 10


async def test_a_missing_function_is_an_error_with_a_remedy(theirs: Any) -> None:
    with pytest.raises(InputError, match=r"nobody.*is it deployed in us-east-1"):
        async with open_function(AwsSettings(), FunctionParams(name="nobody"), timeout_s=1.0):
            pass


async def test_the_same_code_runs_here_beside_it(theirs: Any, tmp_path: Path) -> None:
    shutil.copy(theirs.code / "app.py", tmp_path)
    settings = EmulatedSettings(handler="app.handler", code=str(tmp_path), memory=256, concurrency=2)
    async with open_function(settings, FunctionParams(), timeout_s=20.5) as backend:
        assert "timeout 20.5 s" in " ".join(backend.notes)
        outcomes = await asyncio.gather(*(backend.invoke(call({"n": n})) for n in range(2)))
        failed = await backend.invoke(call({"fail": 1}))
    assert backend.origin == "emulated" and all(outcome.cold for outcome in outcomes)
    assert failed.failure is not None and failed.failure.type == "ValueError" and failed.result is not None
    assert not (tmp_path / "__pycache__").exists()  # nothing is written into the user's folder


def with_tail(tail: str, body: bytes = b"{}", error: str | None = None) -> Reply:
    log = base64.b64encode(tail.encode())
    return Reply(200, body, 10.0, request_id="r", function_error=error, log_result=log)


REPORT = (
    "REPORT RequestId: r\tDuration: 100.00 ms\tBilled Duration: 101 ms\tMemory Size: 512 MB\tMax Memory Used: 80 MB\t"
)


@pytest.mark.parametrize(
    ("tail", "cold", "init_ms", "billed_ms"),
    [
        (REPORT + "\n", False, None, 101),
        (REPORT + "Init Duration: 250.00 ms\t\n", True, 250.0, 101),
        (REPORT + "Restore Duration: 300.00 ms\tBilled Restore Duration: 250 ms\t\n", True, 300.0, 101),
        ("", None, None, None),
        ("REPORT RequestId: another\tDuration: 1.00 ms\tBilled Duration: 2 ms\t\n", None, None, None),
    ],
    ids=["warm", "cold", "SnapStart", "no tail", "another's"],
)
def test_report_distinguishes_cold_from_warm(
    tail: str, cold: bool | None, init_ms: float | None, billed_ms: int | None
) -> None:
    outcome = read_call(with_tail(tail), 9.0, b"r")
    assert (outcome.cold, outcome.init_ms, outcome.billed_ms) == (cold, init_ms, billed_ms)


FAILED_INIT = "INIT_REPORT Init Duration: 154.03 ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n"


@pytest.mark.parametrize(
    ("tail", "kind", "cold"),
    [
        (REPORT, "Runtime.ImportModuleError", True),
        (FAILED_INIT + REPORT, "ValueError", True),
        (FAILED_INIT.replace("error", "timeout") + REPORT, None, True),  # it was begun once more, and went well
        (REPORT, "ValueError", False),
    ],
    ids=["by its type", "by its line", "by its line, late", "another error"],
)
def test_a_call_whose_init_failed_is_a_cold_one(tail: str, kind: str | None, cold: bool) -> None:
    body = json.dumps({"errorMessage": "x", "errorType": kind}).encode()
    assert read_call(with_tail(tail + "\n", body, kind and "Unhandled"), 9.0, b"r").cold is cold


async def test_an_init_that_fails_in_the_emulator_is_a_cold_start_too(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import nowhere\n")
    settings = EmulatedSettings(handler="app.handler", code=str(tmp_path), memory=256, concurrency=1)
    async with open_function(settings, FunctionParams(), timeout_s=30.0) as backend:
        outcome = await backend.invoke(call({}))
    assert outcome.failure is not None and outcome.failure.type == "Runtime.ImportModuleError"
    assert outcome.cold is True


async def test_with_forced_cold_starts_a_warm_call_is_discarded_and_one_that_fails_never(theirs: Any) -> None:
    class InVain:
        async def fresh(self, batch: Any) -> None:
            pass

    async with on_aws(concurrency=1) as backend:
        await backend.invoke(call({}))
        backend._forcing = InVain()  # type: ignore[assignment]
        warm, failed = [await backend.invoke(call(event)) for event in ({}, {"fail": 1})]
    assert warm.cold is False and warm.discarded and decode(warm.result or b"") is False
    assert failed.cold is False and not failed.discarded and decode(failed.result or b"") is True


def test_start_and_end_lie_in_the_middle_of_the_round_trip() -> None:
    outcome = read_call(with_tail(REPORT + "\n"), 9.0, b"r")
    assert (outcome.started_s, outcome.finished_s) == (pytest.approx(9.45), pytest.approx(9.55))


@pytest.mark.parametrize(
    ("body", "tail", "kind", "type_"),
    [
        (
            b'{"errorMessage": "x", "errorType": "java.lang.NullPointerException"}',
            REPORT,
            "error",
            "java.lang.NullPointerException",
        ),
        (b'{"errorMessage": "2026 r Task timed out after 3.00 seconds"}', REPORT, "timeout", "FunctionError"),
        (b'{"errorType":"Runtime.ExitError","errorMessage":"exit status 1"}', REPORT, "error", "Runtime.ExitError"),
        (b"no json", REPORT + "Status: error\tError Type: Runtime.OutOfMemory\t", "error", "Runtime.OutOfMemory"),
    ],
)
def test_errors_of_any_runtime_are_read(body: bytes, tail: str, kind: str, type_: str) -> None:
    failure = read_call(with_tail(tail + "\n", body, "Unhandled"), 9.0, b"r").failure
    assert failure is not None and (failure.kind, failure.type) == (kind, type_)


def test_a_throttle_is_no_result() -> None:
    reply = Reply(429, b'{"Reason":"ConcurrentInvocationLimitExceeded"}', 10.0, error_type="TooManyRequestsException")
    outcome: Outcome = read_call(reply, 9.0, b"r")
    assert outcome.result is None and outcome.failure is not None and outcome.failure.kind == "throttled"


@pytest.mark.parametrize(
    ("text", "name", "qualifier", "region"),
    [
        ("my-function", "my-function", None, None),
        ("my-function:live", "my-function", "live", None),
        ("123456789012:function:f", "f", None, None),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f", "f", None, "eu-west-1"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST", "f", "$LATEST", "eu-west-1"),
        ("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f:7", "f", "7", "us-gov-west-1"),
    ],
)
def test_a_function_is_named_as_lambda_names_it(
    text: str, name: str, qualifier: str | None, region: str | None
) -> None:
    found = parse_name(text)
    assert (found.name, found.qualifier, found.region) == (name, qualifier, region)


@pytest.mark.parametrize("text", [None, "", "no spaces", "arn:aws:s3:::bucket", "f" * 200])
def test_an_invalid_function_name_is_refused(text: str | None) -> None:
    with pytest.raises(InputError, match=r"name is missing|must be a Lambda function's name or ARN"):
        parse_name(text)


def recorded(**more: Any) -> dict[str, Any]:
    """An answer of GetFunctionConfiguration that botocore takes."""
    import botocore.session

    configuration = {
        "FunctionName": "f",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "MemorySize": 512,
        "Timeout": 3,
        "Version": "$LATEST",
        **more,
    }
    model = botocore.session.get_session().get_service_model("lambda").operation_model("GetFunctionConfiguration")
    validate_parameters(configuration, model.output_shape)
    return configuration


def test_a_function_of_an_image_has_no_runtime_and_an_old_one_no_architecture() -> None:
    facts = facts_of(recorded(PackageType="Image", State="Active"))
    assert (facts.runtime, facts.arch, facts.memory_mb) == ("container image", "x86_64", 512)
    assert facts_of(recorded(Architectures=["arm64"], Runtime="nodejs22.x")).arch == "arm64"


def test_a_function_in_a_failed_state_is_refused() -> None:
    with pytest.raises(LbenchError, match="Failed and cannot be called"):
        facts_of(recorded(State="Failed", StateReason="the image is gone"))
