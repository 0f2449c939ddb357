"""The process that checks an answer may be killed: it is asked once more, and no answer stays unchecked for it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.processes import child as children
from lbench.engine.verify import reference_client as checking
from lbench.engine.verify.reference_process import Request, check
from lbench.workloads.encoding import encode


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(
        workload="probe",
        params={},
        tasks=2,
        seed=1,
        data=None,
        data_digest=None,
        versions="1",
        cache=str(tmp_path),
    )


def killing(times: int, started: list[int]) -> Any:
    """`children.start`, but the first so many are killed as soon as they are there."""
    start = children.start

    def started_and_killed(*given: Any, **more: Any) -> children.Child:
        child = start(*given, **more)
        started.append(child.pid)
        if len(started) <= times:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        return child

    return started_and_killed


async def test_without_a_folder_for_references_the_answer_is_checked_all_the_same(
    request_: Request, tmp_path: Path
) -> None:
    request_.cache = None
    verdict = await checking.ask(request_, encode([0, 1]), tmp_path, lambda: False)
    assert verdict.error is None and verdict.answer is not None and verdict.answer.ok


def test_a_reference_that_cannot_be_kept_leaves_nothing_and_the_answer_is_checked(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = tmp_path / "references"
    cache.mkdir()
    (tmp_path / "answer").write_bytes(encode([0, 1]))
    request_.cache, request_.answer = str(cache), str(tmp_path / "answer")
    monkeypatch.setattr(Path, "replace", full)
    assert check(request_).ok
    assert not list(cache.iterdir())


@pytest.mark.parametrize("killed", [0, 1])
async def test_a_killed_checking_process_is_started_again(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    started: list[int] = []
    monkeypatch.setattr(children, "start", killing(killed, started))
    verdict = await checking.ask(request_, encode([0, 1]), tmp_path, lambda: False)
    assert verdict.error is None and verdict.answer is not None and verdict.answer.ok
    assert len(started) == killed + 1
    assert await asyncio.to_thread(lambda: list(tmp_path.glob("check-*"))) == []


async def test_a_checking_process_killed_twice_is_an_error_of_one_line(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    monkeypatch.setattr(children, "start", killing(9, started))
    verdict = await checking.ask(request_, encode([0, 1]), tmp_path, lambda: False)
    assert verdict.answer is None and verdict.error is not None and "killed twice" in verdict.error
    assert len(started) == 2


async def test_a_checking_process_that_exits_is_not_started_again(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    monkeypatch.setattr(children, "start", killing(0, started))
    monkeypatch.setattr("sys.executable", "/bin/false")
    verdict = await checking.ask(request_, encode([0, 1]), tmp_path, lambda: False)
    assert verdict.error == "the checking process ended with exit code 1: see engine.log"
    assert len(started) == 1
