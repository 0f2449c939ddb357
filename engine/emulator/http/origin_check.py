"""Refuses requests that a web page can make a browser send to a server on loopback.

A page reaches loopback by another site's request (its Origin and Sec-Fetch-Site name it) or by a name of its own that
resolves to 127.0.0.1 (the Host header has that name).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["is_foreign"]

_OWN_SITE = (b"none", b"same-origin")


def is_foreign(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request comes from a web page or names another host. `headers`: names in lower case."""
    if b"origin" in headers or headers.get(b"sec-fetch-site", b"none").lower() not in _OWN_SITE:
        return True
    host = headers.get(b"host", b"127.0.0.1").strip().lower()
    name = host.partition(b"]")[0][1:] if host.startswith(b"[") else host.partition(b":")[0]
    return not (name == b"localhost" or name == b"::1" or _is_loopback(name))


def _is_loopback(name: bytes) -> bool:
    parts = name.split(b".")
    return len(parts) == 4 and parts[0] == b"127" and all(part.isdigit() and int(part) < 256 for part in parts)
