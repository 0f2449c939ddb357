"""The choice of the methods for CPU share and memory, and their removal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbench.engine.emulator.resources import confinement as confine
from lbench.engine.emulator.resources import systemd
from lbench.engine.emulator.resources.confinement import Confinement
from lbench.engine.emulator.resources.cpu import METHODS, Method, NoShare, vcpus
from lbench.engine.emulator.resources.process_tree import Tree, cpu_s
from lbench.engine.processes.guardian_client import Guard

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], process_group=0) as process:
        yield process
        process.kill()


def test_memory_gives_cpu_in_proportion() -> None:
    assert vcpus(1769) == 1.0
    assert vcpus(128) == pytest.approx(0.0724, abs=1e-4)
    assert vcpus(10240) == pytest.approx(5.79, abs=0.01)


@posix
async def test_duty_cycle_and_none_can_be_asked_for_and_make_no_cgroup() -> None:
    for method in ("duty-cycle", "none"):
        confinement = Confinement.choose(method=method)
        assert (confinement.cpu.method, confinement.memory.method) == (method, "polled")
        confinement.close()


async def test_the_best_method_is_a_documented_one() -> None:
    confinement = Confinement.choose()
    assert confinement.cpu.method in METHODS
    confinement.close()


@posix
async def test_a_machine_without_cgroups_or_systemd_gets_the_duty_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "manager", lambda: None)
    confinement = Confinement.choose(root=tmp_path)
    assert (confinement.cpu.method, confinement.memory.method) == ("duty-cycle", "polled")
    confinement.close()


async def test_a_manager_that_does_not_delegate_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(systemd, "manager", lambda: "--user")
    monkeypatch.setattr(systemd, "delegate", lambda which, proc: asked.append(which) or False)
    confinement = Confinement.choose(root=tmp_path)
    assert asked == ["--user"]
    assert confinement.cpu.method != "systemd"
    confinement.close()


def test_systemd_is_asked_without_a_shell_or_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in for busctl that does what systemd would: it moves us (here, it writes so).
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("0::/session.scope\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (
        ("systemctl", '[ "$1" = --user ] && echo degraded && exit 1\nexit 1'),
        ("busctl", f'echo "$@" > {tmp_path}/arguments\necho 0::/lbench.scope > {proc}/self/cgroup'),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    assert systemd.manager() == "--user"
    assert systemd.delegate("--user", proc)
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[0] == "--user"
    unit = f"lbench-emulator-{os.getpid()}.scope"
    assert arguments[-11:] == [unit, "fail", "2", "PIDs", "au", "1", str(os.getpid()), "Delegate", "b", "true", "0"]
    assert "--allow-interactive-authorization=no" in arguments


def test_a_manager_that_refuses_or_is_missing_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert systemd.manager() is None
    assert not systemd.delegate("--user", tmp_path)


@posix
def test_without_a_share_a_group_is_only_frozen(sleeper: subprocess.Popen[bytes]) -> None:
    held = NoShare().attach(Tree(sleeper.pid), 0.1)
    held.initialised()
    held.pause()
    assert held.frozen
    assert stopped(sleeper.pid)
    held.resume()
    assert not held.frozen
    os.waitid(os.P_PID, sleeper.pid, os.WCONTINUED)


@posix
def test_after_detaching_no_signal_is_sent(sleeper: subprocess.Popen[bytes]) -> None:
    held = NoShare().attach(Tree(sleeper.pid), 0.1)
    held.detach()
    held.pause()
    sleeper.terminate()
    assert sleeper.wait(10) == -signal.SIGTERM  # a stopped one would not hear of it


@posix
async def test_one_object_holds_an_environment_s_share_memory_and_guard(sleeper: subprocess.Popen[bytes]) -> None:
    guard = Guard()
    confinement = Confinement.choose(guard)
    held = confinement.attach(sleeper.pid, 1, 128, sleeper.kill)
    held.initialised()
    held.pause()
    assert held.frozen
    assert stopped(sleeper.pid)
    held.resume()
    assert not held.out_of_memory()
    sleeper.kill()
    sleeper.wait()
    held.detach()
    held.detach()  # a second time does nothing
    confinement.close()
    await guard.close()


@posix
@pytest.mark.slow
@pytest.mark.parametrize("memory_mb", [266, 885, 1327])
@pytest.mark.parametrize("method", [None, "duty-cycle"], ids=["best", "duty-cycle"])
async def test_one_busy_thread_gets_the_share_of_its_memory(method: Method | None, memory_mb: int) -> None:
    # Over 8 s, beside a thread that nothing holds: where that does not get a whole CPU, the machine is too full to tell.
    busy = [sys.executable, "-S", "-c", "while True: pass"]
    confinement = Confinement.choose(method=method)
    allowed = 0.10 if confinement.cpu.method == "duty-cycle" else 0.05
    try:
        for number in range(4):
            with (
                subprocess.Popen(busy, process_group=0) as process,  # noqa: ASYNC220
                subprocess.Popen(busy, process_group=0) as free,  # noqa: ASYNC220
            ):
                held = confinement.attach(process.pid, number, memory_mb, process.kill)
                try:
                    held.initialised()
                    await asyncio.sleep(0.5)  # the init's own share is spent
                    began_s, before_s = time.monotonic(), (cpu_s(process.pid) or 0.0, cpu_s(free.pid) or 0.0)
                    await asyncio.sleep(8.0)  # what is measured is what happens in a time
                    after_s, took_s = (cpu_s(process.pid) or 0.0, cpu_s(free.pid) or 0.0), time.monotonic() - began_s
                finally:
                    process.kill()
                    free.kill()
                    process.wait()
                    held.detach()
            share, whole = ((after - before) / took_s for after, before in zip(after_s, before_s, strict=True))
            assert share < vcpus(memory_mb) * (1 + allowed)
            if whole > 0.97:
                assert share > vcpus(memory_mb) * (1 - allowed)
                return
    finally:
        confinement.close()
    pytest.skip("this machine is too busy to tell")


async def test_a_home_without_memory_control_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Made:
        version = 1

        def close(self) -> None:
            closed.append(True)

    closed: list[bool] = []
    monkeypatch.setattr(confine, "_open", lambda root, announce: (None, Made()))
    monkeypatch.setattr(systemd, "manager", lambda: None)
    confinement = Confinement.choose(root=tmp_path)
    assert closed == [True]
    confinement.close()


def stopped(pid: int) -> bool:
    """Wait until it is."""
    return os.waitid(os.P_PID, pid, os.WSTOPPED).si_status == signal.SIGSTOP  # type: ignore[union-attr]
