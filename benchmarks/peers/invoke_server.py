"""A server that answers every Invoke at once with what lbench's handler would say: the clients' common other end.

It does as little as it can: what is measured is the CPU time of the clients. Argument: a certificate file, for TLS. Prints
its port; ends with its input.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import sys
import time

REQUEST_ID = "6cf4d88d-e881-46c6-a41b-102ddc6dc141"
TAIL = base64.b64encode(
    (
        f"START RequestId: {REQUEST_ID} Version: $LATEST\nEND RequestId: {REQUEST_ID}\n"
        f"REPORT RequestId: {REQUEST_ID}\tDuration: 1.57 ms\tBilled Duration: 2 ms\tMemory Size: 1769 MB\t"
        "Max Memory Used: 81 MB\t\n"
    ).encode()
)
HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 14:52:43 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\nx-amzn-RequestId: " + REQUEST_ID.encode() + b"\r\n"
    b"X-Amzn-Remapped-Content-Length: 0\r\nX-Amz-Executed-Version: $LATEST\r\nX-Amz-Log-Result: " + TAIL + b"\r\n\r\n"
)
BODY = (
    '{"environment":"2026/11/22/[$LATEST]67a1cae2283b494fa0c6bf3075b2da96","cold":false,"received":%.6f,"sent":%.6f,'
    '"result":"AA==","import_ms":0.001,"compute_ms":0.002}'
)


class Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            now = time.time()
            body = (BODY % (now, now)).encode()
            self.transport.write(HEAD % len(body) + body)


async def main(certificate: str | None = None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=2048, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
