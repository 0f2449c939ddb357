"""The random forest's job: trees dealt to tasks, put together, compared with scikit-learn's own forest."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from lbench.workloads.dataset import Dataset
from lbench.workloads.model import Check, Job, Limits, Task, Workload
from lbench.workloads.parameters import check_seed
from lbench.workloads.random_forest import RandomForestParams, forest
from lbench.workloads.random_forest.generator import DEFAULT_ROWS, generate_loans
from lbench.workloads.random_forest.loans import read_loans
from lbench.workloads.random_forest.tasks import built_with, tree_arrays

__all__ = ["WORKLOAD"]

_ENOUGH_EQUAL = 0.999  # of the predictions, where trees cannot be equal to the bit


class Curve:
    """The out-of-bag accuracy of the trees that are there so far."""

    def __init__(self, data: Dataset) -> None:
        self._y = data["y"]
        self._vote = forest.OutOfBag(data.rows)
        self._trees = 0

    def add(self, task: Task, result: Any) -> dict[str, Any]:
        self._vote.add(result)
        self._trees += len(task.arguments["seeds"])
        accuracy = forest.accuracy(self._vote.predictions(), self._y)
        return {"kind": "curve", "label": "out-of-bag accuracy", "x": float(self._trees), "y": float(accuracy)}


class RandomForest(Workload[RandomForestParams]):
    """One stage of trees.

    The answer: `trees` (see `tasks`), `predictions` uint8 (rows,) by the out-of-bag vote (255: no vote), the
    `accuracy` of these, the `base_rate` of always guessing the commoner outcome, `built_with`.
    """

    def load(self, params: RandomForestParams, path: Path | None, encoding: str | None = None) -> Dataset:
        """The loans of a file, or generated ones."""
        check_seed(params.seed, ", as for scikit-learn")
        if path is None:
            data = generate_loans(params.rows or DEFAULT_ROWS, params.seed)
        else:
            data = read_loans(path, params.rows, encoding)
        if params.max_features > data.columns:
            data.notes.append(
                f"max_features={params.max_features} is more than the {data.columns} columns: all are tried"
            )
        return data

    def data_key(self, params: RandomForestParams) -> dict[str, Any]:
        """The loans: the trees' shape does not change them."""
        return {"rows": params.rows, "seed": params.seed}

    def job(self, params: RandomForestParams, data: Dataset) -> Job:
        """Grow the trees, each a pure function of its seed and the data."""
        check_seed(params.seed, ", as for scikit-learn")
        seeds = forest.tree_seeds(params.seed, params.n_trees)
        max_features = min(params.max_features, data.columns)
        parts = yield [
            Task("random_forest.grow", seeds=share, max_depth=params.max_depth, max_features=max_features)
            for share in forest.deal(seeds, _tasks(params))
        ]
        vote = forest.OutOfBag(data.rows)
        for part in parts:
            vote.add(part)
        origins = sorted({tuple(part["built_with"]) for part in parts})
        return _answer(forest.merge_trees(parts), vote.predictions(), data, [list(origin) for origin in origins])

    def reference(self, params: RandomForestParams, data: Dataset) -> Any:
        """scikit-learn's forest itself, in the answer's form. Its threads change its time only."""
        return self._forest(params, data, threads=-1)

    def loop(self, params: RandomForestParams, data: Dataset) -> Any:
        """scikit-learn's forest itself, on one core."""
        return self._forest(params, data, threads=1)

    def _forest(self, params: RandomForestParams, data: Dataset, *, threads: int) -> Any:
        classifier = RandomForestClassifier(
            n_estimators=params.n_trees,
            max_depth=params.max_depth,
            max_features=min(params.max_features, data.columns),
            bootstrap=True,
            oob_score=True,
            random_state=params.seed,
            n_jobs=threads,
        )
        with warnings.catch_warnings():
            # Few trees leave rows without a vote; the answer says which.
            warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores", category=UserWarning)
            classifier.fit(data["X"], data["y"])
        shares = classifier.oob_decision_function_
        predictions = np.where(shares.any(axis=1), np.argmax(shares, axis=1), forest.NO_VOTE).astype(np.uint8)
        trees = tree_arrays([tree.tree_ for tree in classifier.estimators_])
        return _answer(trees, predictions, data, [built_with()]) | {"accuracy": float(classifier.oob_score_)}

    def check(self, params: RandomForestParams, answer: Any, reference: Any) -> Check:
        """Equal tree by tree where that can be; else nearly all predictions."""
        if answer["built_with"] == reference["built_with"]:
            version, machine = answer["built_with"][0]
            where = f"(scikit-learn {version}, {machine}, on both ends)"
            if difference := forest.first_difference(answer["trees"], reference["trees"]):
                return Check(ok=False, how=f"trees differ from RandomForestClassifier's in {difference} {where}")
            same_votes = np.array_equal(answer["predictions"], reference["predictions"])
            if not same_votes or answer["accuracy"] != reference["accuracy"]:
                return Check(ok=False, how=f"out-of-bag votes differ from RandomForestClassifier's {where}")
            return Check(
                ok=True,
                how=f"{params.n_trees} tree{'s' * (params.n_trees != 1)} and their out-of-bag votes equal "
                f"RandomForestClassifier's, array by array {where}",
            )
        equal, rows = forest.equal_votes(answer["predictions"], reference["predictions"])
        return Check(
            ok=rows > 0 and equal >= _ENOUGH_EQUAL * rows,
            how=f"{equal:,} of {rows:,} out-of-bag predictions equal RandomForestClassifier's, at least "
            f"{_ENOUGH_EQUAL:.1%} are asked for (trees grown with {_built_text(answer['built_with'])}, "
            f"the reference with {_built_text(reference['built_with'])})",
        )

    def summary(self, params: RandomForestParams, answer: Any) -> dict[str, Any]:
        """How good the forest is, and how large."""
        return {
            "out_of_bag_accuracy": answer["accuracy"],
            "base_rate": answer["base_rate"],
            "rows": answer["rows"],
            "columns": answer["columns"],
            "trees": len(answer["trees"]["node_count"]),
            "nodes": int(np.sum(answer["trees"]["node_count"])),
        }

    def previewer(self, params: RandomForestParams, data: Dataset) -> Curve:
        """The out-of-bag accuracy as trees come."""
        return Curve(data)

    def limits(self, params: RandomForestParams) -> Limits:
        """One stage, at most one tree per task."""
        return Limits(tasks=_tasks(params))

    def notes(self, params: RandomForestParams) -> list[str]:
        """More tasks than trees cannot be."""
        if params.tasks is not None and params.tasks > params.n_trees:
            trees = params.n_trees
            made = "1 tree makes 1 task" if trees == 1 else f"{trees} trees make {trees} tasks"
            return [f"{params.tasks} tasks were asked for; {made}"]
        return []


def _tasks(params: RandomForestParams) -> int:
    return max(1, min(params.tasks or params.n_trees, params.n_trees))


def _built_text(origins: list[list[str]]) -> str:
    return " and ".join(f"scikit-learn {version} on {machine}" for version, machine in origins)


def _answer(trees: dict[str, Any], predictions: Any, data: Dataset, origins: list[list[str]]) -> dict[str, Any]:
    charged_off = float(np.mean(data["y"]))
    return {
        "trees": trees,
        "predictions": predictions,
        "accuracy": forest.accuracy(predictions, data["y"]),
        "base_rate": max(charged_off, 1 - charged_off),
        "rows": data.rows,
        "columns": data.columns,
        "built_with": origins,
    }


WORKLOAD = RandomForest()
