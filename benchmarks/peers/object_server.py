"""Serves one file as every object, by sendfile: as little as a server can cost on the same cores.

python object_server.py FILE

It prints its port.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path

_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n'


def serve(connection: socket.socket, path: Path) -> None:
    size = path.stat().st_size
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, path.open("rb") as file, contextlib.suppress(OSError):
        waiting = b""
        while True:
            while b"\r\n\r\n" not in waiting:
                if not (data := connection.recv(65_536)):
                    return
                waiting += data
            waiting = waiting.partition(b"\r\n\r\n")[2]
            connection.sendall((_HEAD % size).encode())
            sent = 0
            while sent < size:
                sent += os.sendfile(connection.fileno(), file.fileno(), sent, size - sent)


def main() -> None:
    path = Path(sys.argv[1])
    server = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection, path), daemon=True).start()


if __name__ == "__main__":
    main()
