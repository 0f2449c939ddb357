"""How many workers and environments a machine gets, and what is said about it."""

from __future__ import annotations

import pytest

from lbench.engine.backends.lambda_.emulated import open_emulated
from lbench.engine.backends.settings import EmulatedSettings
from lbench.engine.machine import fingerprint
from lbench.engine.plan.open_backend import open_backend
from lbench.engine.plan.plan import BackendChoice, Plan


@pytest.mark.parametrize(
    ("cores", "count", "notes"),
    [(1.5, 2, ["2 workers share a quota of 1.5 cores"]), (2.0, 2, []), (1.0, 1, []), (0.5, 1, [])],
)
def test_a_part_of_a_core_gets_a_worker_too(
    cores: float, count: int, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "usable_cores", lambda: cores)
    choice = BackendChoice("processes", "processes")
    backend = open_backend(choice, Plan(workload="probe", backends=[choice]))
    assert (backend.capacity, backend.notes) == (count, notes)


def test_the_environments_of_a_quota_keep_their_full_share_and_a_note_says_why() -> None:
    backend = open_emulated(EmulatedSettings(), usable_cores=1.5, memory_bytes=8 << 30)
    assert backend.capacity == 1
    assert any("a quota of 1.5 cores is enough for 1 of 1769 MB at" in note for note in backend.notes)
