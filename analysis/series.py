"""The points of a sweep by backend: what every view of a sweep draws."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from lbench.analysis.comparison import Claim, Temperature
from lbench.analysis.curves import Shape
from lbench.analysis.statistics import Estimate

__all__ = ["Measure", "Point", "Series"]

Measure = Literal["time", "usd"]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One backend at one place of the axis."""

    at: float
    makespan_s: Estimate | None  # None: no repeat was ok
    usd: Estimate | None  # a run's bill; None: it is charged nothing
    rent_usd: Estimate | None  # of an equal machine while the run lasts; local backends only
    usd_per_hour: Decimal | None = None  # of that machine
    speedup: Estimate | None  # against the sweep's baseline at this place
    claim: Claim | None
    repeats: int
    repeats_ok: int
    capacity: int | None  # workers or environments
    oversubscribed: bool  # more environments than this machine can carry: in no crossing
    error: str | None
    unfinished: bool = False  # its runs were stopped, or are under way
    few: bool = False  # fewer repeats than at most places, too few for the intervals there: in no curve and no crossing
    times_s: tuple[float, ...] = ()  # of the repeats that were ok, in their order
    rounds: tuple[int | None, ...] = ()  # of each of these: runs of one round are pairs
    usds: tuple[float, ...] = ()  # the bills, or the rents, of the same
    paused: int = 0  # repeats that ended well, but were paused
    stopped: int = 0  # repeats without an end of their own, or under way

    @property
    def failed(self) -> bool:
        """Whether it was run here without one right answer, and was not merely stopped or paused."""
        return self.makespan_s is None and not (self.stopped + self.paused == self.repeats and self.error is None)


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One backend, or its cold or its warm repeats, along the axis; points ascend."""

    label: str
    backend: str
    origin: Literal["measured", "emulated", "simulated", "predicted"]
    temperature: Temperature | None
    main: bool  # stands for its backend in crossings: warm, where it was measured warm
    machine: str | None  # the host's name, where several machines take part
    points: tuple[Point, ...]
    shape: Shape
    fitted_s: tuple[float | None, ...]  # the curve at each point; None: the point is not part of it
    partial: bool = False  # a prediction without the objects that tasks exchange through S3: in no crossing

    @property
    def name(self) -> str:
        """The label, with the machine and the temperature where these tell lines apart."""
        machine = "" if self.machine is None else f" on {self.machine}"
        return f"{self.label}{machine}{'' if self.temperature is None else f' {self.temperature}'}"

    @property
    def local(self) -> bool:
        """Whether it runs on a machine that could be rented."""
        return self.origin == "measured" and all(point.usd is None for point in self.points)

    @property
    def failed(self) -> tuple[float, ...]:
        """The places where it failed: no line may pass over them."""
        return tuple(point.at for point in self.points if point.failed)

    def at(self, place: float) -> Point | None:
        return next((point for point in self.points if point.at == place), None)
