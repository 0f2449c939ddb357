"""map_reduce: the answer equals a sequential loop's, byte for byte, for any division; refusals; the summary."""

from __future__ import annotations

import math
import random
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.errors import BackendError, DataFileError, EncodingError, InputError
from lbench.workloads import functions, registry
from lbench.workloads.dataset import Dataset, open_dataset, write_dataset
from lbench.workloads.encoding import decode, encode
from lbench.workloads.map_reduce import DESCRIPTION, MapReduceParams, shuffle
from lbench.workloads.map_reduce.sums import exact_sums, rounded
from lbench.workloads.map_reduce.table import Layout, columns_of
from lbench.workloads.model import Check
from lbench.workloads.objects import RUN_STORE, FolderStore, Place

WORKLOAD = registry.load(DESCRIPTION)


def params(**values: Any) -> MapReduceParams:
    return MapReduceParams(**{"rows": 600, "keys": 40, "tasks": 5, "reducers": 3, **values})


def mapped(loaded: Dataset, folder: Path) -> Dataset:
    """As an environment sees it: read-only, from a file."""
    write_dataset(loaded, folder / "data")
    return open_dataset(folder / "data")


class Shuffled:
    """A job driven by hand; every mapper can be made to run twice. `store` is looked at afterwards."""

    def __init__(self, folder: Path, *, twice: bool = False) -> None:
        self.folder = folder / "objects"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = FolderStore(self.folder)
        self.twice = twice
        self.stages: list[int] = []
        self.blocks: list[Any] = []

    def answer(self, given: MapReduceParams, data: Dataset) -> Any:
        job = WORKLOAD.job(given, data)
        previewer = WORKLOAD.previewer(given, data)
        assert previewer is not None
        results: Any = None
        while True:
            try:
                tasks = job.send(results)
            except StopIteration as end:
                return decode(encode(end.value))
            self.stages.append(len(tasks))
            results = []
            for task in tasks:
                for _ in range(1 + self.twice):
                    result = self.run(task.function, task.arguments, data)
                results.append(result)
                self.blocks.append(previewer.add(task, result))

    def run(self, function: str, arguments: dict[str, Any], data: Dataset) -> Any:
        place = Place(folder=str(self.folder))
        placed = {name: place if value is RUN_STORE else value for name, value in arguments.items()}
        name, sent = decode(encode([function, placed]))
        return decode(encode(functions.call(name, sent, data)))


def checked(given: MapReduceParams, data: Dataset, answer: Any) -> Check:
    return WORKLOAD.check(given, answer, decode(encode(WORKLOAD.reference(given, data))))


@pytest.mark.parametrize("combiner", [True, False])
@pytest.mark.parametrize("job", ["group_by", "word_count", "sort"])
def test_any_division_gives_the_sequential_answer_byte_for_byte(tmp_path: Path, job: str, combiner: bool) -> None:
    first = params(job=job, combiner=combiner)
    data = mapped(WORKLOAD.load(first, None), tmp_path)
    results = set()
    for tasks, reducers in ((1, 1), (5, 3), (16, 7), (600, 2)):
        dealt = msgspec.structs.replace(first, tasks=tasks, reducers=reducers)
        shuffled = Shuffled(tmp_path)
        answer = shuffled.answer(dealt, data)
        assert checked(dealt, data, answer).ok
        assert shuffled.stages == [tasks, reducers]
        assert sum(shuffled.stages) == WORKLOAD.limits(dealt).tasks
        results.add(encode(answer["result"]))
    assert len(results) == 1


def test_a_wrong_answer_is_found(tmp_path: Path) -> None:
    for job in ("group_by", "word_count", "sort"):
        one = params(job=job)
        data = mapped(WORKLOAD.load(one, None), tmp_path)
        answer = Shuffled(tmp_path).answer(one, data)
        wrong = dict(answer["result"])
        if job == "sort":
            wrong["unordered"] = 1
        elif job == "group_by":
            wrong["sum"] = np.nextafter(wrong["sum"], math.inf)
        else:
            wrong["words"] = [*wrong["words"][:-1], "another"]
        assert not checked(one, data, {**answer, "result": wrong}).ok


def test_a_mapper_that_runs_twice_changes_nothing(tmp_path: Path) -> None:
    one = params()
    data = mapped(WORKLOAD.load(one, None), tmp_path)
    once, twice = Shuffled(tmp_path), Shuffled(tmp_path, twice=True)
    assert once.answer(one, data) is not None
    before = once.store.keys()
    again = twice.answer(one, data)
    assert twice.store.keys() == before and checked(one, data, again).ok


def test_a_combiner_sends_one_row_a_key_and_keeps_the_answer(tmp_path: Path) -> None:
    combined, plain = params(job="word_count"), params(job="word_count", combiner=False)
    data = mapped(WORKLOAD.load(combined, None), tmp_path)
    few, many = (Shuffled(tmp_path).answer(given, data) for given in (combined, plain))
    assert few["rows"].sum() <= 5 * 40 < many["rows"].sum() == 600 * 8
    assert encode(few["result"]) == encode(many["result"])


def test_one_giant_key_goes_to_one_reducer_and_the_summary_has_the_skew(tmp_path: Path) -> None:
    for job in ("group_by", "word_count", "sort"):
        one = params(job=job, keys=1, combiner=False)
        data = mapped(WORKLOAD.load(one, None), tmp_path)
        shuffled = Shuffled(tmp_path / job)
        answer = shuffled.answer(one, data)
        assert checked(one, data, answer).ok
        summary = WORKLOAD.summary(one, answer)
        assert summary["rows_skew"] is None and summary["largest_reducer_share"] == 1.0
        assert summary["largest_reducer_rows"] == summary["shuffle_rows"] >= 600
        assert len(shuffled.store.keys()) <= 5  # nothing is written where there are no rows
        points = [block for block in shuffled.blocks if block is not None]
        assert [point["x"] for point in points] == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert points[-1]["y"] == 100.0
        assert all(isinstance(value, int | float | str | None) for value in summary.values())


def test_evenly_spread_keys_have_a_skew_near_one(tmp_path: Path) -> None:
    one = params(job="sort", keys=None, rows=5000)
    data = mapped(WORKLOAD.load(one, None), tmp_path)
    summary = WORKLOAD.summary(one, Shuffled(tmp_path).answer(one, data))
    assert 1.0 <= summary["rows_skew"] < 1.5 and summary["duplicate_keys"] == 0


def test_an_object_that_is_lost_or_changed_stops_the_reducer(tmp_path: Path) -> None:
    store = Shuffled(tmp_path).store
    stored = shuffle.written(store, [(1, {"words": ["a"]}), (0, None)])
    (key,) = store.keys()
    assert shuffle.read(store, stored["digests"][:1]) == [{"words": ["a"]}]
    (file,) = (path for path in (tmp_path / "objects").iterdir())
    file.write_bytes(zlib.compress(encode({"words": ["b"]})))
    with pytest.raises(BackendError, match=f"{key}.* is not what was stored"):
        shuffle.read(store, stored["digests"][:1])
    file.unlink()
    with pytest.raises(BackendError, match="cannot be read"):
        shuffle.read(store, stored["digests"][:1])


def test_an_object_that_is_not_compressed_is_refused_in_one_line(tmp_path: Path) -> None:
    store = Shuffled(tmp_path).store
    import hashlib

    digest = hashlib.sha256(b"plain").digest()
    store.put(digest.hex(), b"plain")
    with pytest.raises(EncodingError, match="cannot be unpacked"):
        shuffle.read(store, np.frombuffer(digest, dtype=np.uint8).reshape(1, 32))


# -- exact sums

FINITE = st.floats(min_value=-1e290, max_value=1e290)


@settings(max_examples=60, deadline=None)
@given(st.lists(FINITE, max_size=40), st.integers(0, 2**32 - 1))
def test_parts_have_the_exact_sum_of_the_values_in_any_order(values: list[float], seed: int) -> None:
    codes = np.arange(len(values)) % 3
    parts = exact_sums(codes, np.array(values), 3)
    for code in range(3):
        exact = sum((Fraction(value) for value in values[code::3]), Fraction(0))
        assert sum((Fraction(part) for part in parts[:, code].tolist()), Fraction(0)) == exact
    order = list(range(len(values)))
    random.Random(seed).shuffle(order)
    again = exact_sums(codes[order], np.array(values)[order], 3)
    assert rounded(again).tobytes() == rounded(parts).tobytes()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1e100, 1.0, -1e100], 1.0), ([0.1] * 10, 1.0), ([-0.0], 0.0), ([5e-324, 5e-324], 1e-323), ([], 0.0)],
)
def test_sums_are_rounded_once(values: list[float], expected: float) -> None:
    parts = exact_sums(np.zeros(len(values), dtype=np.int64), np.array(values), 1)
    assert rounded(parts).tobytes() == np.array([expected]).tobytes()


# -- files


def table(tmp_path: Path, text: str | bytes, **values: Any) -> tuple[MapReduceParams, Dataset]:
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    asked = params(**{"by": "city", "column": "price", **values})
    return asked, mapped(WORKLOAD.load(asked, path), tmp_path)


def result(tmp_path: Path, text: str | bytes, **values: Any) -> dict[str, Any]:
    asked, data = table(tmp_path, text, **values)
    answer = Shuffled(tmp_path).answer(asked, data)
    assert checked(asked, data, answer).ok
    found: dict[str, Any] = answer["result"]
    return found


def test_a_table_of_any_columns_is_grouped(tmp_path: Path) -> None:
    found = result(tmp_path, "id,city,price\n1,Rome,2.5\n2, Oslo ,1\n3,Rome,0.5\n")
    assert found["keys"] == ["Oslo", "Rome"]
    assert found["count"].tolist() == [1, 2] and found["sum"].tolist() == [1.0, 3.0]
    assert found["mean"].tolist() == [1.0, 1.5]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_line_ends_and_the_first_column_do_not_change_the_answer(tmp_path: Path, delimiter: str) -> None:
    rows = [("city", "price"), ("Rome", "1"), ("Oslo", "2"), ("Rome", "3")]
    found = result(tmp_path, "\r\n".join(delimiter.join(row) for row in rows) + "\r\n\r\n")
    assert found["keys"] == ["Oslo", "Rome"] and found["sum"].tolist() == [2.0, 4.0]


def test_rows_are_whole_wherever_a_piece_of_the_text_ends(tmp_path: Path) -> None:
    rows = "".join(f"{'x' * (number * 9001 % 99_000)},{'y' * 90_000},c{number % 5},{number}\n" for number in range(40))
    found = result(tmp_path, "long,longer,city,price\n" + rows, tasks=3)
    assert found["keys"] == ["c0", "c1", "c2", "c3", "c4"] and found["sum"].sum() == sum(range(40))
    layout = Layout(0, 1, 2, ",", False)
    with pytest.raises(ValueError, match="last row has 1 fields"):
        columns_of(np.frombuffer(b"a,1\nb\n", dtype=np.uint8), layout)


def test_quoted_cells_may_hold_anything(tmp_path: Path) -> None:
    rows = "".join(f'"a,\n""{number % 3}""",{number}\n' for number in range(30))
    found = result(tmp_path, "city,price\n" + rows, tasks=7)
    assert found["keys"] == ['a,\n"0"', 'a,\n"1"', 'a,\n"2"']
    assert found["sum"].tolist() == [135.0, 145.0, 155.0]


def test_blank_cells_are_counted_apart_from_numbers(tmp_path: Path) -> None:
    asked, data = table(tmp_path, "city,price\nRome,\nRome,NaN\nOslo,?\nOslo,4\nRome,n/a\n,2\n")
    assert any("4 blank cells of price" in note for note in data.notes)
    found = Shuffled(tmp_path).answer(asked, data)["result"]
    assert found["keys"] == ["", "Oslo", "Rome"]
    assert found["count"].tolist() == [1, 1, 0] and found["blank"].tolist() == [0, 1, 3]
    assert math.isnan(found["mean"][2]) and found["sum"][2] == 0.0
    assert checked(asked, data, {"result": found}).ok


def test_a_few_cells_that_are_no_numbers_are_noted(tmp_path: Path) -> None:
    rows = "".join(f"Rome,{number}\n" for number in range(99))
    _, data = table(tmp_path, "city,price\n" + rows + "Rome,on request\n")
    assert any("1 cells of price are not numbers" in note and "'on request'" in note for note in data.notes)


@pytest.mark.parametrize(
    "cell", ["1_000", '"1,234"', '"1.234,56"', '"12,5"', "$5", "5 %", "(5)", "5-", "1 234", "1\u00a0234", "1e300", "€7"]
)
def test_one_number_in_another_notation_is_refused_with_its_line(tmp_path: Path, cell: str) -> None:
    rows = "".join(f"Rome,{number}\n" for number in range(99))
    with pytest.raises(InputError, match=r"table\.csv, line 101: price is '.*': write numbers as in 1234\.5"):
        table(tmp_path, "city,price\n" + rows + f"Rome,{cell}\n")


@pytest.mark.parametrize("cell", ["#N/A", "NULL", "<NA>", "-", "--", "nil", "NaT", "-nan", "?"])
def test_every_spelling_of_nothing_is_a_blank_cell(tmp_path: Path, cell: str) -> None:
    _, data = table(tmp_path, f"city,price\nRome,1\nRome,{cell}\n")
    assert any("1 blank cells of price" in note for note in data.notes)


def test_the_header_of_files_that_were_joined_is_no_row(tmp_path: Path) -> None:
    text = "city,sales\na,1\ncity , sales\nb,2\n"
    assert result(tmp_path, text, by="city", column="sales")["keys"] == ["a", "b"]
    assert "1 line left out that repeats the header" in table(tmp_path, text, by="city", column="sales")[1].notes


def test_whole_numbers_that_a_float_cannot_hold_are_noted(tmp_path: Path) -> None:
    cells = [2**53, 2**53 + 1, 2**63, 2**63 + 1, -(2**53) - 1, "1e200", 12]
    _, data = table(tmp_path, "k,n\n" + "".join(f"a,{cell}\n" for cell in cells), by="k", column="n")
    assert "3 whole numbers of n beyond 2**53 rounded to 53 bits" in data.notes


def test_more_mappers_than_rows_are_as_many_as_rows(tmp_path: Path) -> None:
    asked, data = table(tmp_path, "city,price\nRome,1\nOslo,2\n", tasks=50)
    shuffled = Shuffled(tmp_path)
    assert checked(asked, data, shuffled.answer(asked, data)).ok
    assert shuffled.stages == [2, 3]
    assert "2 mappers instead of 50" in data.notes[-1]


def test_an_empty_split_gives_no_rows(tmp_path: Path) -> None:
    for job, own in (("group_by", {}), ("word_count", {}), ("sort", {"splitters": np.array([b"k", b"t"])})):
        data = mapped(WORKLOAD.load(params(job=job), None), tmp_path)
        layout = {"layout": data.meta["layout"]} if job == "group_by" else {}
        shuffled = Shuffled(tmp_path)
        stored = shuffled.run(
            "map_reduce.map",
            {"job": job, "first": 0, "end": 0, "reducers": 3, "combiner": True, "store": RUN_STORE, **layout, **own},
            data,
        )
        assert stored["rows"].tolist() == [0, 0, 0] and shuffled.store.keys() == []
        empty = np.empty((0, 32), dtype=np.uint8)
        assert shuffled.run("map_reduce.reduce", {"job": job, "digests": empty, "store": RUN_STORE}, data) is not None


def refused(tmp_path: Path, text: str | bytes, **values: Any) -> str:
    with pytest.raises((DataFileError, InputError)) as caught:
        table(tmp_path, text, **values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tables_that_cannot_be_grouped_are_refused_in_one_line(tmp_path: Path) -> None:
    good = "city,price\nRome,1\n"
    assert "did you mean 'price'" in refused(tmp_path, good, column="prise")
    assert "-p by=" in refused(tmp_path, good, by=None)
    assert "is not of numbers (first: 'Rome')" in refused(tmp_path, good, column="city")
    assert "has no number at all" in refused(tmp_path, "city,price\nRome,\n")
    assert "no rows below its header" in refused(tmp_path, "city,price\n")
    assert "is empty" in refused(tmp_path, "")
    assert "has no rows" in refused(tmp_path, "\n\n")
    assert "bad rows" in refused(tmp_path, "city,price\nRome,1\nOslo\n")
    assert "are for job=group_by" in refused(tmp_path, good, job="word_count")
    assert "reads no file" in refused(tmp_path, good, job="sort", by=None, column=None)
    assert "seed" in refused(tmp_path, good, seed=-1)
    with pytest.raises(InputError, match="--data"):
        WORKLOAD.load(params(by="city"), None)


def test_words_are_of_any_alphabet_and_case_makes_no_difference(tmp_path: Path) -> None:
    found = result(
        tmp_path, "Straße ÖL öl\n\nκόσμος ΚΌΣΜΟΣ — x_1, x_1!\n", job="word_count", by=None, column=None, tasks=3
    )
    assert dict(zip(found["words"], found["count"].tolist(), strict=True)) == {
        "straße": 1,
        "öl": 2,
        "κόσμος": 2,
        "x_1": 2,
    }


def test_a_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    latin = ("good\n" * 200 + "caf\u00e9\n").encode("latin-1")
    message = refused(tmp_path, latin, job="word_count", by=None, column=None)
    assert "line 201, byte 4: 0xe9 is not UTF-8: save it as UTF-8, or name its encoding" in message
    assert "is not a text file" in refused(tmp_path, bytes(range(1, 32)) * 50, job="word_count", by=None, column=None)


def person(education: str, hours: object) -> str:
    return f"39, Private, 77516, {education}, 13, Divorced, Sales, Wife, White, Male, 0, 0, {hours}, Cuba, <=50K"


def test_adult_is_known_by_its_form_and_has_columns_of_its_own(tmp_path: Path) -> None:
    lines = ["|1x3 Cross validator", person("Bachelors", 40), person("HS-grad", 20), person("Bachelors", 50)]
    found = result(tmp_path, "\n".join(lines) + "\n", by=None, column=None)
    assert found["keys"] == ["Bachelors", "HS-grad"] and found["mean"].tolist() == [45.0, 20.0]
    found = result(tmp_path, "\n".join(lines) + "\n", by="sex", column="age")
    assert found["keys"] == ["Male"] and found["sum"].tolist() == [117.0]


@pytest.mark.slow
def test_the_census_file_has_the_sequential_answer(tmp_path: Path, data_file: Any) -> None:
    one = MapReduceParams()
    data = mapped(WORKLOAD.load(one, data_file("census-income.data.zst")), tmp_path)
    answer = Shuffled(tmp_path).answer(one, data)
    assert checked(one, data, answer).ok and int(answer["result"]["count"].sum()) == 199_523


@pytest.mark.parametrize("job", ["group_by", "word_count", "sort"])
def test_the_result_of_which_the_digest_is_recorded_does_not_depend_on_the_tasks(tmp_path: Path, job: str) -> None:
    results = set()
    for number, (tasks, reducers) in enumerate(((1, 1), (3, 4), (17, 2))):
        given = params(job=job, tasks=tasks, reducers=reducers, rows=500, keys=20)
        data = mapped(WORKLOAD.load(given, None), tmp_path)
        answer = Shuffled(tmp_path / str(number)).answer(given, data)
        results.add(encode(WORKLOAD.result(answer)))
    assert len(results) == 1


def test_keys_with_spaces_beyond_ascii_equal_the_reference(tmp_path: Path) -> None:
    found = result(tmp_path, "city,price\nRome\u00a0,1\nRome,2\n\u3000Rome,4\n Rome ,8\n")
    assert sorted(found["keys"]) == sorted(["Rome\u00a0", "Rome", "\u3000Rome"])
