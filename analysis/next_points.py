"""Chooses the next points of a sweep: places where one more measurement settles most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lbench.analysis.scaling import Scaling

__all__ = ["next_points"]


def next_points(found: Sequence[Scaling]) -> Iterator[dict[str, float]]:
    """Where two curves cross and no point lies yet: there their intervals overlap, and a measurement tells most."""
    for scaling in found:
        for crossing in scaling.crossings:
            at = crossing.root.at
            if at is None:
                continue
            place = float(round(at)) if scaling.whole else float(f"{at:.3g}")
            low, high = crossing.root.low, crossing.root.high
            settled = scaling.whole and low is not None and high is not None and math.ceil(low) == math.ceil(high)
            if not settled and place not in scaling.places:
                yield {scaling.axis: int(place) if scaling.whole else place, **scaling.beside}
