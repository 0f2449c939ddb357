"""The census files as rows of numbers: known by their form, what is used of them, what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lbench.errors import DataFileError, InputError
from lbench.workloads.dataset import Dataset
from lbench.workloads.kmeans import KMeansParams
from lbench.workloads.kmeans.rows import load_rows

DATA = Path(os.environ.get("LBENCH_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def person(**cells: Any) -> str:
    row = {
        "age": 39,
        "workclass": "Private",
        "fnlwgt": 77516,
        "education": "Bachelors",
        "education_years": 13,
        "marital_status": "Divorced",
        "occupation": "Sales",
        "relationship": "Husband",
        "race": "White",
        "sex": "Male",
        "capital_gain": 0,
        "capital_loss": 0,
        "hours_per_week": 40,
        "native_country": "Cuba",
        "label": "<=50K",
    }
    return ", ".join(str(cell) for cell in (row | cells).values())


def people(count: int = 40, **cells: Any) -> list[str]:
    return [person(age=20 + i, sex=("Male", "Female")[i % 2], **cells) for i in range(count)]


def read(tmp_path: Path, lines: list[str], **values: Any) -> Dataset:
    path = tmp_path / "adult.data"
    path.write_text("\n".join(lines) + "\n")
    return load_rows(KMeansParams(**{"k": 3, **values}), path)


def refused(tmp_path: Path, lines: list[str], **values: Any) -> str:
    with pytest.raises((DataFileError, InputError)) as caught:
        read(tmp_path, lines, **values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_numbers_are_standardised_and_texts_become_columns(tmp_path: Path) -> None:
    data = read(tmp_path, people())
    assert data.meta["features"] == ["age", "sex=Female", "sex=Male"]
    rows = data["X"] + data["means"]
    assert rows[:, 0].mean() == pytest.approx(0, abs=1e-12) and rows[:, 0].std() == pytest.approx(1)
    np.testing.assert_allclose(rows[:4, 1], [0, 1, 0, 1], atol=1e-12)
    assert any("everywhere equal" in note and "hours_per_week" in note for note in data.notes)


def test_texts_may_be_left_out(tmp_path: Path) -> None:
    data = read(tmp_path, people(), categories="drop")
    assert data.meta["features"] == ["age"]


def test_a_column_of_many_texts_is_left_out_with_a_note(tmp_path: Path) -> None:
    data = read(tmp_path, [person(age=i, native_country=f"land {i}") for i in range(40)])
    assert data.meta["features"] == ["age"]
    assert any("native_country (40)" in note for note in data.notes)


def test_a_missing_number_becomes_the_mean_and_a_missing_text_a_text_of_its_own(tmp_path: Path) -> None:
    data = read(tmp_path, [*people(), person(age="?", workclass="?")])
    assert (data["X"] + data["means"])[-1, 0] == pytest.approx(0, abs=1e-12)
    assert "workclass=?" in data.meta["features"]
    assert any("missing numbers became their column's mean: age 1" in note for note in data.notes)


@pytest.mark.parametrize("cell", ["NaN", "?", ""])
def test_a_column_without_any_number_is_left_out(cell: str, tmp_path: Path) -> None:
    data = read(tmp_path, people(hours_per_week=cell))
    assert "hours_per_week" not in data.meta["features"] and np.isfinite(data["X"]).all()


def test_the_test_files_remark_and_dotted_labels_are_accepted(tmp_path: Path) -> None:
    lines = ["|1x3 Cross validator", *(line + "." for line in people()), ""]
    assert read(tmp_path, lines).rows == 40


def test_rows_limits_how_many_rows_are_read(tmp_path: Path) -> None:
    data = read(tmp_path, people(), rows=12)
    assert data.rows == 12 and "first 12 rows" in data.source


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (people(2), "parameter k=3: must be at most 2, the number of rows"),
        ([], "is empty"),
        (["|1x3 Cross validator"], "has no rows"),
        (["a,b,c", "1,2,3"], "neither Census-Income (KDD)"),
        ([person(label="rich")], "neither Census-Income (KDD)"),
        ([person()] * 30, "everywhere equal"),
        ([*people(), *(["1,2"] * 5)], "5 bad rows of 45"),
    ],
)
def test_unusable_files_are_refused_in_one_line(lines: list[str], message: str, tmp_path: Path) -> None:
    if not lines:
        (tmp_path / "adult.data").write_bytes(b"")
        with pytest.raises(DataFileError, match="is empty"):
            load_rows(KMeansParams(), tmp_path / "adult.data")
        return
    assert message in refused(tmp_path, lines)


@pytest.mark.parametrize("cell", ["old", "inf", "4_0"])
def test_a_column_that_is_not_understood_is_dropped_and_named(cell: str, tmp_path: Path) -> None:
    data = read(tmp_path, [*people(hours_per_week=3), *[person(age=cell)] * 5])
    assert data.rows == 45 and "age" not in data.meta["features"]
    assert f"1 column dropped, not understood (first cell): age ({cell!r})" in data.notes


HEADER = "age,workclass,fnlwgt,education,education.num,marital-status,occupation,relationship,race,gender,capital gain"
HEADER += ",capital-loss,hours.per.week,native country,income"


def test_copies_with_header_index_or_other_labels_are_the_same_data(tmp_path: Path) -> None:
    plain = read(tmp_path, people())
    copies = {
        "header": [HEADER, *people()],
        "index": [f"{at},{line}" for at, line in enumerate(people())],
        "header and index": [f",{HEADER}", *(f"{at},{line}" for at, line in enumerate(people()))],
        "labels": [line.replace("<=50K", str(at % 2)) for at, line in enumerate(people())],
        "labels of numbers": [line.replace("<=50K", f"{at % 2}.0") for at, line in enumerate(people())],
        "labels of one sign": [line.replace("<=50K", "\u226450K") for line in people()],
        "carets": [line.replace(",", "^") for line in people()],
        "a second byte order mark": [f"\ufeff\ufeff{HEADER}", *people()],
        "unknown header": ["c" + ",c".join(map(str, range(15))), *people()],
        "reversed": [",".join(line.split(",")[::-1]) for line in [HEADER, *people()]],
        "semicolons": [line.replace(",", ";") for line in people()],
        "no label": [line.rpartition(",")[0] for line in [HEADER, *people()]],
    }
    for name, lines in copies.items():
        data = read(tmp_path, lines)
        assert data.meta["features"] == plain.meta["features"], name
        np.testing.assert_array_equal(data["X"], plain["X"], name)
    assert any("index" in note for note in read(tmp_path, copies["index"]).notes)


def test_a_copy_with_sexes_of_one_letter_is_known_by_its_form(tmp_path: Path) -> None:
    lines = [line.replace("Female", "F").replace("Male", "M") for line in people()]
    assert read(tmp_path, lines).rows == len(lines)


def test_a_few_bad_rows_are_skipped_with_a_note(tmp_path: Path) -> None:
    data = read(tmp_path, [*people(), "1,2"])
    assert data.rows == 40 and any("1 bad row skipped" in note for note in data.notes)


@pytest.mark.parametrize(("name", "rows", "columns"), [("adult.data.zst", 3000, 64), ("adult.test.zst", 3000, 64)])
def test_the_published_files_are_known_by_their_form(name: str, rows: int, columns: int) -> None:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not there: set LBENCH_TEST_DATA")
    data = load_rows(KMeansParams(rows=rows), path)
    assert data.rows == rows and abs(data.columns - columns) <= 2
    assert not {"fnlwgt", "label"} & set(data.meta["features"])


def test_census_income_is_known_by_its_form() -> None:
    path = DATA / "census-income.data.zst"
    if not path.is_file():
        pytest.skip("the Census-Income file is not there: set LBENCH_TEST_DATA")
    data = load_rows(KMeansParams(rows=3000, dtype="float32"), path)
    assert data["X"].dtype == np.float32
    assert "weeks_worked" in data.meta["features"] and "instance_weight" not in data.meta["features"]
