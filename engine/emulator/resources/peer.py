"""The peer of a connection: the kernel knows the user and the process at the other end on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["is_connection_of"]

# linux/sock_diag.h and linux/inet_diag.h
_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST, _ANY_COOKIE = 4, 20, 1, b"\xff" * 8
_REPLY_HEAD = 16 + 4 + 48  # netlink's head; family, state, timer, retransmissions; the socket's addresses
_LOOPBACK = socket.inet_aton("127.0.0.1")


def is_connection_of(pids: Iterable[int], peer_port: int, our_port: int) -> bool:
    """Whether one of these processes holds the socket that connects `peer_port` to `our_port`, both on 127.0.0.1."""
    if not sys.platform.startswith("linux"):
        return _is_listed(pids, peer_port, our_port)
    inode = _inode(peer_port, our_port)
    return bool(inode) and any(_holds(pid, f"socket:[{inode}]") for pid in pids)


def _inode(peer_port: int, our_port: int) -> int:
    """The number of the peer's socket; 0: it is closed."""
    addresses = struct.pack("!HH", peer_port, our_port) + _LOOPBACK.ljust(16, b"\0") * 2 + bytes(4) + _ANY_COOKIE
    body = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + addresses
    head = struct.pack("=IHHII", 16 + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0)
    with contextlib.suppress(OSError, AttributeError, struct.error):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as asking:
            asking.settimeout(1.0)
            asking.sendto(head + body, (0, 0))
            reply = asking.recv(4096)
        if struct.unpack_from("=IH", reply)[1] == _SOCK_DIAG_BY_FAMILY:
            # expiry, two queues, user, inode
            return int(struct.unpack_from("=IIIII", reply, _REPLY_HEAD)[4])
    return _inode_in_proc(peer_port, our_port)


def _inode_in_proc(peer_port: int, our_port: int) -> int:
    """The same from a list of all sockets, for kernels without socket monitoring."""
    address = int.from_bytes(_LOOPBACK, sys.byteorder)
    wanted = f"{address:08X}:{peer_port:04X}", f"{address:08X}:{our_port:04X}"
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if (fields[1], fields[2]) == wanted:
                return int(fields[9])
    return 0


def _holds(pid: int, link: str) -> bool:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{name}") == link:  # noqa: PTH115
                    return True
    return False


def _is_listed(pids: Iterable[int], peer_port: int, our_port: int) -> bool:
    import psutil

    for pid in pids:
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(pid).net_connections("tcp4"):
                if one.raddr and (one.laddr.port, one.raddr.port) == (peer_port, our_port):
                    return True
    return False
