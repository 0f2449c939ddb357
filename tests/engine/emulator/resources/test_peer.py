"""A connection on this machine is ascribed to the process that holds it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lbench.engine.emulator.resources import peer

OTHER = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); sys.stdin.read()"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.parametrize("monitored", [True, False])
def test_the_holder_of_a_connection_is_known(
    server: socket.socket, monitored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not monitored:
        monkeypatch.setattr(peer, "_SOCK_DIAG", 99)  # a kernel without socket monitoring
    own = server.getsockname()[1]
    with subprocess.Popen([sys.executable, "-S", "-c", OTHER, str(own)], stdin=subprocess.PIPE) as process:
        connection, (_, port) = server.accept()
        with connection:
            assert peer.is_connection_of([os.getpid(), process.pid], port, own)
            assert not peer.is_connection_of([os.getpid()], port, own)
        assert process.stdin is not None
        process.stdin.close()
    assert not peer.is_connection_of([os.getpid(), process.pid], port, own)
