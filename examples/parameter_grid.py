"""A parameter grid: which degree and which penalty make the best ridge regression, by cross-validation.

    lbench run examples/parameter_grid.py:job -p degrees=1,2,3,4,5,6
    lbench run examples/parameter_grid.py:job --data measurements.csv    # its columns: x, y

A task is one point of the grid. The data are published once, and every task reads them.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from lbench import Meta, Task

FOLDS = 5

# With scikit-learn in the tasks, name what is sent with them:
# requirements = ["scikit-learn"]


def load(path: str | None, rows: int, seed: int) -> dict[str, Any]:
    """A CSV file with the columns x and y; without one, made: a noisy cubic"""
    if path is not None:
        table = np.loadtxt(path, delimiter=",", skiprows=1)
        return {"x": table[:, 0], "y": table[:, 1]}
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, rows)
    return {"x": x, "y": 1 - 2 * x + 3 * x**3 + rng.normal(0, 0.3, rows)}


def validate(data: Any, degree: int, penalty: float) -> float:
    """The mean squared error of ridge regression with these parameters, over all folds."""
    x, y = data["x"], data["y"]
    powers = x[:, None] ** np.arange(degree + 1)
    fold = np.arange(len(x)) % FOLDS
    squares = 0.0
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        a = powers[train]
        weights = np.linalg.solve(a.T @ a + penalty * np.eye(degree + 1), a.T @ y[train])
        squares += float(((powers[test] @ weights - y[test]) ** 2).sum())
    return squares / len(x)


def job(
    degrees: Annotated[tuple[int, ...], Meta(min_length=1, description="degrees of the polynomial")] = (1, 2, 3, 4, 5),
    penalties: Annotated[tuple[float, ...], Meta(min_length=1, description="of ridge regression")] = (0.01, 0.1, 1.0),
    rows: Annotated[int, Meta(ge=FOLDS, description="of the data that are made without --data")] = 50_000,
    seed: int = 1,  # of --seed
) -> Any:
    """The best of a grid of parameters, by cross-validation"""
    grid = [(degree, penalty) for degree in degrees for penalty in penalties]
    errors = yield [Task(validate, degree=degree, penalty=penalty) for degree, penalty in grid]
    best = min(range(len(grid)), key=errors.__getitem__)
    return {"degree": grid[best][0], "penalty": grid[best][1], "error": errors[best], "errors": errors}


def reference(data: Any, degrees: tuple[int, ...], penalties: tuple[float, ...]) -> list[float]:
    """Every point's error, in a loop."""
    return [validate(data, degree, penalty) for degree in degrees for penalty in penalties]


def check(answer: dict[str, Any], reference: list[float]) -> bool:
    """The same errors, and the best is the smallest."""
    return bool(np.allclose(answer["errors"], reference, rtol=1e-9)) and answer["error"] == min(answer["errors"])


def summary(answer: dict[str, Any]) -> dict[str, Any]:
    """The facts of an answer that reports show."""
    return {"degree": answer["degree"], "penalty": answer["penalty"], "error": round(answer["error"], 6)}


def limits(degrees: tuple[int, ...], penalties: tuple[float, ...]) -> int:
    """The most tasks that the job yields."""
    return len(degrees) * len(penalties)
