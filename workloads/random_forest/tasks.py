"""Growing trees: scikit-learn's own, one after another, given out as arrays.

A forest's parts, and a forest, are dictionaries of arrays. All trees' nodes stand one behind the other; child
numbers count from their own tree's first node, as in scikit-learn (-1: a leaf).

    node_count      int64 (trees,)
    children_left, children_right  int32 (nodes,)
    feature         int16 (nodes,), -2 in a leaf
    threshold       float64 (nodes,)
    value           float64 (nodes, 2): the share of each class
    impurity        float64 (nodes,)
    n_node_samples, weighted_n_node_samples  int32 (nodes,); the weights are counts of draws
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from lbench.workloads.dataset import Dataset
from lbench.workloads.functions import task_function

__all__ = ["NODE_ARRAYS", "built_with", "grow", "tree_arrays"]

NODE_ARRAYS: dict[str, type[np.generic]] = {
    "children_left": np.int32,
    "children_right": np.int32,
    "feature": np.int16,
    "threshold": np.float64,
    "value": np.float64,
    "impurity": np.float64,
    "n_node_samples": np.int32,
    "weighted_n_node_samples": np.int32,
}


def built_with() -> list[str]:
    """What decides whether forests can be equal to the bit: scikit-learn's version, and the architecture."""
    return [sklearn.__version__, platform.machine()]


def tree_arrays(trees: list[Any]) -> dict[str, NDArray[Any]]:
    """The arrays of fitted scikit-learn trees (`tree_`), one tree behind the other."""
    arrays: dict[str, NDArray[Any]] = {"node_count": np.array([tree.node_count for tree in trees], dtype=np.int64)}
    for name, dtype in NODE_ARRAYS.items():
        parts = [np.asarray(getattr(tree, name)).astype(dtype) for tree in trees]
        arrays[name] = np.concatenate(parts).reshape((-1, 2) if name == "value" else -1)
    return arrays


@task_function("random_forest.grow")
def grow(seeds: list[int], max_depth: int | None, max_features: int, data: Dataset) -> dict[str, Any]:
    """One tree for each seed, equal to the one that RandomForestClassifier grows from that `random_state`.

    As in sklearn.ensemble._forest._parallel_build_trees: the bootstrap's rows are drawn by the tree's own
    seed and go in as weights. Besides the trees' arrays the result has `out_of_bag` (trees, ceil(rows / 8)),
    one bit a row, `leaves`, the leaf of each of these rows, tree by tree, and `built_with`.
    """
    X, y = data["X"], data["y"]
    rows = len(X)
    trees, masks, leaves = [], [], []
    for seed in seeds:
        # The draw of _generate_sample_indices in scikit-learn 1.6 to 1.9 (numpy keeps legacy streams).
        draws = np.bincount(np.random.RandomState(seed).randint(0, rows, rows, dtype=np.int32), minlength=rows)
        classifier = DecisionTreeClassifier(max_depth=max_depth, max_features=max_features, random_state=seed)
        tree = classifier.fit(X, y, sample_weight=draws, check_input=False).tree_
        out = draws == 0
        trees.append(tree)
        masks.append(np.packbits(out))
        leaves.append(tree.apply(X[out]).astype(np.uint16 if tree.node_count <= 1 << 16 else np.uint32))
    return {
        **tree_arrays(trees),
        "out_of_bag": np.stack(masks),
        "leaves": np.concatenate(leaves),
        "built_with": built_with(),
    }
