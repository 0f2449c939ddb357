"""Names that AWS takes, also when CloudFormation has put its own letters behind them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lbench.config.deployment import Deployment, function_name, stack_name
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
def test_an_invalid_stack_name_is_refused(base: str) -> None:
    with pytest.raises(InputError, match=r"stack name must .*, got '"):
        stack_name(base, "x86_64")


def _there(**changes: Any) -> Deployment:
    deployment = Deployment(
        stack="lbench",
        region="eu-west-1",
        arch="x86_64",
        python="3.13",
        lbench_version="0",
        package_digest="0",
        workloads=("probe",),
        bucket="b",
        memory_mb=(1769,),
        timeout_s=900,
        ephemeral_mb=512,
        log_group="g",
    )
    return msgspec.structs.replace(deployment, **changes)


@pytest.mark.parametrize(
    ("there", "command"),
    [
        (_there(), "`lbench deploy --memory 512,1769 --region eu-west-1`"),
        (_there(stack="lbench-arm64"), "`lbench deploy --memory 512,1769 --arch arm64 --region eu-west-1`"),
        (_there(stack="a-arm64"), "`lbench deploy --memory 512,1769 --stack a --arch arm64 --region eu-west-1`"),
        (
            _there(workloads=("probe", "mine.py:job@0123456789ab")),
            "`lbench deploy --memory 512,1769 --workload probe --workload mine.py:job --region eu-west-1`",
        ),
    ],
)
def test_the_command_for_another_size_is_for_just_this_deployment(there: Deployment, command: str) -> None:
    with pytest.raises(InputError) as caught:
        there.function(512)
    assert str(caught.value).endswith(f"run {command}")
