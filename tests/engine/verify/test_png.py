"""A picture's file: Pillow reads back the pixels that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lbench.engine.verify.png import write_png


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (33, 20)])
def test_a_written_png_holds_the_same_pixels(shape: tuple[int, int], tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(image), pixels)


def test_pixels_that_are_a_strided_view_are_written_as_seen(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 6 * 3, dtype=np.uint8).reshape(2 * 3, 6, 3)[::2, ::-1]
    write_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), pixels)
