"""The rows of `lambda_model.toml`: the parameters of the model of AWS Lambda, each with its source and its date."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["STUDIES", "rows"]

# Files of other parameters that have a name.
STUDIES = {"study-2017": Path(__file__).with_name("study_2017.toml")}


@functools.cache
def rows() -> dict[str, Any]:
    """The file as it stands; `engine.simulation.parameters` gives the rows their types."""
    with Path(__file__).with_name("lambda_model.toml").open("rb") as file:
        return tomllib.load(file)
