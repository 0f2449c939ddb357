"""CSV files as people have them: encodings, dialects, quotation marks; every line is accounted for or refused."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.errors import DataFileError, InputError
from lbench.workloads import textfile
from lbench.workloads.csv_rows import CsvRows, canonical, header_name, parse_rows
from lbench.workloads.data_file import describe_file
from lbench.workloads.map_reduce import MapReduceParams
from lbench.workloads.map_reduce.inputs import deal, load_input
from lbench.workloads.map_reduce.table import Layout, rows_of
from lbench.workloads.textfile import TextFile, text_lines, why_no_file

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = [["region", "sales"], ["Öst", "1"], ["Väst", "2"], ["Öst", "3"]]
TEXT = "".join(",".join(row) + "\n" for row in ROWS)


def cells(path: Path, content: str | bytes, encoding: str | None = None) -> list[list[str]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [row.cells for row in CsvRows(path, TextFile(path, encoding=encoding))]


def refused(path: Path, content: str | bytes, encoding: str | None = None) -> str:
    with pytest.raises((DataFileError, InputError)) as caught:
        cells(path, content, encoding)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), None),
        (TEXT.encode("utf-8-sig"), None),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (TEXT.encode("utf-16"), None),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), None),
        (b"\xff\xfe" + TEXT.encode("utf-16-le"), "utf-16"),
        (TEXT.encode("utf-32"), None),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("latin-1"), "latin-1"),
        (TEXT.encode("cp1252"), "windows-1252"),
        (TEXT.encode("cp437"), "cp437"),
        (gzip.compress(TEXT.encode("latin-1"), mtime=0), "latin-1"),
        (zstd.compress(TEXT.encode("utf-16")), None),
    ],
)
def test_any_encoding_gives_the_same_rows(path: Path, content: bytes, encoding: str | None) -> None:
    assert cells(path, content, encoding) == ROWS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_gives_the_same_rows(path: Path, end: str) -> None:
    assert cells(path, TEXT.replace("\n", end)) == ROWS
    assert cells(path, TEXT.replace("\n", end).rstrip()) == ROWS


@given(st.text(alphabet="ab\r\n", max_size=30), st.integers(0, 30))
def test_lines_do_not_depend_on_how_the_text_is_cut(text: str, at: int) -> None:
    first, rest = text_lines(text[:at])
    second, rest = text_lines(rest + text[at:], final=True)
    assert [*first, *second, rest] == [*io.StringIO(text, newline="")] + [""] * (not rest)


def test_what_is_not_in_the_encoding_is_refused_with_line_byte_and_remedy(path: Path) -> None:
    message = refused(path, TEXT.encode("latin-1"))
    assert "table.csv, line 2, byte 1: 0xd6 is not UTF-8" in message and "--encoding latin-1" in message
    later = ("x" * 300_000 + "\n").encode() * 3 + "ab\u00e9".encode("latin-1")
    assert "line 4, byte 3: 0xe9" in refused(path, later)
    assert "line 3, byte 2" in refused(path, TEXT.encode("latin-1").replace(b"\xd6", b"O", 1).replace(b"\n", b"\r"))
    assert "is not ASCII" in refused(path, TEXT, "ascii")
    assert "begins with the byte order mark of UTF-8" in refused(path, TEXT.encode("utf-8-sig"), "latin-1")
    assert "zero bytes" in refused(path, TEXT.encode("utf-16-le"))
    assert "line 2, byte 1" in refused(path, b"a,1\n\xff")


@pytest.mark.parametrize("name", ["klingon", "", "rot13", "zlib", "idna", "unicode_escape", "a\0b"])
def test_an_unknown_encoding_is_refused(path: Path, name: str) -> None:
    assert "must be a text encoding, for example latin-1" in refused(path, TEXT, name)


def test_characters_that_were_lost_before_are_counted(path: Path) -> None:
    path.write_text("a,1\n\ufffd,2\n")
    file = TextFile(path)
    assert len(list(file)) == 2 and "1 characters were lost" in file.notes[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n1,"x\n' + "2,y\n" * 50, 2),
        ('a,b\n1,"x\n' + "2,y\n" * 50 + '3,"z, z"\n' + "2,y\n" * 50, 2),
        ('a,b,c\n1,x,"y\n2,x,y\n3,x,12"\n', 2),
        ('a,b,c\n1,x,"y\n3,x,12"\n4,x,y\n', 2),
        ('a,b\n1,x\n2,"', 3),
        ('"a,b\n1,x\n', 1),
        ('a,b\n1,"' + "x" * 100_000 + "\n2,y\n", 2),
    ],
)
def test_a_quotation_mark_that_is_never_closed_is_refused_with_its_line(path: Path, text: str, line: int) -> None:
    assert f"line {line:,}: a quotation mark opens a field" in refused(path, text)


def test_rows_of_several_lines_are_read_and_counted(path: Path) -> None:
    text = 'name,address,n\nAda,"12 Main St,\nSpringfield",1\n\nBob,"one\ntwo\n\nthree",2\n'
    path.write_text(text)
    rows = CsvRows(path, TextFile(path))
    assert [(row.line, row.cells[1]) for row in rows][1:] == [
        (2, "12 Main St,\nSpringfield"),
        (5, "one\ntwo\n\nthree"),
    ]
    assert rows.notes == ["1 blank line left out", "2 rows of several lines, within quotation marks"]


@pytest.mark.parametrize(
    "text",
    [
        'a,b,c\n1,"note\n2,b",c\n',  # the first line alone is no row
        'a,b,c\n1,x,"2,y,z\n3,y,z\n4,y,z"\n',
        'a,b,c\n1,x,"Hello\nI,you,we"\n',  # no number where one stands
        'a,b,c\nx,y,"Hello\nwe, you, they"\n',  # prose
        '"a","b","c"\n"1","x","y\n2,x,y\n3,x,y"\n',  # rows have marks
        'a;b;c;d\n1;"2;3";4;"x\n2;3;4"\n',
        '"a","b","c"\n"1","x, z","y\n2,""x"",y\n3,x,y"\n',  # marks of words are none around fields
        '"a","b","c"\n"I, you, we\nfine","x","y"\n',
        'a,b,c\n2026-01-02,x,"y\nDear Ada,x,y"\n',
    ],
)
def test_lines_of_a_quoted_field_that_cannot_be_rows_are_read(path: Path, text: str) -> None:
    rows = [*csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in text else ",")]
    assert cells(path, text) == rows and len(rows) == 2


@pytest.mark.parametrize("tasks", [1, 2, 3, 7])
def test_rows_of_several_lines_are_whole_in_any_split(tmp_path: Path, tasks: int) -> None:
    path = tmp_path / "table.csv"
    rows = [[f"k{at % 3}", str(at), "x\nk1,7" if at % 2 else 'say "hi",\r\nk2,8,y'] for at in range(40)]
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerows([["key", "n", "text"], *rows])
    data = load_input(MapReduceParams(job="group_by", by="key", column="n", tasks=tasks), path)
    layout = msgspec.convert(data.meta["layout"], Layout)
    found = [
        cells for first, end in deal(data["marks"], tasks) for cells in rows_of(data.part("input", first, end), layout)
    ]
    assert [(row[0], row[1]) for row in found] == [(row[0], row[1]) for row in rows]


def test_a_remedy_for_lines_that_could_be_rows_is_one(path: Path) -> None:
    rows = [["1", "x", "y\n2,x,y\n3,x,y"], ["4", "x", "y"]]
    for quoting, fine in ((csv.QUOTE_MINIMAL, False), (csv.QUOTE_ALL, True)):
        out = io.StringIO()
        csv.writer(out, quoting=quoting).writerows([["a", "b", "c"], *rows])
        if fine:
            assert cells(path, out.getvalue()) == [["a", "b", "c"], *rows]
        else:
            assert "line 2: " in (message := refused(path, out.getvalue())) and "around all fields" in message


def test_prose_with_commas_in_a_quoted_field_is_no_unclosed_mark(path: Path) -> None:
    text = 'text,n\n"one, two\nthree, four\nfive, six\nseven",5\n"eight",6\n'
    assert cells(path, text)[1:] == [["one, two\nthree, four\nfive, six\nseven", "5"], ["eight", "6"]]


def test_a_mark_within_a_field_is_a_bad_row_and_the_next_one_is_read(path: Path) -> None:
    path.write_text('a,b\n"5" pipe",1\n6" pipe,2\n"x" ,3\n')
    found = list(CsvRows(path, TextFile(path)))
    assert [(row.line, row.cells, bool(row.problem)) for row in found[1:]] == [
        (2, [], True),
        (3, ['6" pipe', "2"], False),
        (4, ["x", "3"], False),
    ]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("region (a, b);sales\nsouth;1\nnorth;2\n", ";"),
        ("city;price\nRome;1,5\nOslo;2,5\n", ";"),
        ("city;a;b\nRome;1,5;2,5\nOslo;2,5;3,5\n", ";"),
        ("a\tb\nx, y\t1\nz, w\t2\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ("a^b, c\n1^2\n", "^"),
        ("a~b\n1~2, 3\n", "~"),
        ('a,b\n"x;y;z",1\n"u;v;w",2\n', ","),
        ("notes: x; y; z\na,b\n1,2\n3,4\n", ","),
        ("sep=|\na|b\n1|2\n", "|"),
        ('"sep=;"\na;b\n1;2\n', ";"),
        ("SEP=,\na,b;c\n1,2;3\n", ","),
        ("sep=\t\na\tb\n1\t2\n", "\t"),
        ("a\nb\nc\n", ","),
    ],
)
def test_the_delimiter_is_found_by_evidence_over_rows(path: Path, text: str, delimiter: str) -> None:
    path.write_text(text)
    rows = CsvRows(path, TextFile(path))
    assert rows.delimiter == delimiter
    assert not any("sep=" in cell.lower() for row in rows for cell in row.cells)


@pytest.mark.parametrize("name", ["\ufeffregion", "\u200bregion\u200b", "\u00a0region "])
def test_what_cannot_be_seen_is_no_part_of_a_column_s_name(path: Path, name: str) -> None:
    path.write_text(f"{name},sales\nNorth,1\n", encoding="utf-8-sig")
    assert header_name(next(iter(CsvRows(path, TextFile(path)))).cells[0]) == "region"
    assert load_input(MapReduceParams(job="group_by", by="region", column="sales"), path).rows == 1


def test_marks_escaped_by_a_backslash_are_read(path: Path) -> None:
    assert cells(path, 'a,b\n"say \\"hi\\", x",1\n')[1] == ['say "hi", x', "1"]


def test_a_large_field_is_read(path: Path) -> None:
    assert len(cells(path, "a,b\n" + "x" * 500_000 + ",1\n")[1][0]) == 500_000


@given(st.lists(st.lists(st.text(alphabet='a ,;"\r\n\\é', max_size=6), min_size=2, max_size=3), min_size=1, max_size=4))
def test_a_canonical_row_is_parsed_as_it_was(rows: list[list[str]]) -> None:
    text = "".join(canonical(row, ";") for row in rows)
    found = list(parse_rows(io.StringIO(text, newline=""), ";"))
    assert [[cell.strip() for cell in row] for row in found] == [[cell.strip() for cell in row] for row in rows]


def test_a_file_that_changes_while_it_is_read_is_refused(path: Path) -> None:
    path.write_text("a,b\n" + "1,2\n" * 200_000)
    rows = iter(CsvRows(path, TextFile(path)))
    next(rows)
    with path.open("r+") as file:
        file.truncate(700_000)
    with pytest.raises(DataFileError, match="was changed while it was read"):
        list(rows)


def test_a_file_in_a_folder_of_another_user_is_there_but_cannot_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    assert why_no_file(path) == "there is no such file"
    monkeypatch.setattr(textfile, "os", SimpleNamespace(stat=refuse))
    assert why_no_file(path) == "it cannot be read: Permission denied"


def test_zeros_behind_compressed_data_are_padding(path: Path) -> None:
    packed = gzip.compress(TEXT.encode())
    assert cells(path, packed + b"\0" * 100) == ROWS
    assert cells(path, gzip.compress(TEXT[:20].encode()) + gzip.compress(TEXT[20:].encode()) + b"\0") == ROWS
    assert "cannot be unpacked" in refused(path, packed + b"garbage")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"7z\xbc\xaf\x27\x1c" + b"x" * 50, "a 7z archive: unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>Log in</html>", "a web page"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 50, "a spreadsheet: save it as CSV"),
    ],
)
def test_files_that_are_no_text_are_named_with_the_way_out(path: Path, content: bytes, says: str) -> None:
    assert says in refused(path, content)


def test_a_line_that_is_too_long_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "LONGEST_LINE", 1000)
    assert "line 2: must have at most 1,000 characters" in refused(path, "a,b\n" + "x" * 600_000 + ",1\n")


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_decompression_bomb_is_refused_within_bounded_memory(
    path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textfile, "_SMALL", 1 << 22)
    path.write_bytes(pack(b"a,b\n" + b"1,2\n" * (1 << 24)))
    largest = 0
    with path.open("rb") as file, pytest.raises(DataFileError, match="unpacks to more than 500 times its size"):
        for piece in TextFile(path)._unpacked(file):
            largest = max(largest, len(piece))
    assert largest <= 1 << 22


def test_lbench_data_describes_each_kind_of_file(tmp_path: Path, path: Path) -> None:
    path.write_text("region,sales\n" + "Öst,1\n" * 3 + "bad\n")
    found = describe_file(path)
    assert (found.rows, found.columns) == (4, 2)
    assert "a table with the columns region, sales" in found.notes[0]
    assert "1 bad row (first: line 5: 1 fields in place of 2)" in found.notes
    path.write_text("# sales, by hand\nregion,sales\nÖst,1\n")
    hint = "the first line begins with #: where it is a comment, remove it and the others above the header"
    assert hint in describe_file(path).notes
    path.write_text("just prose\n" * 5)
    with pytest.raises(DataFileError, match="no column loan_status"):
        describe_file(path)


def test_the_csv_modules_own_limit_is_lifted() -> None:
    assert csv.field_size_limit() == textfile.LONGEST_LINE
