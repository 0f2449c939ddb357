"""Sessions are listed whatever state they are in, and found by what a person types."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lbench.engine.journal.events import Event, encode_lines
from lbench.engine.session.index import find_session, list_sessions
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
    with pytest.raises(UnknownNameError, match="did you mean"):
        find_session("20260102-1")
