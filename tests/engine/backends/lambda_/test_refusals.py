"""Every error that Invoke can answer with, by botocore's model: which are worth another try, and which are not."""

from __future__ import annotations

import json

import botocore.session
import pytest

from lbench.config.aws_errors import CLOCK_TEXT
from lbench.engine.backends.aws_client.invoke_api import Reply
from lbench.engine.backends.lambda_.outcomes import read_queued, read_reply
from lbench.engine.emulator.core.errors import ERRORS, Refusal

RETRIABLE = {
    "CodeArtifactUserPendingException",
    "EC2ThrottledException",
    "EC2UnexpectedException",
    "EFSIOException",
    "EFSMountConnectivityException",
    "EFSMountTimeoutException",
    "ENILimitReachedException",
    "ENINotReadyException",
    "ResourceConflictException",
    "ResourceNotReadyException",
    "ServiceException",
    "SnapStartNotReadyException",
    "SnapStartTimeoutException",
    "SubnetIPAddressLimitReachedException",
}
FATAL = {
    "CodeArtifactUserDeletedException",
    "CodeArtifactUserFailedException",
    "DurableExecutionAlreadyStartedException",
    "EC2AccessDeniedException",
    "EFSMountFailureException",
    "InvalidParameterValueException",
    "InvalidRequestContentException",
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "ModeNotSupportedException",
    "NoPublishedVersionException",
    "RecursiveInvocationException",
    "RequestTooLargeException",
    "ResourceNotFoundException",
    "RuntimeVersionDeletedException",
    "S3FilesMountFailureException",
    "SerializedRequestEntityTooLargeException",
    "ServiceQuotaExceededException",
    "SnapStartException",
    "UnsupportedMediaTypeException",
}
THROTTLED = {"TooManyRequestsException"}
FRONT = {  # of the service's front, before Invoke
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}


def refused(name: str) -> Reply:
    refusal = Refusal(name, "a text", retry_after_s=2)
    return Reply(refusal.status, refusal.body(), 5.0, request_id="id", error_type=name)


def test_the_table_has_every_error_of_the_model() -> None:
    operation = botocore.session.get_session().get_service_model("lambda").operation_model("Invoke")
    modelled = {shape.name for shape in operation.error_shapes}
    assert modelled <= RETRIABLE | FATAL | THROTTLED
    assert set(ERRORS) >= RETRIABLE | FATAL | THROTTLED | FRONT  # each can be had from the emulator


@pytest.mark.parametrize("name", sorted(RETRIABLE | FATAL | THROTTLED | FRONT))
def test_every_error_is_retriable_or_fatal(name: str) -> None:
    outcome, answer = read_reply(refused(name), deadline_s=2.0)
    assert answer is None and outcome.failure is not None
    assert outcome.failure.type == name
    assert outcome.failure.retriable is (name in RETRIABLE | THROTTLED)
    assert outcome.failure.kind == ("throttled" if name in THROTTLED else "error")
    assert outcome.billed_ms is None and outcome.failure.unrun  # what was refused did not run
    queued = read_queued(refused(name))
    assert queued is not None and queued.failure == outcome.failure  # the queue refuses in the same words


@pytest.mark.parametrize("name", sorted(name for name in FATAL if name.startswith("KMS") or "Artifact" in name))
def test_an_error_that_a_person_can_fix_has_a_remedy(name: str) -> None:
    outcome, _ = read_reply(refused(name), deadline_s=2.0)
    assert outcome.failure is not None and ": " in outcome.failure.message


def test_an_unknown_error_is_judged_by_its_status() -> None:
    for status, retriable in ((418, False), (409, True), (503, True), (599, True)):
        reply = Reply(status, json.dumps({"message": "new"}).encode(), 1.0, error_type="BrandNewException")
        outcome, _ = read_reply(reply, deadline_s=1.0)
        assert outcome.failure is not None and outcome.failure.retriable is retriable and outcome.failure.unrun


def test_a_5xx_that_aws_does_not_name_may_be_from_somebody_on_the_way_and_the_function_may_run() -> None:
    outcome, _ = read_reply(Reply(502, b"<html>Bad gateway</html>", 1.0), deadline_s=1.0)
    assert outcome.failure is not None and outcome.failure.retriable and not outcome.failure.unrun


def test_a_wrong_clock_is_named_alone() -> None:
    text = b'{"message": "Signature expired: 20261122T100000Z is now earlier than 20261122T101000Z"}'
    outcome, _ = read_reply(Reply(403, text, 1.0, error_type="InvalidSignatureException"), deadline_s=1.0)
    assert outcome.failure is not None and not outcome.failure.retriable
    assert outcome.failure.message == CLOCK_TEXT and "secret key" not in CLOCK_TEXT


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ExpiredTokenException", "aws sso login"),
        ("UnrecognizedClientException", "aws sso login"),
        ("InvalidSignatureException", "does the secret key belong to the access key"),
    ],
)
def test_refused_credentials_have_a_remedy(name: str, expected: str) -> None:
    reply = Reply(403, b'{"message": "The security token included in the request is expired"}', 1.0, error_type=name)
    outcome, _ = read_reply(reply, deadline_s=1.0)
    assert outcome.failure is not None and not outcome.failure.retriable and expected in outcome.failure.message
