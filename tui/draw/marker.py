"""The marker that lines of a chart are drawn with."""

from __future__ import annotations

from typing import Literal

__all__ = ["Marker"]

Marker = Literal["braille", "block", "ascii"]
