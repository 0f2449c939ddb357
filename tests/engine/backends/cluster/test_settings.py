"""What a cluster's settings mean, and what is refused before anything is connected."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends import catalog
from lbench.engine.backends.settings import DaskSettings
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import BackendChoice, Plan, schedule_of
from lbench.engine.plan.validate import validate
from lbench.errors import InputError

pytest.importorskip("distributed", reason="the extra lbench[dask] is not installed")

from lbench.engine.backends.cluster import dask
from lbench.engine.backends.cluster.dask import check_dask


@pytest.fixture(autouse=True)
def no_scheduler_by_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    return {name: str(tmp_path / name) for name in ("ca", "cert", "key")}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"scheduler": "tcp://10.1.2.3:8786"}, "is not encrypted"),
        ({"scheduler": "tcp://localhost.example.org:8786"}, "is not encrypted"),
        ({"scheduler": "tcp://127.example.org:8786"}, "is not encrypted"),
        ({"scheduler": "nowhere"}, "must be tls://host:port, got 'nowhere'"),
        ({"scheduler": "ws://127.0.0.1:8786"}, "must be tls://host:port"),
        ({"scheduler": "tls://10.1.2.3:8786"}, "needs ca=, cert= and key="),
        ({"ca": "/no/such"}, "ca=/no/such: there is no such file"),
        ({"scheduler_file": "/no/such"}, "there is no such file"),
        ({"scheduler_file": "/"}, "scheduler_file=/: that is a folder"),
        ({"scheduler_file": "/dev/zero"}, "it is not a regular file"),
        ({"scheduler": "tls://a:1", "scheduler_file": __file__}, "not both"),
        ({"scheduler_file": __file__}, "is not a scheduler file"),
        ({"ca": __file__}, "go together"),
        ({"ca": __file__, "cert": __file__, "key": __file__}, "are for a scheduler"),
        ({"scheduler": "tcp://127.0.0.1:1", "ca": __file__, "cert": __file__, "key": __file__}, "do not apply"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=r"^dask: [^\n]*$") as refused:
        check_dask(DaskSettings(**given))
    assert text in str(refused.value)


def test_the_address_comes_from_the_setting_the_file_or_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: dict[str, str]
) -> None:
    assert DaskSettings().address() is None
    assert DaskSettings().starts_cluster
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://10.0.0.1:8786"}))
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tls://10.0.0.2:8786")
    assert DaskSettings(scheduler="tls://a:1").address() == "tls://a:1"
    assert DaskSettings(scheduler_file=str(file)).address() == "tcp://10.0.0.1:8786"
    assert DaskSettings().address() == "tls://10.0.0.2:8786"
    assert not DaskSettings().starts_cluster
    check_dask(DaskSettings(**tls))
    with pytest.raises(InputError, match="is not encrypted"):
        check_dask(DaskSettings(scheduler_file=str(file)))


def test_a_device_is_not_read_for_an_address() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        DaskSettings(scheduler_file="/dev/null").address()
    assert not DaskSettings(scheduler_file="/dev/null").is_on_this_machine


def test_a_cluster_elsewhere_runs_beside_this_machine_and_one_here_alternates_with_it() -> None:
    def schedule(**given: Any) -> str:
        dask = BackendChoice("dask", "dask", given)
        return schedule_of(Plan("probe", backends=[BackendChoice("processes", "processes"), dask]))

    assert schedule() == "alternating"
    assert schedule(scheduler="tcp://127.0.0.1:8786") == "alternating"
    assert schedule(scheduler="tls://10.0.0.1:8786") == "concurrent"
    assert catalog.shares_machine("executor", {"factory": "a:b"})  # nothing is known of its workers


@pytest.mark.parametrize(
    ("address", "here"),
    [("tcp://127.0.0.1:1", True), ("tls://[::1]:1", True), ("tcp://localhost:1", True), ("tcp://10.0.0.1:1", False),
     ("tcp://127.0.0.1.example.org:1", False), ("tcp://[:1", False)],
)  # fmt: skip
def test_loopback_is_an_address_not_a_name_that_begins_so(address: str, here: bool) -> None:
    assert DaskSettings(scheduler=address).is_on_this_machine == here


def test_paths_are_absolute_as_the_engine_may_have_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dask = parse_backend("dask:scheduler_file=s.json,ca=ca.pem", {}).settings
    assert (dask["scheduler_file"], dask["ca"]) == (str(tmp_path / "s.json"), str(tmp_path / "ca.pem"))
    assert parse_backend("executor:factory=./mine.py:pool", {}).settings["factory"] == f"{tmp_path / 'mine.py'}:pool"
    assert parse_backend("executor:factory=mine:pool", {}).settings["factory"] == "mine:pool"


def test_what_a_cluster_cannot_do_is_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match="dask: --cold-repeats needs workers of lbench's own"):
        validate(Plan("probe", backends=[parse_backend("dask", {})], cold_repeats=1))


def test_the_folder_of_a_killed_engine_s_cluster_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lbench.engine.backends.cluster import local_cluster

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    for process in (ended.pid, os.getpid()):
        (tmp_path / f"lbench-dask-{process}-x").mkdir()
    local_cluster._sweep()
    assert [path.name for path in tmp_path.iterdir()] == [f"lbench-dask-{os.getpid()}-x"]


class Answering:
    """A client of dask's whose next answer comes when the test wants it."""

    status = "running"

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.scheduler = self

    def identity(self, n_workers: int) -> Any:
        self.asked.set()
        return self.answer

    async def close(self, **limit: float) -> None:
        raise OSError("the connection was closed")


async def test_closing_ends_also_in_the_moment_in_which_the_scheduler_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "_LOOK_S", 0.001)
    workers = dask.DaskWorkers(DaskSettings())
    workers.client = client = Answering()
    workers._local = None
    workers._watch = watch = asyncio.create_task(workers._watching())
    await client.asked.wait()
    await asyncio.sleep(0)  # now it waits for the answer
    client.answer.set_result({"workers": {}})
    closing = asyncio.create_task(workers.close())
    done, _ = await asyncio.wait({closing}, timeout=120)
    watch.cancel()  # for the sake of the other tests
    assert done and workers.client is None
