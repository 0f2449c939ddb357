"""What to do first, before anything has run: examples with their keys, the last result, where to go next, the columns."""

from __future__ import annotations

from textual.strip import Strip

from lbench.tui.draw.ink import Piece, heading, line, put
from lbench.tui.widgets.lines import Lines
from lbench.workloads import registry

__all__ = ["Welcome"]

_KEYS = 12  # cells of the keys' column
_EXAMPLES = {
    "mandelbrot": "a picture of the Mandelbrot set, in independent tasks",
    "kmeans": "clusters, found in rounds that wait for one another",
    "random_forest": "a forest of decision trees on generated loans",
}
_NEXT = (
    ("b", "other backends, among them Lambda on AWS"),
    ("3", "explore: change a live picture, and see how long each update takes"),
    ("4", "the comparisons recorded on this machine"),
    ("?", "every key; lbench new workload begins a job of your own"),
)
_COLUMNS = (
    ("MAKESPAN", "the wall time of a run: the median, then its interval"),
    ("SPEEDUP", "how many times as fast as the first backend, with its interval"),
    ("P50 P99", "of the compute times of tasks, in warm environments"),
    ("COLD", "environments that were new; such repeats have a line of their own"),
    ("COST", "what AWS charges a run, or would charge for one that is emulated here"),
    ("ANSWER", "each run's answer, compared with a reference: a wrong one is a failed run"),
)


class Welcome(Lines):
    """Lines of keys with their meaning."""

    def __init__(self) -> None:
        super().__init__(id="welcome")
        self._last: list[Piece] = []

    def show_last(self, pieces: list[Piece]) -> None:
        """Show the last result."""
        self._last = pieces
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """Parts; the last ones go where there is no room."""
        names = registry.names()
        examples = [
            ("r ↵" if not names.index(name) else f"w {'→ ' * names.index(name)}↵", f"{name}: {meaning}")
            for name, meaning in _EXAMPLES.items()
            if name in names
        ]
        parts: list[tuple[str, list[list[Piece]]]] = [("start with", [_entry(*one) for one in examples])]
        if self._last:
            parts.append(("last result", [[("  ", "text"), *self._last]]))
        parts.append(("and then", [_entry(*one) for one in _NEXT]))
        parts.append(("what the table says", [_entry(*one, role="text!") for one in _COLUMNS]))
        rows: list[list[Piece]] = []
        for title, lines in parts:
            if len(rows) + 1 + len(lines) > height:
                break
            rows += [heading([(title, "quiet!")], [], width), *lines, []]
        return [line(self.palette, pieces, width) for pieces in rows[:height]]


def _entry(keys: str, meaning: str, role: str = "key!") -> list[Piece]:
    return [("  ", "text"), (put(keys, _KEYS), role), (meaning, "text")]
