"""The results that `--answers compute` keeps: the newest of them, up to a size."""

from __future__ import annotations

import os
from pathlib import Path

from lbench.engine.backends.simulated.answers import kept_tasks, trim


def test_the_oldest_results_go_where_too_many_are_kept(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.task" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(b"x")
        os.utime(path, (1e9 + number, 1e9 + number))
    (other := tmp_path / "notes.txt").write_bytes(bytes(100_000))
    assert [path for path, _, _ in kept_tasks(tmp_path)] == paths
    trim(tmp_path, 2 * 4096)
    assert [path.exists() for path in paths] == [False, False, True, True] and other.exists()
    trim(tmp_path, 2 * 4096)
    assert len(kept_tasks(tmp_path)) == 2


def test_a_folder_that_is_not_there_keeps_nothing(tmp_path: Path) -> None:
    trim(tmp_path / "none")
    assert kept_tasks(tmp_path / "none") == []
