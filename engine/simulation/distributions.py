"""The distributions that parameters of the model can have, each drawn from a numpy generator."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Constant", "Distribution", "Lognormal", "Quantiles", "even_draws"]

Floats = NDArray[np.float64]


class Constant(msgspec.Struct, frozen=True):
    """A parameter without spread."""

    value: float
    source: str = ""
    date: Any = None

    @property
    def median(self) -> float:
        return self.value

    def draw(self, rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
        """An array of that shape, all of the value."""
        return np.full(shape, self.value)

    def spread_by(self, factor: float) -> Constant:
        return self


class Lognormal(msgspec.Struct, frozen=True):
    """exp(N(log median, sigma)): times and ratios, which are positive and skewed."""

    median: float
    sigma: float
    source: str = ""
    date: Any = None

    def draw(self, rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
        return self.median * np.exp(rng.normal(0.0, self.sigma, shape)) if self.sigma else np.full(shape, self.median)

    def spread_by(self, factor: float) -> Lognormal:
        """With so many times the spread, around the same median."""
        return msgspec.structs.replace(self, sigma=self.sigma * factor)

    def quantile(self, probability: float) -> float:
        """The value below which that share of draws lies."""
        from statistics import NormalDist

        return float(self.median * np.exp(self.sigma * NormalDist().inv_cdf(probability)))


class Quantiles(msgspec.Struct, frozen=True):
    """A measured distribution by its quantiles; between two of them the logarithm is interpolated."""

    probabilities: tuple[float, ...]
    values: tuple[float, ...]
    source: str = ""
    date: Any = None

    @property
    def median(self) -> float:
        return float(self.at(np.array([0.5]))[0])

    def spread_by(self, factor: float) -> Quantiles:
        """With so many times the spread (of the logarithm), around the same median."""
        middle = self.median
        values = tuple(middle * (value / middle) ** factor for value in self.values)
        return msgspec.structs.replace(self, values=values)

    def at(self, probabilities: Floats) -> Floats:
        """The values at these probabilities."""
        return np.exp(np.interp(probabilities, self.probabilities, np.log(self.values)))

    def draw(self, rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
        """Independent draws by inversion."""
        return self.at(rng.random(shape))


Distribution = Constant | Lognormal | Quantiles


def even_draws(one: Distribution, rng: np.random.Generator, count: int) -> Floats:
    """So many draws that cover the distribution evenly, in a random order: one from the middle of each equal share."""
    places = (np.arange(count) + 0.5) / count
    if isinstance(one, Lognormal):
        values = np.array([one.quantile(place) for place in places.tolist()])
    elif isinstance(one, Quantiles):
        values = one.at(places)
    else:
        values = one.draw(rng, count)
    return rng.permutation(values)
