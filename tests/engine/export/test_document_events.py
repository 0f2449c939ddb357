"""A document read back as events."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lbench.engine.export.document import document, encode_document
from lbench.engine.export.document_events import document_events
from lbench.engine.journal.events import ComparisonEnded, RunEnded, RunPlanned, Warned
from lbench.engine.session.view import fold
from tests.session_events import session_events


def test_a_paused_run_stays_paused_with_its_warning_or_without(tmp_path: Path) -> None:
    events = session_events({"processes": [1.0, 9.0, 1.1]})
    events[-1:-1] = [Warned("paused", "processes was paused", "r2")]
    written = document(fold(events))
    for warnings in (written.warnings, []):
        path = tmp_path / "session.json"
        path.write_bytes(encode_document(msgspec.structs.replace(written, warnings=warnings)))
        view = fold(document_events(path))
        assert [run.id for run in view.runs.values() if run.counts] == ["r1", "r3"]
        assert [(one.code, one.run) for one in view.warnings] == [("paused", "r2")]


@pytest.mark.parametrize("lost", [{"r2"}, {"r1", "r2"}])
def test_a_comparison_names_only_runs_that_the_document_holds_and_comes_back_as_it_was(
    tmp_path: Path, lost: set[str]
) -> None:
    """A backend that breaks down leaves runs that were planned and never began."""
    events = [
        one
        for one in session_events({"processes": [1.0, 1.1]})
        if getattr(one, "run", None) not in lost or isinstance(one, RunPlanned)
    ]
    ends = [RunEnded(run=run, status="failed", makespan_s=None, driver=None, error="broken") for run in sorted(lost)]
    events[-1:-1] = [*ends, ComparisonEnded("c1", ["r1", "r2"], "failed", 1, "processes broke down")]
    written = document(fold(events))
    held = [run.id for run in written.runs]
    (comparison,) = written.comparisons or []
    assert comparison.runs == held == [one for one in ("r1", "r2") if one not in lost]
    path = tmp_path / "session.json"
    path.write_bytes(encode_document(written))
    assert document(fold(document_events(path))) == written
