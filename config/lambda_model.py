"""The rows of `lambda_model.toml`: the parameters of the model of AWS Lambda, each with its source and its date."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from lbench.config.tables import read_rows

__all__ = ["STUDIES", "rows"]

# Files of other parameters that have a name.
STUDIES = {"study-2017": Path(__file__).with_name("study_2017.toml")}


@functools.cache
def rows() -> dict[str, Any]:
    """The file as it stands; `engine.simulation.parameters` gives the rows their types."""
    return read_rows("lambda_model.toml")
