"""An HTTP API of API Gateway in front of the functions: payload format 2.0, with its limits and bare error messages.

`POST /_lbench/http-api/FUNCTION`. As on AWS, the caller gets a bare status and message for a function's error, a crash
or a throttle, and a function that exceeds the front's timeout runs on, and bills, without its caller.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import time
from typing import Any
from urllib.parse import unquote

from lbench.engine.emulator.api.functions import LATEST
from lbench.engine.emulator.api.invoke import Invoker, too_large
from lbench.engine.emulator.core.arn import ACCOUNT, arn, trace_id
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.invocation import REQUEST_LIMIT, Invocation, Log
from lbench.engine.emulator.http.server import Exchange

__all__ = ["FRONT_PATH", "PAYLOAD_LIMIT", "Front"]

FRONT_PATH = "/_lbench/http-api/"
PAYLOAD_LIMIT = 10_485_760  # bytes: API Gateway's own, 10 MB; Lambda's 6 MB for the event made of it holds as well
_TEXT = (b"text/", b"application/json", b"application/javascript", b"application/xml")
_MESSAGES = {
    404: "Not Found",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_HOP = frozenset(("content-length", "content-type", "connection", "transfer-encoding", "date"))


class Front:
    """Handles requests to the HTTP API."""

    def __init__(self, invoker: Invoker, region: str, timeout_s: float) -> None:
        self._invoker = invoker
        self._region = region
        self._timeout_s = timeout_s

    def answer(self, exchange: Exchange, request_id: str, path: str, query: str) -> None:
        """Answer at once, after the function has run, or at the timeout."""
        name = unquote(path[len(FRONT_PATH) :])
        if not name or "/" in name:
            _reply_message(exchange, request_id, 404)
        elif exchange.too_large or len(exchange.body) > PAYLOAD_LIMIT:
            _reply_message(exchange, request_id, 413)
        else:
            event = self._event(exchange, request_id, name, query)
            try:
                function, pool = self._invoker.find(name, "")
                if len(event) > REQUEST_LIMIT:
                    raise too_large(REQUEST_LIMIT)
            except Refusal as refusal:
                _refuse(exchange, request_id, refusal)
                return
            version = pool.spec.version
            invocation = _ProxyInvocation(
                exchange,
                request_id,
                arn(self._region, function.name, "" if version == LATEST else version),
                event,
                version=version,
                trace_id=trace_id(request_id),
            )
            invocation.timer = asyncio.get_running_loop().call_later(self._timeout_s, invocation.give_up)
            self._invoker.start(function, pool, invocation)

    def _event(self, exchange: Exchange, request_id: str, name: str, query: str) -> bytes:
        """AWS's "payload format version 2.0" of a Lambda proxy integration."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in exchange.headers.items()}
        method, now = exchange.method.decode(), time.time()
        host = headers.get("host", "")
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": f"{method} /{name}",
            "rawPath": f"/{name}",
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "lbench",
                "domainName": host,
                "domainPrefix": host.partition(".")[0],
                "http": {
                    "method": method,
                    "path": f"/{name}",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": headers.get("user-agent", ""),
                },
                "requestId": request_id,
                "routeKey": f"{method} /{name}",
                "stage": "$default",
                "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
                "timeEpoch": int(now * 1000),
            },
            "isBase64Encoded": False,
        }
        if exchange.body:
            body = bytes(exchange.body)
            text = (
                body.decode("utf-8", "replace")
                if exchange.headers.get(b"content-type", b"").startswith(_TEXT)
                else None
            )
            event["body"] = base64.b64encode(body).decode() if text is None else text
            event["isBase64Encoded"] = text is None
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


class _ProxyInvocation(Invocation):
    """One invocation by the front; its caller waits for an HTTP response in place of Invoke's reply."""

    __slots__ = ("timer",)

    timer: asyncio.TimerHandle

    def reply(self, payload: bytes | bytearray, failed: str | None, log: Log | None) -> None:
        """Pass the result on: an object with a statusCode is a whole response, anything else a body."""
        exchange = self.exchange
        assert exchange is not None
        self.timer.cancel()
        if failed is not None:
            _reply_message(exchange, self.request_id, 500)
            return
        headers = f"apigw-requestid: {self.request_id}\r\n"
        result = None
        with contextlib.suppress(ValueError, RecursionError):  # not JSON, or nested too deeply: a body
            result = json.loads(payload)
        if not (isinstance(result, dict) and "statusCode" in result):
            exchange.reply(200, payload, headers)
            return
        try:
            status = int(result["statusCode"])
            body = str(result.get("body") or "")
            content = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
            for name, value in dict(result.get("headers") or {}).items():
                if str(name).lower() not in _HOP and "\n" not in f"{name}{value}":
                    headers += f"{name}: {value}\r\n"
            exchange.reply(status, content, headers)
        except (ValueError, TypeError, KeyError, binascii.Error):  # also an unknown status
            _reply_message(exchange, self.request_id, 500)

    def refuse(self, refusal: Refusal) -> None:
        """Reply with what the front makes of Lambda's error."""
        assert self.exchange is not None
        self.timer.cancel()
        _refuse(self.exchange, self.request_id, refusal)

    def give_up(self) -> None:
        """Reply that it took too long, unless there is a reply already; the function runs on."""
        assert self.exchange is not None
        _reply_message(self.exchange, self.request_id, 503)


def _refuse(exchange: Exchange, request_id: str, refusal: Refusal) -> None:
    _reply_message(exchange, request_id, {429: 503, 404: 404}.get(refusal.status, 500))


def _reply_message(exchange: Exchange, request_id: str, status: int) -> None:
    body = json.dumps({"message": _MESSAGES[status]}).encode()
    exchange.reply(status, body, f"apigw-requestid: {request_id}\r\n")
