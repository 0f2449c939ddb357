import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from lbench.errors import DataFileError, InputError
from lbench.workloads import functions, registry
from lbench.workloads.dataset import Dataset, open_dataset, write_dataset
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Check
from lbench.workloads.parameters import parse
from lbench.workloads.random_forest import DESCRIPTION, RandomForestParams, forest
from lbench.workloads.random_forest.generator import generate_loans
from lbench.workloads.random_forest.tasks import NODE_ARRAYS

WORKLOAD = registry.load(DESCRIPTION)
ROWS = 1500


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """As an environment sees it: mapped, read-only."""
    path: Path = tmp_path_factory.mktemp("data") / "loans"
    write_dataset(WORKLOAD.load(params(), None), path)
    return open_dataset(path)


def params(**values: Any) -> RandomForestParams:
    return RandomForestParams(**{"n_trees": 7, "rows": ROWS, "seed": 3, **values})


def run(given: RandomForestParams, data: Dataset) -> Any:
    job = WORKLOAD.job(given, data)
    results = []
    for task in next(job):
        function, arguments = decode(encode([task.function, task.arguments]))
        results.append(decode(encode(functions.call(function, arguments, data))))
    with pytest.raises(StopIteration) as end:
        job.send(results)
    return decode(encode(end.value.value))


def reference(given: RandomForestParams, data: Dataset) -> Any:
    return decode(encode(WORKLOAD.reference(given, data)))


@pytest.mark.parametrize(
    "given",
    [
        params(),
        params(n_trees=1),
        params(n_trees=40, max_depth=3),
        params(max_depth=None, max_features=1),
        params(max_features=5000),
        params(tasks=2),
        params(tasks=99),
        params(seed=0),
        params(seed=2**32 - 1),
    ],
    ids=str,
)
def test_the_forest_equals_scikit_learns_tree_by_tree(given: RandomForestParams, data: Dataset) -> None:
    answer = run(given, data)
    classifier = RandomForestClassifier(
        n_estimators=given.n_trees,
        max_depth=given.max_depth,
        max_features=min(given.max_features, data.columns),
        random_state=given.seed,
    ).fit(data["X"], data["y"])
    starts = np.concatenate([[0], np.cumsum(answer["trees"]["node_count"])])
    assert len(starts) == given.n_trees + 1
    for tree, start, end in zip(classifier.estimators_, starts, starts[1:], strict=False):
        for name in NODE_ARRAYS:
            theirs = np.asarray(getattr(tree.tree_, name))
            assert np.array_equal(
                answer["trees"][name][start:end], theirs.reshape(-1, 2) if name == "value" else theirs
            )
    assert WORKLOAD.check(given, answer, reference(given, data)).ok


@pytest.mark.parametrize("n_trees", [1, 2, 5, 30])
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_the_out_of_bag_accuracy_is_scikit_learns(n_trees: int, data: Dataset) -> None:
    given = params(n_trees=n_trees, max_depth=4)
    classifier = RandomForestClassifier(n_trees, max_depth=4, max_features=12, oob_score=True, random_state=3)
    classifier.fit(data["X"], data["y"])
    answer = run(given, data)
    assert answer["accuracy"] == classifier.oob_score_
    voted = answer["predictions"] != forest.NO_VOTE
    assert np.array_equal(voted, classifier.oob_decision_function_.any(axis=1))
    assert np.array_equal(answer["predictions"][voted], classifier.oob_decision_function_.argmax(axis=1)[voted])


def test_the_answer_does_not_depend_on_how_trees_are_dealt(data: Dataset) -> None:
    answers = {encode(run(params(tasks=tasks), data)) for tasks in (None, 1, 2, 3, 7, 50)}
    assert len(answers) == 1


def test_trees_are_dealt_evenly_and_in_order() -> None:
    shares = list(forest.deal(list(range(10)), 4))
    assert [len(share) for share in shares] == [2, 3, 2, 3]
    assert list(chain.from_iterable(shares)) == list(range(10))


def test_the_check_says_that_it_compared_array_by_array(data: Dataset) -> None:
    answer = reference(params(), data)
    check = WORKLOAD.check(params(), answer, reference(params(), data))
    assert check.ok and "array by array" in check.how and "on both ends" in check.how


@pytest.mark.parametrize("name", ["threshold", "value", "feature", "children_left"])
def test_a_single_changed_node_is_a_wrong_answer(name: str, data: Dataset) -> None:
    answer, right = run(params(), data), reference(params(), data)
    changed = answer["trees"][name].copy()
    changed[-1] += 1
    answer["trees"][name] = changed
    check = WORKLOAD.check(params(), answer, right)
    assert check == Check(ok=False, how=check.how) and f"{name} of tree 6" in check.how


def test_lost_trees_and_changed_votes_are_wrong_answers(data: Dataset) -> None:
    right = reference(params(), data)
    assert "node_count" in WORKLOAD.check(params(), run(params(n_trees=6), data), right).how
    answer = run(params(), data)
    votes = answer["predictions"].copy()
    votes[0] ^= 1
    check = WORKLOAD.check(params(), answer | {"predictions": votes}, right)
    assert not check.ok and "votes differ" in check.how


def test_between_versions_or_architectures_predictions_are_compared(data: Dataset) -> None:
    answer, right = run(params(), data), reference(params(), data)
    elsewhere = answer | {"built_with": [["1.6.1", "aarch64"]]}
    check = WORKLOAD.check(params(), elsewhere, right)
    assert check.ok and "out-of-bag predictions equal" in check.how and "scikit-learn 1.6.1 on aarch64" in check.how

    votes = answer["predictions"].copy()
    voted = np.flatnonzero(votes != forest.NO_VOTE)
    votes[voted[:1]] ^= 1  # one of some 1,400: 99.93 %
    assert WORKLOAD.check(params(), elsewhere | {"predictions": votes}, right).ok
    votes[voted[1:3]] ^= 1
    assert not WORKLOAD.check(params(), elsewhere | {"predictions": votes}, right).ok


def test_environments_of_two_kinds_are_both_named(data: Dataset) -> None:
    given = params(tasks=2)
    job = WORKLOAD.job(given, data)
    results = [functions.call(task.function, task.arguments, data) for task in next(job)]
    results[1]["built_with"] = ["1.0", "aarch64"]
    with pytest.raises(StopIteration) as end:
        job.send(results)
    check = WORKLOAD.check(given, decode(encode(end.value.value)), reference(given, data))
    assert check.ok and "scikit-learn 1.0 on aarch64 and scikit-learn" in check.how


def test_the_summary_has_accuracy_base_rate_and_size(data: Dataset) -> None:
    answer = run(params(), data)
    summary = WORKLOAD.summary(params(), answer)
    assert summary["out_of_bag_accuracy"] == answer["accuracy"]
    assert summary["base_rate"] == pytest.approx(0.8)
    assert (summary["rows"], summary["columns"], summary["trees"]) == (ROWS, 25, 7)
    assert summary["nodes"] == len(answer["trees"]["threshold"])
    assert msgspec.json.encode(summary)


def test_more_tasks_than_trees_are_capped_with_a_note() -> None:
    assert WORKLOAD.limits(params(tasks=99)).tasks == 7
    assert WORKLOAD.notes(params(tasks=99)) == ["99 tasks were asked for; 7 trees make 7 tasks"]
    assert WORKLOAD.notes(params(tasks=7)) == WORKLOAD.notes(params()) == []
    assert WORKLOAD.limits(params(tasks=3)).tasks == 3


def test_more_features_than_columns_are_capped_with_a_note() -> None:
    assert (
        "max_features=26 is more than the 25 columns: all are tried"
        in WORKLOAD.load(params(max_features=26), None).notes
    )
    assert not any("max_features" in note for note in WORKLOAD.load(params(max_features=25), None).notes)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_scikit_learn_does_not_take_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match=r"--seed must be from 0 to 4,294,967,295, as for scikit-learn"):
        WORKLOAD.load(params(seed=seed), None)


@pytest.mark.parametrize(
    "texts",
    [
        {"n_trees": "0"},
        {"max_depth": "0"},
        {"max_features": "0"},
        {"n_trees": "many"},
        {"rows": "10"},
        {"trees": "3"},
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(texts: dict[str, str]) -> None:
    with pytest.raises(InputError):
        parse(RandomForestParams, texts)


def test_parameters_are_read_from_text() -> None:
    given = parse(RandomForestParams, {"n_trees": "64", "max_depth": "none", "max_features": "4", "rows": "5000"})
    assert given == RandomForestParams(n_trees=64, max_depth=None, max_features=4, rows=5000)


def test_a_file_that_cannot_be_used_is_refused_on_loading(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="does not exist"):
        WORKLOAD.load(params(), tmp_path / "absent.csv")


def test_generated_loans_are_reproducible_and_labelled_as_generated() -> None:
    first, again, other = generate_loans(500, 1), generate_loans(500, 1), generate_loans(500, 2)
    assert np.array_equal(first["X"], again["X"]) and np.array_equal(first["y"], again["y"])
    assert not np.array_equal(first["X"], other["X"])
    assert first.source.startswith("generated, not real loans: 500 rows, seed 1")
    assert first["X"].flags.c_contiguous and first["X"].dtype == np.float32 and np.isfinite(first["X"]).all()
    assert first["y"].mean() == 0.2


def test_generated_loans_hold_a_signal_that_a_forest_finds() -> None:
    given = params(n_trees=20, rows=6000)
    answer = run(given, WORKLOAD.load(given, None))
    assert answer["accuracy"] > answer["base_rate"] + 0.02


def test_describing_it_loads_no_scikit_learn() -> None:
    code = (
        "import sys, lbench.workloads.registry as r; r.describe('random_forest');"
        "assert not {'numpy', 'sklearn', 'backports'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_an_environment_needs_neither_the_csv_reader_nor_zstd() -> None:
    code = (
        "import sys, lbench.workloads.functions as f; sys.modules['backports'] = sys.modules['compression'] = None;"
        "f.find('random_forest.grow');"
        "assert 'lbench.workloads.random_forest.loans' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
