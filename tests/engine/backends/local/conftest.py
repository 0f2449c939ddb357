"""A workload of faults for the local backends' tests, put on the workers' path from outside the package."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.base import Call, Outcome
from lbench.engine.backends.local.backend import LocalBackend, open_local
from lbench.engine.backends.settings import LocalSettings
from lbench.workloads.encoding import encode

_SITE = """
import importlib.util, os, sys

if os.environ.get("LBENCH_TEST_NO_START"):
    os.write(2, b"a warning\\nno start today\\n")
    os._exit(7)

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        file = {"lbench.workloads.faults": "faults.py", "lbench.workloads.faults.tasks": "tasks.py"}.get(name)
        if file is not None:
            here = os.path.dirname(__file__)
            package = [here] if file == "faults.py" else None
            return importlib.util.spec_from_file_location(
                name, os.path.join(here, file), submodule_search_locations=package)

sys.meta_path.append(Finder)
"""

_TASKS = '''
import ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path

from lbench.workloads.functions import task_function

@task_function("faults.hold")
def hold(fifo):
    """Say that it runs, and stay."""
    Path(fifo).write_text(str(os.getpid()))
    time.sleep(600)

@task_function("faults.meet")
def meet(fifo, other):
    """Return only if `answer` runs at the same time."""
    Path(fifo).write_text("here")
    Path(other).read_text()
    return [os.getpid(), threading.get_ident()]

@task_function("faults.answer")
def answer(fifo, other):
    Path(other).read_text()
    Path(fifo).write_text("here")
    return [os.getpid(), threading.get_ident()]

@task_function("faults.meet_nobody")
def meet_nobody():
    return os.getpid()

@task_function("faults.crash")
def crash(how):
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "closed":
        os.closerange(3, 1000)
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)

@task_function("faults.leave_child")
def leave_child(session=False):
    return subprocess.Popen(["sleep", "600"], start_new_session=session).pid

@task_function("faults.say")
def say(text, times):
    for _ in range(times):
        print(text)
        print(text, file=sys.stderr)
    sys.stdout.flush()
    return times

@task_function("faults.read_input")
def read_input():
    return sys.stdin.read()

@task_function("faults.fill")
def fill(mib):
    return len(b"x" * (mib << 20)) >> 20

@task_function("faults.odd")
def odd():
    return object()

@task_function("faults.leave")
def leave():
    sys.exit(4)

class Shy(Exception):
    def __str__(self):
        raise RuntimeError("no")

@task_function("faults.shy")
def shy():
    raise Shy

@task_function("faults.several_lines")
def several_lines():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("first line\\nsecond \\ud800 line") from error

@task_function("faults.interrupt")
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"

@task_function("faults.about")
def about(names):
    return {"modules": sorted(sys.modules), "environment": {name: os.environ.get(name) for name in names}}

@task_function("faults.total")
def total(data):
    if data is None:
        return None
    return [int(data["x"].sum()), data["x"].flags.writeable]
'''


MakeCall = Callable[..., Call]


@pytest.fixture
def call() -> MakeCall:
    """`call("faults.say", text="x")` is a call of that function."""

    def make(
        function: str,
        /,
        *,
        deadline_s: float = 60.0,
        placed: Callable[[str], None] | None = None,
        **arguments: Any,
    ) -> Call:
        made = Call(encode([function, arguments]), stage=0, index=0, attempt=0, deadline_s=deadline_s)
        if placed is not None:
            made.placed = placed
        return made

    return make


Open = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """`async with opened("processes", 2) as backend`: a backend whose workers know the faults."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITE)
    (site / "faults.py").write_text("")
    (site / "tasks.py").write_text(_TASKS)
    monkeypatch.setenv("PYTHONPATH", str(site))

    @asynccontextmanager
    async def open_(name: str, concurrency: int = 1, preload: str | None = "faults") -> AsyncIterator[LocalBackend]:
        settings = LocalSettings(concurrency=concurrency)
        async with asyncio.timeout(60), open_local(name, settings, 64, preload=preload) as backend:
            yield backend

    return open_


class Held:
    """A call that is known to be running in a worker."""

    def __init__(self, task: asyncio.Task[Outcome], pid: int) -> None:
        self.task = task
        self.pid = pid


@pytest.fixture
def hold(tmp_path: Path, call: MakeCall) -> Callable[..., Any]:
    """`held = await hold(backend)` starts a call that stays, and returns once the worker is in it."""
    count = 0

    async def start(backend: LocalBackend, deadline_s: float = 60.0) -> Held:
        nonlocal count
        count += 1
        fifo = tmp_path / f"held{count}"
        os.mkfifo(fifo)
        task = asyncio.create_task(backend.invoke(call("faults.hold", fifo=str(fifo), deadline_s=deadline_s)))
        return Held(task, int(await asyncio.to_thread(fifo.read_text)))

    return start
