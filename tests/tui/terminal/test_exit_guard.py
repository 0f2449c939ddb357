"""Leaving on a signal may wait for a starting engine; a second signal waits for nothing."""

import os

import pytest

from lbench.tui.terminal.exit_guard import Guard


class Exited(BaseException):
    """Stands for the process's end."""


def test_a_second_signal_does_not_wait_for_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Exited(code)

    written: list[bytes] = []
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(Guard, "_restore", lambda guard, data: written.append(data))
    asked = []

    def farewell() -> str:  # the second signal comes while the first one waits
        asked.append("once")
        guard.leave(143)
        raise AssertionError("the process has ended")

    guard = Guard(farewell, lambda: None)
    with pytest.raises(Exited):
        guard.leave(129)
    assert len(asked) == 1 and len(written) == 1
