"""Recorded runs on clusters are found by their job; each cluster is known by its newest session."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from lbench.engine.journal.events import Event, encode_lines
from lbench.engine.model import Pricing
from lbench.engine.session.clusters import ClusterRuns, recorded_clusters

NO_PRICE = Pricing(unpriced=["no price: usd_per_hour= was not given"])


@pytest.fixture
def record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_events: Callable[..., list[Event]]
) -> Callable[..., None]:
    """`record(NAME, {"dask": [makespans]}, ...)`: a session of that name."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def write(name: str, times: dict[str, list[float]], **options: object) -> None:
        folder = tmp_path / "lbench" / "sessions" / name
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_bytes(encode_lines(make_events(times, **options)))

    return write


def found() -> list[ClusterRuns]:
    return recorded_clusters(lambda run, start: run.workload == "probe")


def test_a_cluster_stands_for_its_newest_session_with_its_price(record: Callable[..., None]) -> None:
    priced = Pricing(worker_usd_per_hour="3.6")
    scheduler = {"scheduler": "tls://10.0.0.1:8786"}
    record("20260101-1", {"dask": [9.0]}, started={"settings": scheduler, "pricing": priced}, ended={"worker_s": 72.0})
    record(
        "20260102-1",
        {"sequential": [9.0], "dask": [1.0, 2.0, 3.0, 4.0]},
        started={"settings": scheduler, "pricing": priced},
        ended={"worker_s": 8.0},
        warmup=1,
    )
    record("20260103-1", {"executor": [5.0]}, started={"pricing": NO_PRICE}, ended={"worker_s": 10.0})
    executor, first, second, third, old = sorted(found(), key=lambda one: (-len(one.label), one.makespans_s))
    assert (executor.label, executor.workers, executor.usd, executor.unpriced) == (
        "executor",
        2,
        None,
        NO_PRICE.unpriced,
    )
    # As the time of all workers says, each run of the second session had another number of workers.
    assert [(one.workers, one.makespans_s) for one in (first, second, third)] == [(4, [2.0]), (3, [3.0]), (2, [4.0])]
    assert first.usd == [Decimal("0.008")]
    assert (old.workers, old.makespans_s) == (8, [9.0])


def test_cold_runs_and_warm_ones_stand_apart(record: Callable[..., None]) -> None:
    record("20260101-1", {"dask": [9.0]}, ended={"worker_s": 18.0, "cold": True})
    record("20260101-2", {"dask": [3.0]}, ended={"worker_s": 6.0, "cold": False})
    assert {one.cold: one.makespans_s for one in found()} == {True: [9.0], False: [3.0]}


def test_wrong_failed_and_torn_runs_and_other_jobs_are_passed_over(record: Callable[..., None], tmp_path: Path) -> None:
    record("20260101-1", {"dask": [9.0]}, ended={"worker_s": 18.0}, ok=False)
    record("20260101-2", {"dask": [9.0]}, ended={"worker_s": 18.0, "status": "failed", "makespan_s": None})
    record("20260101-3", {"dask": [9.0]})
    for name, content in (("a", b""), ("b", b'{"event":"ended","worker_s":1'), ("c", b'no journal "worker_s":1\n')):
        folder = tmp_path / "lbench/sessions" / name
        folder.mkdir()
        (folder / "events.jsonl").write_bytes(content)
    (tmp_path / "lbench/sessions/d").mkdir()
    assert found() == []
    record("20260101-4", {"dask": [9.0]}, ended={"worker_s": 18.0})
    assert [one.makespans_s for one in found()] == [[9.0]]
    assert recorded_clusters(lambda run, start: False) == []
