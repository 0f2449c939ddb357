import csv
import gzip
import io
import os
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lbench.errors import DataFileError
from lbench.workloads.data_file import describe_file
from lbench.workloads.dataset import Dataset
from lbench.workloads.random_forest import table
from lbench.workloads.random_forest.columns import FEATURES
from lbench.workloads.random_forest.loans import explain, read_loans

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEADER = ["id", "loan_amnt", "term", "int_rate", "emp_length", "home_ownership", "total_pymnt", "loan_status"]
DATA = Path(os.environ.get("LBENCH_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def loan(status: str = "Fully Paid", **cells: object) -> list[object]:
    row: dict[str, object] = {
        "id": 17,
        "loan_amnt": 5000,
        "term": " 36 months",
        "int_rate": "10.65%",
        "emp_length": "10+ years",
        "home_ownership": "RENT",
        "total_pymnt": 5863.15,
        "loan_status": status,
    }
    return list((row | cells).values())


def loans(count: int = 100) -> list[list[object]]:
    return [loan("Charged Off" if i % 4 == 0 else "Fully Paid", loan_amnt=1000 + i) for i in range(count)]


def text(rows: list[list[object]], header: list[str] = HEADER) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()


def read(tmp_path: Path, content: str | bytes, rows: int | None = None) -> Dataset:
    path = tmp_path / "loans.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_loans(path, rows)


def refused(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(DataFileError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert "\n" not in message and "loans.csv" in message
    return message


def same(data: Dataset, other: Dataset) -> bool:
    return np.array_equal(data["X"], other["X"]) and np.array_equal(data["y"], other["y"])


def test_a_file_becomes_numbers_and_labels(tmp_path: Path) -> None:
    data = read(tmp_path, text(loans()))
    assert data.meta["features"] == ["loan_amnt", "term", "int_rate", "emp_length", "home_ownership"]
    assert data["X"].dtype == np.float32 and data["X"].flags.c_contiguous and data["X"].shape == (100, 5)
    assert data["X"][3].tolist() == [1003, 36, np.float32(10.65), 10, 0]
    assert data["y"].tolist()[:5] == [1, 0, 0, 0, 1]
    assert (data.rows, data.columns) == (100, 5)


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstd.compress,
    "gz in two members": lambda b: gzip.compress(b[:1000]) + gzip.compress(b[1000:]),
    "zst in two frames": lambda b: zstd.compress(b[:1000]) + zstd.compress(b[1000:]),
    "with a byte order mark": lambda b: b"\xef\xbb\xbf" + b,
    "with an unterminated last line": lambda b: b.rstrip(),
    "with Unix line ends": lambda b: b.replace(b"\r\n", b"\n"),
    "with blank lines at the end": lambda b: b + b"\r\n\r\n",
}


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS)
def test_every_compression_gives_the_same_loans(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    plain = text(loans(3000))
    assert same(read(tmp_path, pack(plain.encode())), read(tmp_path, plain))


def test_the_lines_around_the_loans_of_a_full_file_are_left_out_and_counted(tmp_path: Path) -> None:
    table = text(loans())
    first, rest = table.split("\r\n", 1)
    full = (
        "Notes offered by Prospectus (https://www.lendingclub.com/info/prospectus.action)\r\n"
        f"{first}\r\n{rest}"
        "\r\n\r\n"
        "Loans that do not meet the credit policy\r\n"
        f"{text([loan('Does not meet the credit policy. Status:Charged Off')])}"
        "Total amount funded in policy code 1: 460296150\r\n"
        "Total amount funded in policy code 2: 0,,,,,,,\r\n"
    )
    data = read(tmp_path, full)
    assert data.rows == 101 and data["y"][-1] == 1
    assert "4 rows left out that are not loans (totals, headings)" in data.notes


def test_unfinished_loans_are_left_out_and_counted_by_status(tmp_path: Path) -> None:
    data = read(tmp_path, text([*loans(), loan("Current"), loan("Current"), loan("Late (31-120 days)")]))
    assert data.rows == 100
    assert data.notes[0] == "100 of 103 loans used: 75 fully paid, 25 charged off"
    assert data.notes[1] == "3 loans left out, not finished: 2 Current, 1 Late (31-120 days)"


def test_columns_known_only_after_the_outcome_are_dropped_and_named(tmp_path: Path) -> None:
    data = read(tmp_path, text(loans()))
    assert "1 column dropped, known only after the loan was made: total_pymnt" in data.notes
    assert "1 column dropped, not of the kind that the original study used: id" in data.notes
    changed = [[*row[:6], -1e6 if row[7] == "Charged Off" else 1e6, *row[7:]] for row in loans()]
    assert same(data, read(tmp_path, text(changed)))


def test_missing_values_are_marked_and_counted_by_column(tmp_path: Path) -> None:
    holes = [loan(emp_length="n/a"), loan(emp_length="", int_rate=""), loan(home_ownership="")]
    data = read(tmp_path, text([*loans(), *holes]))
    assert data["X"][-2].tolist() == [5000, 36, -1, -1, 0]
    assert data["X"][-1, 4] == -1
    assert "missing values became -1, below every real one: int_rate 1, emp_length 2, home_ownership 1" in data.notes


@pytest.mark.parametrize(
    "write",
    [
        lambda name: name.replace("_", " ").title(),
        lambda name: name.replace("_", " ").title().replace(" ", ""),
        lambda name: name.replace("_", "-").upper(),
        lambda name: f"\ufeff {name}\u200b",
    ],
    ids=["words", "camel", "hyphens", "unseen"],
)
def test_a_header_may_be_written_in_other_ways(tmp_path: Path, write: Callable[[str], str]) -> None:
    content = text(loans(), [write(name) for name in HEADER])
    assert same(read(tmp_path, content), read(tmp_path, text(loans())))
    read(tmp_path, content)
    assert any("fully paid" in note for note in describe_file(tmp_path / "loans.csv").notes)


@pytest.mark.parametrize(
    "write", [str.upper, lambda status: status.replace(" ", "_"), lambda s: s.replace(" ", "\xa0")]
)
def test_an_outcome_may_be_written_in_other_ways(tmp_path: Path, write: Callable[[str], str]) -> None:
    rows = [[*row[:-1], write(str(row[-1]))] for row in loans()]
    assert same(read(tmp_path, text(rows)), read(tmp_path, text(loans())))


def test_is_bad_may_be_a_word(tmp_path: Path) -> None:
    rows = [[*row[:-1], str(row[-1] == "Charged Off")] for row in loans()]
    assert same(read(tmp_path, text(rows, [*HEADER[:-1], "is_bad"])), read(tmp_path, text(loans())))


def test_outcomes_that_are_not_understood_are_named(tmp_path: Path) -> None:
    rows = [[*row[:-1], "1" if row[-1] == "Charged Off" else "0"] for row in loans()]
    assert "100 that are not finished ('0', '1')" in refused(tmp_path, text(rows))


def test_a_column_without_a_value_is_dropped(tmp_path: Path) -> None:
    header = [*HEADER, "dti"]
    data = read(tmp_path, text([[*row, ""] for row in loans()], header))
    assert "dti" not in data.meta["features"] and data.columns == data["X"].shape[1] == 5
    assert "1 column dropped, without a value in any row: dti" in data.notes


def test_categories_are_numbered_alphabetically_whatever_the_order_of_rows(tmp_path: Path) -> None:
    rows = [
        loan("Charged Off" if i % 3 else "Fully Paid", home_ownership=h)
        for i, h in enumerate(["RENT", "NONE", "OWN"] * 40)
    ]
    forth = read(tmp_path, text(rows))
    back = read(tmp_path, text(rows[::-1]))
    assert forth.meta["categories"] == back.meta["categories"] == {"home_ownership": ["NONE", "OWN", "RENT"]}
    assert np.array_equal(forth["X"], back["X"][::-1])
    assert forth["X"][:3, 4].tolist() == [2, 0, 1]


def test_a_few_bad_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    bad = [loan(loan_amnt="much"), loan()[:5], [*loan(), 1, 2]]
    data = read(tmp_path, text([*bad, *loans()]))
    assert data.rows == 100
    assert "3 bad rows skipped (first: line 2: loan_amnt is 'much')" in data.notes


def test_a_row_cut_off_at_the_end_of_a_plain_file_is_a_bad_row(tmp_path: Path) -> None:
    data = read(tmp_path, text(loans())[:-25])
    assert data.rows == 99
    assert any(note.startswith("1 bad row skipped") for note in data.notes)


def test_too_many_bad_rows_are_an_error(tmp_path: Path) -> None:
    message = refused(tmp_path, text([*loans(), *[loan()[:5]] * 6]))
    assert "6 bad rows of 106, more than 5%" in message and "line 102: 5 fields in place of 8" in message


def test_a_column_that_is_not_understood_is_dropped_and_named_and_the_rows_stay(tmp_path: Path) -> None:
    data = read(
        tmp_path,
        text([*loans(), *[loan(int_rate="?!")] * 6]),
    )
    assert data.rows == 106 and "int_rate" not in data.meta["features"]
    assert "1 column dropped, not understood (first cell): int_rate ('?!')" in data.notes


def test_several_columns_with_a_few_bad_cells_each_never_condemn_the_rows(tmp_path: Path) -> None:
    header = [*HEADER, "dti", "open_acc"]
    rows = [[*row, 1, 2] for row in loans(300)]
    for at in range(12):
        rows[at][-2] = "x"
        rows[100 + at][-1] = "y"
    data = read(tmp_path, text(rows, header))
    assert data.rows == 288 and len(set(data.meta["features"]) & {"dti", "open_acc"}) == 1
    assert any("not understood" in note for note in data.notes) and any("12 bad rows" in note for note in data.notes)


def test_rows_limits_how_many_rows_are_read(tmp_path: Path) -> None:
    data = read(tmp_path, text(loans(500)), rows=200)
    assert data.rows == 200 and data.source == "loans.csv, first 200 loans"
    assert "was not read" in data.notes[0]
    assert same(data, read(tmp_path, text(loans(200))))


def test_beside_the_values_there_is_no_second_copy_of_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_BLOCK", 1000)
    path = tmp_path / "loans.csv"
    header = [*HEADER[:-1], *(name for name in FEATURES if name not in HEADER), "loan_status"]
    rows = loans(100)
    rows[3][1] = "oops"  # a bad row and a column that is not understood: both are taken out of the values
    wide = [
        [*row[:-1], *["?!" if name == "dti" else "7" for name in header[len(row) - 1 : -1]], row[-1]] for row in rows
    ]
    path.write_text(text(wide * 200, header))
    tracemalloc.start()
    try:
        data = read_loans(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert data.rows == 200 * 99 and not any(feature == "dti" for feature in data.meta["features"])
    assert peak < 1.25 * len(FEATURES) * 4 * len(wide) * 200 + 3_000_000


def test_the_source_names_the_file_and_its_digest(tmp_path: Path) -> None:
    import hashlib

    content = gzip.compress(text(loans()).encode())
    assert read(tmp_path, content).source == f"loans.csv, SHA-256 {hashlib.sha256(content).hexdigest()}"


NOISE = random.Random(1).randbytes(5000)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (NOISE, "is not a CSV text file"),
        (b"loan_amnt,loan_status\n" * 99 + b"\0" * 50, "zero bytes"),
        (b"PK\x03\x04" + NOISE, "zip archive"),
        (b"PAR1" + NOISE, "Parquet"),
        (gzip.compress(NOISE, mtime=0), "is not a CSV text file"),
        (b"a,b,c\n1,2,3\n", "no column loan_status"),
        ("just some prose\n" * 50, "no column loan_status"),
        (text([[1, "Fully Paid"]], ["loan_amnt", "loan_status"]), "columns (only loan_amnt of"),
        (text([["Fully Paid"]], ["loan_status"]), "too few of Lending Club's columns (none of"),
        (text([]), "a header and no loans"),
        (text([loan()] * 100), "100 fully paid loans, 0 charged off: at least 20 of both"),
        (text([loan("Current")] * 100), "0 charged off, and 100 that are not finished"),
        ('"' + text(loans(3000)), "line 1: a quotation mark opens a field and is not closed"),
        (text([*loans(), loan(home_ownership="x@y"), *loans(3000)]).replace("x@y", '"x'), "line 102: a quotation mark"),
        (text([loan(term="@", int_rate="@", emp_length="@") for i in range(300)] + loans()), "too few columns that are"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "",
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    assert says in refused(tmp_path, content)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_compressed_data_that_end_too_early_are_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], kept: float
) -> None:
    packed = pack(text([loan(loan_amnt=random.randrange(10**6)) for _ in range(3000)]).encode())
    message = refused(tmp_path, packed[: max(5, int(len(packed) * kept))])
    assert "cut short" in message


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_damaged_compressed_data_are_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    packed = bytearray(pack(text([loan(loan_amnt=random.randrange(10**6)) for _ in range(3000)]).encode()))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = bytes(40)
    message = refused(tmp_path, bytes(packed))
    assert "damaged" in message or "zero bytes" in message or "cut short" in message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"does not exist: name a CSV file, or leave out --data"):
        read_loans(tmp_path / "absent.csv")
    with pytest.raises(DataFileError, match="is a folder"):
        read_loans(tmp_path)


def test_without_the_zstd_package_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, zstd.__name__.partition(".")[0], None)
    assert "needs the package backports.zstd" in refused(tmp_path, zstd.compress(text(loans()).encode()))
    assert read(tmp_path, gzip.compress(text(loans()).encode())).rows == 100


def test_the_explanation_names_every_column_and_no_address() -> None:
    assert all(name in explain() for name in FEATURES)
    assert "http" not in explain()
    assert max(map(len, explain().splitlines())) <= 110


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there: point LBENCH_TEST_DATA at the folder that holds it")
    return path


def test_the_real_loans_of_2007_to_2011_are_all_used() -> None:
    data = read_loans(real("lendingclub_LoanStats3a_2007-2011_39786x16.csv.zst"))
    assert data["X"].shape == (39_786, 15)
    assert np.bincount(data["y"]).tolist() == [34_116, 5_670]
    assert data["X"][1].tolist()[:4] == [2500, 60, 0, 4]
    assert not np.isnan(data["X"]).any()


def test_the_file_labelled_is_bad_is_read() -> None:
    data = read_loans(real("lendingclub_10k_9995x20.csv.zst"))
    assert data["X"].shape == (9_995, 19)
    assert np.bincount(data["y"]).tolist() == [8_700, 1_295]
    assert {"int_rate", "grade", "dti", "credit_length"} <= set(data.meta["features"])


@pytest.mark.parametrize("form", ["10000x55", "standardnames"])
def test_the_openintro_file_is_refused_for_its_few_finished_loans(form: str) -> None:
    with pytest.raises(DataFileError, match="447 fully paid loans, 7 charged off, and 9,546 that are not finished"):
        read_loans(real(f"lendingclub_openintro_2018Q1_{form}.csv.zst"))
