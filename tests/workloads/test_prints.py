"""What a task prints is counted, and dropped above the limit."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from lbench.workloads.prints import Meter, counted, install
from lbench.workloads.wire import LINE_BYTES

Capture = pytest.CaptureFixture[str]


def test_bytes_and_lines_are_counted_in_any_way_of_printing(capfd: Capture) -> None:
    meter = Meter()
    before = sys.stdout
    with counted(meter, None):
        print("é", 1)
        print("on the", "same line", end="")
        print("", flush=True)
        print("an error", file=sys.stderr)
        sys.stdout.writelines(["a\n", "b\n"])
        sys.stdout.buffer.write(b"raw\n")
        sys.stdout.write("")
    out, err = capfd.readouterr()
    assert out == "é 1\non the same line\na\nb\nraw\n" and err == "an error\n"
    assert meter.printed == len((out + err).encode()) + 6 * LINE_BYTES
    assert meter.dropped == 0 and sys.stdout is before


def test_beyond_the_limit_nothing_is_written_but_how_much_was_dropped(capfd: Capture) -> None:
    meter = Meter()
    with counted(meter, 100):
        for _ in range(1000):
            print("x" * 49)
    assert meter.printed == 100 and meter.dropped > 49_000
    out = capfd.readouterr().out
    first, *_, last = out.strip().split("\n")
    assert first == "x" * 49 and "bytes more were printed and dropped: print_limit is 100" in last
    assert len(out) < 250


def test_each_call_is_counted_from_zero_and_errors_pass(capfd: Capture) -> None:
    meter = Meter()
    with pytest.raises(ZeroDivisionError), counted(meter, 50):
        print("x" * 100)
        _ = 1 / 0
    with counted(meter, 1000):
        print("y")
    assert meter.printed == 2 + LINE_BYTES and capfd.readouterr().out.endswith("y\n")


def test_a_stream_that_a_module_keeps_is_counted(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    install(meter)
    kept = sys.stdout
    with counted(meter, 60):
        kept.write("x" * 1000 + "\n")
    assert meter.printed == 60 and kept.encoding == "utf-8" and not kept.isatty()


def test_the_runtimes_logging_is_counted(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    class Sink:
        def log(self, text: str, frame_type: Any = None) -> None:
            lines.append(text)

    class Handler(logging.Handler):
        log_sink: Any = Sink()

        def emit(self, record: logging.LogRecord) -> None:
            self.log_sink.log(self.format(record))

    monkeypatch.setattr(logging.root, "handlers", [Handler()])
    meter = Meter()
    with counted(meter, 100):
        for _ in range(10):
            logging.error("x" * 40)
    assert meter.printed == 100 and 1 <= len(lines) <= 2
