"""The line on stderr for work that nothing else shows."""

from __future__ import annotations

import io
import sys
import threading

import pytest
from click.testing import CliRunner

from lbench.cli.main import command
from lbench.cli.notice import notice


class Seen(io.StringIO):
    """A stream that reports its first line."""

    def __init__(self) -> None:
        super().__init__()
        self.line = threading.Event()

    def flush(self) -> None:
        self.line.set()


def test_long_work_is_named_once_and_short_work_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Seen()
    monkeypatch.setattr(sys, "stderr", stream)
    with notice("never shown", after_s=600):
        pass
    with notice("sampling\x1b[2J", after_s=0):
        assert stream.line.wait(60)
    assert stream.getvalue().startswith("lbench: sampling") and stream.getvalue().endswith(" ...\n")
    assert "\x1b" not in stream.getvalue() and "never" not in stream.getvalue()


@pytest.mark.parametrize("name", ["check", "estimate"])
def test_commands_that_sample_a_job_say_so(name: str, home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    class Timer:
        daemon = True

        def __init__(self, after_s: float, show: object) -> None:
            self._show = show

        def start(self) -> None:
            assert callable(self._show)
            self._show()

        def cancel(self) -> None:
            texts.append("ended")

    monkeypatch.setattr(threading, "Timer", Timer)
    done = CliRunner().invoke(command, [name, "probe", "--tasks", "2", "--for", "3"])
    assert done.exit_code == 0, done.stderr
    assert "lbench: running a sample of probe here, its tasks for at most 3 s ...\n" in done.stderr
    assert texts and "..." not in done.stdout
