"""Previews: one writer for all runs, whose blocks are recorded before the run ends."""

from __future__ import annotations

import threading

from lbench.engine.journal.events import PREVIEWS_NAME, Previewed, decode_event
from lbench.engine.journal.previews import PreviewWriter
from lbench.engine.journal.writer import Journal
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Task

TASK = Task("fake.task")


class Previewer:
    """Draws a result as a block that names its run; waits for `go` before each."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.go = threading.Event()
        self.go.set()

    def add(self, task, result):
        assert self.go.wait(30)
        return [self.run, result, "x" * 1000]


class Writer:
    """A writer on a journal whose events are kept."""

    def __init__(self, folder, **options) -> None:
        self.path = folder / PREVIEWS_NAME
        self.events = []
        self.journal = Journal(folder)
        self.journal.listen(lambda lines: self.events.extend(decode_event(line) for line in lines.splitlines()))
        self.writer = PreviewWriter(folder, self.journal, **options)

    def blocks(self):
        self.journal.flush()
        data = self.path.read_bytes()
        previewed = [event for event in self.events if isinstance(event, Previewed)]
        return [(event.run, decode(data[event.offset : event.offset + event.length])[:2]) for event in previewed]

    def close(self) -> None:
        self.writer.close()
        self.journal.close()


async def test_concurrent_runs_share_the_file_and_their_blocks_stay_whole(tmp_path):
    whole = Writer(tmp_path)
    runs = [Previewer("r1"), Previewer("r2")]
    for one in runs:
        whole.writer.begin(one.run)
    for number in range(20):
        for one in runs:
            whole.writer.add(one.run, one, 0, number, TASK, encode(number))
    await whole.writer.drawn()
    wanted = [(one.run, [one.run, number]) for number in range(20) for one in runs]
    assert whole.blocks() == wanted
    whole.close()


async def test_results_of_a_run_that_has_ended_are_left_out(tmp_path):
    whole = Writer(tmp_path)
    old, new = Previewer("r1"), Previewer("r2")
    whole.writer.begin("r1")
    old.go.clear()
    for number in range(3):
        whole.writer.add("r1", old, 0, number, TASK, encode(number))
    whole.writer.end("r1")
    old.go.set()
    whole.writer.begin("r2")
    whole.writer.add("r1", old, 0, 3, TASK, encode(3))
    whole.writer.add("r2", new, 0, 0, TASK, encode(0))
    await whole.writer.drawn()
    assert whole.blocks() == [("r2", ["r2", 0])]
    whole.close()


async def test_a_measured_run_leaves_out_results_that_come_faster_than_they_are_drawn(tmp_path):
    folders = [tmp_path / "measured", tmp_path / "interactive"]
    for folder in folders:
        folder.mkdir()
    measured, interactive = Writer(folders[0]), Writer(folders[1], interactive=True)
    for whole in (measured, interactive):
        slow = Previewer("r1")
        slow.go.clear()
        whole.writer.begin("r1")
        for number in range(1000):
            whole.writer.add("r1", slow, 0, number, TASK, encode(number))
        slow.go.set()
    await interactive.writer.drawn()
    await measured.writer.drawn()
    await measured.writer.drawn()  # the first one does not wait where the queue is full
    assert len([event for event in interactive.events if isinstance(event, Previewed)]) == 1000
    measured.journal.flush()
    assert len([event for event in measured.events if isinstance(event, Previewed)]) < 300
    measured.close()
    interactive.close()
