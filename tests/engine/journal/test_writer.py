from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbench.engine.journal.events import JOURNAL_VERSION, Phase, SessionStarted, Warned
from lbench.engine.journal.lock import FolderLock, is_live
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME, Journal
from lbench.engine.virtual_time import run_virtual
from lbench.errors import InputError, SessionFileError


@pytest.fixture
def head(fakes):
    return SessionStarted(
        id="s", name="s", created="2026-11-22T10:00:00Z", lbench_version="0", environment=fakes.machine,
        format="lbench.journal", version=JOURNAL_VERSION,
    )  # fmt: skip


@pytest.fixture
def written(tmp_path: Path, head):
    """A journal of 100 events."""

    async def main():
        journal = Journal(tmp_path)
        journal.write(head)
        for number in range(99):
            journal.write(Phase(f"phase {number}"))
        journal.close()

    run_virtual(main())
    return tmp_path / JOURNAL_NAME


# -- reading


def test_what_was_written_is_read_in_its_order(written, head):
    events = list(read_events(written))
    assert events[0] == head
    assert [event.text for event in events[1:]] == [f"phase {number}" for number in range(99)]


def test_a_torn_last_line_is_dropped_wherever_it_is_torn(written):
    whole = written.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole)):
        written.write_bytes(whole[:end])
        assert len(list(read_events(written))) == 99
    written.write_bytes(whole + b"\0" * 4096)  # as a file system may leave it after a power cut
    assert len(list(read_events(written))) == 100


def test_damage_in_the_middle_is_reported_with_its_line(written):
    lines = written.read_bytes().splitlines(keepends=True)
    lines[41] = lines[41][:-10] + b"\n"
    written.write_bytes(b"".join(lines))
    with pytest.raises(SessionFileError, match=r"events\.jsonl is damaged at line 42"):
        list(read_events(written))


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b"{}\n",
        b'{"event":"phase","text":"x"}\n',
        b"\x89PNG\r\n\x1a\n",
        b"[1]\n",
        b'{"event":"session"}\n',
        b"text",
        b"{" * 9,
    ],
)
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(SessionFileError, match="is not an lbench journal"):
        list(read_events(path))


def test_a_session_line_without_our_mark_is_refused(tmp_path, written):
    line = json.loads(written.read_bytes().splitlines()[0])
    line["format"] = "other.journal"
    written.write_text(json.dumps(line) + "\n")
    with pytest.raises(SessionFileError, match="is not an lbench journal"):
        list(read_events(written))


@pytest.mark.parametrize("readable", [True, False])
def test_a_newer_journal_is_refused_with_what_to_do(written, readable):
    line = json.loads(written.read_bytes().splitlines()[0])
    line["version"] = 2
    if not readable:
        line["environment"] = "no longer a map"
    written.write_text(json.dumps(line) + "\n" + '{"event":"unheard of"}\n')
    with pytest.raises(SessionFileError, match=r"newer lbench \(journal version 2\): upgrade"):
        list(read_events(written))


def test_a_missing_journal_and_a_folder_are_reported_in_one_line(tmp_path):
    with pytest.raises(SessionFileError, match="cannot be read: No such file"):
        list(read_events(tmp_path / "none"))
    with pytest.raises(SessionFileError, match="cannot be read: Is a directory"):
        list(read_events(tmp_path))


def test_an_empty_journal_has_no_events(tmp_path):
    (tmp_path / "x").touch()
    assert list(read_events(tmp_path / "x")) == []


# -- writing


def test_a_folder_with_a_journal_is_not_written_to_again(written):
    async def main():
        with pytest.raises(InputError, match="holds a session already"):
            Journal(written.parent)

    run_virtual(main())
    assert len(list(read_events(written))) == 100


async def test_events_gather_and_are_flushed_together_to_file_and_listeners(tmp_path, head):
    journal = Journal(tmp_path)
    blocks = []
    journal.listen(blocks.append)
    journal.write(head)
    journal.write(Phase("one"))
    assert blocks == []
    await journal.sync()
    assert len(blocks) == 1
    assert (tmp_path / JOURNAL_NAME).read_bytes() == blocks[0]
    journal.unlisten(blocks.append)
    journal.close()


async def test_an_event_is_in_the_file_soon_without_anyone_asking(tmp_path):
    journal = Journal(tmp_path)
    flushed = asyncio.Event()
    journal.listen(lambda lines: flushed.set())
    journal.write(Phase("one"))
    await asyncio.wait_for(flushed.wait(), 5)
    journal.close()
    assert b"one" in (tmp_path / JOURNAL_NAME).read_bytes()


async def test_an_event_may_be_changed_until_it_is_flushed(tmp_path):
    journal = Journal(tmp_path)
    event = Phase("early")
    journal.write(event)
    event.text = "late"
    journal.close()
    assert b"late" in (tmp_path / JOURNAL_NAME).read_bytes()


async def test_settled_tells_how_much_is_in_the_file(tmp_path):
    heard = bytearray()
    journal = Journal(tmp_path)
    journal.listen(heard.extend)
    for number in range(1000):
        journal.write(Phase(str(number)))
    written, backlog = await journal.settled()
    assert (written, backlog) == ((tmp_path / JOURNAL_NAME).stat().st_size, b"")
    assert written == len(heard)
    journal.close()


async def test_text_that_is_no_unicode_costs_neither_its_event_nor_its_neighbours(tmp_path, head):
    journal = Journal(tmp_path)
    journal.write(head)
    journal.write(Warned("data", "cannot read caf\udce9.csv"))
    journal.write(Phase("after"))
    journal.close()
    events = list(read_events(tmp_path / JOURNAL_NAME))
    assert events[1].text == "cannot read caf\\udce9.csv"
    assert events[2].text == "after"


# -- a full disk: a limit on the size of files, which the kernel enforces as it does a full disk

_FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from lbench.engine.journal.events import *
from lbench.engine.journal.writer import Journal, JOURNAL_NAME
from lbench.engine.journal.reader import read_events
from lbench.engine.machine.fingerprint import Environment

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main(folder):
    troubles, heard = [], bytearray()
    trouble = asyncio.Event()
    def on_trouble(error):
        troubles.append(error and error.strerror)
        trouble.set()
    journal = Journal(folder, on_trouble=on_trouble)
    journal.listen(heard.extend)
    journal.write(SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", JOURNAL_VERSION))
    for number in range(100):
        journal.write(Phase(f"before {number}"))
    await journal.sync()
    limit((folder / JOURNAL_NAME).stat().st_size + 1000)  # the line at the limit is torn
    for block in range(5):
        for number in range(100):
            journal.write(Phase(f"full {block} {number}"))
        written, backlog = await journal.settled()
        file = (folder / JOURNAL_NAME).read_bytes()
        assert len(file) == written, (len(file), written)
        assert file + backlog == bytes(heard)
        assert not file.endswith(b"\\n") and backlog
    await trouble.wait()
    assert troubles == ["File too large"], troubles
    assert len(list(read_events(folder / JOURNAL_NAME))) < 150  # still readable: its last line is torn
    trouble.clear()
    limit(resource.RLIM_INFINITY)
    journal.write(Phase("room again"))
    assert (await journal.settled())[1] == b""
    await trouble.wait()
    assert troubles == ["File too large", None], troubles
    journal.close()
    assert (folder / JOURNAL_NAME).read_bytes() == bytes(heard)
    events = list(read_events(folder / JOURNAL_NAME))
    expected = [f"before {n}" for n in range(100)]
    expected += [f"full {b} {n}" for b in range(5) for n in range(100)] + ["room again"]
    assert [event.text for event in events[1:]] == expected

asyncio.run(main(Path(sys.argv[1])))
print("fine")
"""


def test_on_a_full_disk_nothing_is_lost_and_the_order_holds_when_there_is_room_again(tmp_path):
    run = subprocess.run([sys.executable, "-P", "-c", _FULL, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("fine\n", "")


def test_room_that_comes_only_at_the_end_is_used(tmp_path, head, monkeypatch):
    async def main():
        journal = Journal(tmp_path)
        write = os.write

        def full(file, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        journal.write(head)
        journal.flush()
        monkeypatch.setattr(os, "write", write)
        journal.close()

    run_virtual(main())
    assert len(list(read_events(tmp_path / JOURNAL_NAME))) == 1


# -- the lock


def test_a_second_engine_is_refused_while_the_first_lives(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(InputError, match="another engine is writing"):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_a_session_is_live_while_its_lock_is_held(tmp_path):
    assert not is_live(tmp_path)
    lock = FolderLock(tmp_path)
    assert is_live(tmp_path)
    lock.release()
    assert not is_live(tmp_path)
    assert not is_live(tmp_path / "none")


def test_a_lock_whose_holder_was_killed_is_free(tmp_path):
    code = (
        "import sys, pathlib; from lbench.engine.journal.lock import FolderLock; "
        "lock = FolderLock(pathlib.Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        assert is_live(tmp_path)
        holder.kill()
    assert not is_live(tmp_path)


def test_someone_who_only_looks_does_not_keep_an_engine_from_starting(tmp_path):
    import fcntl
    import threading

    (tmp_path / "lock").touch()
    looking = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.03, os.close, [looking]).start()
    FolderLock(tmp_path).release()


def test_an_unwritable_folder_is_reported_in_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file"):
        FolderLock(tmp_path / "none")
