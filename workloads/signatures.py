"""A function's parameters without its annotations."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["parameters_of"]


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """A function's parameters by name; nothing but their names, kinds and defaults can be relied on.

    Python 3.14 evaluates annotations when they are read; one may name what is imported under TYPE_CHECKING only.
    """
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.STRING).parameters
    else:
        return inspect.signature(function).parameters
