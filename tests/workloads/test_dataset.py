from pathlib import Path

import numpy as np
import pytest

from lbench.errors import DataFileError, EncodingError
from lbench.workloads.dataset import Dataset, file_digest, open_dataset, write_dataset


def sample() -> Dataset:
    return Dataset(
        {
            "X": np.arange(12, dtype=np.float32).reshape(4, 3),
            "y": np.array([0, 1, 1, 0], dtype=np.uint8),
            "none": np.empty((0, 3), dtype=np.float64),
            "one": np.array(7, dtype=np.int16),
            "big_endian": np.array([1.5, 2.5], dtype=">f8"),
            "text": np.array(["a", "bcd"]),
            "days": np.array(["2018-01-31"], dtype="datetime64[D]"),
            "turned": np.arange(6).reshape(2, 3).T,
        },
        source="a test",
        rows=4,
        columns=3,
        notes=["two rows were dropped"],
        meta={"features": ["a", "b", "c"]},
    )


def test_a_written_data_set_is_read_back(tmp_path: Path) -> None:
    written, path = sample(), tmp_path / "data"
    write_dataset(written, path)
    read = open_dataset(path)
    assert list(read.arrays) == list(written.arrays)
    for name, array in written.arrays.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert np.array_equal(read[name], array)
    assert (read.source, read.rows, read.columns) == ("a test", 4, 3)
    assert read.notes == ["two rows were dropped"]
    assert read.meta == {"features": ["a", "b", "c"]}


def test_arrays_are_aligned_read_only_views(tmp_path: Path) -> None:
    path = tmp_path / "data"
    write_dataset(sample(), path)
    X = open_dataset(path)["X"]
    assert not X.flags.owndata and not X.flags.writeable
    assert X.ctypes.data % 64 == 0


def test_equal_data_sets_give_equal_bytes_and_digests(tmp_path: Path) -> None:
    first = write_dataset(sample(), tmp_path / "first")
    second = write_dataset(sample(), tmp_path / "second")
    assert first == second == file_digest(tmp_path / "first")
    other = sample()
    other.notes.append("more")
    assert write_dataset(other, tmp_path / "third") != first


def test_python_objects_cannot_be_stored(tmp_path: Path) -> None:
    data = Dataset({"X": np.array([{}], dtype=object)}, source="", rows=1, columns=1)
    with pytest.raises(EncodingError, match="holds Python objects"):
        write_dataset(data, tmp_path / "data")


@pytest.mark.parametrize("kept", [0, 1, 7, 12, 30, 150, -1])
def test_a_torn_file_is_refused_in_one_line(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "data"
    data = sample()
    data.arrays = {"X": data["X"]}
    write_dataset(data, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataFileError) as caught:
        open_dataset(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("loan_amnt,loan_status\n" * 20)
    with pytest.raises(DataFileError, match="is not an lbench data set"):
        open_dataset(path)
    with pytest.raises(DataFileError, match="cannot be read"):
        open_dataset(tmp_path / "absent")
    with pytest.raises(DataFileError, match="cannot be read"):
        open_dataset(tmp_path)
