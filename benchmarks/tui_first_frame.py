"""From the start of Python to the first whole frame on a terminal, against a Textual app that shows one word.

python benchmarks/tui_first_frame.py [PAIRS]
"""

from __future__ import annotations

import sys
import time
from typing import Any

from pairs import alternate, figure
from screens import Screens, own_folders

__all__ = ["run"]

_OURS = "from lbench.cli import main; main()"
_EMPTY = """
from textual.app import App
from textual.widgets import Label

class Empty(App):
    def compose(self):
        yield Label("quit")

Empty().run()
"""


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """One figure."""
    with own_folders():
        ratios = alternate(lambda: _first_frame_s(_OURS), lambda: _first_frame_s(_EMPTY), pairs)
    return [figure("first frame of lbench", ratios, at_most=2.0, of="an empty Textual app's")]


def _first_frame_s(script: str) -> float:
    begun = time.perf_counter()
    screens = Screens(script=script)
    try:
        return screens.wait_for("quit") - begun  # the footer's last key, drawn after all else
    finally:
        screens.kill()


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(row)
