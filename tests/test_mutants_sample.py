"""Whether a sample of mutants may pass: tests/mutants_sample.py."""

import math
import runpy
from pathlib import Path

import pytest

SAMPLE = runpy.run_path(str(Path(__file__).with_name("mutants_sample.py")))


@pytest.mark.parametrize(("size", "fewest"), [(1, 0), (12, 9), (40, 33), (200, 173)])
def test_a_sample_of_a_folder_at_the_goal_seldom_has_fewer_than_the_fewest_noticed(size: int, fewest: int) -> None:
    def up_to(count: int) -> float:
        return sum(math.comb(size, k) * 0.9**k * 0.1 ** (size - k) for k in range(count + 1))

    assert up_to(fewest - 1) <= 0.05 < up_to(fewest)
    assert SAMPLE["fewest"](size) == fewest
