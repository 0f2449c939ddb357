from pathlib import Path
from types import ModuleType

from lbench.engine.events import Previewed
from lbench.engine.session import RunView, fold
from lbench.tui.previews import Curve, Gatherer, Picture
from lbench.workloads.encoding import encode


def _run(making: ModuleType, folder: Path) -> RunView:
    told = making.with_pictures(making.events((making.PROCESSES,), repeats=1), folder)
    return fold(event for _, event in told).runs["r1"]


def test_a_picture_is_whole_when_all_its_blocks_have_come(making: ModuleType, tmp_path: Path) -> None:
    told = Gatherer(tmp_path, _run(making, tmp_path)).update()
    assert isinstance(told, Picture)
    assert (told.height, told.width, told.blocks) == (200, 200, 100)
    assert (told.levels >= 0).all()
    assert (told.levels == 255).any()


def test_a_picture_that_grows_becomes_the_same(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    blocks = list(run.previews)
    run.previews.clear()
    gatherer = Gatherer(tmp_path, run)
    assert gatherer.update() is None
    for block in blocks:
        run.previews.append(block)
        told = gatherer.update()
    whole = Gatherer(tmp_path, run).update()
    assert isinstance(told, Picture) and isinstance(whole, Picture)
    assert (told.levels == whole.levels).all()


def test_blocks_that_cannot_be_read_are_left_out(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    damaged = bytearray((tmp_path / "previews.bin").read_bytes())
    first = run.previews[0]
    damaged[first.offset : first.offset + first.length] = b"\xc1" * first.length
    (tmp_path / "previews.bin").write_bytes(damaged)
    run.previews.append(Previewed("r1", 0, 0, 1 << 40, 10))
    told = Gatherer(tmp_path, run).update()
    assert isinstance(told, Picture)
    assert told.blocks == 99


def test_without_its_file_there_is_no_picture(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    assert Gatherer(tmp_path / "elsewhere", run).update() is None
    assert Gatherer(None, run).update() is None


def test_a_curve_gathers_its_points(making: ModuleType, tmp_path: Path) -> None:
    run = _run(making, tmp_path)
    run.previews.clear()
    with (tmp_path / "previews.bin").open("wb") as file:
        for x in range(5):
            data = encode({"kind": "curve", "label": "out-of-bag accuracy", "x": float(x), "y": 0.5 + x / 10})
            run.previews.append(Previewed("r1", 0, x, file.tell(), len(data)))
            file.write(data)
    told = Gatherer(tmp_path, run).update()
    assert isinstance(told, Curve)
    assert told.points[-1] == (4.0, 0.9)
    assert told.label == "out-of-bag accuracy"
