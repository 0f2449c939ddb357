"""A document read back as events."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.engine.export.document import document, encode_document
from lbench.engine.export.document_events import document_events
from lbench.engine.journal.events import Warned
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
