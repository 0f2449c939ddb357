"""From trees to a forest: the seeds to start from, the out-of-bag vote, and whether two forests are equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.random_forest.tasks import NODE_ARRAYS

__all__ = [
    "NO_VOTE",
    "OutOfBag",
    "accuracy",
    "deal",
    "equal_votes",
    "first_difference",
    "merge_trees",
    "tree_seeds",
]

NO_VOTE = 255  # in place of a class: a row that every tree was grown on


def tree_seeds(seed: int, count: int) -> list[int]:
    """Each tree's `random_state`, in the forest's order.

    One draw a tree from the forest's own, as sklearn.ensemble._base._set_random_states makes them; many draws
    at once are the same numbers.
    """
    seeds: list[int] = np.random.RandomState(seed).randint(np.iinfo(np.int32).max, size=count).tolist()
    return seeds


def merge_trees(parts: Iterable[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """The parts' trees as one forest, in the parts' order."""
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in ("node_count", *NODE_ARRAYS)}


class OutOfBag:
    """The vote of the trees on the rows that they were not grown on; add them in the forest's order.

    The rule is scikit-learn's (BaseForest._compute_oob_predictions), down to the order of the floating-point
    sums: the class shares of the trees' leaves are added up, divided by the number of votes, and the larger
    one wins, the first one in a tie. A row without votes counts as class 0 in the accuracy.
    """

    def __init__(self, rows: int) -> None:
        # One array a class: much faster to gather from and add to than rows of two.
        self._shares = [np.zeros(rows), np.zeros(rows)]
        self._votes = np.zeros(rows, dtype=np.int64)

    def add(self, part: dict[str, Any]) -> None:
        """Count the votes of a task's trees."""
        values = [np.ascontiguousarray(part["value"][:, which]) for which in (0, 1)]
        node = leaf = 0
        for count, mask in zip(part["node_count"].tolist(), part["out_of_bag"], strict=True):
            voted = np.unpackbits(mask, count=len(self._votes))
            rows = np.flatnonzero(voted.view(bool))
            leaves = part["leaves"][leaf : leaf + len(rows)]
            for shares, value in zip(self._shares, values, strict=True):
                shares[rows] += value[node : node + count].take(leaves)
            self._votes += voted
            node += count
            leaf += len(rows)

    def predictions(self) -> NDArray[np.uint8]:
        """The class of each row (rows,), NO_VOTE where no tree had a vote."""
        votes = np.maximum(self._votes, 1)
        charged_off = self._shares[1] / votes > self._shares[0] / votes
        return np.where(self._votes > 0, charged_off, NO_VOTE).astype(np.uint8)


def accuracy(predictions: NDArray[np.uint8], y: NDArray[np.uint8]) -> float:
    """The share of rows predicted right, by scikit-learn's rule (see `OutOfBag`)."""
    return float(np.mean(np.where(predictions == NO_VOTE, 0, predictions) == y))


def first_difference(forest: dict[str, Any], other: dict[str, Any]) -> str | None:
    """Where two forests differ ('threshold of tree 3'), None if they are equal array by array."""
    if not np.array_equal(forest["node_count"], other["node_count"]):
        return "node_count"
    starts = np.cumsum(forest["node_count"])
    for name in NODE_ARRAYS:
        if not np.array_equal(forest[name], other[name]):
            differs = (forest[name] != other[name]).reshape(len(forest[name]), -1).any(axis=1)
            return f"{name} of tree {int(np.searchsorted(starts, np.argmax(differs), side='right'))}"
    return None


def equal_votes(predictions: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[int, int]:
    """How many rows both forests predict equally, of how many on which either has an out-of-bag vote."""
    if len(predictions) != len(other):
        return 0, max(len(predictions), len(other))
    voted = (predictions != NO_VOTE) | (other != NO_VOTE)
    return int((predictions == other)[voted].sum()), int(voted.sum())


def deal(seeds: list[int], tasks: int) -> Iterator[list[int]]:
    """Contiguous shares of nearly equal size, so that the parts' order is the forest's."""
    bounds = [len(seeds) * i // tasks for i in range(tasks + 1)]
    for start, end in pairwise(bounds):
        yield seeds[start:end]
