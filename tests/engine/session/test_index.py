"""Sessions are listed whatever state they are in, and found by what a person types."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lbench.engine.journal.events import Event, RunEnded, encode_lines
from lbench.engine.journal.lock import FolderLock
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.session.index import Recorded, find_session, list_sessions, recorded, session_folders, when
from lbench.engine.session.labels import Meta, write_meta
from lbench.errors import InputError, UnknownNameError


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "lbench" / "sessions"
    folder.mkdir(parents=True)
    return folder


def record(sessions: Path, name: str, journal: bytes) -> Path:
    (sessions / name).mkdir()
    (sessions / name / "events.jsonl").write_bytes(journal)
    return sessions / name


def test_whole_torn_empty_and_foreign_journals_are_all_listed(
    sessions: Path, make_events: Callable[..., list[Event]]
) -> None:
    journal = encode_lines(make_events({"sequential": [1.0, 1.1], "processes": [0.6]}))
    record(sessions, "a", journal)
    record(sessions, "b", journal[:-20])
    record(sessions, "c", b"")
    record(sessions, "d", b"no journal\n")
    (sessions / "e").mkdir()
    found = {one.id: one for one in list_sessions()}
    assert found["a"].complete and found["a"].error is None
    assert (found["a"].workloads, found["a"].backends) == (["probe"], ["sequential", "processes"])
    assert (found["a"].runs, found["a"].runs_ended) == (3, 3)
    assert not found["b"].complete and found["b"].error is None
    assert all(found[name].error for name in "cde")
    assert not any(one.running for one in found.values())


def test_a_session_is_listed_with_what_its_journal_begins_and_ends_with(
    sessions: Path, make_events: Callable[..., list[Event]]
) -> None:
    machine = Environment(hostname="here", cpu_model="a processor")
    events = make_events({"sequential": [1.0, 1.1], "processes": [0.6]}, environment=machine)
    folder = record(sessions, "20260101-100000-aaaa", encode_lines(events))
    whole = Recorded(
        id="20260101-100000-aaaa",
        path=str(folder),
        name="s",
        created="2026-01-01T00:00:00+00:00",
        complete=True,
        workloads=["probe"],
        backends=["sequential", "processes"],
        runs=3,
        runs_ended=3,
        machine="here",
        cpu_model="a processor",
    )
    assert list_sessions() == [whole]
    write_meta(folder, Meta(name="mine", tags=["a", "b"]))
    lock = FolderLock(folder)
    assert list_sessions() == [msgspec.structs.replace(whole, name="mine", tags=["a", "b"], running=True)]
    lock.release()
    torn = record(sessions, "torn", encode_lines(events)[:-1])  # its last line is not whole: the end
    assert not recorded(torn).complete and recorded(torn).runs_ended == 3


def test_runs_that_a_stop_kept_from_ending_are_not_counted_as_done(
    sessions: Path, make_events: Callable[..., list[Event]]
) -> None:
    events = make_events({"sequential": [1.0, 1.1], "processes": [0.6]})
    last = max(at for at, event in enumerate(events) if isinstance(event, RunEnded))
    events[last] = msgspec.structs.replace(events[last], status="cancelled", makespan_s=None)
    one = recorded(record(sessions, "stopped", encode_lines(events)))
    assert (one.runs_done, one.runs_ended, one.runs) == (2, 3, 3)


def test_what_cannot_be_read_says_why_and_is_listed_by_its_name(
    sessions: Path, make_events: Callable[..., list[Event]]
) -> None:
    lines = encode_lines(make_events({"sequential": [1.0]})).splitlines(keepends=True)
    no_head = record(sessions, "20260101-100000-aaaa", b"".join(lines[1:]))
    empty = record(sessions, "20260103-100000-aaaa", b"")
    bad = record(sessions, "20260102-100000-aaaa", lines[0] + b'{"event":"planned","run":3}\n')
    (sessions / "none").mkdir()
    found = {one.id: one for one in list_sessions()}
    assert list(found) == [empty.name, no_head.name, bad.name, "none"]  # the third began at midnight of the 1st
    assert found[empty.name].error == "its journal is empty: nothing was recorded"
    assert found[no_head.name].error == f"{no_head / 'events.jsonl'} is not an lbench journal"
    assert found[bad.name].error == f"{bad / 'events.jsonl'} is damaged"
    assert found["none"].error is not None and found["none"].error.startswith(f"{sessions / 'none'}")
    assert [found[name].created for name in (empty.name, no_head.name)] == [None, None]
    assert not any(one.complete or one.runs for one in found.values())


def test_sessions_are_sorted_by_their_start_else_by_their_names() -> None:
    assert when(Recorded(id="x", path="", created="2026-01-01T00:00:00+00:00")) == ("2026-01-01T00:00:00+00:00", "x")
    assert when(Recorded(id="20260203-040506-aaaa", path=""))[0] == "2026-02-03T04:05:06+00:00"
    assert when(Recorded(id="mine", path="")) == ("", "mine")


def test_other_files_and_names_are_no_sessions(sessions: Path) -> None:
    (sessions / "file").write_text("")
    (sessions / "a\x1bb").mkdir()
    (sessions / "b").mkdir()
    (sessions / "a").mkdir()
    assert session_folders() == [sessions / "b", sessions / "a"]


def test_a_list_makes_no_folder_and_names_one_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    assert list_sessions() == [] and not (tmp_path / "none").exists()
    (tmp_path / "none" / "lbench").mkdir(parents=True)
    (tmp_path / "none" / "lbench" / "sessions").write_text("")
    with pytest.raises(
        InputError,
        match=f"^cannot read the folder {tmp_path}/none/lbench/sessions: .*sessions is not a folder; set XDG_DATA_HOME",
    ):
        list_sessions()


def test_a_session_is_found_by_id_beginning_last_and_path(
    sessions: Path, make_events: Callable[..., list[Event]], tmp_path: Path
) -> None:
    journal = encode_lines(make_events({"sequential": [1.0]}))
    first, second = (record(sessions, name, journal) for name in ("20260101-1", "20260202-2"))
    assert find_session("20260101-1") == first
    assert find_session("202602") == second
    assert find_session("last") == second
    assert find_session(str(tmp_path)) == tmp_path


def test_what_is_no_session_is_refused_with_what_there_is(
    sessions: Path, make_events: Callable[..., list[Event]]
) -> None:
    with pytest.raises(InputError, match="no session is recorded"):
        find_session("last")
    journal = encode_lines(make_events({"sequential": [1.0]}))
    for name in ("20260101-1", "20260101-2"):
        record(sessions, name, journal)
    with pytest.raises(InputError, match="not unique"):
        find_session("2026")
    with pytest.raises(InputError, match="no such file"):
        find_session("./nowhere.json")
    with pytest.raises(UnknownNameError, match=r"^unknown session '20260102-1': did you mean"):
        find_session("20260102-1")


def test_a_refusal_names_at_most_five_sessions(sessions: Path, make_events: Callable[..., list[Event]]) -> None:
    with pytest.raises(InputError, match=f"^no session '2026': none is recorded in {sessions}$"):
        find_session("2026")
    journal = encode_lines(make_events({"sequential": [1.0]}))
    names = [f"2026010{number}-1" for number in range(1, 7)]
    for name in names[:5]:
        record(sessions, name, journal)
    five = ", ".join(reversed(names[:5]))
    with pytest.raises(InputError, match=f"^session '2026' is not unique: {five}$"):
        find_session("2026")
    record(sessions, names[5], journal)
    with pytest.raises(InputError, match=r"20260102-1 \.\.\.$"):
        find_session("2026")
    for text in ("gone.json", "gone.jsonl", "a/b"):
        with pytest.raises(InputError, match=f"^{text}: no such file or folder$"):
            find_session(text)


def test_a_device_or_a_pipe_is_no_session(sessions: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path in ("/dev/null", str(pipe)):
        with pytest.raises(InputError, match=f"^{path}: it is not a regular file: save it as one$"):
            find_session(path)


def test_a_name_that_no_file_can_have_is_no_session(sessions: Path) -> None:
    with pytest.raises(InputError, match=r"^no session "):
        find_session("x" * 10_000)


def test_no_name_and_no_session_are_refused_with_what_to_do(sessions: Path) -> None:
    with pytest.raises(InputError) as refused:
        find_session("")
    assert str(refused.value) == "the name of the session is empty: name one, `last` or a file"
    with pytest.raises(InputError) as refused:
        find_session("last")
    assert str(refused.value) == f"no session is recorded in {sessions}: measure something with `lbench run`"


def test_the_last_session_is_the_newest(sessions: Path, make_events: Callable[..., list[Event]]) -> None:
    for day, name in ((2, "b"), (3, "c"), (1, "a")):
        head, *rest = make_events({"sequential": [1.0]})
        head = msgspec.structs.replace(head, created=f"2026-01-0{day}T00:00:00+00:00")
        record(sessions, name, encode_lines([head, *rest]))
    assert find_session("last").name == "c"
