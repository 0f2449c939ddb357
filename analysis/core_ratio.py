"""Lambda vCPUs that one core of this machine is worth: published ratios, and three kernels measured here.

The published ratios are the prior: a lognormal distribution (config/lambda_model.toml). Each kernel's ratio is its published
time on a vCPU over its time here, with an error of its own: other libraries, other years. The two are weighed by their
variances, in logarithms; what a job may differ from all kernels is added at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date

import numpy as np

from lbench.engine.simulation.distributions import Distribution, Lognormal

__all__ = ["kernel_ratios", "measured_core_ratio"]

_ANCHOR_SIGMA = 0.2  # of the published times: libraries and years differ
_KIND_SIGMA = 0.15  # of one job about the kernels


def kernel_ratios(here_s: Mapping[str, float], there_s: Mapping[str, float]) -> dict[str, float]:
    """By kernel: the vCPUs that a core here is worth."""
    return {name: there_s[name] / seconds for name, seconds in here_s.items() if name in there_s and seconds > 0}


def measured_core_ratio(prior: Distribution, ratios: Mapping[str, float], measured: date) -> Distribution:
    """The prior with the evidence of the kernels; the prior itself where there is none, or where it has no spread."""
    if not isinstance(prior, Lognormal) or not prior.sigma or not ratios:
        return prior
    logs = np.log(list(ratios.values()))
    spread = float(logs.var(ddof=1)) / len(logs) if len(logs) > 1 else _KIND_SIGMA**2
    variance = spread + _ANCHOR_SIGMA**2
    weights = 1 / prior.sigma**2, 1 / variance
    middle = (weights[0] * math.log(prior.median) + weights[1] * float(logs.mean())) / sum(weights)
    sigma = math.sqrt(1 / sum(weights) + _KIND_SIGMA**2)
    return Lognormal(math.exp(middle), sigma, "kernels run here, with published ratios", measured)
