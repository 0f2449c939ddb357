"""mandelbrot: the set's picture by rows; tasks of very unequal cost, arithmetic only, no data to fetch."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta

from lbench.workloads.model import Description, Params

__all__ = ["DESCRIPTION", "MandelbrotParams"]

_Side = Annotated[int, Meta(ge=1, le=32768)]


class MandelbrotParams(Params, frozen=True, kw_only=True):
    """The picture, and how its rows are computed. The defaults are the original study's."""

    size: Annotated[int, Meta(ge=1, le=32768, description="width and height of the picture in points")] = 1000
    width: Annotated[_Side | None, Meta(description="width in points, instead of size")] = None
    height: Annotated[_Side | None, Meta(description="height in points (rows), instead of size")] = None
    max_iterations: Annotated[
        int, Meta(ge=1, le=10_000_000, description="iterations after which a point counts as inside the set")
    ] = 500
    window: Annotated[
        tuple[float, float, float, float],
        Meta(description="the part of the plane that is drawn: x_min,x_max,y_min,y_max"),
    ] = (-1.5, 1.0, -1.25, 1.25)
    assignment: Annotated[
        Literal["interleaved", "blocked", "dynamic"],
        Meta(
            description="a task's rows. interleaved: every n-th; blocked: equal runs of neighbours; "
            "dynamic: runs that shrink towards the end"
        ),
    ] = "interleaved"
    kernel: Annotated[
        Literal["numpy", "python"],
        Meta(description="numpy: fast, by blocks; python: the original study's loop; the same counts"),
    ] = "numpy"

    def __post_init__(self) -> None:
        x_min, x_max, y_min, y_max = self.window
        # The spans are checked too: the difference of two finite numbers may be infinite.
        if not all(map(math.isfinite, (*self.window, x_max - x_min, y_max - y_min))):
            raise ValueError("window: the four numbers must be finite")
        if not (x_min < x_max and y_min < y_max):
            raise ValueError("window: must be x_min,x_max,y_min,y_max with x_min < x_max and y_min < y_max")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return self.height or self.size, self.width or self.size


DESCRIPTION = Description(
    name="mandelbrot",
    summary="the Mandelbrot set's picture, its rows dealt to tasks: arithmetic of very unequal cost, no data",
    params=MandelbrotParams,
    implementation="lbench.workloads.mandelbrot.job:WORKLOAD",
    picture=True,
    trial={"size": 8, "tasks": 1},
)
