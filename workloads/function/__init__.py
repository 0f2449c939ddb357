"""function: invocations of a Lambda function that is already there, of any runtime. What it returns is not looked at."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from lbench.workloads.model import Description, Params

__all__ = ["DESCRIPTION", "WORKLOAD_NAME", "FunctionParams"]

WORKLOAD_NAME = "function"


class FunctionParams(Params, frozen=True, kw_only=True):
    """Which function is called, with what, and how often."""

    name: Annotated[
        str | None, Meta(description="the function's name or ARN, with :qualifier for a version or an alias")
    ] = None
    payload: Annotated[
        str,
        Meta(
            description="its event, as JSON; @FILE.json, @FILE.jsonl (an event a line, in turn) or @- (standard input)"
        ),
    ] = "{}"
    invocations: Annotated[int, Meta(ge=1, le=1_000_000, description="how often it is called in a run")] = 100
    force_cold: Annotated[
        bool, Meta(description="every call a cold start: an environment variable is changed between batches")
    ] = False
    allow_update: Annotated[
        bool, Meta(description="with force_cold: yes, the function's configuration may be changed for a while")
    ] = False


DESCRIPTION = Description(
    name=WORKLOAD_NAME,
    summary="anyone's deployed function, of any runtime: cold and warm, billed, memory, cost; its answers are not looked at",
    params=FunctionParams,
    implementation="lbench.workloads.function.job:WORKLOAD",
    answers=False,
)
