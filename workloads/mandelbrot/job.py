"""Mandelbrot's job: one stage of rows, put together into one array of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.mandelbrot import MandelbrotParams, plane
from lbench.workloads.mandelbrot.colour import colour, fit
from lbench.workloads.mandelbrot.kernel import count_numpy, counts_dtype
from lbench.workloads.model import Check, Job, Limits, Task, Workload

__all__ = ["WORKLOAD", "rows_of"]

_TASKS = 100


def rows_of(arguments: dict[str, Any]) -> slice:
    """The rows of the picture that a task's result is: `picture[rows_of(task.arguments)] = result`."""
    return slice(arguments["first"], arguments["end"], arguments["step"])


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

    def reference(self, params: MandelbrotParams, data: Any) -> NDArray[Any]:
        """The whole picture by the `numpy` kernel, in one go, whatever kernel the tasks used."""
        height, width = params.shape
        across, down = plane.columns(width, params.window), plane.rows(height, params.window)
        return count_numpy(across, down, params.max_iterations)

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

    def picture(self, params: MandelbrotParams, answer: NDArray[Any]) -> NDArray[np.uint8]:
        """One pixel a point, rows and columns as computed."""
        return colour(answer, params.max_iterations, fit(answer, params.max_iterations))

    def limits(self, params: MandelbrotParams) -> Limits:
        """One stage, no S3 of its own."""
        return Limits(tasks=self._tasks(params))

    def notes(self, params: MandelbrotParams) -> list[str]:
        """Whether there are fewer tasks than asked for, or than usual."""
        height, _ = params.shape
        wanted = params.tasks or _TASKS
        if wanted <= height:
            return []
        return [f"{height} tasks instead of {wanted}: a task gets at least one row of the picture"]

    def _tasks(self, params: MandelbrotParams) -> int:
        return min(params.tasks or _TASKS, params.shape[0])


WORKLOAD = Mandelbrot()
