"""A run's temporary objects: a place of its own, for this user alone, and gone however the run ended."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lbench.config.folders import sessions_folder
from lbench.engine.backends.base import Call, Failure, Outcome
from lbench.engine.journal.lock import FolderLock
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.measure.run_store import OBJECTS_NAME, RunStore, sweep_objects
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.errors import BackendError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Task
from lbench.workloads.objects import RUN_STORE, FolderStore, Place
from lbench.workloads.wire import Object


class Elsewhere:
    """A backend with a place of its own."""

    def __init__(self, trouble: BaseException | None = None) -> None:
        self.cleared: list[Place] = []
        self.trouble = trouble

    def temporary(self, run: str) -> Place:
        return Place(prefix=Object("b", f"run/{run}"))

    async def left(self) -> list[str]:
        return []

    async def clear(self, place: Place) -> None:
        self.cleared.append(place)
        if self.trouble is not None:
            raise self.trouble


HERE: Any = SimpleNamespace(temporary=lambda run: None)


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_folder_is_made_on_demand_is_private_and_is_deleted_with_its_objects(tmp_path: Path) -> None:
    temporary = RunStore(HERE, tmp_path, "r1")
    assert await temporary.clear() is None and inside(tmp_path) == []
    place = temporary.place()
    assert place == temporary.place() == Place(folder=str(tmp_path / OBJECTS_NAME / "r1"))
    for folder in (tmp_path / OBJECTS_NAME, tmp_path / OBJECTS_NAME / "r1"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    FolderStore(Path(place.folder or "")).put("k", b"1")
    assert await temporary.clear() is None and inside(tmp_path) == []


async def test_concurrent_runs_have_separate_folders(tmp_path: Path) -> None:
    first, second = RunStore(HERE, tmp_path, "r1"), RunStore(HERE, tmp_path, "r2")
    assert first.place() != second.place()
    await first.clear()
    assert inside(tmp_path / OBJECTS_NAME) == ["r2"]
    await second.clear()


async def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / OBJECTS_NAME).write_text("in the way")
    with pytest.raises(BackendError, match="cannot create the folder for temporary objects"):
        RunStore(HERE, tmp_path, "r1").place()


async def test_a_backend_clears_its_own_place_and_a_failure_is_a_warning(tmp_path: Path) -> None:
    backend: Any = Elsewhere()
    temporary = RunStore(backend, tmp_path, "r1")
    place = temporary.place()
    assert await temporary.clear() is None and backend.cleared == [place] and inside(tmp_path) == []
    backend = Elsewhere(BackendError("S3 is away"))
    temporary = RunStore(backend, tmp_path, "r1")
    temporary.place()
    assert await temporary.clear() == "temporary objects may be left behind: S3 is away"
    assert await temporary.clear() is None


async def test_only_objects_of_dead_engines_are_removed(tmp_path: Path) -> None:
    def session(name: str, journal: bool = True) -> Path:
        folder = sessions_folder() / name
        (folder / OBJECTS_NAME / "r1").mkdir(parents=True)
        (folder / OBJECTS_NAME / "r1" / "o1").write_bytes(b"1")
        if journal:
            (folder / JOURNAL_NAME).touch()
        return folder / OBJECTS_NAME

    dead, living, stranger = session("dead"), session("living"), session("stranger", journal=False)
    lock = FolderLock(living.parent)
    sweep_objects()
    assert [dead.exists(), living.exists(), stranger.exists()] == [False, True, True]
    lock.release()
    sweep_objects()
    assert not living.exists()


# -- the runner puts the place into the tasks that ask for it


def job() -> Any:
    (stored,) = yield [Task("x.map", store=RUN_STORE, array=[1])]
    yield [Task("x.plain", number=1)]
    return stored


def runner(fakes: Any, backend: Any, temporary: RunStore) -> Runner:
    return Runner("r1", backend, fakes.Sink(), Policy(retries=0), store=temporary.place)


async def test_a_task_that_asks_for_the_store_gets_its_place(fakes: Any, tmp_path: Path) -> None:
    seen: list[Any] = []

    def deed(call: Call) -> tuple[float, Outcome]:
        seen.append(decode(call.task)[1])
        return 0.0, Outcome(result=encode(1))

    temporary = RunStore(HERE, tmp_path, "r1")
    assert await runner(fakes, fakes.Backend(deed), temporary).run(job()) == 1
    folder = str(tmp_path / OBJECTS_NAME / "r1")
    assert seen == [{"store": {"folder": folder}, "array": [1]}, {"number": 1}]


async def test_without_a_store_the_task_that_asks_for_it_cannot_be_sent(fakes: Any, tmp_path: Path) -> None:
    alone = Runner("r1", fakes.Backend(), fakes.Sink(), Policy())
    with pytest.raises(RunFailed, match="a task's arguments cannot be sent"):
        await alone.run(job())


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_a_run_that_fails_or_is_cancelled_leaves_no_object(fakes: Any, tmp_path: Path, how: str) -> None:
    temporary = RunStore(HERE, tmp_path, "r1")

    def deed(call: Call) -> tuple[float, Outcome]:
        FolderStore(Path(decode(call.task)[1]["store"]["folder"])).put("half", b"1")
        if how == "cancelled":
            asyncio.get_running_loop().call_soon(going.cancel)
            return 60.0, Outcome(result=encode(1))
        return 0.0, Outcome(failure=Failure("error", "Boom", "it went wrong", retriable=False))

    going = runner(fakes, fakes.Backend(deed), temporary)
    with pytest.raises(RunFailed if how == "failed" else RunCancelled):
        await going.run(job())
    assert (tmp_path / OBJECTS_NAME / "r1" / "ohalf").exists()
    assert await temporary.clear() is None and inside(tmp_path) == []
