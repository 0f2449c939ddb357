"""Errors of Lambda's API, with status and spelling as in botocore's model, and the replies made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lbench.engine.emulator.http.server import Exchange

__all__ = ["ERRORS", "Refusal"]

# Status, and the body's field of the text: AWS uses both spellings.
ERRORS: dict[str, tuple[int, str]] = {
    # Invoke
    "CodeArtifactUserDeletedException": (409, "Message"),
    "CodeArtifactUserFailedException": (409, "Message"),
    "CodeArtifactUserPendingException": (409, "Message"),
    "DurableExecutionAlreadyStartedException": (409, "Message"),
    "EC2AccessDeniedException": (502, "Message"),
    "EC2ThrottledException": (502, "Message"),
    "EC2UnexpectedException": (502, "Message"),
    "EFSIOException": (410, "Message"),
    "EFSMountConnectivityException": (408, "Message"),
    "EFSMountFailureException": (403, "Message"),
    "EFSMountTimeoutException": (408, "Message"),
    "ENILimitReachedException": (502, "Message"),
    "ENINotReadyException": (502, "Message"),
    "InvalidParameterValueException": (400, "message"),
    "InvalidRequestContentException": (400, "message"),
    "InvalidRuntimeException": (502, "Message"),
    "InvalidSecurityGroupIDException": (502, "Message"),
    "InvalidSubnetIDException": (502, "Message"),
    "InvalidZipFileException": (502, "Message"),
    "KMSAccessDeniedException": (502, "Message"),
    "KMSDisabledException": (502, "Message"),
    "KMSInvalidStateException": (502, "Message"),
    "KMSNotFoundException": (502, "Message"),
    "ModeNotSupportedException": (400, "Message"),
    "NoPublishedVersionException": (400, "Message"),
    "RecursiveInvocationException": (400, "Message"),
    "RequestTooLargeException": (413, "message"),
    "ResourceConflictException": (409, "message"),
    "ResourceNotFoundException": (404, "Message"),
    "ResourceNotReadyException": (502, "message"),
    "RuntimeVersionDeletedException": (409, "Message"),
    "S3FilesMountFailureException": (403, "Message"),
    "SerializedRequestEntityTooLargeException": (413, "message"),
    "ServiceException": (500, "Message"),
    "ServiceQuotaExceededException": (402, "message"),
    "SnapStartException": (400, "Message"),
    "SnapStartNotReadyException": (409, "Message"),
    "SnapStartTimeoutException": (408, "Message"),
    "SubnetIPAddressLimitReachedException": (502, "Message"),
    "TooManyRequestsException": (429, "message"),
    "UnsupportedMediaTypeException": (415, "message"),
    # other operations, and checks before all operations
    "AccessDeniedException": (403, "Message"),
    "CodeStorageExceededException": (400, "message"),
    "IncompleteSignatureException": (403, "message"),
    "InvalidSignatureException": (403, "message"),
    "MissingAuthenticationTokenException": (403, "message"),
    "PreconditionFailedException": (412, "message"),
    "RequestEntityTooLargeException": (413, "message"),
    "SerializationException": (400, "message"),
    "UnknownOperationException": (404, "message"),
    "UnrecognizedClientException": (403, "message"),
    "ValidationException": (400, "message"),
}


_UNTYPED = ("AccessDeniedException", "RequestEntityTooLargeException", "ValidationException")  # without Type on AWS


class Refusal(Exception):
    """An error reply to a request, in AWS's words."""

    def __init__(
        self, name: str, message: str | None, *, retry_after_s: int | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message or "")
        self.name = name
        self._text = message
        self.status, self._key = ERRORS[name]
        self.retry_after_s = retry_after_s
        self.reason = reason

    @classmethod
    def invalid(cls, problems: Sequence[str]) -> Refusal:
        """The refusal of members that do not satisfy AWS's constraints, each with its sentence."""
        noun = "error" if len(problems) == 1 else "errors"
        return cls("ValidationException", f"{len(problems)} validation {noun} detected: {'; '.join(problems)}")

    @property
    def message(self) -> str:
        return str(self)

    def body(self) -> bytes:
        fields: dict[str, str | None] = {self._key: self._text}
        if self.name not in _UNTYPED:
            fields["Type"] = "User" if self.status < 500 else "Service"
        if self.reason is not None:
            fields["Reason"] = self.reason
        return json.dumps(fields).encode()

    def reply(self, exchange: Exchange, request_id: str) -> None:
        """Reply with it: the name in a header, the text in the body."""
        headers = f"x-amzn-RequestId: {request_id}\r\nx-amzn-ErrorType: {self.name}\r\n"
        if self.retry_after_s is not None:
            headers += f"Retry-After: {self.retry_after_s}\r\n"
        exchange.reply(self.status, self.body(), headers)
