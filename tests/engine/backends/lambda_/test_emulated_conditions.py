"""Injected conditions come from the backend's settings and are noted with every result."""

from __future__ import annotations

import pytest

from lbench.engine.backends import catalog
from lbench.engine.backends.lambda_.emulated import open_emulated
from lbench.engine.backends.settings import EmulatedSettings
from lbench.errors import InputError
from lbench.workloads.parameters import parse


def test_no_condition_is_recorded_at_rest() -> None:
    backend = open_emulated(EmulatedSettings(), usable_cores=2, memory_bytes=2**33)
    assert "latency_ms" not in backend.settings
    assert not any("injected" in note for note in backend.notes)


def test_what_is_injected_is_in_the_settings_and_the_notes() -> None:
    chosen = parse(EmulatedSettings, {"latency_ms": "40", "slow_rate": "0.5", "condition_seed": "7"})
    backend = open_emulated(chosen, usable_cores=2, memory_bytes=2**33)
    assert backend.settings["latency_ms"] == 40
    assert (backend.settings["slow_rate"], backend.settings["slow_factor"]) == (0.5, 2.0)
    assert "injected: latency_ms=40, slow_rate=0.5, slow_factor=2, condition_seed=7" in backend.notes
    assert "fail_rate" not in backend.settings


def test_an_environment_that_starts_late_gets_the_time_for_it() -> None:
    plain = open_emulated(EmulatedSettings(), usable_cores=2, memory_bytes=2**33)
    late = open_emulated(EmulatedSettings(cold_delay_ms=5000), usable_cores=2, memory_bytes=2**33)
    assert late.start_allowance_s == plain.start_allowance_s + 5


@pytest.mark.parametrize(("name", "text"), [("lost_rate", "1.5"), ("latency_ms", "-1"), ("slow_factor", "0.5")])
def test_what_is_out_of_range_is_one_line(name: str, text: str) -> None:
    with pytest.raises(InputError, match=name):
        parse(catalog.settings_type("emulated"), {name: text})
