from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lbench.engine.journal.events import Previewed
from lbench.engine.session.view import RunView, fold
from lbench.tui.draw.scatter import CENTRE, scatter
from lbench.tui.feeds.previews import Curve, Drawn, Picture, PreviewReader, Scatter
from lbench.workloads.encoding import encode


def _run(making: ModuleType, folder: Path) -> RunView:
    events = making.with_pictures(making.events((making.PROCESSES,), repeats=1), folder)
    return fold(event for _, event in events).runs["r1"]


def _drawn(folder: Path | None, run: RunView) -> Drawn | None:
    reader = PreviewReader(folder, run)
    reader.update()
    return reader.drawn


def test_a_picture_is_whole_when_all_its_blocks_have_come(making: ModuleType, tmp_path: Path) -> None:
    reader = PreviewReader(tmp_path, _run(making, tmp_path))
    assert reader.update() and not reader.update()
    picture = reader.drawn
    assert isinstance(picture, Picture)
    assert (picture.height, picture.width, reader.version) == (200, 200, 100)
    assert (picture.levels >= 0).all()
    assert (picture.levels == 255).any()


def test_a_picture_that_grows_becomes_the_same(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    blocks = list(run.previews)
    run.previews.clear()
    reader = PreviewReader(tmp_path, run)
    assert not reader.update()
    for block in blocks:
        run.previews.append(block)
        assert reader.update()
    grown, whole = reader.drawn, _drawn(tmp_path, run)
    assert isinstance(grown, Picture) and isinstance(whole, Picture)
    assert (grown.levels == whole.levels).all()


def test_blocks_that_cannot_be_read_are_left_out(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    damaged = bytearray((tmp_path / "previews.bin").read_bytes())
    first = run.previews[0]
    damaged[first.offset : first.offset + first.length] = b"\xc1" * first.length
    (tmp_path / "previews.bin").write_bytes(damaged)
    run.previews.append(Previewed("r1", 0, 0, 1 << 40, 10))
    reader = PreviewReader(tmp_path, run)
    reader.update()
    assert isinstance(reader.drawn, Picture)
    assert reader.version == 99


def test_without_its_file_there_is_no_picture(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    assert _drawn(tmp_path / "elsewhere", run) is None
    assert _drawn(None, run) is None


def test_a_curve_gathers_its_points(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    run.previews.clear()
    with (tmp_path / "previews.bin").open("wb") as file:
        for x in range(5):
            data = encode({"kind": "curve", "label": "out-of-bag accuracy", "x": float(x), "y": 0.5 + x / 10})
            run.previews.append(Previewed("r1", 0, x, file.tell(), len(data)))
            file.write(data)
    curve = _drawn(tmp_path, run)
    assert isinstance(curve, Curve)
    assert curve.points[-1] == (4.0, 0.9)
    assert curve.label == "out-of-bag accuracy"


def _scatter(iteration: int, **more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    middles = np.array([[-5.0, 0.0], [5.0, 1.0]], dtype=np.float32)
    labels = np.repeat(np.array([0, 1], dtype=np.uint16), 200)
    points = (middles[labels] + rng.normal(0, 0.4, (400, 2))).astype(np.float32)
    inertia = np.array([1000.0 / number for number in range(1, iteration + 1)])
    block = {"kind": "scatter", "iteration": iteration, "points": points, "labels": labels, "centroids": middles}
    return {**block, "inertia": inertia, **more}


def _drawn_of(making: ModuleType, folder: Path, blocks: list[dict[str, Any]]) -> Any:
    run = _run(making, folder)
    run.previews.clear()
    with (folder / "previews.bin").open("wb") as file:
        for block in blocks:
            data = encode(block)
            run.previews.append(Previewed("r1", 0, 0, file.tell(), len(data)))
            file.write(data)
    return _drawn(folder, run)


def test_a_scatter_is_the_last_that_can_be_read(making: ModuleType, tmp_path: Path) -> None:
    wrong = _scatter(4, labels=np.zeros(3, dtype=np.uint16))
    last = _drawn_of(making, tmp_path, [_scatter(2), _scatter(3), wrong])
    assert isinstance(last, Scatter)
    assert last.iteration == 3
    assert last.inertia == [(1.0, 1000.0), (2.0, 500.0), (3.0, 1000.0 / 3)]


def test_a_cell_of_a_scatter_belongs_to_the_cluster_of_its_points_and_centres_are_over_them() -> None:
    block = _scatter(1)
    lines = scatter(block["points"], block["labels"], block["centroids"], 5, 60, 12)
    assert [sum(len(text) for text, _ in line) for line in lines] == [60] * 12
    assert sum(text.count("◆") for line in lines for text, group in line if group == CENTRE) == 2
    for line in lines:
        at = 0
        for text, group in line:
            if text.strip() and group >= 0:
                assert (at + len(text) <= 30) == (group == 0)
            at += len(text)


def test_points_that_all_are_one_have_a_place_too() -> None:
    lines = scatter(np.zeros((5, 2)), np.zeros(5, dtype=int), np.zeros((1, 2)), 5, 20, 4)
    assert sum(text.count("◆") for line in lines for text, _ in line) == 1
    assert scatter(np.zeros((0, 2)), np.zeros(0, dtype=int), np.zeros((0, 2)), 5, 20, 4)
