"""The welcome before anything has run: examples with their keys, the last result, where to go next, the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.strip import Strip

from lbench.tui.draw.ink import Piece, heading, line, put
from lbench.tui.host import host_of
from lbench.tui.widgets.lines import Lines
from lbench.workloads import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BESIDE", "Welcome"]

_KEYS = 12  # cells of the keys' column
_COMMAND = 18  # of the commands' column
_TEXT = 90  # cells that the texts need: the picture stands beside them where there is room
_GAP = 2
_LEAST = (48, 16)  # cells of a picture that is worth drawing
BESIDE = _TEXT + _GAP + _LEAST[0]  # columns from which there is one
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
_BARS = (
    ("░ ▒ ▆", "a new environment starts; data are fetched; the task computes"),
    ("╴ ┄", "under way; ┄ where the environment is inferred until it answers"),
    ("× ⊘ ! ↻", "an error, a timeout, a throttle; another attempt begins"),
    ("▂", "cancelled, or a duplicate was faster: its result is not used"),
)
_COMMANDS = (
    ("lbench run", "the same comparison without screens; --help names its options"),
    ("lbench estimate", "time and dollars of every option, before anything is paid"),
    ("lbench check", "whether a job of your own can run on Lambda at all"),
    ("lbench sweep", "makespan and dollars along a parameter, and where curves cross"),
    ("lbench report", "the answer in words and figures, in one file"),
)


class Welcome(Lines):
    """Lines of keys with their meaning; on a wide terminal a picture of what the first example draws."""

    def __init__(self) -> None:
        super().__init__(id="welcome")
        self._last: list[Piece] = []
        self._machine: Sequence[str] = ()
        self._example: NDArray[np.uint8] | None = None

    def show_last(self, pieces: list[Piece]) -> None:
        """Show the last result; empty: there is none."""
        self._last = pieces
        self.redraw()

    def show_machine(self, texts: Sequence[str]) -> None:
        self._machine = texts
        self.redraw()

    def show_example(self, levels: NDArray[np.uint8]) -> None:
        """Show the picture that the first example computes."""
        self._example = levels
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """Parts; the last ones go where there is no room."""
        if self._example is None or width < BESIDE or height < _LEAST[1]:
            return self._texts(width, height)
        texts = self._texts(_TEXT, height)
        texts += [line(self.palette, [], _TEXT)] * (height - len(texts))
        gap = line(self.palette, [], _GAP)
        picture = self._picture(width - _TEXT - _GAP, height)
        return [Strip.join([text, gap, row]) for text, row in zip(texts, picture, strict=True)]

    def _texts(self, width: int, height: int) -> list[Strip]:
        parts: list[tuple[str, list[list[Piece]]]] = [("start with", self._examples())]
        if self._last:
            parts.append(("last result", [[("  ", "text"), *self._last]]))
        parts.append(("and then", [_entry(*one) for one in _NEXT]))
        if self._machine:
            parts.append(("this machine", [[("  ", "text"), (text, "text")] for text in self._machine]))
        parts.append(("what the table says", [_entry(*one, role="text!") for one in _COLUMNS]))
        parts.append(("what the timelines say", [_entry(*one, role="text!") for one in _BARS]))
        parts.append(("on the command line", [_entry(*one, role="text!", size=_COMMAND) for one in _COMMANDS]))
        rows: list[list[Piece]] = []
        for title, lines in parts:
            if len(rows) + 1 + len(lines) > height:
                break
            rows += [heading([(title, "quiet!")], [], width), *lines, []]
        return [line(self.palette, pieces, width) for pieces in rows[:height]]

    def _examples(self) -> list[list[Piece]]:
        """The examples, with the keys that choose each in the set-up as it opens now."""
        names, offered = registry.all_names(), host_of(self.app).plan.workload
        at = names.index(offered) if offered in names else len(names)
        entries = []
        for name, meaning in _EXAMPLES.items():
            if name in names:
                steps = names.index(name) - at
                keys = f"w {('→ ' if steps > 0 else '← ') * abs(steps)}↵" if steps else "r ↵"
                entries.append(_entry(keys, f"{name}: {meaning}"))
        return entries

    def _picture(self, width: int, height: int) -> list[Strip]:
        from lbench.tui.draw.picture import pictured, ramp_of  # loads numpy: not for the first frame

        assert self._example is not None
        palette, fine = self.palette, host_of(self.app).quadrants
        levels = self._example
        title = heading([("what mandelbrot computes", "quiet!")], [("an example", "quiet")], width)
        rows = pictured(levels, levels.shape, width, height - 1, ramp_of(palette), palette.style("text"), fine=fine)
        rows += [line(palette, [], width)] * (height - 1 - len(rows))
        return [line(palette, title, width), *rows]


def _entry(keys: str, meaning: str, role: str = "key!", size: int = _KEYS) -> list[Piece]:
    size = max(size, cell_len(keys) + 2)
    return [("  ", "text"), (put(keys, size), role), (meaning, "text")]
