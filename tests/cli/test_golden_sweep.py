"""A sweep's report: each figure of its table, its crossings and its break-evens follow from the exported CSV."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from lbench.cli.documents import document_of
from lbench.cli.main import command
from lbench.config.prices import rates
from lbench.engine.export.document import encode_document
from lbench.engine.journal.events import Dispatched, Returned
from lbench.engine.model import Pricing
from lbench.engine.session.view import SessionView
from tests import golden_sweep
from tests.analysis.sweeps import sweep_session
from tests.cli.commands.test_report import Page

pytest.importorskip("matplotlib", reason="the extra lbench[report] is not installed")

SIZES = (1, 2, 4, 8, 16, 32)


def swept(repeats: int) -> SessionView:
    """The local curves grow with the trees; the emulated one, with two cold repeats, does not. Every call is billed."""
    generator = np.random.default_rng(5)

    def noisy(seconds: float, count: int) -> list[float]:
        return [float(seconds * np.exp(0.04 * generator.standard_normal())) for _ in range(count)]

    points = [
        (
            {"n_trees": n},
            {
                "sequential": noisy(1.3 * n, repeats),
                "processes": noisy(0.7 * n, repeats),
                "emulated cold": noisy(9.0, 2),
                "emulated warm": noisy(6.0, repeats),
            },
        )
        for n in SIZES
    ]
    view = sweep_session(points, settings={"concurrency": 2})
    pricing = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769)
    for run in view.runs.values():
        assert run.started is not None and run.makespan_s is not None
        emulated = run.planned.backend == "emulated"
        if emulated:
            run.started = msgspec.structs.replace(run.started, pricing=pricing)
        billed = int(1000 * run.makespan_s * run.planned.params["n_trees"]) if emulated else None
        view.apply(Dispatched(run.id, 0, 0, 0, 0, 0.0, 0.0))
        view.apply(Returned(run.id, 0, status="ok", returned_s=run.makespan_s, compute_ms=1.0, billed_ms=billed))
    return view


def lbench(*arguments: str | Path) -> None:
    done = CliRunner().invoke(command, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output


def test_every_figure_of_a_sweeps_report_follows_from_the_csv(tmp_path: Path) -> None:
    made = document_of(swept(7))
    assert made.sweeps is not None
    (curves,) = made.sweeps
    (tmp_path / "s.json").write_bytes(encode_document(made))
    lbench("export", tmp_path / "s.json", "-o", tmp_path / "s.csv")
    lbench("report", tmp_path / "s.json", "-o", tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    places = golden_sweep.places_of((tmp_path / "s.csv").read_text(), "n_trees")
    rows = {(float(cells[0][0] or "nan"), cells[1][1]): cells for cells in Page(page).rows if len(cells) == 7}
    points = golden_sweep.points(places)
    evens = golden_sweep.break_evens(places, 0.10)
    assert {key for key, cells in rows.items() if "predicted" not in cells[1][1]} == points.keys()
    for key, point in points.items():
        runs, makespan, speedup, usd, even = rows[key][2:]
        assert runs[1] == point["runs"]
        for cell, (value, ends), scale in (
            (makespan, point["makespan_s"], 1000 if point["makespan_s"][0] < 1 else 1),
            (speedup, point["speedup"], 1),
        ):
            assert float(cell[0] or "nan") == pytest.approx(value, rel=1e-12)
            shown = [float(one) for one in re.findall(r"(?<=[ :–])[\d.]+(?=[–\s]|$)", cell[1].partition(":")[2])]
            assert shown == pytest.approx([] if ends is None else [end * scale for end in ends], rel=6e-3, abs=6e-3)
        assert float(usd[0] or "nan") == pytest.approx(point["usd"][0], rel=1e-9)
        if key in evens and not key[1].endswith("cold"):
            assert float(even[0] or "nan") == pytest.approx(evens[key]["runs_an_hour"], rel=1e-9)
            assert even[1].startswith(f"{np.ceil(evens[key]['runs_an_hour']):,.0f}")
            assert ("it can do" in even[1]) == (evens[key]["runs_an_hour"] > evens[key]["most_an_hour"])
        else:
            assert even[1] == "–"
    for one in curves.break_evens:
        if one.paid != "lambda (predicted) warm":
            assert (one.low, one.high) == pytest.approx(evens[one.at, one.paid]["interval"], rel=1e-9)
            assert one.most_an_hour == pytest.approx(evens[one.at, one.paid]["most_an_hour"], rel=1e-9)
    check_crossings(curves.crossings + curves.cold_crossings, places)
    assert curves.text in page.replace("&lt;", "<")


def check_crossings(crossings: Any, places: golden_sweep.Places) -> None:
    """Each crossing of two measured curves, by resamples of the CSV's runs."""
    measured = [one for one in crossings if "predicted" not in one.below + one.above]
    assert {one.of for one in measured} == {"time", "usd"}
    for one in measured:
        found = golden_sweep.crossing(places, one.below, one.above, usd=one.of == "usd")
        assert one.count == found["count"]
        assert one.missing == pytest.approx(found["missing"], abs=0.05)
        if one.at is not None:
            assert one.at == pytest.approx(found["at"], rel=0.02)  # of few repeats a resample has few medians
            rel = 0.1 if one.kind == "range" else 0.03  # the least and the greatest of the resamples are rare ones
            assert (one.low, one.high) == pytest.approx((found["low"], found["high"]), rel=rel)


def test_the_script_is_its_own() -> None:
    for name in (golden_sweep.__file__, golden_sweep.expanded.__code__.co_filename):
        tree = ast.parse(Path(name).read_text())
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert not [one for one in imported if one.startswith("lbench")]
