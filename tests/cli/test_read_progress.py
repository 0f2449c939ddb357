"""A large file that is read says how far it is; a small one says nothing."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbench.cli import read_progress
from lbench.cli.main import command
from lbench.cli.read_progress import ReadingProgress, reading_text
from lbench.workloads.data_file import describe_file

SIZE = 1_210_000_000


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def read_for(seconds: list[float], monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    """What is shown when a tenth of the file more has come at each of these times."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    clock = Clock()
    with ReadingProgress("loans.csv.gz", SIZE, clock) as progress:
        for number, second in enumerate(seconds, start=1):
            clock.now_s = 100.0 + second
            progress(number * SIZE // 10)
    return stream.getvalue()


def test_lines_come_every_few_seconds_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = read_for([0.5, 1.1, 2, 3, 6.2, 7], monkeypatch, io.StringIO())
    assert shown.splitlines() == [
        "reading loans.csv.gz: 242 MB of 1,210 MB (20 %), about 4.40 s left",
        "reading loans.csv.gz: 605 MB of 1,210 MB (50 %), about 6.20 s left",
    ]


def test_a_file_that_is_read_at_once_needs_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_for([0.1, 0.5, 0.9], monkeypatch, io.StringIO()) == ""
    assert read_for([0.1, 0.5, 0.9], monkeypatch, Terminal()) == ""


@pytest.mark.parametrize("columns", [20, 120])
def test_a_terminal_has_one_line_that_is_cleared(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(read_progress, "_columns", lambda: columns)
    shown = read_for([1.1, 1.2, 1.5, 2.0], monkeypatch, Terminal())
    frames = shown.split("\r")[1:]
    assert len(frames) == 4 and frames[-1] == "\x1b[K" and "\n" not in shown
    texts = [frame.removesuffix("\x1b[K") for frame in frames[:-1]]
    assert all(len(text) < columns for text in texts)
    assert texts[-1].endswith("MB (40 %), about 3.00 s left"[-(columns - 1) :])


def test_an_empty_file_is_all_read() -> None:
    assert reading_text("a.csv", 0, 0, 1.0) == "reading a.csv: 0 MB of 0 MB (100 %)"


@pytest.mark.parametrize("kind", ["table", "loans", "census"])
def test_each_kind_of_file_says_how_much_of_it_was_read(tmp_path: Path, kind: str) -> None:
    text = {
        "table": "a,b\n" + "x,1\n" * 5000,
        "loans": "loan_status,loan_amnt,term,int_rate,annual_inc,dti,grade\n"
        + "".join(
            f"{('Fully Paid', 'Charged Off')[n % 2]},{5000 + n},36 months,1{n % 9}.5%,5{n}0,1{n % 9},A\n"
            for n in range(2000)
        ),
        "census": "".join(
            f"{20 + n % 50}, Private, {n}, Bachelors, 13, Never-married, Sales, Wife, White, Male, 0, 0, 40, Cuba, <=50K\n"
            for n in range(2000)
        ),
    }[kind]
    path = tmp_path / "file.csv.gz"
    path.write_bytes(gzip.compress(text.encode(), compresslevel=0))
    read: list[int] = []
    assert describe_file(path, watch=read.append).rows in (2000, 5000)
    assert read == sorted(read) and read[-1] == path.stat().st_size and len(read) > 2


def test_columns_of_one_name_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,city,sales,city,\n1,a,2,b,\n")
    result = CliRunner().invoke(command, ["data", str(path)], prog_name="lbench")
    assert result.exit_code == 0
    assert "several columns have one name: city (2): rename those that you need" in result.stdout
    path.write_text("id,city,sales\n1,a,2\n")
    assert "one name" not in CliRunner().invoke(command, ["data", str(path)], prog_name="lbench").stdout


def test_a_file_without_a_header_line_is_asked_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,Rome,7.5\n2,Oslo,8\n")
    result = CliRunner().invoke(command, ["data", str(path)], prog_name="lbench")
    assert "has numbers (1, 7.5): is the header line missing?" in result.stdout


@pytest.mark.parametrize(
    ("name", "expected"), [("folder", "that is a folder: name a file in it"), ("pipe", "not a regular file")]
)
def test_what_is_no_file_is_called_what_it_is(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    result = CliRunner().invoke(command, ["data", str(tmp_path / name)], prog_name="lbench")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and expected in result.stderr
