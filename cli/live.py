"""Progress on a terminal: a line for each backend, redrawn a few times a second and cleared at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from rich.console import Group
from rich.live import Live
from rich.text import Text

from lbench.analysis.format import seconds_text
from lbench.analysis.layout import progress_text
from lbench.analysis.progress import Outlook, State, outlooks
from lbench.cli.console import HAIRLINE, QUIET, RIGHT, WARN, WRONG, accent, console
from lbench.cli.progress import Progress, current_runs, place_text
from lbench.cli.tables import Column, backend_cell, table_lines
from lbench.engine.billing.live_bills import RunningBills
from lbench.engine.cost.format import usd_short
from lbench.engine.journal.events import Event, RunEnded
from lbench.engine.session.view import SessionView

__all__ = ["LiveProgress", "bar"]

_FRAME_S = 0.25  # drawing takes CPU time from the measurement
_GLYPHS: dict[State, tuple[str, str]] = {
    "waiting": ("·", QUIET),
    "running": ("▶", ""),
    "checking": ("▶", ""),
    "ok": ("✔", RIGHT),
    "failed": ("✘", WRONG),
    "stopped": ("■", WARN),
}


class LiveProgress(Progress):
    """Draws on standard error. Warnings and failed runs are printed above and stay."""

    def __init__(self) -> None:
        self._console = console(sys.stderr)
        self._live = Live(
            Text(""),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bill = RunningBills()
        self._begun = False
        self._next_s = 0.0

    def begin(self, lines: list[str]) -> None:
        """Print the lines and start drawing."""
        super().begin(lines)
        self._begun = True
        self._live.start()

    def event(self, event: Event, view: SessionView) -> None:
        """Print failures, too."""
        if isinstance(event, RunEnded) and event.status == "failed":
            self._write(f"{place_text(view.runs[event.run], view)}: ✘ {event.error or 'failed'}")
        else:
            super().event(event, view)

    def draw(self, view: SessionView, now_s: Mapping[str, float]) -> None:
        """Draw a frame when it is due."""
        clock_s = time.monotonic()
        if clock_s < self._next_s:
            return
        self._next_s = clock_s + _FRAME_S
        backends = outlooks(current_runs(view), now_s, self._bill)
        lines = table_lines(_columns(backends, self._console.width), self._console.width) if backends else []
        lines.append(Text(f"  {view.phase or ''}", style=QUIET))
        self._live.update(Group(*lines), refresh=True)

    def close(self) -> None:
        """Clear the drawing and show the cursor."""
        if self._begun:
            self._begun = False
            self._live.stop()

    def _write(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


def bar(done: int, total: int | None, width: int, style: str) -> Text:
    """A line that fills: in its backend's colour as far as it is done."""
    filled, rest = progress_text(done, total or 0, width)
    return Text.assemble((filled, style), (rest, HAIRLINE))


def _columns(backends: list[Outlook], width: int) -> list[Column]:
    room = 10 if width < 100 else 28
    columns = {
        "backend": Column("BACKEND"),
        "runs": Column("RUNS", justify="right"),
        "bar": Column("TASKS"),
        "tasks": Column("", rank=1, justify="right"),
        "time": Column("MAKESPAN", justify="right"),
        "left": Column("LEFT", rank=2, justify="right"),
        "cost": Column("COST ON AWS", rank=3, justify="right"),
        "failed": Column("FAILED", rank=4, justify="right"),
    }
    for one in backends:
        glyph, style = _GLYPHS[one.state]
        colour = accent(one.backend)
        columns["backend"].add(backend_cell(one.backend, one.label))
        runs = one.runs_done + (one.state == "running")
        columns["runs"].add(Text.assemble((f"{glyph} ", style), f"{runs}/{one.runs}"))
        columns["bar"].add(bar(one.tasks_done, one.tasks, room, colour))
        columns["tasks"].add(f"{one.tasks_done}/{one.tasks}" if one.tasks else "")
        columns["time"].add(_time(one))
        columns["left"].add(seconds_text(one.left_s) if one.left_s else "")
        columns["cost"].add(_cost(one))
        columns["failed"].add(str(one.failed_attempts) if one.failed_attempts else "", WRONG)
    return list(columns.values())


def _time(one: Outlook) -> str:
    if one.elapsed_s is not None:
        return f"{seconds_text(max(one.elapsed_s, 0.1))} …"
    return "" if one.makespan_s is None else seconds_text(one.makespan_s)


def _cost(one: Outlook) -> Text:
    if one.usd is None:
        return Text("")
    # An emulated amount is what AWS would charge: nothing is spent here.
    return Text.assemble(
        usd_short(one.usd, assumed=one.assumed), (" " + one.origin if one.origin != "measured" else "", QUIET)
    )
