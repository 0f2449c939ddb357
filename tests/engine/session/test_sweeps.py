"""The newest sweep is found without reading the same journals again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lbench.engine.session import sweeps
from lbench.engine.session.sweeps import newest_sweep

OTHER = b'{"event":"answered","text":"\\"sweep\\":{"}\n'
SWEPT = b'{"event":"planned","run":"r9","sweep":{"id":"s1","point":{"size":1}}}\n'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sweeps, "_without", {})

    def write(name: str, *lines: bytes) -> Path:
        folder = tmp_path / "lbench/sessions" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "events.jsonl").write_bytes(b"".join(lines))
        return folder

    return write


@pytest.mark.parametrize("chunk", [7, 8, 9, 10, 64, 1 << 20])
def test_a_sweep_is_found_also_after_other_runs(
    chunk: int, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "_CHUNK_BYTES", chunk)
    write("20261101-120000-aaaa", *[OTHER] * 20)
    swept = write("20261101-110000-bbbb", *[OTHER] * 20, SWEPT, OTHER)
    write("20261101-100000-cccc", SWEPT)
    assert newest_sweep() == swept


def test_a_journal_without_one_is_read_once_while_it_stays_the_same(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("20261101-120000-aaaa", *[OTHER] * 20)
    growing = write("20261101-110000-bbbb", OTHER)
    read: list[object] = []
    look = sweeps._mentions_sweep
    monkeypatch.setattr(sweeps, "_mentions_sweep", lambda file: read.append(file) or look(file))
    assert newest_sweep() is None and len(read) == 2
    assert newest_sweep() is None and len(read) == 2
    write("20261101-110000-bbbb", OTHER, SWEPT)
    assert newest_sweep() == growing and len(read) == 3


def test_what_an_index_knows_is_not_read(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    newest, older = write("20261101-120000-aaaa", OTHER), write("20261101-110000-bbbb", OTHER)
    monkeypatch.setattr(sweeps, "_mentions_sweep", lambda file: pytest.fail("it was read"))
    assert newest_sweep(lambda folder: folder == older) == older != newest
