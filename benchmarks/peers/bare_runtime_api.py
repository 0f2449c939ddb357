"""The least that a server between a client and AWS's runtime client can do: no parser, no checks, fixed headers.

It prints two ports: the client's, and the Runtime API's. One client, one runtime, one call at a time.
"""

import asyncio

FIXED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
    b"Lambda-Runtime-Deadline-Ms: 9542409706888\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:warm\r\n"
)
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'
END = b"\r\n\r\n"


class Front(asyncio.Protocol):
    """The client's side."""

    client = None

    def connection_made(self, transport):
        Front.client = transport

    def data_received(self, data):
        Runtime.event = data.partition(END)[2]
        Runtime.deliver()


class Runtime(asyncio.Protocol):
    """The runtime's side."""

    event = None
    waiting = None

    def connection_made(self, transport):
        self.transport = transport
        self.data = b""

    def data_received(self, data):
        self.data += data
        while END in self.data:
            head, _, rest = self.data.partition(END)
            length = 0
            if head.startswith(b"POST"):
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                if len(rest) < length:
                    return
                Front.client.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d" % length + END + rest[:length])
                self.transport.write(ACCEPTED)
            else:
                Runtime.waiting = self.transport
                Runtime.deliver()
            self.data = rest[length:]

    @staticmethod
    def deliver():
        event, waiting = Runtime.event, Runtime.waiting
        if event is not None and waiting is not None:
            Runtime.event = Runtime.waiting = None
            waiting.write(FIXED + b"Content-Length: %d" % len(event) + END + event)


async def main():
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(kind, "127.0.0.1", 0) for kind in (Front, Runtime)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await loop.create_future()


asyncio.run(main())
