"""A large document is read by a thread, in blocks, and gives what its events give; a damaged one is reported as before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lbench.engine.export.document import document, encode_document
from lbench.engine.export.document_events import document_events
from lbench.engine.session.blocks import Block
from lbench.engine.session.view import SessionView, fold, load_folder
from lbench.errors import SessionFileError
from lbench.tui.feeds.block_reader import BlockReader
from lbench.tui.feeds.feed import Frame
from lbench.tui.feeds.records import Source
from lbench.tui.feeds.replay import RecordedFeed


def whole(feed: RecordedFeed) -> Frame:
    """The frame when nothing is left to fold."""
    deadline_s = time.monotonic() + 180
    while (frame := feed.frame()).behind:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    return frame


@pytest.fixture
def exported(making: ModuleType, tmp_path: Path) -> Path:
    folder = making.write_session(tmp_path / "s", making.events(tasks=400))
    path = tmp_path / "session.json"
    path.write_bytes(encode_document(document(load_folder(folder))))
    return path


def test_a_large_document_is_read_by_a_thread(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbench.tui.feeds.block_reader._SMALL_BYTES", 0)
    frame = whole(RecordedFeed.of(exported))
    assert frame.state == "done" and frame.read_share is None
    assert isinstance(frame.view, SessionView)
    assert document(frame.view) == document(fold(document_events(exported)))


def test_the_share_that_is_read_grows_to_all(exported: Path) -> None:
    blocks = Source.of(exported).blocks
    assert blocks is not None
    reader = BlockReader(exported, blocks)
    shares = []
    while reader.take() is not None:
        shares.append(reader.share)
    assert reader.over and shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 3


@pytest.mark.parametrize("ahead", [False, True])
def test_the_first_frame_is_drawn_before_a_thread_of_ours_reads(
    exported: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    monkeypatch.setattr("lbench.tui.feeds.block_reader._SMALL_BYTES", 0)
    begun = threading.Event()

    def blocks() -> Iterator[Block]:
        begun.set()
        yield Block([], 0, 0, 0)

    reader = BlockReader(exported, blocks, ahead=ahead)
    assert begun.wait(30.0 if ahead else 0.05) == ahead  # other processes may read from the start
    reader.take()
    assert begun.wait(30.0)
    reader.close()


def test_what_comes_before_a_damage_is_shown(exported: Path) -> None:
    content = exported.read_bytes()
    place = content.rindex(b'"dispatched_s"')
    exported.write_bytes(content[:place] + b'"dispatched_s":"soon","was' + content[place + 1 :])
    with pytest.raises(SessionFileError) as expected:
        fold(document_events(exported))
    frame = whole(RecordedFeed.of(exported))
    assert frame.problem == str(expected.value) and "is damaged" in frame.problem
    assert sum(run.finished_tasks for run in frame.runs) > 3000
