"""`lbench report` and the exports: every text escaped, every number recomputed, nothing from elsewhere."""

from __future__ import annotations

import csv
import io
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from lbench.cli.main import command
from lbench.engine.export.document import encode_document
from lbench.engine.journal.events import Event, RunEnded, RunPlanned, RunStarted, SessionStarted, encode_lines
from lbench.errors import InputError
from tests.session_events import session_events

pytest.importorskip("matplotlib", reason="the extra lbench[report] is not installed")

HOSTILE = "<script>alert('x')</script> $\\frac{1}{0}$ \"&amp; ]]> {{ 7*7 }} \N{BELL}"


def session(folder: Path, events: list[Event]) -> Path:
    folder.mkdir()
    (folder / "events.jsonl").write_bytes(encode_lines(events))
    return folder


def lbench(*arguments: str | Path) -> Any:
    return CliRunner().invoke(command, [str(one) for one in arguments])


def usual(folder: Path) -> Path:
    times = {"sequential": [2.0, 2.2, 2.1, 2.3, 2.05, 2.4, 2.2], "emulated": [3.0, 1.0, 1.1, 1.2, 1.05, 1.3, 1.15]}
    calls = [
        {
            "environment": f"e{n % 2}",
            "started_s": 0.1 + n // 2 * 0.2,
            "finished_s": 0.25 + n // 2 * 0.2,
            "compute_ms": 10.0 + n,
        }
        for n in range(8)
    ]
    started = {"settings": {"concurrency": 2}}
    cold = {"emulated": [True, *[False] * 6]}
    events = session_events(times, invocations=calls, schedule="alternating", cold=cold, started=started)
    assert isinstance(events[0], SessionStarted)
    events[0].id = events[0].name = folder.name
    return session(folder, events)


class Page(HTMLParser):
    """The cells of the page's tables, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.rows: list[list[tuple[str | None, str]]] = []
        self._cell: list[str] | None = None
        self._value: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")
        ]
        self.loads += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for _, value in attrs))
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self._cell, self._value = [], dict(attrs).get("data-value")

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "td" and self._cell is not None:
            self.rows[-1].append((self._value, "".join(self._cell)))
            self._cell = None


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A page, and the CSV of the same session."""
    folder = tmp_path_factory.mktemp("report")
    usual(folder / "one")
    done = lbench("report", folder / "one", "-o", folder / "r.html", "--figures", folder / "figures")
    assert done.exit_code == 0, done.output
    assert {one.suffix for one in (folder / "figures").iterdir()} == {".svg", ".png"}
    assert lbench("export", folder / "one", "-o", folder / "r.csv").exit_code == 0
    return (folder / "r.html").read_text(), (folder / "r.csv").read_text()


def test_the_answer_comes_first_and_the_file_needs_nothing_from_elsewhere(written: tuple[str, str]) -> None:
    text, _ = written
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "img", "object", "embed", "form"}
    assert all(load.startswith("#") or load.startswith("data:image/png;base64,") for load in page.loads)
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert text.index("as fast") < text.index("<figure")
    for media in ("prefers-color-scheme: dark", "@media print"):
        assert media in text
    svgs = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(svgs) >= 6
    for svg in svgs:
        ElementTree.fromstring(svg)
        assert "currentColor" in svg
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))


def test_a_prediction_says_what_it_is_worked_out_from(written: tuple[str, str]) -> None:
    text, _ = written
    assert "is predicted, warm, to be " in text
    assert "lambda (predicted): the model with the tasks of sequential on 8 environments of 1,769 MB" in text
    assert "nothing was run there" in text


def test_its_numbers_are_those_of_the_exported_csv(written: tuple[str, str]) -> None:
    text, exported = written
    rows = [row for row in Page(text).rows if len(row) == 10]
    invocations = list(csv.DictReader(io.StringIO(exported)))
    runs: dict[str, dict[str, str]] = {row["run"]: row for row in invocations}
    for cells in rows:
        label, _, temperature = cells[0][1].partition(" ")
        own = [
            run
            for run in runs.values()
            if run["label"] == label and run["warmup"] == "false" and run["run_status"] == "ok"
            if not temperature or (run["run_cold"] == "true") == (temperature == "cold")
        ]
        assert cells[1][1] == f"{len(own)}/{len(own)}"
        assert float(cells[2][0] or "nan") == statistics.median(float(run["run_makespan_s"]) for run in own)
        if temperature != "cold":
            warm = [
                float(row["compute_ms"]) for row in invocations if row["label"] == label and row["cold"] != "true"
            ]  # fmt: skip
            assert float(cells[4][0] or "nan") == pytest.approx(statistics.median(warm))
    assert {cells[0][1] for cells in rows} == {"sequential", "emulated cold", "emulated warm"}
    base = statistics.median(
        float(slow["run_makespan_s"]) / float(fast["run_makespan_s"])
        for slow in runs.values()
        for fast in runs.values()
        if (slow["label"], fast["label"], fast["run_cold"]) == ("sequential", "emulated", "false")
        if slow["repeat"] == fast["repeat"]
    )
    assert float(next(cells for cells in rows if cells[0][1] == "emulated warm")[3][0] or "nan") == pytest.approx(base)


def test_names_from_a_session_are_texts_and_nothing_else(tmp_path: Path) -> None:
    events = session_events(
        {"sequential": [2.0, 2.1], "threads": [1.0, 1.1]}, invocations=[{"environment": HOSTILE}] * 3
    )
    for event in events:
        if isinstance(event, RunPlanned):
            event.label += HOSTILE
            event.params = {"name": HOSTILE}
        if isinstance(event, RunStarted):
            event.notes = [HOSTILE]
    source = session(tmp_path / "one", events)
    done = lbench("report", source, "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "r.html").read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|49", text)[:1]
    assert "&lt;script&gt;alert" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)
    assert lbench("export", source, "-o", tmp_path / "t.pftrace").exit_code == 0


@pytest.mark.parametrize(("schedule", "said"), [("isolated", True), ("alternating", False)])
def test_an_isolated_order_is_among_what_weakens_the_results(tmp_path: Path, schedule: str, said: bool) -> None:
    events = session_events({"sequential": [2.0] * 6, "threads": [1.0] * 6}, schedule=schedule)
    assert lbench("report", session(tmp_path / "one", events), "-o", tmp_path / "r.html").exit_code == 0
    assert ("would look like a difference between them" in (tmp_path / "r.html").read_text()) is said


def test_several_sessions_are_compared_first(tmp_path: Path) -> None:
    one, other = usual(tmp_path / "laptop"), usual(tmp_path / "server")
    done = lbench("report", one, other, "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "r.html").read_text()
    answer = text[text.index('class="answer"') : text.index("</section>")]
    assert "server" in answer
    rows = [row for row in Page(text).rows if len(row) == 8]
    assert [(row[0][1], row[2][1], row[6][1]) for row in rows] == [
        (session, backend, "the base" if session == "laptop" else claim)
        for session in ("laptop", "server")
        for backend, claim in (
            ("sequential", "unclear"),
            ("emulated cold", "not settled"),
            ("emulated warm", "unclear"),
        )
    ]
    assert rows[3][5] == ("1.0", rows[3][5][1]) and rows[3][5][1].startswith("1.00×95 %: ")
    assert "server emulated warm: 0.0 %" in text.replace("+", "") and "permutation test (exact): p = 1.000" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere", "-o", "r.html"], "nowhere"),
        (["one", "-o", "r.txt"], "-o must end in .html, got r.txt"),
        (["one", "one", "-o", "r.html"], "is the same session as"),
        (["one", "-o", "absent/r.html"], "the folder"),
        (["cancelled", "-o", "r.html"], "nothing to report: no run of cancelled has come to an answer"),
        (["one", "-o", "r.html", "--figures", "one/events.jsonl"], "must be a folder"),
    ],
)
def test_what_cannot_be_reported_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    usual(tmp_path / "one")
    ended = {"status": "cancelled", "makespan_s": None}
    session(tmp_path / "cancelled", session_events({"sequential": [1.0]}, ok=None, ended=ended))
    paths = [f"./{one}" if one in ("one", "cancelled") else one for one in arguments]
    with pytest.raises(InputError, match=r"^[^\n]+$") as refused:
        command.main(["report", *paths], standalone_mode=False)
    assert line in str(refused.value)
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("arguments", "missing", "line"),
    [
        (["report", "./one", "-o", "r.html"], "matplotlib", "pip install 'lbench[report]'"),
        (["export", "./one", "-o", "r.html"], "jinja2", "pip install 'lbench[report]'"),
        (["export", "./one", "-o", "r.parquet"], "pyarrow", "pip install 'lbench[parquet]'"),
        (["export", "./one", "-o", "r.xyz"], "", "-o must end in .json, .csv, .parquet, .pftrace, .html"),
    ],
)
def test_an_extra_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], missing: str, line: str
) -> None:
    import importlib.util

    from lbench.cli.html import write
    from lbench.engine.export import parquet

    def find_spec(name: str) -> Any:
        return None if name == missing else importlib.util.find_spec(name)

    monkeypatch.setattr(write, "find_spec", find_spec)
    monkeypatch.setattr(parquet, "find_spec", find_spec)
    monkeypatch.chdir(tmp_path)
    usual(tmp_path / "one")
    with pytest.raises(InputError, match=r"^[^\n]+$") as refused:
        command.main(arguments, standalone_mode=False)
    assert line in str(refused.value)


def test_a_document_read_as_a_session_is_the_same_document(tmp_path: Path) -> None:
    from lbench.cli.documents import document_of, load_document, load_views

    usual(tmp_path / "one")
    assert lbench("export", tmp_path / "one", "-o", tmp_path / "one.json").exit_code == 0
    written = load_document(str(tmp_path / "one.json"))
    again = document_of(load_views([str(tmp_path / "one.json")])[0])
    assert msgspec.to_builtins(again) == msgspec.to_builtins(written)


def test_a_document_gives_every_figure_of_its_session_to_the_last_digit(tmp_path: Path) -> None:
    from lbench.cli.documents import document_of, load_document, load_views

    third = 1 / 3
    calls = [
        {
            "environment": f"e{n % 2}",
            "cold": False if n > 1 else None,
            "started_s": 0.1 + third * n / 7,
            "finished_s": 0.12 + third * n / 7,
            "returned_s": 0.13 + third * n / 7,
            "compute_ms": 9000 * third + 10 * n * third,
            "fetch_ms": third / 100,
        }
        for n in range(8)
    ]
    times = {"processes": [2.0, 2.1 + third / 1e6, 2.2], "emulated": [3.0, 1.0 + third, 1.1]}
    new = {"emulated": [None, False, False]}  # the first had new environments, and nobody had asked for them
    events = session_events(times, invocations=calls, cold=new, started={"settings": {"concurrency": 2}})
    first = next(event for event in events if isinstance(event, RunEnded) and event.run == "r4")
    first.cold = True
    session(tmp_path / "one", events)
    for predict in (True, False):
        made = document_of(load_views([str(tmp_path / "one")])[0], predict=predict)
        assert made.explanations is not None
        (tmp_path / "one.json").write_bytes(encode_document(made))
        assert load_document(str(tmp_path / "one.json")) == made
        again = document_of(load_views([str(tmp_path / "one.json")])[0], predict=predict)
        assert msgspec.to_builtins(again) == msgspec.to_builtins(made)


def test_numbers_that_nobody_measures_are_one_line_or_in_no_figure(tmp_path: Path) -> None:
    import json

    usual(tmp_path / "one")
    assert lbench("export", tmp_path / "one", "-o", tmp_path / "one.json").exit_code == 0
    text = (tmp_path / "one.json").read_text()
    for name, value in (("compute_ms", -5.0), ("task", 10**20)):
        document = json.loads(text)
        for run in document["runs"]:
            for call in run["invocations"]:
                call[name] = value
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    done = lbench("report", tmp_path / "compute_ms.json", "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    pytest.importorskip("pyarrow", reason="the extra lbench[parquet] is not installed")
    with pytest.raises(InputError, match="a number has too many digits"):
        command.main(["export", str(tmp_path / "task.json"), "-o", str(tmp_path / "r.parquet")], standalone_mode=False)


def test_the_report_of_a_function_has_its_calls(tmp_path: Path) -> None:
    calls = [{"environment": "e", "cold": n == 0, "billed_ms": 7 + n, "memory_mb": 128} for n in range(4)]
    events = session_events({"emulated": [1.0]}, invocations=calls, ok=None)
    for event in events:
        if isinstance(event, RunPlanned):
            event.workload = "function"
    done = lbench("report", session(tmp_path / "one", events), "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "r.html").read_text()
    assert "<h1>function: measured with lbench</h1>" in text and "34 ms billed in total" in text
    rows = {cells[0][1]: cells for cells in Page(text).rows if len(cells) == 8}
    assert (rows["emulated cold"][1][1], rows["emulated warm"][1][1]) == ("1", "3")
    assert rows["emulated warm"][7][0] == "9.0"
