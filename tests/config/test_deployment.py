"""Names that AWS takes, also when CloudFormation has put its own letters behind them."""

from __future__ import annotations

import pytest

from lbench.config.deployment import function_name, stack_name
from lbench.errors import InputError


@pytest.mark.parametrize("base", ["a" * 36, "a" + "-b" * 17, "L9"])
def test_the_longest_stack_s_function_role_and_bucket_fit(base: str) -> None:
    stack = stack_name(base, "arm64")
    assert len(function_name(stack, 10_240)) <= 64
    assert len(f"{stack}-Role-{'X' * 13}") <= 64
    assert len(f"{stack}-bucket-{'x' * 13}") <= 63


@pytest.mark.parametrize(
    "base", ["", "a" * 37, "a" + "-b" * 18, "9a", "a-", "a--b", "-a", "a_b", "a\n", "ä", "a-arm64"]
)
def test_other_names_are_refused(base: str) -> None:
    with pytest.raises(InputError, match="stack '"):
        stack_name(base, "x86_64")
