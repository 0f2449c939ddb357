"""Monte-Carlo: the price of an Asian option, with as many paths as the asked precision needs.

    lbench run examples/monte_carlo.py:job -p error=0.02

The job goes on, stage by stage, until the standard error is small enough: each stage's size depends on what is known.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from lbench import Meta, Task

SPOT, STRIKE, RATE, VOLATILITY, YEARS = 100.0, 100.0, 0.05, 0.2, 1.0
MOST_STAGES = 20


def simulate(seed: int, paths: int, days: int) -> list[float]:
    """The sum and the sum of squares of the discounted pay-offs of so many paths of geometric Brownian motion."""
    rng = np.random.default_rng(seed)
    step = YEARS / days
    drift, spread = (RATE - VOLATILITY**2 / 2) * step, VOLATILITY * np.sqrt(step)
    prices = SPOT * np.exp(np.cumsum(drift + spread * rng.standard_normal((paths, days)), axis=1))
    payoffs = np.exp(-RATE * YEARS) * np.maximum(prices.mean(axis=1) - STRIKE, 0.0)
    return [float(payoffs.sum()), float((payoffs**2).sum())]


def job(
    error: Annotated[float, Meta(gt=0, description="the standard error at which it ends")] = 0.05,
    paths: Annotated[int, Meta(ge=2, description="paths of a task")] = 5_000,
    days: Annotated[int, Meta(ge=1, description="days over which the price is averaged")] = 50,
    tasks: int = 8,  # of --tasks
    seed: int = 1,  # of --seed
) -> Any:
    """The price of an Asian option by Monte-Carlo, to an asked precision"""
    total = squares = 0.0
    count = 0
    for stage in range(MOST_STAGES):
        first = (seed * MOST_STAGES + stage) * 100_000
        parts = yield [Task(simulate, seed=first + i, paths=paths, days=days) for i in range(tasks)]
        total += sum(part[0] for part in parts)
        squares += sum(part[1] for part in parts)
        count += tasks * paths
        price = total / count
        found = (max(0.0, squares / count - price**2) / count) ** 0.5
        if found <= error:
            break
    return {"price": price, "error": found, "paths": count}


def reference(error: float, paths: int, days: int, tasks: int, seed: int) -> dict[str, Any]:
    """The same, task by task in a loop."""
    steps = job(error, paths, days, tasks, seed)
    stage = next(steps)
    while True:
        try:
            stage = steps.send([simulate(**task.arguments) for task in stage])
        except StopIteration as end:
            return dict(end.value)


def check(answer: dict[str, Any], reference: dict[str, Any], error: float) -> bool:
    """As precise as was asked, and the reference's price: the seeds are the same."""
    close = abs(answer["price"] - reference["price"]) < 1e-9
    return close and (answer["error"] <= error or answer["paths"] == reference["paths"])


def summary(answer: dict[str, Any]) -> dict[str, Any]:
    """The facts of an answer that reports show."""
    return {"price": round(answer["price"], 4), "paths": answer["paths"]}


def limits(tasks: int) -> int:
    """The most tasks that the job yields."""
    return MOST_STAGES * tasks
