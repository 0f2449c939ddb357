from __future__ import annotations

from lbench.config.server_url import is_loopback


def test_which_addresses_are_this_machine_only() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "example.org", ""]))
