"""Mandelbrot's job: one stage of rows, put together into one array of counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from lbench.workloads.mandelbrot import MandelbrotParams, plane
from lbench.workloads.mandelbrot.colour import colour, fit
from lbench.workloads.mandelbrot.kernel import KERNELS, count_numpy, counts_dtype
from lbench.workloads.model import Check, Job, Limits, Task, Workload

__all__ = ["WORKLOAD", "rows_of"]

_TASKS = 100
_COARSE = 4  # of the points in each direction one is drawn first
_WORTH_COARSE = 10_000  # points; fewer are drawn in the time of a round trip
_PREVIEW_COLUMNS = 256
_PREVIEW_ROWS = 250  # 250 x 256 bytes are just below a block's 64 KB


def rows_of(arguments: dict[str, Any]) -> slice:
    """The rows of the picture that a task's result is: `picture[rows_of(task.arguments)] = result`."""
    return slice(arguments["first"], arguments["end"], arguments["step"])


class Rows:
    """Draws rows small: at most 256 columns, and of a tall picture only as many rows as a block holds.

    In what is looked at, x grows to the right; the columns of the answer run the other way (`plane.columns`).
    """

    def __init__(self, params: MandelbrotParams) -> None:
        self._height, self._width = params.shape
        self._inside = params.max_iterations

    def add(self, task: Task, result: NDArray[Any]) -> dict[str, Any]:
        """A task's rows as a block: brightness by the logarithm of the count, 255 inside the set."""
        where = rows_of(task.arguments)
        thin = -(-len(result) // _PREVIEW_ROWS)
        counts = result[::thin, :: -(-self._width // _PREVIEW_COLUMNS)][:, ::-1]
        shade = np.log1p(counts.astype(np.float32)) * (254 / np.log1p(np.float32(self._inside)))
        return {
            "kind": "rows",
            "width": self._width,
            "height": self._height,
            "first": where.start,
            "step": where.step * thin,
            "values": np.where(counts >= self._inside, 255, shade).astype(np.uint8),
        }


class Mandelbrot(Workload[MandelbrotParams]):
    """The answer is the counts, (height, width), uint16 where they fit, else uint32."""

    def job(self, params: MandelbrotParams, data: Any) -> Job:
        """One stage of tasks; their results are copied to their rows."""
        height, width = params.shape
        tasks = [
            Task(
                "mandelbrot.rows",
                width=width,
                height=height,
                window=params.window,
                max_iterations=params.max_iterations,
                kernel=params.kernel,
                first=share.start,
                end=share.stop,
                step=share.step,
            )
            for share in plane.deal(height, self._tasks(params), params.assignment)
        ]
        results = yield tasks
        answer = np.empty(params.shape, counts_dtype(params.max_iterations))
        for task, counts in zip(tasks, results, strict=True):
            answer[rows_of(task.arguments)] = counts
        return answer

    def interactive(self, params: MandelbrotParams, places: int) -> tuple[MandelbrotParams, MandelbrotParams | None]:
        """A task a place, whose interleaved rows cost about the same; first every fourth point of every fourth row."""
        height, width = params.shape
        params = structs.replace(params, tasks=params.tasks or places)
        if height * width < _WORTH_COARSE:
            return params, None
        few = structs.replace(
            params, height=-(-height // _COARSE), width=-(-width // _COARSE), assignment="interleaved", tasks=places
        )
        return params, few

    def reference(self, params: MandelbrotParams, data: Any) -> NDArray[Any]:
        """The whole picture by the `numpy` kernel, in one go, whatever kernel the tasks used."""
        height, width = params.shape
        across, down = plane.columns(width, params.window), plane.rows(height, params.window)
        return count_numpy(across, down, params.max_iterations)

    def loop(self, params: MandelbrotParams, data: Any) -> NDArray[Any]:
        """The whole picture in one go by the tasks' own kernel."""
        height, width = params.shape
        across, down = plane.columns(width, params.window), plane.rows(height, params.window)
        return KERNELS[params.kernel](across, down, params.max_iterations)

    def reference_key(self, params: MandelbrotParams) -> dict[str, Any]:
        """The picture only: kernels, assignments and seeds share one reference."""
        return {"shape": params.shape, "window": params.window, "max_iterations": params.max_iterations}

    def check(self, params: MandelbrotParams, answer: Any, reference: Any) -> Check:
        """Every count must be equal."""
        how = "every point's count equals the numpy kernel's, computed in one go"
        return Check(ok=bool(np.array_equal(answer, reference)), how=how)

    def summary(self, params: MandelbrotParams, answer: NDArray[Any]) -> dict[str, Any]:
        """Points that never left, and all iterations together."""
        return {
            "points_inside": int(np.count_nonzero(answer == params.max_iterations)),
            "iterations": int(answer.sum(dtype=np.uint64)),
        }

    def previewer(self, params: MandelbrotParams, data: Any) -> Rows:
        """The rows as they come."""
        return Rows(params)

    def picture(self, params: MandelbrotParams, answer: NDArray[Any]) -> NDArray[np.uint8]:
        """One pixel a point; x grows to the right, as in the previews."""
        return colour(answer, params.max_iterations, fit(answer, params.max_iterations))[:, ::-1]

    def limits(self, params: MandelbrotParams) -> Limits:
        """One stage, no S3 of its own."""
        height, width = params.shape
        tasks = self._tasks(params)
        return Limits(tasks=tasks, largest_bytes=math.ceil(height / tasks) * (4 * width + 64) + 4096)

    def notes(self, params: MandelbrotParams) -> list[str]:
        """Whether there are fewer tasks than asked for, or than usual."""
        height, _ = params.shape
        wanted = params.tasks or _TASKS
        if wanted <= height:
            return []
        return [f"{height} task{'s' * (height != 1)} instead of {wanted}: a task gets at least one row of the picture"]

    def _tasks(self, params: MandelbrotParams) -> int:
        return min(params.tasks or _TASKS, params.shape[0])


WORKLOAD = Mandelbrot()
