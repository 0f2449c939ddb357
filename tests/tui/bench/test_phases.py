"""The phases of one invocation."""

import pytest

from lbench.tui.widgets.inspect import phases


@pytest.mark.parametrize("finished_s", [0.2449, 0.246171, 5.123457])
def test_a_phase_is_as_exact_as_its_record(finished_s: float) -> None:
    returned_s = round(finished_s + 0.000835, 6)
    ((name, ms, _),) = phases({"finished_s": finished_s, "returned_s": returned_s})
    assert (name, ms) == (
        "return",
        0.835,
    )  # as the card's table beside it has it, which is rounded otherwise than 0.8350001
