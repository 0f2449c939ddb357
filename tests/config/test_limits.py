"""The limits file holds AWS's limits, each with a source and a date."""

import tomllib
from pathlib import Path

import lbench.config.limits
from lbench.config.limits import limits


def test_the_limits_are_those_of_the_documentation() -> None:
    found = limits()
    assert (found.memory_min_mb, found.memory_max_mb, found.memory_mb_per_vcpu) == (128, 10_240, 1769)
    assert (found.timeout_max_s, found.init_max_s) == (900, 10)
    assert found.payload_max_bytes == 6 * 1024 * 1024
    assert found.ephemeral_min_mb == 512
    assert found.concurrency == 1000
    assert "ConcurrentInvocationLimitExceeded" in found.throttle_reasons


def test_every_limit_has_a_source_and_a_date() -> None:
    file = Path(lbench.config.limits.__file__).with_name("limits.toml")
    for row in tomllib.loads(file.read_text(encoding="utf-8")).values():
        assert set(row) == {"value", "source", "date"}
        assert row["date"].year == 2026
