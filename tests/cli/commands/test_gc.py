"""`lbench gc` finds what crashed runs have left, asks, and removes that and nothing else."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lbench.cli.commands import gc
from lbench.cli.main import command
from lbench.config.folders import cache_folder, data_folder, runtime_folder, sessions_folder
from lbench.engine.backends.cluster.store_log import StorePlace, StoreRecord
from lbench.engine.emulator.resources.scratch import Scratch
from lbench.engine.journal.lock import FolderLock
from lbench.errors import InputError

DEAD = 2**22 + 1  # more than any process number of Linux


def code(done: Result) -> int:
    assert done.exception is None, done.exception
    return int(done.return_value or 0)


def collect(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(command, ["gc", *arguments], input=answer, standalone_mode=False)


@pytest.fixture(autouse=True)
def _own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(
        "lbench.engine.emulator.resources.cgroups.find", lambda controller: None
    )  # other tests' are there
    yield folder


def old(path: Path) -> Path:
    os.utime(path, (time.time() - 7200, time.time() - 7200))
    return path


@pytest.fixture
def left(_own_tmp: Path) -> list[Path]:
    """What engines and emulators leave that were killed."""
    session = sessions_folder() / "20261122-100000-abcd"
    (session / "check-x").mkdir(parents=True)
    (session / "data.lbds").write_bytes(bytes(5000))
    (session / "data-1.lbds").write_bytes(bytes(5000))  # of an exploring
    (session / "objects/r1").mkdir(parents=True)
    (session / "objects/r1/o1").write_bytes(b"x")
    dead = runtime_folder() / f"100000-abcd-{DEAD}.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(dead))
    emulator = _own_tmp / f"lbench-emulator-{os.getuid()}" / f"{DEAD}-abcd"
    emulator.mkdir(parents=True)
    making = cache_folder("packages") / ".making-abc"
    making.mkdir()
    (trial := _own_tmp / "lbench-try-abc").mkdir()
    payload = cache_folder("payloads") / "abc.json"
    payload.write_text("{}")
    (worker := _own_tmp / f"lbench-worker-{DEAD}-abc").mkdir()
    for path in (making, trial, payload):
        old(path)
    held = [session / name for name in ("check-x", "data.lbds", "data-1.lbds", "objects")]
    return [*held, dead, emulator, making, trial, payload, worker]


def test_nothing_is_listed_where_nothing_is_left() -> None:
    done = collect()
    assert code(done) == 0 and "No leftovers" in done.output


def test_a_dry_run_lists_and_removes_nothing(left: list[Path]) -> None:
    done = collect("--dry-run")
    assert code(done) == 0 and all(path.exists() for path in left)
    text = "".join(done.output.split())
    assert all(path.name in text for path in left)


def test_a_dry_run_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    before = sorted(tmp_path.rglob("*"))
    assert code(collect("--dry-run")) == 0 and sorted(tmp_path.rglob("*")) == before


def test_with_yes_all_of_it_goes_and_the_record_stays(left: list[Path]) -> None:
    session = left[0].parent
    (session / "events.jsonl").write_text("")
    done = collect("--yes")
    assert code(done) == 0 and f"Removed {len(left)} of {len(left)}." in done.output
    assert not any(path.exists() for path in left) and (session / "events.jsonl").exists()
    assert "No leftovers" in collect().output


def test_it_asks_first_and_no_is_the_default(left: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "_can_ask", lambda: True)
    assert code(collect(answer="\n")) == 0 and all(path.exists() for path in left)
    assert code(collect(answer="y\n")) == 0 and not any(path.exists() for path in left)


def test_without_a_terminal_to_ask_nothing_is_removed(left: list[Path]) -> None:
    done = collect()
    assert isinstance(done.exception, InputError) and "Pass --yes" in str(done.exception)
    assert all(path.exists() for path in left)


def test_what_is_in_use_is_left_alone(_own_tmp: Path) -> None:
    session = sessions_folder() / "20261122-100000-abcd"
    session.mkdir()
    (session / "data.lbds").write_bytes(b"x")
    (fresh := cache_folder("packages") / ".making-now").mkdir()
    (worker := _own_tmp / f"lbench-worker-{os.getpid()}-abc").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(runtime_folder() / f"100000-abcd-{os.getpid()}.sock"))
        listening.listen()
        with Scratch() as scratch:
            lock = FolderLock(session)
            assert "No leftovers" in collect("--yes").output
            lock.release()
            assert scratch.path.exists() and fresh.exists() and worker.exists()
    assert not (session / "data.lbds").exists() or "data set" in collect("--dry-run").output


def computed(*names: str) -> list[Path]:
    """Results that `--answers compute` has kept, each older than the next one."""
    paths = [cache_folder("tasks") / f"{name}.task" for name in names]
    for age, path in enumerate(reversed(paths)):
        path.write_bytes(bytes(5000))
        os.utime(path, (1e9 - age, 1e9 - age))
    return paths


def test_kept_results_of_simulated_runs_are_one_line_and_go_together() -> None:
    kept = computed("a", "b", "c")
    (other := kept[0].with_name("notes.txt")).write_text("x")
    listed = collect("--dry-run")
    assert "computed results of simulated runs (3)" in " ".join(listed.output.split()) and "25 kB" in listed.output
    assert all(path.exists() for path in kept)
    done = collect("--yes")
    assert code(done) == 0 and "Removed 1 of 1." in done.output
    assert not any(path.exists() for path in kept) and other.exists()


def test_kept_results_stay_while_an_engine_runs() -> None:
    kept = computed("a")
    (session := sessions_folder() / "20261122-100000-abcd").mkdir()
    lock = FolderLock(session)
    assert "No leftovers" in collect("--yes").output and kept[0].exists()
    lock.release()
    assert "computed results" in collect("--dry-run").output


def test_leftovers_that_cannot_be_removed_are_named_and_exit_1(
    left: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    done = collect("--yes")
    assert code(done) == 1 and "data.lbds: Permission denied" in "".join(done.output.split("\n"))


def test_objects_of_a_killed_run_are_found_by_its_journal_and_go(aws_lambda: Any) -> None:
    bucket = aws_lambda.deploy()
    s3 = aws_lambda.client("s3")
    for key in ("tmp/0123456789abcdef/0.data", "tmp/0123456789abcdef/1.task", "tmp/another/0.data", "code/x.zip"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    session = sessions_folder() / "20261122-100000-abcd"
    session.mkdir()
    settings = {"stack": "lbench", "region": "us-east-1", "temporary": "tmp/0123456789abcdef"}
    journal(session, settings)
    looked = collect("--dry-run")
    assert "objects of a killed run" in " ".join(looked.output.split()), looked.output
    assert len(aws_lambda.keys(bucket)) == 4
    assert code(collect("--yes")) == 0
    assert aws_lambda.keys(bucket) == ["code/x.zip", "tmp/another/0.data"]


def test_a_deployment_that_cannot_be_read_does_not_stop_the_rest(aws: Any, aws_server: Any, left: list[Path]) -> None:
    aws.rule(lambda request: aws_server.refusal("AccessDenied", "no", 403))
    journal(left[0].parent, {"stack": "lbench", "region": "us-east-1", "temporary": "tmp/0123456789abcdef"})
    done = collect("--yes")
    assert code(done) == 1 and "may not do DescribeStacks" in " ".join(done.output.split())
    assert not any(path.exists() for path in left)


def test_a_deployment_that_was_destroyed_holds_nothing_that_a_run_has_left(aws: Any) -> None:
    (session := sessions_folder() / "20261122-100000-abcd").mkdir()
    journal(session, {"stack": "gone", "region": "us-east-1", "temporary": "tmp/0123456789abcdef"})
    done = collect()
    assert code(done) == 0 and "No leftovers" in done.output


def place_left(**given: Any) -> StorePlace:
    """A place in a store whose engine was killed: its record stays, and nobody holds the lock."""
    place = StorePlace(f"lbench-{len(list(data_folder('stores').iterdir())):016x}", **given)
    StoreRecord(place).close(cleared=False)
    return place


def test_what_killed_engines_left_in_shared_folders_goes_and_nothing_else(tmp_path: Path) -> None:
    store = tmp_path / "store"
    mine = place_left(above=str(store))
    gone = place_left(above=str(store))
    foreign = StoreRecord(StorePlace("lbench-00000000000000ff", str(store)))  # in use
    record = data_folder("stores") / gone.name / "place.json"
    for name in (mine.name, "lbench-00000000000000ff", "other", "lbench-fedcba9876543210"):
        (store / name / "r1").mkdir(parents=True)
        (store / name / "r1/o1").write_bytes(bytes(3000))
    (elsewhere := place_left(above=str(store)))
    file = data_folder("stores") / elsewhere.name / "place.json"
    file.write_text(file.read_text().replace(socket.gethostname(), "another-machine"))
    (store / elsewhere.name).mkdir()
    (wrong := data_folder("stores") / "other").mkdir()  # a record that names what no engine makes
    (wrong / "place.json").write_text(json.dumps({"name": "other", "above": str(store), "host": socket.gethostname()}))
    listed = collect("--dry-run")
    assert "temporary objects of a killed run" in " ".join(listed.output.split()) and "3 kB" in listed.output
    assert code(collect("--yes")) == 0
    left = {elsewhere.name, "lbench-00000000000000ff", "other", "lbench-fedcba9876543210"}
    assert {path.name for path in store.iterdir()} == left
    assert not record.exists() and not (data_folder("stores") / mine.name).exists()
    assert "No leftovers" in collect("--yes").output
    foreign.close(cleared=True)
    assert not (data_folder("stores") / "lbench-00000000000000ff").exists()


def test_objects_that_killed_engines_left_in_a_bucket_go_and_nothing_else(aws_lambda: Any) -> None:
    bucket = aws_lambda.deploy()
    s3 = aws_lambda.client("s3")
    mine = place_left(above="some/prefix", bucket=bucket, region="us-east-1", endpoint=aws_lambda.endpoint)
    keys = [f"{mine.path}/0.r1/o1", f"{mine.path}/1.r2/o", f"some/prefix/{mine.name}x/o", "some/prefix/o"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    held = StoreRecord(StorePlace("lbench-00000000000000ff", "", bucket, "us-east-1", aws_lambda.endpoint))
    s3.put_object(Bucket=bucket, Key="lbench-00000000000000ff/o", Body=b"1")
    listed = " ".join(collect("--dry-run").output.split())
    assert "temporary objects of a killed run" in listed
    assert set(aws_lambda.keys(bucket)) == {*keys, "lbench-00000000000000ff/o"}
    done = collect("--yes")
    assert code(done) == 0 and "Removed 1 of 1." in done.output
    assert set(aws_lambda.keys(bucket)) == {*keys[2:], "lbench-00000000000000ff/o"}
    assert "No leftovers" in collect().output
    held.close(cleared=True)


def test_objects_at_another_endpoint_are_not_looked_for_here(aws_lambda: Any) -> None:
    place_left(above="", bucket="mine", region="us-east-1", endpoint="http://minio.example:9000")
    done = collect("--yes")
    text = " ".join(done.output.split())
    assert code(done) == 1 and "where the S3 endpoint is http://minio.example:9000: run it again there" in text


def journal(folder: Path, settings: dict[str, Any]) -> None:
    """Of an engine that was killed in the middle of a run."""
    planned = {"event": "planned", "run": "r1", "workload": "probe", "params": {}, "seed": 1, "backend": "lambda"}
    planned |= {"label": "lambda", "origin": "measured", "repeat": 0, "warmup": False, "schedule": "isolated"}
    started = {"event": "started", "run": "r1", "started": "2026-11-22T10:00:00.000+00:00", "setup_s": 1.0}
    started |= {"settings": settings, "transport": "direct", "oversubscribed": False, "code_digest": "x"}
    started |= {"package_digest": None, "pricing": {}}
    environment = {"cpu_model": None}
    header = {"event": "session", "id": folder.name, "name": "", "created": "2026-11-22T10:00:00+00:00"}
    header |= {"lbench_version": "0", "environment": environment, "format": "lbench.journal", "version": 1}
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in (header, planned, started)))
