"""A recording as a workload: the script's calls in their stages, checked against the results that the script got."""

from __future__ import annotations

import itertools
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lbench.errors import WorkloadError, count_text
from lbench.workloads import functions
from lbench.workloads.model import Check, Description, Job, Limits, Task, Workload
from lbench.workloads.own.describe import RecordedParams
from lbench.workloads.own.tracebacks import one_line
from lbench.workloads.recorded.code import versions_of
from lbench.workloads.recorded.folder import Manifest, function_name, read_manifest, read_values
from lbench.workloads.recorded.tasks import CALL
from lbench.workloads.recorded.values import with_arrays

__all__ = ["RecordedWorkload"]

_TOLERANCE = 1e-9  # relative: another processor's or library's rounding
_TRIED = 3  # calls of each function that are run twice, to find what differs by itself
_TRIED_S = 20.0
_ALONE = (
    ", and does so too where the call is made by itself: it depends on what else the script had done (a random state, a "
    "global, a variable of the environment), on its process (its number, its name) or on the versions of libraries: pass "
    "what it needs as arguments of its own"
)
_NAMED = 5  # functions that a note names


class RecordedWorkload(Workload[RecordedParams]):
    """A script's calls."""

    def __init__(self, description: Description) -> None:
        self._description = description
        assert issubclass(description.params, RecordedParams)
        self._folder = Path(description.params.recording)
        self._manifest: Manifest = read_manifest(self._folder)

    def _calls(self) -> Any:
        values = read_values(self._folder / "calls.bin")
        arrays: dict[str, Any] = {}
        for one in itertools.islice(values, self._manifest.arrays):
            arrays |= one
        for given, setup in values:
            if arrays:
                given, setup = with_arrays(given, arrays.__getitem__), with_arrays(setup, arrays.__getitem__)
            yield Task(CALL, given=given, **({} if setup is None else {"setup": setup}))

    def job(self, params: RecordedParams, data: Any) -> Job:
        """The stages as they were; the answer is the list of all results."""
        calls = self._calls()
        answer: list[Any] = []
        for count in self._manifest.stages:
            answer += yield list(itertools.islice(calls, count))
        return answer

    @property
    def has_loop(self) -> bool:
        """Its calls have no other form."""
        return False

    def reference(self, params: RecordedParams, data: Any) -> Any:
        """The recorded results, and what of them differs from run to run by itself (a time, a random number).

        That is found by running a few calls of each function twice, here: nothing is left out because a backend differs.
        """
        return {"results": list(self._results()), **self._varying()}

    def _results(self) -> Any:
        arrays: dict[str, Any] = {}
        if self._manifest.arrays:
            for one in itertools.islice(read_values(self._folder / "calls.bin"), self._manifest.arrays):
                arrays |= one
        for value in read_values(self._folder / "results.bin"):
            yield with_arrays(value, arrays.__getitem__) if arrays else value

    def _varying(self) -> dict[str, Any]:
        """For each call the number of its function; for each function its name, where its results vary, and whether a call
        that is made by itself gives something else than in the script.
        """
        assert self._description.code is not None
        functions.preload(self._description.code.pinned)
        numbers: dict[str, int] = {}
        tried: list[int] = []
        varies: list[set[str]] = []
        names: list[str] = []
        differs: list[bool] = []
        functions_of: list[int] = []
        end_s = time.monotonic() + _TRIED_S
        for task, recorded in zip(self._calls(), self._results(), strict=True):
            number = numbers.setdefault(repr(task.arguments["given"][0]), len(numbers))
            functions_of.append(number)
            if number == len(tried):
                tried.append(0)
                varies.append(set())
                names.append(function_name(task.arguments["given"][0]))
                differs.append(False)
            if tried[number] >= _TRIED or time.monotonic() > end_s:
                continue
            tried[number] += 1
            try:
                one, other = (functions.call(CALL, task.arguments) for _ in range(2))
            except BaseException as error:  # the user's code may raise anything
                raise WorkloadError(f"a recorded call fails here: {one_line(error)}") from None
            varies[number] |= {path for path, _ in _differences(one, other, "", frozenset())}
            own = frozenset(varies[number])
            differs[number] |= "" not in own and not all(close for _, close in _differences(one, recorded, "", own))
        return {
            "functions": functions_of, "names": names, "varies": [sorted(one) for one in varies], "differs": differs,
        }  # fmt: skip

    def check(self, params: RecordedParams, answer: Any, reference: Any) -> Check:
        """Equal to the recorded results; numbers within rounding; what varies by itself is not compared.

        Raises:
            WorkloadError: all of every result varies.
        """
        results, varies = reference["results"], [frozenset(one) for one in reference["varies"]]
        if len(answer) != len(results):
            return Check(ok=False, how=f"{len(answer):,} results, and {len(results):,} were recorded")
        if all("" in one for one in varies):
            raise WorkloadError(
                "the recorded results differ from run to run by themselves: there is nothing to compare"
            )
        named = sorted({path or "a whole result" for one in varies for path in one})
        left = f"; not compared, as it varies by itself: {', '.join(named)}" if named else ""
        rounded = False
        for number, (one, other) in enumerate(zip(answer, results, strict=True)):
            function = reference["functions"][number]
            own = varies[function]
            for path, close in () if "" in own else _differences(one, other, "", own):
                if not close:
                    alone = _ALONE if reference["differs"][function] else ""
                    what = f"the result{path} of call {number}, of {reference['names'][function]}"
                    return Check(ok=False, how=f"{what}, differs from the recorded one{alone}{left}")
                rounded = True
        how = "equal to the recorded results" + (f" within {_TOLERANCE:g} (relative)" if rounded else "")
        return Check(ok=True, how=how + left)

    def limits(self, params: RecordedParams) -> Limits:
        return params.limits

    def notes(self, params: RecordedParams) -> list[str]:
        """What the recording does not have."""
        left: Counter[str] = Counter()
        for one in self._manifest.left_out:
            left[one.what] += one.count
        named = [f"{count:,} of {what}" if count else what for what, count in left.most_common(_NAMED)]
        if others := left.total() - sum(count for _, count in left.most_common(_NAMED)):
            named.append(count_text(others, "other"))
        notes = [f"calls of the script that are not in the recording: {', '.join(named)}"] if left else []
        notes += [*self._manifest.unset, *self._manifest.changed]
        if differing := self._differing():
            notes.append(f"recorded with other versions, results may differ: {', '.join(differing)}")
        if params.tasks is not None:
            notes.append(f"--tasks {params.tasks} is ignored: a recording has the calls that were made")
        return notes

    def _differing(self) -> list[str]:
        """The versions of Python and libraries that are not those of the recording."""
        manifest, here = self._manifest, {"Python": _minor(platform.python_version())}
        there = {"Python": _minor(manifest.python)} | manifest.packages
        here |= versions_of(manifest.packages)
        return [
            f"{name} {version} (here {here.get(name, 'none')})"
            for name, version in there.items()
            if version != here.get(name)
        ]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _differences(one: Any, other: Any, path: str, varies: frozenset[str]) -> list[tuple[str, bool]]:
    """Where two packed values differ, and whether only by rounding."""
    if path in varies:
        return []
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        found = []
        for key in one:
            found += _differences(one[key], other[key], path if key == "v" else f"{path}[{key!r}]", varies)
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = []
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            found += _differences(a, b, f"{path}[{place}]", varies)
        return found
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return _array_differences(np.asarray(one), np.asarray(other), path)
    if type(one) is type(other) and (one == other or (one != one and other != other)):
        return []
    close = (
        isinstance(one, float)
        and isinstance(other, float)
        and abs(one - other) <= _TOLERANCE * max(abs(one), abs(other))
    )
    return [(path, close)]


def _array_differences(one: Any, other: Any, path: str) -> list[tuple[str, bool]]:
    if one.shape != other.shape or one.dtype != other.dtype:
        return [(path, False)]
    numbers = one.dtype.kind in "fc"
    if np.array_equal(one, other, equal_nan=numbers):
        return []
    return [(path, bool(numbers and np.allclose(one, other, rtol=_TOLERANCE, atol=0, equal_nan=True)))]
