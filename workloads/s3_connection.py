"""Connections for the S3 client: plain or TLS, directly or through a proxy, by the standard library's HTTP client."""

from __future__ import annotations

import base64
import functools
import http.client
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["Connector"]

_BLOCK_BYTES = 1 << 18


@functools.cache
def _context(ca_file: str | None) -> ssl.SSLContext:
    """One for all clients and threads: building it costs 28 ms."""
    if ca_file is not None and Path(ca_file).is_dir():
        return ssl.create_default_context(capath=ca_file)
    return ssl.create_default_context(cafile=ca_file)


class Connector:
    """Makes connections by one way of reaching servers. Its representation tells no password."""

    def __init__(self, *, timeout_s: float, proxy: str | None = None, ca_file: str | None = None) -> None:
        """`proxy`: http://[user:password@]host:port; `ca_file`: a file or folder, None: the system's.

        Raises:
            ValueError: the proxy cannot be used.
        """
        self._timeout_s = timeout_s
        self._ca_file = ca_file
        self._proxy: tuple[str, int] | None = None
        self._headers: dict[str, str] = {}
        if proxy is not None:
            parts = urlsplit(proxy)
            if parts.scheme != "http" or not parts.hostname:
                raise ValueError("for S3 a proxy must be http://[user:password@]host:port")
            self._proxy = parts.hostname, parts.port or 80
            if parts.username is not None:
                user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                self._headers["proxy-authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"

    def open(self, scheme: str, host: str) -> http.client.HTTPConnection:
        """A connection to `host` (maybe with a port), which connects at its first request."""
        name, port = self._proxy or (host, None)
        if scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                name, port, timeout=self._timeout_s, context=_context(self._ca_file), blocksize=_BLOCK_BYTES
            )
            if self._proxy is not None:
                connection.set_tunnel(host, headers=self._headers)
            return connection
        return http.client.HTTPConnection(name, port, timeout=self._timeout_s, blocksize=_BLOCK_BYTES)

    def request_line(self, scheme: str, host: str, target: str) -> tuple[str, dict[str, str]]:
        """What stands in the request line, and the headers for a proxy that reads it."""
        if self._proxy is None or scheme == "https":
            return target, {}
        return f"http://{host}{target}", self._headers
