"""Opens connections to a server: TCP, through a proxy where one is configured, then TLS.

All connections share one SSL context (building one costs 28 ms). An https server behind a proxy is reached by CONNECT; an
http one by its full URL in each request (RFC 9112, 3.2.2).
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from urllib.parse import urlsplit

from lbench.config.aws_errors import certificate_text
from lbench.config.limits import TOO_MANY_FILES
from lbench.engine.backends.aws_client.connection import Connection, ConnectionLost
from lbench.workloads.s3_connection import Proxy, ssl_context

__all__ = ["Dialer"]

_CONNECT_TIMEOUT_S = 10.0
_HEAD_BYTES = 1 << 16  # a proxy's response to CONNECT, at most


class Dialer:
    """Opens connections to one server.

    Attributes:
        host_header: the `host` header's value, with the port where it is not the scheme's default.
        target_prefix: precedes the path in each request line.
        hop_headers: headers for a proxy that reads the request.
    """

    def __init__(self, url: str, *, proxy: str | None = None, ca_file: str | None = None) -> None:
        """Nothing is opened yet. `ca_file`: a file or folder of certificate authorities; None: the system's.

        Raises:
            ValueError: the server's or the proxy's URL is invalid.
            OSError: the certificate authorities cannot be read.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the URL must be http(s)://host[:port], got {url!r}")
        secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if secure else 80)
        self._proxy = Proxy(proxy) if proxy else None
        proxy_secure = self._proxy is not None and self._proxy.secure
        context = ssl_context(ca_file) if secure or proxy_secure else None
        self._tls = context if secure else None
        self._proxy_tls = context if proxy_secure else None
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._authority = f"{host}:{self._port}"
        self.host_header = host if self._port == (443 if secure else 80) else self._authority
        plainly_proxied = self._proxy is not None and not secure
        self.target_prefix = f"http://{self.host_header}" if plainly_proxied else ""
        self.hop_headers = list(self._proxy.headers.items()) if self._proxy is not None and plainly_proxied else []

    async def connect(self) -> Connection:
        """Open a connection.

        Raises:
            ConnectionLost: the server or the proxy cannot be reached, is not trusted, or refuses.
        """
        where = self._authority
        if self._proxy is not None:
            where = f"{where} through the proxy {self._proxy.host}:{self._proxy.port}"
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                return await (self._direct() if self._proxy is None else self._proxied(self._proxy))
        except TimeoutError:
            raise ConnectionLost(
                f"{where} did not accept a connection within {_CONNECT_TIMEOUT_S:g} s", unsent=True
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise ConnectionLost(certificate_text(where, error.verify_message), unsent=True) from None
        except OSError as error:
            many = error.errno in (errno.EMFILE, errno.ENFILE)
            text = TOO_MANY_FILES if many else f"{where} cannot be reached: {error}"
            raise ConnectionLost(text, unsent=True) from None

    async def _direct(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(loop), self._host, self._port, ssl=self._tls)
        return connection

    async def _proxied(self, proxy: Proxy) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(loop)
        if self._tls is None:
            await loop.create_connection(lambda: connection, proxy.host, proxy.port, ssl=self._proxy_tls)
            return connection
        transport, tunnel = await loop.create_connection(_Tunnel, proxy.host, proxy.port, ssl=self._proxy_tls)
        try:
            headers = "".join([f"{name}: {value}\r\n" for name, value in proxy.headers.items()])
            transport.write(f"CONNECT {self._authority} HTTP/1.1\r\nhost: {self._authority}\r\n{headers}\r\n".encode())
            await tunnel.opened
            secured = await loop.start_tls(transport, connection, self._tls, server_hostname=self._host)
        except BaseException:
            transport.abort()
            raise
        assert secured is not None
        connection.connection_made(secured)
        return connection


class _Tunnel(asyncio.Protocol):
    """Reads a proxy's response to CONNECT; `opened` is done once the tunnel carries bytes."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if self.opened.done() or (not end and len(head) < _HEAD_BYTES):
            return
        words = head.split(None, 2)
        status = words[1] if len(words) > 1 and words[0].startswith(b"HTTP/1.") else b""
        if status == b"407":
            self._refuse("the proxy requires a user and password: set HTTPS_PROXY=http://user:password@host:port")
        elif not (end and status.startswith(b"2")) or rest:  # a TLS server never speaks first
            self._refuse(f"the proxy refused: {head.split(bytes([13]), 1)[0][:100].decode('latin-1')!r}")
        else:
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self._refuse("the proxy closed the connection")

    def _refuse(self, message: str) -> None:
        self.opened.set_exception(ConnectionLost(message, unsent=True))
