"""A part of a data set is the same, whether the file is mapped here or read from afar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lbench.errors import DataFileError
from lbench.workloads.dataset import Dataset, RemoteDataset, open_dataset, write_dataset


@pytest.mark.parametrize("notes", [0, 5000])  # the header in one piece, and in two
def test_a_remote_part_equals_the_mapped_part(tmp_path: Path, notes: int) -> None:
    arrays = {
        "x": np.arange(1000.0).reshape(100, 2, 5),
        "empty": np.empty((0, 3)),
        "text": np.arange(77, dtype=np.uint8),
    }
    whole = Dataset(arrays, source="s", rows=1, columns=1, notes=["a note of some length"] * notes)
    write_dataset(whole, tmp_path / "data")
    body, asked = (tmp_path / "data").read_bytes(), []

    def read(first: int, end: int) -> bytes:
        asked.append(end - first)
        return body[first:end]

    here, there = open_dataset(tmp_path / "data"), RemoteDataset(read)
    for name in arrays:
        for first, end in ((0, 10), (3, 4), (50, 5000), (5, 5), (0, 0)):
            mapped, fetched = here.part(name, first, end), there.part(name, first, end)
            assert fetched.dtype == mapped.dtype and fetched.shape == mapped.shape
            assert fetched.tobytes() == mapped.tobytes()
    assert len(asked) == 15 + (2 if notes else 1)  # the header is read once
    assert asked[2 if notes else 1] == 10 * 2 * 5 * 8


@pytest.mark.parametrize("body", [b"", b"LBDATA01", b"something else altogether, and long enough"])
def test_remote_bytes_that_are_no_data_set_are_refused(body: bytes) -> None:
    with pytest.raises(DataFileError, match="not a data set"):
        RemoteDataset(lambda first, end: body[first:end]).part("x", 0, 1)
