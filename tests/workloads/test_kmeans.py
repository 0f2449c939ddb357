"""k-means: scikit-learn's centroids, whatever the tasks; what is refused; what a screen gets."""

from __future__ import annotations

import os
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from lbench.errors import InputError
from lbench.workloads import functions, registry
from lbench.workloads.dataset import Dataset, open_dataset, write_dataset
from lbench.workloads.encoding import decode, encode
from lbench.workloads.kmeans import DESCRIPTION, KMeansParams
from lbench.workloads.kmeans.elastic import FIRST, deal, next_tasks
from lbench.workloads.kmeans.kernel import unit_count
from lbench.workloads.kmeans.lloyd import serial
from lbench.workloads.kmeans.tree import Tree
from lbench.workloads.model import StageResults
from lbench.workloads.parameters import parse

WORKLOAD = registry.load(DESCRIPTION)


def params(**values: Any) -> KMeansParams:
    return KMeansParams(**{"n_samples": 6000, "n_features": 10, "k": 5, "seed": 3, "tolerance": 0.0, **values})


def load(given: KMeansParams, folder: Path) -> Dataset:
    """As an environment sees it: mapped, read-only."""
    write_dataset(WORKLOAD.load(given, None), folder / "data")
    return open_dataset(folder / "data")


def stages(given: KMeansParams, data: Dataset, previewer: Any = None, **costs: Any) -> tuple[Any, list[int], list[Any]]:
    """The answer, the number of tasks of each stage, and the blocks of the previewer."""
    job = WORKLOAD.job(given, data)
    results: Any = None
    counts, blocks = [], []
    while True:
        try:
            tasks = job.send(results)
        except StopIteration as end:
            return decode(encode(end.value)), counts, blocks
        counts.append(len(tasks))
        results = []
        for task in tasks:
            function, arguments = decode(encode([task.function, task.arguments]))
            results.append(decode(encode(functions.call(function, arguments, data))))
            if previewer is not None and (block := previewer.add(task, results[-1])) is not None:
                blocks.append(block)
        if costs:
            results = StageResults(results, elapsed_s=1.0, **costs)


def answer(given: KMeansParams, data: Dataset) -> Any:
    return stages(given, data)[0]


def reference(given: KMeansParams, data: Dataset) -> Any:
    return decode(encode(WORKLOAD.reference(given, data)))


@pytest.mark.parametrize(
    "given",
    [
        params(),
        params(k=1),
        params(k=40),
        params(k=3, n_samples=3),
        params(n_features=50, spread=0.5),
        params(tolerance=1e-3),
        params(max_iterations=1),
        params(max_iterations=4),
        params(n_samples=777, tasks=3),
    ],
    ids=str,
)
def test_the_centroids_are_scikit_learns(given: KMeansParams, tmp_path: Path) -> None:
    data = load(given, tmp_path)
    found = answer(given, data)
    model = KMeans(
        n_clusters=given.k,
        init=np.array(data["start"]),
        n_init=1,
        algorithm="lloyd",
        tol=given.tolerance,
        max_iter=given.max_iterations,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(data["X"])
    assert found["empty"] == 0
    np.testing.assert_allclose(found["centroids"], model.cluster_centers_ + data["means"], rtol=1e-8, atol=1e-9)
    assert found["iterations"] == model.n_iter_ == len(found["inertias"])
    assert found["inertia"] == pytest.approx(model.inertia_, rel=1e-8, abs=1e-8 * data.meta["sum_squares"])
    assert found["sizes"].tolist() == np.bincount(model.labels_, minlength=given.k).tolist()
    verdict = WORKLOAD.check(given, found, reference(given, data))
    assert verdict.ok and "scikit-learn" in verdict.how


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_answer_is_the_same_to_the_bit_for_any_number_of_tasks(dtype: str, tmp_path: Path) -> None:
    given = params(dtype=dtype, n_samples=70_001, max_iterations=6)
    data = load(given, tmp_path)
    units = unit_count(data.rows, data.columns, given.k)
    assert units > 10
    found = [answer(msgspec.structs.replace(given, tasks=tasks), data) for tasks in (None, 1, 2, 7, units, 1000)]
    assert len({encode(one) for one in found}) == 1


def test_float32_agrees_to_its_stated_tolerance(tmp_path: Path) -> None:
    given = params(dtype="float32")
    data = load(given, tmp_path)
    assert data["X"].dtype == np.float32
    verdict = WORKLOAD.check(given, answer(given, data), reference(given, data))
    assert verdict.ok and "0.001" in verdict.how


def test_a_wrong_centroid_is_found(tmp_path: Path) -> None:
    given = params()
    data = load(given, tmp_path)
    found, expected = answer(given, data), reference(given, data)
    found["centroids"] = found["centroids"] * (1 + 1e-6)
    assert not WORKLOAD.check(given, found, expected).ok


def test_the_inertia_never_grows(tmp_path: Path) -> None:
    given = params(k=20)
    inertias = answer(given, load(given, tmp_path))["inertias"]
    assert (np.diff(inertias) <= 1e-9 * inertias[0]).all()


def test_an_empty_cluster_keeps_its_centroid_and_the_serial_loop_is_the_reference() -> None:
    given = params(k=3, tasks=2)
    X = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0]])
    start = np.array([[0.0, 0.0], [10.0, 0.0], [500.0, 500.0]])
    meta = {"sum_squares": float((X**2).sum()), "mean_variance": 1.0, "features": ["a", "b"]}
    data = Dataset({"X": X, "start": start, "means": np.zeros(2)}, source="", rows=4, columns=2, meta=meta)
    found = answer(given, data)
    assert found["centroids"].tolist() == [[0.5, 0.0], [10.5, 0.0], [500.0, 500.0]]
    assert (found["empty"], found["sizes"].tolist()) == (1, [2, 2, 0])
    verdict = WORKLOAD.check(given, found, reference(given, data))
    assert verdict.ok and "serial numpy loop" in verdict.how
    assert serial(X, start, 0.0, 10)[2]


def test_rows_that_are_all_equal_are_one_cluster_and_no_failure(tmp_path: Path) -> None:
    given = params(k=1, spread=0.0)
    found = answer(given, load(given, tmp_path))
    assert found["inertia"] == pytest.approx(0, abs=1e-15) and found["converged"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (params(k=7000), r"parameter k=7000: must be at most n_samples, 6,000"),
        (params(seed=-1), r"--seed must be from 0 to 4,294,967,295, as for scikit-learn, got -1"),
    ],
)
def test_impossible_clusterings_are_refused_in_one_line(given: KMeansParams, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        WORKLOAD.load(given, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("texts", [{"k": "0"}, {"n_features": "9"}, {"spread": "-1"}, {"dtype": "float16"}])
def test_parameters_out_of_range_are_refused(texts: dict[str, str]) -> None:
    with pytest.raises(InputError):
        parse(KMeansParams, texts)


# -- the fixed tree


@pytest.mark.parametrize("units", [1, 2, 3, 8, 13, 100])
def test_the_tree_adds_in_one_order_for_any_division_of_its_leaves(units: int) -> None:
    leaves = np.random.default_rng(1).normal(size=(units, 2)) * 10.0 ** np.arange(2)
    random = np.random.default_rng(2)
    totals = set()
    for _ in range(30):
        cuts = sorted({0, units, *random.integers(0, units + 1, 4).tolist()})
        parts = []
        for first, end in pairwise(cuts):
            tree = Tree()
            for at in range(first, end):
                tree.add((0, at), leaves[at])
            parts.append(decode(encode(tree.encodable())))
            assert len(parts[-1]["nodes"]) <= 2 * max(1, (end - first).bit_length())
        totals.add(Tree.merged(parts).total().tobytes())
    assert len(totals) == 1
    np.testing.assert_allclose(np.frombuffer(totals.pop()), leaves.sum(axis=0), atol=1e-9)


# -- the number of tasks


def costs(task_s: float | None, overhead_s: float | None, places: int) -> StageResults:
    return StageResults([], elapsed_s=1.0, task_s=task_s, overhead_s=overhead_s, places=places)


@pytest.mark.parametrize(
    ("task_s", "overhead_s", "places", "expected"),
    [
        (1.0, 0.0005, 2, 8),  # rounds are nearly free: four of them, against stragglers
        (0.1, 0.004, 4, 4),  # one task a place
        (0.01, 0.005, 1000, 4),  # 80 ms of work, round trips of 5 ms: not worth more
        (0.00001, 0.005, 64, 1),
        (None, None, 4, 8),  # nothing measured: as before
    ],
)
def test_tasks_follow_the_measured_work_and_overhead(
    task_s: float | None, overhead_s: float | None, places: int, expected: int
) -> None:
    assert next_tasks(8, costs(task_s, overhead_s, places), 10_000) == expected


def test_tasks_change_between_iterations_and_are_never_more_than_units(tmp_path: Path) -> None:
    given = params(n_samples=70_001, max_iterations=3)
    data = load(given, tmp_path)
    _, counts, _ = stages(given, data, task_s=1.0, overhead_s=0.001, places=3)
    assert counts == [FIRST, 12, 12, 12]
    _, counts, _ = stages(given, data, task_s=1.0, overhead_s=0.001, places=1000)
    assert set(counts[1:]) == {unit_count(data.rows, data.columns, given.k)}
    _, counts, _ = stages(msgspec.structs.replace(given, tasks=5), data, task_s=1.0, overhead_s=0.001, places=3)
    assert set(counts) == {5}
    assert sum(counts) <= (WORKLOAD.limits(msgspec.structs.replace(given, tasks=5)).tasks or 0)


def test_shards_are_even_and_complete() -> None:
    for units, tasks in [(10, 3), (3, 10), (1, 1), (100, 100)]:
        shares = deal(units, tasks)
        assert [at for first, end in shares for at in range(first, end)] == list(range(units))
        lengths = [end - first for first, end in shares]
        assert max(lengths) - min(lengths) <= 1 and min(lengths) >= 1


def test_more_tasks_than_units_are_capped_with_a_note() -> None:
    data = WORKLOAD.load(params(tasks=50), None)
    assert any("instead of 50" in note for note in data.notes)


# -- the picture


def test_each_iteration_gives_a_scatter_that_fits_a_block(tmp_path: Path) -> None:
    given = params(n_samples=30_000, tasks=3)
    data = load(given, tmp_path)
    found, counts, blocks = stages(given, data, WORKLOAD.previewer(given, data))
    assert [block["iteration"] for block in blocks] == list(range(1, len(counts) + 1))
    np.testing.assert_allclose(blocks[-1]["inertia"][: found["iterations"]], found["inertias"])
    for block in blocks:
        assert block["kind"] == "scatter" and len(encode(block)) <= 65_536
        assert block["points"].shape == (len(block["labels"]), 2) and block["centroids"].shape == (given.k, 2)
        assert np.isfinite(block["points"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_census_income_is_clustered_as_scikit_learn_does(dtype: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("LBENCH_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    path = folder / "census-income.data.zst"
    if not path.is_file():
        pytest.skip("the Census-Income file is not there: set LBENCH_TEST_DATA")
    given = params(k=10, dtype=dtype, max_iterations=12)
    data = WORKLOAD.load(given, path)
    assert (data.rows, data.columns) == (199_523, 169)
    assert WORKLOAD.check(given, answer(given, data), reference(given, data)).ok
