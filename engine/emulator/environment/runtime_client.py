"""The Runtime API's client in pure Python, for systems without awslambdaric's C++ client.

The first functions are those of the C++ module of this name, which awslambdaric calls. `run` replaces
awslambdaric itself where that is not installed either. Loaded by `bootstrap.py` as the top-level module
`runtime_client`; it imports nothing of lbench.
"""

from __future__ import annotations

import http.client
import importlib
import io
import json
import os
import socket
import sys
import time
import traceback
from typing import Any

_PATH = "/2018-06-01/runtime"
_connection: http.client.HTTPConnection | None = None
_agent = "lbench-runtime-client"


def initialize_client(user_agent: str) -> None:
    """Set the user agent; connections are made when needed."""
    global _agent
    _agent = user_agent


def _call(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    """Send one request on the open connection: (status, headers, body)."""
    global _connection
    if _connection is None:
        _connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        _connection.connect()
        _connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _connection.request(method, _PATH + path, body, {"User-Agent": _agent, **(headers or {})})
    response = _connection.getresponse()
    return response.status, response.headers, response.read()


def next() -> tuple[bytes, dict[str, Any]]:
    """Wait for an invocation: its event, and its headers as the C++ client gives them (the deadline is an int)."""
    status, headers, body = _call("GET", "/invocation/next")
    if status != 200:
        raise RuntimeError(f"Failed to get next, {status}")
    fields: dict[str, Any] = dict(headers.items())
    fields["Lambda-Runtime-Deadline-Ms"] = int(headers.get("Lambda-Runtime-Deadline-Ms", "0"))
    return body, fields


def post_invocation_result(
    invoke_id: str, result: bytes, content_type: str = "application/json", invocation_id: str | None = None
) -> None:
    """Send the result; a status other than 202 raises, which ends the runtime as on Lambda."""
    status, _, _ = _call("POST", f"/invocation/{invoke_id}/response", result, {"Content-Type": content_type})
    if status != 202:
        raise RuntimeError(f"Failed to post invocation response, {status}")


def post_error(invoke_id: str, error: str, xray_fault: str = "", invocation_id: str | None = None) -> None:
    """Send the exception that the function raised, as JSON."""
    headers = {"Content-Type": "application/json"}
    if xray_fault and len(xray_fault) < 32_768 and xray_fault.isascii():  # http.client's own limit is 64 KB a line
        headers["Lambda-Runtime-Function-XRay-Error-Cause"] = xray_fault
    status, _, _ = _call("POST", f"/invocation/{invoke_id}/error", error.encode(), headers)
    if status != 202:
        raise RuntimeError(f"Failed to post invocation error, {status}")


class _Context:
    """The handler's second argument; the names are AWS's."""

    def __init__(self, headers: dict[str, Any]) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.client_context = None
        self.identity = None
        self._deadline_ms = headers["Lambda-Runtime-Deadline-Ms"]

    def get_remaining_time_in_millis(self) -> int:
        """The time until the function's timeout."""
        return max(0, int(self._deadline_ms) - int(time.time() * 1000))


def _error(error: BaseException, request_id: str = "", kind: str | None = None) -> str:
    payload = {
        "errorMessage": str(error),
        "errorType": kind or type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__)[1:],
    }
    sys.stdout.write(f"[ERROR] {payload['errorType']}: {payload['errorMessage']}\n")
    return json.dumps(payload)


def run(handler: str) -> None:
    """Load the handler, then serve invocations one at a time until the process ends."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):  # nothing may stay in a buffer of a frozen process
        raw: Any = io.FileIO(descriptor, "w", closefd=False)
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True))
    module, _, name = handler.rpartition(".")
    try:
        function = getattr(importlib.import_module(module.replace("/", ".")), name)
    except Exception as error:  # anything that the function's module raises is reported
        reported, kind = _load_error(error, module)
        _call("POST", "/init/error", _error(reported, kind=kind).encode(), {"Content-Type": "application/json"})
        sys.exit(1)
    while True:
        body, headers = next()
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            result = json.dumps(function(json.loads(body), _Context(headers))).encode()
        except Exception as error:  # the function's own failure is its result
            post_error(request_id, _error(error, request_id))
        else:
            post_invocation_result(request_id, result)


def _load_error(error: Exception, module: str) -> tuple[Exception, str | None]:
    """The error to report for a handler that cannot be loaded, and AWS's name for it (None: the exception's own)."""
    if isinstance(error, ImportError):
        return ImportError(f"Unable to import module '{module}': {error}"), "Runtime.ImportModuleError"
    if isinstance(error, SyntaxError):
        return error, "Runtime.UserCodeSyntaxError"
    if isinstance(error, AttributeError):
        return error, "Runtime.HandlerNotFound"
    return error, None
