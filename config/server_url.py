"""The URL or the address of a server that a user names."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from lbench.errors import InputError

__all__ = ["check_server_url", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_server_url(name: str, url: str) -> None:
    """Refuse an invalid URL, and one with a password: URLs are recorded and shown. The message does not repeat it.

    Raises:
        InputError: `name` must be another URL.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"{name} must be an http(s) URL, for example http://127.0.0.1:9000")
    if "@" in parts.netloc:
        raise InputError(f"{name} must not contain a user or a password: set AWS_ACCESS_KEY_ID instead")
