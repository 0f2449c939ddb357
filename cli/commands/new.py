"""`lbench new workload NAME`: writes an example workload and its test."""

from __future__ import annotations

import keyword
from pathlib import Path

import click

__all__ = ["command"]

_MODULE = '''"""Estimate pi by throwing darts: an example to begin with.

Try it:     lbench run ./{name}.py:job -p n=20
Compare:    lbench run ./{name}.py:job -b sequential -b processes -b emulated
Test it:    python -m pytest test_{name}.py
"""

from typing import Annotated, Any

import numpy as np

from lbench import Meta, Task

# This file travels to wherever its tasks run. If it needs more, say so: files and folders beside it, and packages.
# include = ["helpers.py", "tables/"]
# requirements = ["scipy"]


def throw(seed: int, darts: int) -> int:
    """One task: a plain function of its arguments. They and the result are numbers, texts, arrays, lists or dicts."""
    rng = np.random.default_rng(seed)
    x, y = rng.random(darts), rng.random(darts)
    return int(np.count_nonzero(x * x + y * y <= 1.0))


def job(
    n: Annotated[int, Meta(ge=1, description="tasks")] = 20,
    darts: Annotated[int, Meta(ge=1, description="darts that each of them throws")] = 200_000,
    seed: int = 1,  # of --seed
) -> Any:
    """Pi by throwing darts."""
    # Each yield is a stage: all its tasks run, at the same time where there is room, and their results come back in
    # order. A job may yield as many stages as it likes; what it returns is the answer.
    hits = yield [Task(throw, seed=seed * 1000 + i, darts=darts) for i in range(n)]
    return 4 * sum(hits) / (n * darts)


# What follows can be left out. Without reference() the backends' answers are compared with each other.


def reference(n: int, darts: int, seed: int) -> float:
    """The answer by the obvious way, computed once, outside every clock."""
    return 4 * sum(throw(seed * 1000 + i, darts) for i in range(n)) / (n * darts)


def check(answer: float, reference: float) -> bool:
    """Whether an answer is right. Without this function it must equal reference() to the last bit."""
    return abs(answer - reference) < 1e-12


def limits(n: int) -> int:
    """The most tasks that the job yields: from it comes the most that a run can cost."""
    return n
'''

_TEST = '''"""The workload's tasks, called directly, and its job with all tasks in this process."""

from {name} import check, job, reference, throw

from lbench import run_here


def test_some_darts_hit_and_some_miss() -> None:
    assert 0 < throw(seed=1, darts=1000) < 1000


def test_the_same_seed_throws_the_same_darts() -> None:
    assert throw(seed=7, darts=1000) == throw(seed=7, darts=1000)


def test_the_job_gives_what_the_reference_gives() -> None:
    assert check(run_here(job(n=4, darts=1000)), reference(n=4, darts=1000, seed=1))
'''


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Create something of your own."""
    from lbench.errors import InputError

    if ctx.invoked_subcommand is None:
        raise InputError("missing argument: `lbench new workload NAME` creates a workload")


@command.command()
@click.argument("name")
def workload(name: str) -> None:
    """Write NAME.py, a commented workload that runs unchanged, and test_NAME.py, its test."""
    from lbench.errors import InputError
    from lbench.workloads.own.locate import module_problem

    name = name.removesuffix(".py")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"the name of a workload must be a Python identifier and no keyword, got {name}")
    if problem := module_problem(name):
        raise InputError(f"new workload {name}: {problem}")
    texts = {Path(f"{name}.py"): _MODULE, Path(f"test_{name}.py"): _TEST}
    for path in texts:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} exists already: choose another name, or remove it")
    for path, text in texts.items():
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text.replace("{name}", name))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {' and '.join(map(str, texts))}; try: lbench run ./{name}.py:job")
