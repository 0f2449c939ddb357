from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lbench.engine.export.document import document, encode_document
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Answered,
    Audited,
    Dispatched,
    EnvironmentSeen,
    Paused,
    Phase,
    Previewed,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    SessionEnded,
    SessionStarted,
    StageEnded,
    StageStarted,
    Warned,
    decode_event,
    encode_lines,
)
from lbench.engine.journal.lock import FolderLock
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.model import Answer, ErrorInfo, LambdaEnvironment, Pricing
from lbench.engine.session.columns import Columns
from lbench.engine.session.view import fold, load_folder
from lbench.errors import SessionFileError


def head():
    return SessionStarted("s", "name", "2026-01-01T00:00:00Z", "0", Environment(), "lbench.journal", JOURNAL_VERSION)


def planned(run="r1", backend="processes"):
    return RunPlanned(run, "probe", {}, 1, backend, backend, "measured", 0, False, "isolated", 10)


def started(run="r1", pricing=None):
    return RunStarted(run, "2026-01-01T00:00:01Z", 0.5, {}, None, False, "d", None, pricing or Pricing())


def dispatched(n, run="r1", task=None, environment=None):
    return Dispatched(run, n, 0, n if task is None else task, 0, 0.0, n * 0.5, environment)


def returned(n, run="r1", status="ok", **fields):
    return Returned(run, n, status, n * 0.5 + 1, **fields)


_HISTORY = [
    head(),
    Phase("loading"),
    planned("r1"),
    planned("r2"),
    started("r1"),
    Phase(""),
    Sampled("r1", MachineSample(0.0, load=1.0)),
    StageStarted("r1", 0, 3, 0.0),
    dispatched(0, environment="w0"),
    dispatched(1),
    returned(
        0, environment="w0", compute_ms=12.3456789, started_s=0.25, finished_s=0.75, request_id="a" * 36, s3_get=1
    ),
    dispatched(2, environment="w1"),
    Paused(True),
    Paused(False),
    returned(1, status="error", environment="w1", log_tail="tail", error=ErrorInfo("E", "m", True)),
    dispatched(3, task=1),
    returned(2, cold=True, via_s3=True, billed_ms=100, billed_source="report", memory_mb=1769),
    returned(3, status="throttled", error=ErrorInfo("T", "slow down", True)),
    dispatched(4, task=1),
    returned(4, cold=False, request_bytes=2**40),
    StageEnded("r1", 0, 3.5),
    EnvironmentSeen("r1", LambdaEnvironment("w0", created_s=-1.0)),
    EnvironmentSeen("r1", LambdaEnvironment("w0", created_s=-1.0, cpu_model="x")),
    RunEnded("r1", "ok", 3.5, None, s3_put=2),
    Answered("r1", Answer(True, "equal", "d", {"x": 1})),
    Warned("w", "text", "r1"),
    started("r2"),
    StageStarted("r2", 0, 2, 0.0),
    dispatched(0, "r2"),
    dispatched(1, "r2"),
    returned(0, "r2", status="cancelled"),
    returned(1, "r2", status="timeout"),
    RunEnded("r2", "cancelled", None, None, overlaps=["r1"]),
    SessionEnded(False, "it was cancelled"),
]


def shown(view):
    """All that a view knows."""
    runs = {}
    for run in view.runs.values():
        columns = run.columns
        runs[run.id] = {
            name: value for name, value in vars(run).items() if name not in ("columns", "planned", "started")
        } | {
            "planned": run.planned, "started": run.started, "status": run.status,
            "rows": [columns.row(row) for row in range(len(columns))], "environments of rows": columns.environments,
        }  # fmt: skip
    return {**vars(view), "runs": runs}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, len(_HISTORY)), max_size=4))
def test_folding_a_journals_parts_gives_what_folding_the_whole_gives(cuts):
    whole = fold(_HISTORY)
    view = None
    edges = [0, *sorted(cuts), len(_HISTORY)]
    for begin, end in itertools.pairwise(edges):
        through_json = [decode_event(line) for line in encode_lines(_HISTORY[begin:end]).splitlines()]
        view = fold(through_json, view)
    assert view is not None
    assert shown(view) == shown(whole)
    assert encode_document(document(view)) == encode_document(document(whole))


def test_a_fold_counts_what_happened():
    view = fold(_HISTORY)
    run = view.runs["r1"]
    assert (len(run.columns), run.in_flight, run.finished_tasks, run.failed_attempts) == (5, 0, 3, 2)
    assert (run.s3_put, run.s3_get) == (2, 1)
    assert run.known_tasks == 3 and run.makespan_s == 3.5 and run.status == "ok"
    assert run.cold_starts() == 1
    assert run.environments["w0"].cpu_model == "x"
    assert list(run.warm_compute_ms()) == [12.346]  # one was cold, of one it is not known how long it took
    assert view.runs["r2"].status == "cancelled" and view.runs["r2"].makespan_s is None
    assert view.runs["r2"].cold_starts() is None
    assert not view.complete and not view.paused and view.phase is None


def test_a_row_tells_what_was_measured_and_none_for_the_rest():
    view = fold(_HISTORY)
    first, second, third, _, fifth = (view.runs["r1"].columns.row(row) for row in range(5))
    assert first["environment"] == "w0" and first["request_id"] == "a" * 36 and first["compute_ms"] == 12.346
    for name in ("cold", "init_ms", "fetch_ms", "connect_ms", "billed_ms", "billed_source", "via_s3", "memory_mb"):
        assert first[name] is None, name
    assert second["error"] == ErrorInfo("E", "m", True) and second["log_tail"] == "tail"
    assert second["started_s"] is None and second["compute_ms"] is None
    assert third["cold"] is True and third["via_s3"] is True and third["billed_source"] == "report"
    assert fifth["cold"] is False and fifth["request_bytes"] == 2**40


def test_an_invocation_without_an_end_has_no_status():
    view = fold([head(), planned(), started(), dispatched(0)])
    assert view.runs["r1"].columns.row(0)["status"] is None
    assert view.runs["r1"].status == "running" and view.runs["r1"].in_flight == 1


def test_a_run_whose_answer_is_wrong_is_no_success():
    view = fold(
        [head(), planned(), started(), RunEnded("r1", "ok", 1.0, None), Answered("r1", Answer(False, "c", "d"))]
    )
    assert view.runs["r1"].status == "wrong_answer"
    unknown = fold(
        [head(), planned(), started(), RunEnded("r1", "ok", 1.0, None), Answered("r1", Answer(None, "c", "d"))]
    )
    assert unknown.runs["r1"].status == "ok"


@pytest.mark.parametrize(("cold", "count"), [([None, None], None), ([None, False], 0), ([True, False], 1)])
def test_a_warm_run_has_no_cold_starts_and_one_without_environments_has_no_count(cold, count):
    calls = [event for n, one in enumerate(cold) for event in (dispatched(n), returned(n, cold=one))]
    assert fold([head(), planned(), started(), *calls]).runs["r1"].cold_starts() == count


def test_columns_grow_without_losing_a_row():
    columns = Columns()
    for row in range(1000):
        columns.dispatch(dispatched(row, environment=f"e{row % 7}"))
        error = ErrorInfo("E", str(row), True) if row % 100 == 0 else None
        columns.finish(returned(row, compute_ms=float(row), error=error))
    assert len(columns) == 1000
    assert list(columns["compute_ms"]) == list(range(1000))
    assert list(columns["task"]) == list(range(1000))
    assert columns.environments == [f"e{number}" for number in range(7)]
    assert [columns.environments[code] for code in columns["environment"]] == [f"e{row % 7}" for row in range(1000)]
    assert sorted(columns.errors) == list(range(0, 1000, 100))


def test_a_request_id_is_kept_whether_it_is_a_uuid_or_not_and_so_is_whom_a_hedge_doubles():
    columns = Columns()
    ids = ["49008790-29b5-4782-a3e8-f8b86f867be3", "no uuid", "49008790-29B5-4782-A3E8-F8B86F867BE3", None] * 3000
    for row, text in enumerate(ids):
        columns.dispatch(replace(dispatched(row), hedge_of=row - 1 if row % 1000 == 1 else None))
        columns.finish(returned(row, request_id=text))
    assert [columns.row(row)["request_id"] for row in range(len(ids))] == ids
    assert [row for row in range(len(ids)) if columns.row(row)["hedge_of"] is not None] == list(range(1, 12000, 1000))
    assert columns.row(1)["hedge_of"] == 0


_MEASURED = """
import gc
from pathlib import Path
from lbench.engine.journal.events import Dispatched, Pricing, Returned, RunPlanned, RunStarted, SessionStarted
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.session.view import fold

def resident_bytes(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

def begun():
    return fold([
        SessionStarted("s", "name", "2026-01-01T00:00:00Z", "0", Environment(), "lbench.journal", VERSION),
        RunPlanned("r1", "probe", {}, 1, "processes", "processes", "measured", 0, False, "isolated", 10),
        RunStarted("r1", "2026-01-01T00:00:01Z", 0.5, {}, None, False, "d", None, Pricing()),
    ])

def grown(view, count):
    for n in range(count):
        view.apply(Dispatched("r1", n, 0, n, 0, 0.0, n * 0.5, f"e{n % 100}"))
        fields = {"compute_ms": 1.0, "billed_ms": 2, "request_id": f"{n:08x}-29b5-4782-a3e8-f8b86f867be3"}
        view.apply(Returned("r1", n, "ok", n * 0.5 + 1, **fields))
    gc.collect()

grown(begun(), 200)  # what is imported and cached is not counted
view = begun()
before = resident_bytes("VmRSS")
grown(view, COUNT)
print(resident_bytes("VmRSS") - before, resident_bytes("VmHWM") - before, len(view.runs["r1"].columns))
"""


def test_a_hundred_thousand_invocations_take_less_than_250_bytes_each():
    """As the system counts it, in a process of its own: tracemalloc does not see columns that are mapped."""
    count = 100_000
    code = _MEASURED.replace("COUNT", str(count)).replace("VERSION", str(JOURNAL_VERSION))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    held, most, rows = map(int, done.stdout.split())
    assert rows == count
    assert held / count < 250
    assert most / count < 350  # while it grows, one column at a time is there twice


# -- who holds it


def _record(folder, events):
    (folder / JOURNAL_NAME).write_bytes(encode_lines(events))


def test_a_run_without_an_end_is_interrupted_when_its_journal_is_not_locked(tmp_path):
    _record(tmp_path, [head(), planned("r1"), planned("r2"), started("r1"), dispatched(0)])
    view = load_folder(tmp_path)
    assert view.runs["r1"].status == "interrupted"
    assert view.runs["r2"].status is None
    assert not view.complete
    lock = FolderLock(tmp_path)
    assert load_folder(tmp_path).runs["r1"].status == "running"
    lock.release()


def test_a_run_that_ended_stays_as_it_ended(tmp_path):
    _record(tmp_path, _HISTORY)
    view = load_folder(tmp_path)
    assert [run.status for run in view.runs.values()] == ["ok", "cancelled"]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (dispatched(0, "r9"), "an event names run 'r9', which was not planned"),
        (started("r9"), "an event names run 'r9', which was not planned"),
        (StageEnded("r1", 0, 1.0), "stage 0 ends before it begins"),
        (StageEnded("r1", -1, 1.0), "stage -1 ends before it begins"),
        (returned(0), "invocation 0 of r1 never began"),
        (returned(-1), "invocation -1 of r1 never began"),
        (Audited("r1", 0, 100), "invocation 0 of r1 never began"),
        (Audited("r1", -1, 100), "invocation -1 of r1 never began"),
        (dispatched(1), "invocation 1 of r1 is out of order"),
        (dispatched(-1), "invocation -1 of r1 is out of order"),
        (dispatched(10**12), "invocation 1000000000000 of r1 is out of order"),
        (dispatched(0, task=2**40), "a number of r1 has too many digits"),
        (RunEnded("r2", "ok", 1.0, None), "run r2 ends before it begins"),
    ],
)
def test_a_journal_that_makes_no_sense_is_damaged_and_not_a_crash(event, text):
    with pytest.raises(SessionFileError) as refused:
        fold([head(), planned("r1"), planned("r2"), started("r1"), event])
    assert str(refused.value) == f"the session is damaged: {text}"


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], None),
        ([started()], "running"),
        ([RunEnded("r1", "cancelled", None, None)], "cancelled"),
        ([started(), RunEnded("r1", "ok", 1.0, None)], "ok"),
        ([started(), RunEnded("r1", "ok", 1.0, None), Answered("r1", Answer(True, "", "d"))], "ok"),
        ([started(), RunEnded("r1", "ok", 1.0, None), Answered("r1", Answer(None, "", "d"))], "ok"),
        ([started(), RunEnded("r1", "ok", 1.0, None), Answered("r1", Answer(False, "", "d"))], "wrong_answer"),
        ([started(), RunEnded("r1", "failed", None, None), Answered("r1", Answer(False, "", "d"))], "failed"),
    ],
)
def test_the_status_of_a_run_follows_from_its_events(events, status):
    view = fold([head(), planned("r1"), *events])
    run = view.runs["r1"]
    assert run.status == status
    assert run.counts is (status == "ok")
    view.engine_gone()
    assert run.status == ("interrupted" if status == "running" else status)


def test_only_a_warning_of_a_pause_that_names_a_run_marks_it():
    def paused(*warnings):
        return fold([head(), planned("r1"), started("r1"), *warnings]).runs["r1"].paused

    assert paused(Warned("paused", "x", "r1"))
    assert not paused(Warned("load", "x", "r1"), Warned("paused", "x", "r9"), Warned("paused", "x", None))


def test_what_the_engine_does_is_known_until_it_ends():
    assert fold([head(), Phase("loading")]).phase == "loading"
    assert fold([head(), Phase("loading"), Phase("")]).phase is None


def test_figures_of_an_audit_replace_the_estimates_and_previews_are_kept():
    preview = Previewed("r1", 0, 0, 0, 10)
    view = fold(
        [head(), planned(), started(), dispatched(0), returned(0, billed_ms=90), Audited("r1", 0, 100), preview]
    )
    run = view.runs["r1"]
    assert (run.columns["billed_ms"].tolist(), run.previews) == ([100], [preview])


def test_warm_compute_times_are_of_good_invocations_that_were_not_cold():
    rows = [
        returned(0, compute_ms=1.23456, cold=False), returned(1, compute_ms=2.0), returned(2, compute_ms=4.0, cold=True),
        returned(3, status="error", compute_ms=8.0), returned(4, cold=False),
    ]  # fmt: skip
    run = fold([head(), planned(), started(), *(dispatched(n) for n in range(5)), *rows]).runs["r1"]
    assert run.warm_compute_ms().tolist() == [1.235, 2.0]
    assert run.cold_starts() == 1


def test_a_document_of_an_empty_journal_is_refused(tmp_path):
    (tmp_path / JOURNAL_NAME).touch()
    with pytest.raises(SessionFileError, match="empty"):
        document(load_folder(tmp_path))


def test_a_document_can_be_made_in_the_middle_of_a_run():
    for end in range(1, len(_HISTORY)):
        content = json.loads(encode_document(document(fold(_HISTORY[:end]))))
        assert content["format"] == "lbench.session"
