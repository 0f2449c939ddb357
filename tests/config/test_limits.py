"""The limits file holds AWS's limits, each with a source and a date."""

import re
import tomllib
from pathlib import Path

import pytest

import lbench.config.limits
import lbench.lambda_src
from lbench.config.limits import limits
from lbench.workloads.function.payloads import LARGEST_BYTES


def test_the_limits_are_those_of_the_documentation() -> None:
    found = limits()
    assert (found.memory_min_mb, found.memory_max_mb, found.memory_mb_per_vcpu) == (128, 10_240, 1769)
    assert (found.timeout_max_s, found.init_max_s) == (900, 10)
    assert found.payload_max_bytes == 6 * 1024 * 1024
    assert found.ephemeral_min_mb == 512
    assert found.concurrency == 1000
    assert "ConcurrentInvocationLimitExceeded" in found.throttle_reasons


@pytest.mark.parametrize(
    ("parameter", "bounds"),
    [
        ("Memory", ("memory_mb_per_vcpu", "memory_min_mb", "memory_max_mb")),
        ("Timeout", ("timeout_max_s", None, "timeout_max_s")),
        ("EphemeralStorage", ("ephemeral_min_mb", "ephemeral_min_mb", "ephemeral_max_mb")),
    ],
)
def test_the_template_has_the_same_limits(parameter: str, bounds: tuple[str | None, ...]) -> None:
    template = Path(lbench.lambda_src.__file__).with_name("template.yaml").read_text(encoding="utf-8")
    found = re.search(
        rf"^  {parameter}:.*?Default: (\d+)\s+MinValue: (\d+)\s+MaxValue: (\d+)", template, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    assert [int(text) for text in found.groups()] == [1 if name is None else getattr(limits(), name) for name in bounds]


def test_the_largest_event_of_a_function_is_the_limit() -> None:
    assert limits().payload_max_bytes == LARGEST_BYTES  # it ships to Lambda, without these files


def test_every_limit_has_a_source_and_a_date() -> None:
    file = Path(lbench.config.limits.__file__).with_name("limits.toml")
    for row in tomllib.loads(file.read_text(encoding="utf-8")).values():
        assert set(row) == {"value", "source", "date"}
        assert row["date"].year == 2026
