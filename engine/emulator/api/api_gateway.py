"""An HTTP API of API Gateway in front of the functions: payload format 2.0, its limits, its few words for what goes wrong.

`POST /_lbench/http-api/FUNCTION`. What API Gateway hides from its caller is hidden here as well: a function's error, a crash
and a throttle each come as a bare status and message, and a function that takes too long runs on, and bills, unheard.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from lbench.engine.emulator.api.invoke import Invoker
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.invocation import REQUEST_LIMIT
from lbench.engine.emulator.http.server import Exchange

__all__ = ["FRONT_PATH", "PAYLOAD_LIMIT", "Front"]

FRONT_PATH = "/_lbench/http-api/"
PAYLOAD_LIMIT = 10_485_760  # bytes: API Gateway's own, 10 MB; Lambda's 6 MB for the event made of it holds as well
_TEXT = (b"text/", b"application/json", b"application/javascript", b"application/xml")
_HOP = frozenset(("content-length", "content-type", "connection", "transfer-encoding", "date"))


class Front:
    """Takes requests to the front and answers as it would."""

    def __init__(self, invoker: Invoker, timeout_s: float) -> None:
        self._invoker = invoker
        self._timeout_s = timeout_s

    def answer(self, exchange: Exchange, request_id: str, path: str, query: str) -> None:
        """Answer now, when the function has run, or when the front's patience ends."""
        name = unquote(path[len(FRONT_PATH) :])
        if not name or "/" in name:
            _say(exchange, request_id, 404, "Not Found")
        elif exchange.too_large or len(exchange.body) > PAYLOAD_LIMIT:
            _say(exchange, request_id, 413, "Request Entity Too Large")
        else:
            inner = _Inner(exchange, request_id, self._event(exchange, request_id, name, query), self._timeout_s)
            try:
                self._invoker.invoke(inner, request_id, name, "")  # type: ignore[arg-type]
            except Refusal as refusal:
                refusal.reply(inner, request_id)  # type: ignore[arg-type]

    def _event(self, exchange: Exchange, request_id: str, name: str, query: str) -> bytes:
        """AWS's "payload format version 2.0" of a Lambda proxy integration."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in exchange.headers.items()}
        method, now = exchange.method.decode(), time.time()
        host = headers.get("host", "")
        told: dict[str, Any] = {
            "version": "2.0",
            "routeKey": f"{method} /{name}",
            "rawPath": f"/{name}",
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {
                "accountId": "000000000000",
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
            told["body"] = base64.b64encode(body).decode() if text is None else text
            told["isBase64Encoded"] = text is None
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


class _Inner:
    """What the Invoke operation takes for its caller's request: the front's own, whose answer it passes on in its way."""

    def __init__(self, outer: Exchange, request_id: str, event: bytes, timeout_s: float) -> None:
        self.method, self.path, self.body = b"POST", b"", event
        self.headers = {b"content-type": b"application/json"}
        self.too_large = len(event) > REQUEST_LIMIT
        self.twice = False
        self.on_close: Callable[[], None] | None = None
        self._outer = outer
        self._request_id = request_id
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._give_up)

    def reply(self, status: int, body: bytes | bytearray = b"", headers: str = "") -> None:
        """Lambda has answered."""
        self._timer.cancel()
        self._outer.twice = self.twice
        if status == 200 and "X-Amz-Function-Error:" not in headers:
            self._pass_on(bytes(body))
        elif status == 429:
            _say(self._outer, self._request_id, 503, "Service Unavailable")
        elif status == 404:
            _say(self._outer, self._request_id, 404, "Not Found")
        else:
            _say(self._outer, self._request_id, 500, "Internal Server Error")

    def drop(self) -> None:
        """The connection is lost on purpose."""
        self._timer.cancel()
        self._outer.drop()

    def _give_up(self) -> None:
        _say(self._outer, self._request_id, 503, "Service Unavailable")

    def _pass_on(self, payload: bytes) -> None:
        """The function's answer: an object with a statusCode says what to send; anything else is the body itself."""
        headers = f"apigw-requestid: {self._request_id}\r\n"
        told = json.loads(payload) if payload else None
        if not (isinstance(told, dict) and "statusCode" in told):
            self._outer.reply(200, payload, headers)
            return
        try:
            status = int(told["statusCode"])
            body = str(told.get("body") or "")
            content = base64.b64decode(body, validate=True) if told.get("isBase64Encoded") else body.encode()
            for name, value in dict(told.get("headers") or {}).items():
                if str(name).lower() not in _HOP and "\n" not in f"{name}{value}":
                    headers += f"{name}: {value}\r\n"
            self._outer.reply(status, content, headers)
        except (ValueError, TypeError, KeyError, binascii.Error):  # also a status that is none
            _say(self._outer, self._request_id, 500, "Internal Server Error")


def _say(exchange: Exchange, request_id: str, status: int, text: str) -> None:
    exchange.reply(status, json.dumps({"message": text}).encode(), f"apigw-requestid: {request_id}\r\n")
