"""Errors of a task's own code always become texts that can be sent, and deadlines hold whatever the task does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lbench.workloads.task_errors import error_texts, sendable
from lbench.workloads.wire import TaskError


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class ExitingText(Exception):
    def __str__(self) -> str:
        sys.exit("in __str__")


class NoText(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


class Unnamed(type):
    def __getattribute__(cls, name: str) -> object:
        if name in ("__name__", "__qualname__", "__module__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Unnamed):
    pass


def deep(n: int = 0) -> int:
    return deep(n + 1)


def raise_(error: BaseException) -> Callable[[], Any]:
    def function() -> Any:
        raise error

    return function


RAISING = {
    "plain": raise_(ValueError("too small")),
    "surrogate": raise_(ValueError("bad name " + os.fsdecode(b"caf\xe9.csv"))),
    "str raises": raise_(BadText()),
    "str exits": raise_(ExitingText()),
    "str is a number": raise_(NoText()),
    "exit": raise_(SystemExit(3)),
    "exit text": raise_(SystemExit("goodbye")),
    "exit surrogate": raise_(SystemExit("\udce9")),
    "keyboard": raise_(KeyboardInterrupt()),
    "generator": raise_(GeneratorExit()),
    "stop": raise_(StopIteration(5)),
    "base": raise_(BaseException("base")),
    "group": raise_(BaseExceptionGroup("many", [ValueError("a"), SystemExit(1)])),
    "huge": raise_(ValueError("x" * 8_000_000)),
    "recursion": deep,
    "lines": raise_(ValueError("one\ntwo\r\nthree\ttab\x00\x1b[31m")),
    "empty": raise_(ValueError()),
    "name raises": raise_(Nameless("kept")),
}


@pytest.mark.parametrize("name", RAISING)
def test_any_error_can_be_sent(name: str) -> None:
    try:
        RAISING[name]()
    except BaseException as error:
        texts = error_texts(error)
        assert len(msgspec.json.encode(TaskError(texts.message, texts.kind, texts.frames))) < 200_000
        raised = sendable(error)
        assert isinstance(raised, Exception)
        assert (raised is error) == (name in ("plain", "stop", "recursion", "lines", "empty"))
        str(raised).encode()
        assert type(raised).__name__ == texts.kind and raised.__traceback__ is not None
        assert "\n" not in texts.message


_TASK = """
import signal, sys, time
from lbench.workloads.deadline import ended_at
with ended_at(60_000):
    pass
print("ready", flush=True)
began = time.monotonic()
with ended_at(300):
    {code}
    while time.monotonic() - began < 30:
        time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="timers of the kernel's are Linux's")
@pytest.mark.parametrize(
    ("code", "ends"),
    {
        "nothing": ("pass", signal.SIGALRM),
        "an alarm taken off": ("signal.alarm(5); signal.alarm(0)", signal.SIGALRM),
        "an interval timer": ("signal.setitimer(signal.ITIMER_REAL, 0)", signal.SIGALRM),
        "a handler": ("signal.signal(signal.SIGALRM, lambda *_: None)", signal.SIGKILL),
        "ignored": ("signal.signal(signal.SIGALRM, signal.SIG_IGN)", signal.SIGKILL),
        "blocked": ("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())", signal.SIGKILL),
        "a long call": ("sum(range(10**11))", signal.SIGALRM),
    }.values(),
)
def test_the_deadline_is_out_of_the_tasks_reach(code: str, ends: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TASK.format(code=code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "ready\n" and done.returncode == -ends
