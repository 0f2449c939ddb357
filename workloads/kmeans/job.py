"""k-means' job: an iteration is a stage; its partial sums are merged in a fixed order, its tasks may be others each time."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from lbench.workloads.dataset import Dataset
from lbench.workloads.kmeans import KMeansParams, lloyd
from lbench.workloads.kmeans.elastic import FIRST, MOST, deal, next_tasks
from lbench.workloads.kmeans.kernel import unit_count
from lbench.workloads.kmeans.preview import Scatter
from lbench.workloads.kmeans.rows import load_rows
from lbench.workloads.kmeans.tree import Tree
from lbench.workloads.model import Check, Job, Limits, Task, Workload

__all__ = ["WORKLOAD"]

# Of the centroids' largest coordinate, and of the rows' sum of squares, which the inertia is a difference from. In float32
# a row that lies between two centroids may fall to the other one.
_TOLERANCES = {"float64": (1e-8, 1e-8), "float32": (1e-3, 1e-4)}


class KMeansWorkload(Workload[KMeansParams]):
    """The answer does not depend on the number of tasks, to the bit: see `tree`.

    `centroids` float64 (k, columns), in the data's own coordinates (a file's: standardised); `sizes` int64 (k,) and
    `inertia` by these centroids; `inertias` float64 (iterations,), before each move; `iterations`, `converged`; `empty`:
    the most clusters that stood empty at once (each keeps its centroid until rows come near it); `rows`, `columns`.
    """

    def load(self, params: KMeansParams, path: Path | None, encoding: str | None = None) -> Dataset:
        """The rows, centred, and the k-means++ start: made once, before any clock, the same for all backends."""
        return load_rows(params, path, encoding)

    def data_key(self, params: KMeansParams) -> dict[str, Any]:
        """All but how long it iterates, and the number of tasks (which only makes a note)."""
        values: dict[str, Any] = msgspec.to_builtins(params)
        return {name: value for name, value in values.items() if name not in ("max_iterations", "tolerance", "tasks")}

    def job(self, params: KMeansParams, data: Dataset) -> Job:
        """Iterate; at the end, if the centroids have still moved, one more stage counts their rows."""
        rows, columns = data["X"].shape
        units = unit_count(rows, columns, params.k)
        threshold = params.tolerance * data.meta["mean_variance"]
        centroids = np.array(data["start"])
        tasks = params.tasks or FIRST
        inertias: list[float] = []
        empty = 0
        shift = np.inf
        while True:
            sent = centroids.astype(params.dtype)
            results = yield [
                Task("kmeans.partial_sums", centroids=sent, first=first, end=end) for first, end in deal(units, tasks)
            ]
            total = Tree.merged(results).total()
            counts = total[:, columns]
            inertia = max(0.0, float(data.meta["sum_squares"] + total[:, columns + 1].sum()))
            empty = max(empty, int((counts == 0).sum()))
            if shift <= threshold or len(inertias) == params.max_iterations:
                break
            inertias.append(inertia)
            new = lloyd.moved(total[:, :columns], counts, centroids)
            shift = float(((new - centroids) ** 2).sum())
            centroids = new
            if shift == 0:  # nothing has moved: these counts and this inertia are the last ones too
                break
            if params.tasks is None:
                tasks = next_tasks(len(results), results, units)
        return {
            "centroids": centroids + data["means"],
            "sizes": counts.astype(np.int64),
            "inertia": inertia,
            "inertias": np.array(inertias),
            "iterations": len(inertias),
            "converged": bool(shift <= threshold),
            "empty": empty,
            "rows": rows,
            "columns": columns,
        }

    def reference(self, params: KMeansParams, data: Dataset) -> Any:
        """scikit-learn's Lloyd on the same rows in float64 from the same start.

        Where a cluster stands empty on the way, scikit-learn's rule is another (it moves the centroid to the farthest
        row): then the answer is a serial numpy loop's, of the same rule as the job's.
        """
        start = np.array(data["start"])
        X = data["X"].astype(np.float64)
        threshold = params.tolerance * data.meta["mean_variance"]
        centroids, iterations, empty = lloyd.serial(X, start, threshold, params.max_iterations)
        by = "a serial numpy loop's (a cluster stood empty, where scikit-learn has another rule)"
        if not empty:
            model = KMeans(
                n_clusters=params.k,
                init=start,
                n_init=1,
                algorithm="lloyd",
                tol=params.tolerance,
                max_iter=params.max_iterations,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X)
            centroids, iterations, by = model.cluster_centers_, model.n_iter_, "scikit-learn's KMeans"
        return {
            "centroids": centroids + data["means"],
            "iterations": iterations,
            "inertia": lloyd.inertia(X, centroids),
            "sum_squares": data.meta["sum_squares"],
            "by": by,
        }

    def loop(self, params: KMeansParams, data: Dataset) -> Any:
        """Lloyd's iterations by a serial numpy loop, and a last pass that counts the rows of each cluster."""
        X, start = data["X"], np.array(data["start"])
        threshold = params.tolerance * data.meta["mean_variance"]
        centroids, iterations, empty = lloyd.serial(X, start, threshold, params.max_iterations)
        sizes, inertia = lloyd.counted(X, centroids)
        return {
            "centroids": centroids + data["means"],
            "sizes": sizes,
            "inertia": inertia,
            "iterations": iterations,
            "converged": iterations < params.max_iterations,
            "empty": int(empty),
            "rows": X.shape[0],
            "columns": X.shape[1],
        }

    def reference_key(self, params: KMeansParams) -> dict[str, Any]:
        """The rows and the start are in the data's digest."""
        return {"tolerance": params.tolerance, "max_iterations": params.max_iterations}

    def check(self, params: KMeansParams, answer: Any, reference: Any) -> Check:
        """The same centroids: to 1e-8 of the largest coordinate in float64, to 1e-3 in float32; and their inertia."""
        near, near_inertia = _TOLERANCES[params.dtype]
        expected = reference["centroids"]
        scale = float(np.abs(expected).max()) or 1.0
        off = float(np.abs(answer["centroids"] - expected).max()) / scale
        off_inertia = abs(answer["inertia"] - reference["inertia"]) / (reference["sum_squares"] or 1.0)
        same_way = params.dtype != "float64" or answer["iterations"] == reference["iterations"]
        return Check(
            ok=off <= near and off_inertia <= near_inertia and same_way,
            how=f"centroids equal {reference['by']} from the same start to {near:g} (off by {off:.1e}), after "
            f"{answer['iterations']} iterations ({reference['iterations']})",
        )

    def summary(self, params: KMeansParams, answer: Any) -> dict[str, Any]:
        """How it ended, and how the rows fell."""
        return {
            "inertia": answer["inertia"],
            "iterations": answer["iterations"],
            "converged": answer["converged"],
            "smallest_cluster": int(answer["sizes"].min()),
            "largest_cluster": int(answer["sizes"].max()),
            "clusters_once_empty": answer["empty"],
            "rows": answer["rows"],
            "columns": answer["columns"],
        }

    def previewer(self, params: KMeansParams, data: Dataset) -> Scatter:
        """The centroids as they move."""
        return Scatter(data)

    def limits(self, params: KMeansParams) -> Limits:
        """All iterations and the counting one, each with as many tasks as can be; no S3 of its own."""
        widest = params.tasks or MOST
        return Limits(tasks=widest * (params.max_iterations + 1), sure=False, widest=widest)


WORKLOAD = KMeansWorkload()
