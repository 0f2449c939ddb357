"""An Invoke server over TLS that answers nobody until a given number of requests has arrived, and prints when that was.

Arguments: certificate file, number of requests. Prints its port, then for each batch the time of its last request
(CLOCK_MONOTONIC, which all processes of a machine share). Ends with its input.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from typing import ClassVar

from invoke_server import BODY, HEAD


class Server(asyncio.Protocol):
    waiting: ClassVar[list[asyncio.Transport]] = []
    wanted: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = int(self.buffer[:end].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(self.buffer) < end + 4 + length:
            return
        self.buffer = self.buffer[end + 4 + length :]
        self.waiting.append(self.transport)
        if len(self.waiting) == self.wanted:
            print(time.monotonic(), flush=True)
            now = time.time()
            body = (BODY % (now, now)).encode()
            answer = HEAD % len(body) + body
            for transport in self.waiting:
                transport.write(answer)
            self.waiting.clear()


async def main(certificate: str, wanted: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    Server.wanted = int(wanted)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, ssl=context, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
