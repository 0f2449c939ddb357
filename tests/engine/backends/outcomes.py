"""What an invocation came to."""

from __future__ import annotations

from typing import Any

from lbench.engine.backends.base import Outcome
from lbench.workloads.encoding import decode


def value(outcome: Outcome) -> Any:
    assert outcome.failure is None, outcome.failure
    assert outcome.result is not None
    return decode(outcome.result)
