"""The answer in one piece, as a person would write it, is the answer that the tasks give."""

from __future__ import annotations

import pytest

from lbench.workloads import parameters, registry
from lbench.workloads.encoding import decode, encode

CASES = [
    ("mandelbrot", {"size": 40}),
    ("mandelbrot", {"size": 40, "kernel": "python"}),
    ("kmeans", {"n_samples": 600, "k": 3}),
    ("kmeans", {"n_samples": 600, "k": 3, "dtype": "float32"}),
    ("random_forest", {"n_trees": 2, "rows": 300}),
    ("map_reduce", {"rows": 300}),
    ("map_reduce", {"rows": 300, "job": "word_count"}),
    ("map_reduce", {"rows": 300, "job": "sort"}),
    ("probe", {"kind": "carry", "size_bytes": 10}),
]


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_answer_in_one_piece_passes_the_check(name, given):
    description = registry.describe(name)
    workload = registry.load(description)
    params = parameters.parse(description.params, given, tasks=4)
    data = workload.load(params, None)
    assert workload.has_loop
    answer = decode(encode(workload.loop(params, data)))
    verdict = workload.check(params, answer, decode(encode(workload.reference(params, data))))
    assert verdict.ok, verdict.how
    workload.summary(params, answer)
