"""Connections for the S3 client: plain or TLS, directly or through a proxy, by the standard library's HTTP client."""

from __future__ import annotations

import base64
import functools
import http.client
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["Connector", "Proxy", "ssl_context"]

_BLOCK_BYTES = 1 << 18


@functools.cache
def ssl_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Trust these certificate authorities (a file or a folder); None: the system's.

    All connections share one context: building it costs 28 ms.

    Raises:
        OSError: the file cannot be read, or holds no certificates.
    """
    if ca_file is not None and Path(ca_file).is_dir():
        return ssl.create_default_context(capath=ca_file)
    return ssl.create_default_context(cafile=ca_file)


class Proxy:
    """A proxy's address, and the headers that authenticate us to it. Its representation hides the password."""

    def __init__(self, url: str, schemes: tuple[str, ...] = ("http", "https")) -> None:
        """`url`: http://[user:password@]host:port.

        Raises:
            ValueError: it is no such URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError("a proxy must be http://[user:password@]host:port")
        self.host = parts.hostname
        self.secure = parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        self.headers: dict[str, str] = {}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["proxy-authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"


class Connector:
    """Makes connections by one way of reaching servers. Its representation hides the password."""

    def __init__(self, *, timeout_s: float, proxy: str | None = None, ca_file: str | None = None) -> None:
        """`proxy`: http://[user:password@]host:port; `ca_file`: a file or folder, None: the system's.

        Raises:
            ValueError: the proxy cannot be used.
        """
        self._timeout_s = timeout_s
        self._ca_file = ca_file
        # http.client speaks plain HTTP to a proxy.
        self._proxy = Proxy(proxy, ("http",)) if proxy is not None else None

    def open(self, scheme: str, host: str) -> http.client.HTTPConnection:
        """A connection to `host` (maybe with a port), which connects at its first request."""
        name, port = (host, None) if self._proxy is None else (self._proxy.host, self._proxy.port)
        if scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                name, port, timeout=self._timeout_s, context=ssl_context(self._ca_file), blocksize=_BLOCK_BYTES
            )
            if self._proxy is not None:
                connection.set_tunnel(host, headers=self._proxy.headers)
            return connection
        return http.client.HTTPConnection(name, port, timeout=self._timeout_s, blocksize=_BLOCK_BYTES)

    def request_line(self, scheme: str, host: str, target: str) -> tuple[str, dict[str, str]]:
        """What stands in the request line, and the headers for a proxy that reads it."""
        if self._proxy is None or scheme == "https":
            return target, {}
        return f"http://{host}{target}", self._proxy.headers
