"""map_reduce's job: a stage of mappers, a stage of reducers, and between them nothing but the names of objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.dataset import Dataset
from lbench.workloads.encoding import encode
from lbench.workloads.map_reduce import MapReduceParams, groups, records, words
from lbench.workloads.map_reduce.inputs import MAPPERS, deal, load_input
from lbench.workloads.map_reduce.preview import SkewCurve
from lbench.workloads.map_reduce.table import Layout
from lbench.workloads.model import Check, Job, Limits, Task, Workload
from lbench.workloads.objects import RUN_STORE

__all__ = ["WORKLOAD"]

_MERGE = {"group_by": groups.merge, "word_count": words.merge, "sort": records.merge}


class MapReduceWorkload(Workload[MapReduceParams]):
    """The answer's `result` does not depend on the number of mappers or reducers, to the bit.

    Beside it: `mappers`, `reducers`, and of each reducer's input `rows` and `bytes` (int64, before they are compressed).
    """

    def load(self, params: MapReduceParams, path: Path | None, encoding: str | None = None) -> Dataset:
        """The input and where it may be cut, made once, before any clock."""
        return load_input(params, path, encoding)

    def job(self, params: MapReduceParams, data: Dataset) -> Job:
        """Map, shuffle, reduce, merge."""
        arguments: dict[str, Any] = {"job": params.job, "reducers": params.reducers, "combiner": params.combiner}
        if params.job == "group_by":
            arguments["layout"] = data.meta["layout"]
        elif params.job == "sort":
            arguments["splitters"] = records.splitters(data["input"], params.reducers, params.seed)
        mapped = yield [
            Task("map_reduce.map", first=first, end=end, store=RUN_STORE, **arguments)
            for first, end in deal(data["marks"], params.tasks or MAPPERS)
        ]
        rows = np.stack([result["rows"] for result in mapped])  # (mappers, reducers)
        digests = np.stack([result["digests"] for result in mapped])
        reduced = yield [
            Task("map_reduce.reduce", job=params.job, digests=digests[rows[:, at] > 0, at], store=RUN_STORE)
            for at in range(params.reducers)
        ]
        return {
            "result": _MERGE[params.job](reduced),
            "mappers": len(mapped),
            "reducers": params.reducers,
            "rows": rows.sum(axis=0),
            "bytes": np.stack([result["bytes"] for result in mapped]).sum(axis=0),
        }

    def reference(self, params: MapReduceParams, data: Dataset) -> Any:
        """The same by a plain sequential loop. It shares only the definitions of a number and a word with the tasks."""
        if params.job == "group_by":
            import msgspec

            return groups.reference(data["input"], msgspec.convert(data.meta["layout"], Layout))
        return words.reference(data["input"]) if params.job == "word_count" else records.reference(data["input"])

    def loop(self, params: MapReduceParams, data: Dataset) -> Any:
        """The plain loop's answer in the job's form: nothing was shuffled."""
        result = self.reference(params, data)
        if params.job == "sort":
            result = result | {"unordered": 0}
        nothing = np.zeros(1, np.int64)
        return {"result": result, "mappers": 1, "reducers": 1, "rows": nothing, "bytes": nothing}

    def reference_key(self, params: MapReduceParams) -> dict[str, Any]:
        """The input and its columns are in the data's digest."""
        return {"job": params.job}

    def check(self, params: MapReduceParams, answer: Any, reference: Any) -> Check:
        """Equal byte for byte; a sort also in total order, with the checksum that its input had."""
        result = answer["result"]
        same = encode(result) == encode(reference)
        if params.job != "sort":
            return Check(ok=same, how="equal to a sequential loop's answer, byte for byte, sums included")
        whole = result["records"] == reference["records"] and result["checksum"] == reference["checksum"]
        return Check(
            ok=same and whole and not result["unordered"],
            how="every record is there once (count and CRC-32 sum of the input) and in total order, byte for byte as "
            "Python's sorted() has them",
        )

    def result(self, answer: Any) -> Any:
        """The groups, words or records: equal for any number of mappers and reducers."""
        return answer["result"]

    def summary(self, params: MapReduceParams, answer: Any) -> dict[str, Any]:
        """The answer's size, and how uneven the reducers' input was."""
        result = answer["result"]
        facts: dict[str, Any]
        if params.job == "group_by":
            facts = {"groups": len(result["keys"]), "numbers": int(result["count"].sum())}
        elif params.job == "word_count":
            facts = {"words": int(result["count"].sum()), "different_words": len(result["words"])}
        else:
            facts = {"records": result["records"], "duplicate_keys": result["duplicates"]}
        facts |= {"mappers": answer["mappers"], "reducers": answer["reducers"]}
        for name in ("rows", "bytes"):
            facts[f"shuffle_{name}"] = int(answer[name].sum())
            facts[f"largest_reducer_{name}"] = int(answer[name].max())
            facts[f"{name}_skew"] = _skew(answer[name])
        facts["largest_reducer_share"] = round(int(answer["rows"].max()) / max(1, int(answer["rows"].sum())), 4)
        return facts

    def previewer(self, params: MapReduceParams, data: Dataset) -> SkewCurve:
        """The skew as it shows."""
        return SkewCurve()

    def limits(self, params: MapReduceParams) -> Limits:
        """Mappers (of a file with fewer rows there are fewer) and reducers, and the requests of either kind to S3.

        A mapper gets the data set's header (maybe in two parts) and its split, and puts one object for each reducer; a
        reducer gets one of each mapper. At the end all are listed, 1,000 with a request.
        """
        mappers = params.tasks or MAPPERS
        objects = mappers * params.reducers
        return Limits(
            tasks=mappers + params.reducers,
            s3_requests=objects + 3 * mappers + 1 + objects // 1000,
            s3_each=max(3, mappers, params.reducers),
            widest=max(mappers, params.reducers),
        )


def _skew(sizes: NDArray[np.int64]) -> float | None:
    """The largest over the median; None where most reducers got nothing."""
    median = float(np.median(sizes))
    return round(float(sizes.max()) / median, 3) if median else None


WORKLOAD = MapReduceWorkload()
