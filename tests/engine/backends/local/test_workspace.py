"""Users' tasks: what one run writes is not seen by the next, and pools that tasks start find the user's module."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.base import Call, Outcome
from lbench.engine.backends.local import workspace
from lbench.engine.backends.local.backend import LocalBackend, open_local
from lbench.engine.backends.local.workspace import sweep
from lbench.engine.backends.settings import LocalSettings
from lbench.workloads import registry
from lbench.workloads.encoding import decode, encode

_MODULE = '''
import multiprocessing, os, subprocess, sys, tempfile
from pathlib import Path
from lbench import Task

def beside(name):
    """Append to a file beside the code; how often that was done before."""
    path = Path(__file__).parent / name
    before = len(path.read_text()) if path.exists() else 0
    os.chmod(path.parent, 0o755)
    with path.open("a") as file:
        file.write("x")
    return before

def subprocess_beside(command):
    folder = Path(__file__).parent
    os.chmod(folder, 0o755)
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)

def change_code():
    os.chmod(__file__, 0o644)
    Path(__file__).write_text("broken")

def write(name):
    path = Path(name.replace("TMP", tempfile.gettempdir()))
    before = path.exists()
    path.write_text("x")
    return [before, os.getcwd(), tempfile.gettempdir()]

def twice(forks):
    child = os.fork() if forks else 1
    return os.getpid() if child else -1

def square(x):
    return x * x

def pool(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        return sum(pool.map(square, range(4)))

def script():
    code = "import mine; print(mine.square(3))"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)

def job(n: int = 1):
    yield [Task(square, x=1)]
'''

Run = Callable[..., Any]


@pytest.fixture
async def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine.py").write_text(_MODULE)
    description = registry.describe(f"{tmp_path / 'mine.py'}:job")
    async with open_local("processes", LocalSettings(concurrency=1), 1, preload=description.pinned) as opened:
        await opened.publish(None)
        yield opened


async def run(backend: LocalBackend, function: str, **arguments: Any) -> Outcome:
    call = Call(encode([f"mine:{function}", arguments]), stage=0, index=0, attempt=0, deadline_s=60.0)
    return await backend.invoke(call)


async def result(backend: LocalBackend, function: str, **arguments: Any) -> Any:
    outcome = await run(backend, function, **arguments)
    assert outcome.failure is None, outcome.failure
    return decode(outcome.result)  # type: ignore[arg-type]


async def test_the_child_of_a_task_that_forks_gives_no_answer(backend: LocalBackend) -> None:
    first = await result(backend, "twice", forks=True)
    for _ in range(3):  # an answer too many would be taken for the next call's
        assert await result(backend, "square", x=3) == 9
    assert await result(backend, "twice", forks=False) == first > 0


async def test_what_a_run_writes_beside_its_code_is_undone_and_named(backend: LocalBackend) -> None:
    for _ in range(2):
        assert await result(backend, "beside", name="cache.json") == 0
        assert await result(backend, "beside", name="cache.json") == 1
        (line,) = await backend.left()
        assert "beside their own code (cache.json)" in line
        await backend.publish(None)
    assert await backend.left() == []


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("echo x > cache.json", "cache.json"),
        ("mkdir -p cache/1", "cache/1/"),
        ("ln -s /nowhere cache", "cache (not a file)"),
        ("ln -s /tmp cache", "cache (not a file)"),
        ("mkdir __pycache__; touch __pycache__/cache.json", "__pycache__/cache.json"),
        ("mkfifo cache", "cache (not a file)"),
        ("rm -f mine.py", "mine.py"),
    ],
)
async def test_what_a_subprocess_writes_beside_the_code_is_undone_and_named(
    backend: LocalBackend, command: str, name: str
) -> None:
    await result(backend, "subprocess_beside", command=command)
    (line,) = await backend.left()
    assert f"tasks wrote beside their own code ({name})" in line
    assert await backend.left() == []
    await backend.publish(None)
    assert await result(backend, "beside", name="other") == 0


async def test_what_a_script_compiles_is_no_trace(backend: LocalBackend) -> None:
    await result(backend, "subprocess_beside", command="mkdir __pycache__; touch __pycache__/mine.cpython-313.pyc")
    assert await backend.left() == []


async def test_code_that_a_task_has_changed_is_restored(backend: LocalBackend) -> None:
    await result(backend, "change_code")
    assert "(mine.py)" in (await backend.left())[0]
    await backend.publish(None)
    outcome = await run(backend, "script")
    assert outcome.failure is None


async def test_each_run_has_folders_of_its_own(backend: LocalBackend) -> None:
    first = await result(backend, "write", name="kept.txt")
    assert not first[0] and (await result(backend, "write", name="kept.txt"))[0]
    await result(backend, "write", name="TMP/kept.txt")
    assert await backend.left() == []
    await backend.publish(None)
    second = await result(backend, "write", name="kept.txt")
    assert not second[0] and not (await result(backend, "write", name="TMP/kept.txt"))[0]
    assert second[1] != first[1] and second[2] != first[2]
    assert not await asyncio.to_thread(os.path.lexists, first[1])


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no memory that is a folder")
async def test_what_a_task_leaves_in_shared_memory_is_named_and_what_pools_keep_there_is_not(
    backend: LocalBackend,
) -> None:
    left, pools = Path(f"/dev/shm/left-{os.getpid()}"), Path(f"/dev/shm/pymp-{os.getpid()}")
    try:
        for path in (left, pools):
            await result(backend, "write", name=str(path))
        (line,) = await backend.left()
        assert f"({left})" in line
    finally:
        for path in (left, pools):
            path.unlink(missing_ok=True)


async def test_what_a_task_leaves_elsewhere_is_named(backend: LocalBackend, tmp_path: Path) -> None:
    await result(backend, "write", name=str(tmp_path / "left.txt"))
    (line,) = await backend.left()
    assert f"tasks left files that later runs can see ({tmp_path / 'left.txt'})" in line
    (tmp_path / "left.txt").unlink()
    assert await backend.left() == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
async def test_a_pool_inside_a_task_finds_the_users_module(backend: LocalBackend, method: str) -> None:
    assert await result(backend, "pool", method=method) == 14


async def test_a_script_that_a_task_starts_finds_the_users_module(backend: LocalBackend) -> None:
    assert await result(backend, "script") == 9


def test_folders_of_killed_engines_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_home", lambda: str(tmp_path))
    gone, here = tmp_path / "lbench-run-99999999-x", tmp_path / f"lbench-run-{os.getpid()}-x"
    for folder in (gone, here):
        (folder / "work").mkdir(parents=True)
    sweep()
    assert not gone.exists() and here.exists()


def test_a_long_temporary_folder_is_not_used_for_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 80)))
    assert workspace._home() == "/tmp"
