"""Handing over a task costs something, is measured, and kept for the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbench.engine.backends.local.backend import open_local
from lbench.engine.backends.settings import LocalSettings
from lbench.engine.sampling.overhead import hand_over_s


async def test_a_task_that_does_nothing_still_takes_its_hand_over(tmp_path: Path) -> None:
    async with open_local("threads", LocalSettings(concurrency=2), 2, preload="probe") as backend:
        seconds = await hand_over_s(backend, tmp_path, tasks=40)
    assert 1e-6 < seconds < 1


def test_what_is_not_kept_is_measured_and_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lbench.engine.sampling import overhead

    measured: list[str] = []

    async def measure(names: list[str]) -> dict[str, float]:
        measured.extend(names)
        return dict.fromkeys(names, len(measured) / 1000)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(overhead, "_measure", measure)
    assert overhead.hand_overs(("emulated",)) == {"emulated": 0.001}
    assert overhead.hand_overs().keys() == set(overhead.BACKENDS)
    assert measured == ["emulated", "sequential", "threads", "processes"]
    assert overhead.hand_overs(("emulated",)) == {"emulated": 0.001}
    overhead.hand_overs(("emulated",), fresh=True)
    assert measured[-1] == "emulated" and len(measured) == 5


@pytest.mark.slow
def test_all_backends_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lbench.engine.sampling.overhead import hand_overs

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = hand_overs()
    assert first.keys() == {"sequential", "threads", "processes", "emulated"}
    assert hand_overs() == first
