"""What a task does besides computing, from the interpreter's audit events."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.local.audit_hook import _AuditHook, noticed

Seen = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """`seen((event, *arguments), ...)`: what is noted of them."""
    (own := tmp_path / "own").mkdir()
    monkeypatch.setenv("TMPDIR", str(own))
    monkeypatch.setenv("HOME", "/home/someone")

    def take(*events: tuple[Any, ...]) -> list[tuple[str, str]]:
        watch = _AuditHook(str(own / "noticed"))
        for name, *arguments in events:
            watch(name, tuple(arguments))
        return list(noticed(own / "noticed"))

    return take


@pytest.mark.parametrize(
    "event",
    [
        ("open", "/srv/x", "w", os.O_WRONLY),
        ("os.mkdir", "/srv/x", 0o777, -1),
        ("os.remove", "/srv/x", -1),
        ("os.rmdir", "/srv/x", -1),
        ("os.rename", "/srv/x", "/tmp/x", -1, -1),
        ("os.rename", "/tmp/x", "/srv/x", -1, -1),
        ("os.truncate", "/srv/x", 0),
        ("os.chmod", "/srv/x", 0o600, -1),
        ("sqlite3.connect", "/srv/x"),
    ],
)
def test_changes_outside_the_temporary_folder_are_noted(seen: Seen, event: tuple[Any, ...]) -> None:
    assert seen(event) == [("write", "/srv/x")]


def test_names_in_a_temporary_folder_are_found_by_its_descriptor(seen: Seen) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        number = os.open(folder, os.O_RDONLY)
        assert (
            seen(("os.remove", "part", number), ("os.rmdir", "parts", number), ("os.mkdir", "more", 0o777, number))
            == []
        )
        os.close(number)
    number = os.open("/", os.O_RDONLY)
    assert seen(("os.remove", "srv/x", number)) == [("write", "/srv/x")]
    os.close(number)


def test_open_files_and_databases_in_memory_are_no_writes(seen: Seen) -> None:
    assert seen(("open", 3, "w", os.O_WRONLY), ("os.truncate", 3, 0), ("sqlite3.connect", ":memory:")) == []


@pytest.mark.parametrize(
    ("event", "host"),
    [
        (("socket.connect", None, ("10.1.2.3", 80)), "10.1.2.3:80"),
        (("socket.sendto", None, ("10.1.2.3", 53)), "10.1.2.3:53"),
        (("socket.sendmsg", None, ("10.1.2.3", 53)), "10.1.2.3:53"),
        (("socket.getaddrinfo", "db.example", 5432, 0, 0, 0), "db.example:5432"),
        (("socket.gethostbyname", "db.example"), "db.example"),
    ],
)
def test_other_hosts_are_noted_whatever_reaches_them(seen: Seen, event: tuple[Any, ...], host: str) -> None:
    assert seen(event) == [("network", host)]


def test_this_machine_is_no_other_host(seen: Seen) -> None:
    assert seen(("socket.getaddrinfo", "localhost", 80, 0, 0, 0), ("socket.sendto", None, "/run/x.sock")) == []
    assert seen(("socket.connect", None, ("127.0.0.1", 80))) == [("port", "127.0.0.1:80")]
