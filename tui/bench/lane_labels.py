"""The names of a timeline's lanes, and the texts of its heading."""

from __future__ import annotations

from lbench.analysis.format import seconds_text
from lbench.engine.session.view import RunView
from lbench.errors import count_text

__all__ = ["LEGEND", "LONGEST_FIRST", "head_width", "lane_name", "lanes_text", "lanes_wanted", "span_text"]

_PLACES = {"threads": "thread"} | dict.fromkeys(("processes", "loop", "sequential", "dask", "executor"), "worker")
_LETTERS = {name: place[0] for name, place in _PLACES.items()}
LONGEST_FIRST = "longest first"
LEGEND = "░ init  ▒ fetch  ▆ compute  × error  ! throttled  ↻ retry  ▂ unused"


def lanes_wanted(run: RunView | None, there: int) -> int:
    """The lanes that a run has or will have, so that a panel keeps its height."""
    if run is None or run.started is None:
        return max(1, there)
    return max(1, there, min(run.started.capacity, run.known_tasks or run.started.capacity))


def _digits(lanes: int) -> int:
    return max(2, len(str(max(0, lanes - 1))))


def head_width(lanes: int) -> int:
    """Cells of a lane's name with the space around it."""
    return _digits(lanes) + 3


def lane_name(backend: str, lane: int, lanes: int) -> str:
    """Like "w00" or "e017"."""
    return f"{_LETTERS.get(backend, 'e')}{lane:0{_digits(lanes)}d}"


def lanes_text(backend: str, lanes: int, seen: tuple[int, int]) -> str:
    """Like "1,000 environments (21–40)"; `seen`: the place of the first in sight, and how many are."""
    text = count_text(lanes, _PLACES.get(backend, "environment"))
    first, shown = seen
    if shown < lanes:
        text += f" ({first + 1}–{first + shown})"
    return text


def span_text(start_s: float, end_s: float) -> str:
    """Like "0 – 3.3 s"."""
    return f"{seconds_text(start_s) if start_s > 0 else 0} – {seconds_text(end_s)}"
