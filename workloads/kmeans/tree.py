"""Sums that do not depend on who summed what: a fixed binary tree over the units of the rows.

Floating-point addition is not associative, so partial sums by task would give another last digit for another number of
tasks. Here the order is fixed by the data alone. Unit u is the leaf (0, u); a node (level, i) is the sum of
(level - 1, 2i) and (level - 1, 2i + 1), in that order. A task over the units [a, b) returns the largest whole nodes in it,
at most 2 log2(b - a) of them; the driver goes on adding where the tasks stopped, and folds what is left from the right.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tree"]

Node = tuple[int, int]  # level, place in the level


class Tree:
    """Nodes of neighbouring units from left to right, each two siblings added as soon as both are there."""

    def __init__(self) -> None:
        self.nodes: list[tuple[Node, NDArray[np.float64]]] = []

    def add(self, node: Node, value: NDArray[np.float64]) -> None:
        """Take the next node to the right; `value` may be kept, and is not changed."""
        level, place = node
        while self.nodes and place & 1 and self.nodes[-1][0] == (level, place - 1):
            value = self.nodes.pop()[1] + value
            level, place = level + 1, place >> 1
        self.nodes.append(((level, place), value))

    def total(self) -> NDArray[np.float64]:
        """The sum of all, which must begin at the first unit."""
        value = self.nodes[-1][1]
        for _, left in reversed(self.nodes[:-1]):
            value = left + value
        return value

    def encodable(self) -> dict[str, Any]:
        """The encodable form: `nodes` int64 (nodes, 2), `sums` float64 (nodes, ...)."""
        return {
            "nodes": np.array([node for node, _ in self.nodes], dtype=np.int64),
            "sums": np.stack([value for _, value in self.nodes]),
        }

    @classmethod
    def merged(cls, parts: Iterable[dict[str, Any]]) -> Tree:
        """Of the encodable forms of neighbours, from left to right."""
        tree = cls()
        for part in parts:
            for (level, place), value in zip(part["nodes"].tolist(), part["sums"], strict=True):
                tree.add((level, place), value)
        return tree
