"""From the start of Python to the first whole frame on a terminal: of the empty Bench against a Textual app that shows one
word, and of `lbench open` on a large document against its limit.

python benchmarks/tui_first_frame.py [PAIRS]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from pairs import PairedRatios, alternate, figure
from screens import Screens, from_tests, own_folders

from lbench.tui.export import export

__all__ = ["run"]

_INVOCATIONS = 100_000
_LIMIT_S = 2.0
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
    """Two figures."""
    with own_folders() as home:
        ratios = alternate(lambda: _first_frame_s(script=_OURS), lambda: _first_frame_s(script=_EMPTY), pairs)
        document = _document(home)
        opened = tuple(_first_frame_s("open", str(document)) for _ in range(pairs))
    return [
        figure("first frame of lbench", ratios, at_most=2.0, of="an empty Textual app's"),
        figure(
            f"first frame of lbench open on {_INVOCATIONS:,} invocations",
            PairedRatios(opened, (_LIMIT_S,) * pairs),
            at_most=1.0,
            of=f"{_LIMIT_S:g} s",
        ),
    ]


def _document(home: Path) -> Path:
    """A session's JSON with so many invocations: three backends, three repeats each."""
    making = from_tests("making")
    folder = home / "data" / "lbench" / "sessions" / "20261122-120000-abcd"
    making.write_session(folder, making.events(tasks=_INVOCATIONS // 9 + 1))
    path = home / "large.json"
    export(folder, str(path))
    return path


def _first_frame_s(*arguments: str, script: str | None = None) -> float:
    begun = time.perf_counter()
    screens = Screens(*arguments, script=script)
    try:
        return screens.wait_for("quit") - begun  # the footer's last key, drawn after all else
    finally:
        screens.kill()


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 15):
        print(row)
