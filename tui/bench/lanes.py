"""Assigns each invocation to a lane of a timeline as a run grows.

A lane is an environment. On Lambda-like backends it is known only when an invocation returns: until then the
invocation is shown in a lane that is free, by inference, and drawn so. A lane once given to an environment keeps it, so
nothing jumps but an invocation that was inferred wrongly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.engine.session.view import RunView

__all__ = ["Lanes"]

_MANY = 64  # rows; fewer are placed one by one


class Lanes:
    """The lanes of one run."""

    def __init__(self, run: RunView) -> None:
        self.run = run
        self.version = 0  # grows when a lane that holds something takes another place
        self.environments: list[int] = []  # by lane: its environment's code in the run's columns, -1 while inferred
        self.running: dict[int, int] = {}  # row -> lane, of what has not ended; a lane may hold only one by inference
        self._of_row: NDArray[np.int32] = np.full(64, -1, dtype=np.int32)
        self._odd: NDArray[np.bool_] = np.zeros(64, dtype=np.bool_)
        self._of_environment: dict[int, int] = {}
        self._counts: list[int] = []  # by lane: how many invocations are in it
        self._busy: list[int] = []  # by lane: how many are running in it
        self._free: dict[
            int, None
        ] = {}  # lanes that became free, the latest last (Lambda, too, takes it first); some stale

    def __len__(self) -> int:
        return len(self.environments)

    def of_rows(self) -> NDArray[np.int32]:
        """Lane of each row, -1 where there is none; also of rows that were folded since the last update."""
        count = self._reach()
        return self._of_row[:count]

    def odd(self) -> NDArray[np.bool_]:
        """Whether each row is the second, fourth... of its lane: neighbours differ."""
        count = self._reach()
        return self._odd[:count]

    def _reach(self) -> int:
        """How many rows there are by now; there is a place for each."""
        count = len(self.run.columns)
        if count > len(self._of_row):
            size = max(count, int(len(self._of_row) * 1.25) + 64)
            self._of_row = _grown(self._of_row, size, -1)
            self._odd = _grown(self._odd, size, 0)
        return count

    def update(self, rows: Sequence[int]) -> NDArray[np.int32]:
        """Place the rows that began and move those that ended. Returns those that ended."""
        columns = self.run.columns
        self._reach()
        if not len(rows):
            return np.empty(0, dtype=np.int32)
        if isinstance(rows, range):
            unique = np.arange(rows.start, rows.stop, dtype=np.int32)
        else:
            ordered = np.sort(np.asarray(rows, dtype=np.int32))  # `numpy.unique` hashes, which takes ten times as long
            unique = ordered[np.flatnonzero(np.diff(ordered, prepend=-1))]
        ended = columns["status"][unique] >= 0
        environments = columns["environment"]
        # What ended frees its lane for what began meanwhile.
        self._end_all(unique[ended])
        for row in unique[~ended].tolist():
            if self._of_row[row] < 0:
                self._begin(row, int(environments[row]))
        return unique[ended]

    def _begin(self, row: int, environment: int) -> None:
        lane = self._lane_of(environment) if environment >= 0 else self._free_lane()
        self._put(row, lane)
        self._busy[lane] += 1
        self.running[row] = lane

    def _end_all(self, rows: NDArray[np.int32]) -> None:
        """End rows in their order: at once where nothing of them was placed before."""
        environments = self.run.columns["environment"][rows]
        plain = (self._of_row[rows] < 0) & (environments >= 0)
        cuts = (np.flatnonzero(plain[1:] != plain[:-1]) + 1).tolist()
        for first, behind in itertools.pairwise([0, *cuts, len(rows)]):
            if behind - first >= _MANY and plain[first]:
                self._end_new(rows[first:behind], environments[first:behind])
            else:
                for row, environment in zip(
                    rows[first:behind].tolist(), environments[first:behind].tolist(), strict=True
                ):
                    self._end(row, environment)

    def _end_new(self, rows: NDArray[np.int32], environments: NDArray[np.int32]) -> None:
        """As `_end` of each row; none has a lane yet, all have an environment."""
        codes, firsts, inverse = np.unique(environments, return_index=True, return_inverse=True)
        for code in codes[np.argsort(firsts)].tolist():
            self._lane_of(code)
        lanes = np.array([self._of_environment[code] for code in codes.tolist()], dtype=np.int64)[inverse]
        sizes = np.bincount(lanes, minlength=len(self))
        order = np.argsort(lanes, kind="stable")
        before = np.empty(len(rows), dtype=np.int64)  # of these rows, in the same lane
        before[order] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self._of_row[rows] = lanes
        self._odd[rows] = (np.array(self._counts)[lanes] + before) & 1
        self._counts = (np.array(self._counts) + sizes).tolist()
        lasts = np.zeros(len(self), dtype=np.int64)
        lasts[lanes] = np.arange(len(rows))
        used = np.flatnonzero(sizes)
        for lane in used[np.argsort(lasts[used])].tolist():
            self._release(lane)

    def _end(self, row: int, environment: int) -> None:
        lane = self.running.pop(row, -1)
        if lane >= 0:
            self._busy[lane] -= 1
        elif self._of_row[row] >= 0:
            return  # reported twice
        if environment < 0:  # it never reached one: a throttled attempt
            lane = lane if lane >= 0 else self._free_lane()
            if self._of_row[row] < 0:
                self._put(row, lane)
        elif lane < 0 or self.environments[lane] != environment:
            if lane >= 0 and self.environments[lane] < 0 and environment not in self._of_environment:
                self.environments[lane] = environment
                self._of_environment[environment] = lane
            else:
                inferred, lane = lane, self._lane_of(environment)
                if inferred >= 0:
                    self._counts[inferred] -= 1
                    self._release(inferred)
                self._put(row, lane)
        self._release(lane)

    def _release(self, lane: int) -> None:
        """The lane may be free again; one that was inferred and holds nothing any more is given up."""
        if self._busy[lane] > 0:
            return
        if self.environments[lane] < 0 and not self._counts[lane]:
            self._give_up(lane)
        else:
            self._freed(lane)

    def _freed(self, lane: int) -> None:
        self._free.pop(lane, None)
        self._free[lane] = None

    def _give_up(self, lane: int) -> None:
        """Take an empty lane away; the last one takes its place."""
        last = len(self.environments) - 1
        if lane != last:
            self.environments[lane] = self.environments[last]
            self._counts[lane] = self._counts[last]
            self._busy[lane] = self._busy[last]
            self._of_row[self._of_row == last] = lane
            self.running = {row: lane if place == last else place for row, place in self.running.items()}
            if self.environments[lane] >= 0:
                self._of_environment[self.environments[lane]] = lane
            if self._busy[lane] <= 0:
                self._freed(lane)
            self.version += 1
        self.environments.pop()
        self._counts.pop()
        self._busy.pop()

    def _put(self, row: int, lane: int) -> None:
        self._of_row[row] = lane
        self._odd[row] = self._counts[lane] & 1
        self._counts[lane] += 1

    def _lane_of(self, environment: int) -> int:
        lane = self._of_environment.get(environment)
        if lane is None:
            lane = self._of_environment[environment] = self._new(environment)
        return lane

    def _free_lane(self) -> int:
        while self._free:
            lane, _ = self._free.popitem()
            if lane < len(self._busy) and self._busy[lane] <= 0:
                return lane
        return self._new(-1)

    def _new(self, environment: int) -> int:
        self.environments.append(environment)
        self._counts.append(0)
        self._busy.append(0)
        return len(self.environments) - 1


def _grown(array: NDArray[Any], size: int, fill: int) -> NDArray[Any]:
    grown = np.full(size, fill, dtype=array.dtype)
    grown[: len(array)] = array
    return grown
