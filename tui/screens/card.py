"""The card of one invocation, with keys to its neighbours."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.strip import Strip

from lbench.engine.session.view import RunView
from lbench.tui.draw.ink import Piece, line
from lbench.tui.feeds.feed import Frame
from lbench.tui.host import LbenchScreen
from lbench.tui.theme import role_of
from lbench.tui.widgets.card import STATE, card_lines
from lbench.tui.widgets.invocation_rank import InvocationRank
from lbench.tui.widgets.lines import Lines
from lbench.tui.widgets.scroll import Scroll
from lbench.tui.widgets.title import Keys, Title

__all__ = ["CardScreen"]


_BARS = 3  # lines that the title, the air below it and the footer take


class _Card(Lines):
    """The lines of a card."""

    def __init__(self, run: RunView, row: int) -> None:
        super().__init__(id="card-lines")
        self.run = run
        self.row = row
        self._among: tuple[tuple[int, int], InvocationRank] | None = None  # of so many that were ok and that failed

    def _made(self, width: int) -> list[list[Piece]]:
        ended = (self.run.finished_tasks, self.run.failed_attempts)
        if self._among is None or self._among[0] != ended:
            self._among = (ended, InvocationRank(self.run))
        return card_lines(self.run, self.row, width, self.screen.size.height - _BARS, self._among[1])

    def draw(self, width: int, height: int) -> list[Strip]:
        return [line(self.palette, pieces, width) for pieces in self._made(width)]

    def fit(self) -> None:
        """Take the height of the lines."""
        count = len(self._made(max(20, self.size.width or self.screen.size.width)))
        if self.styles.height is None or self.styles.height.value != count:
            self.styles.height = count
        self.redraw()


class CardScreen(LbenchScreen[None]):
    """One invocation. `step` gives another row: +1 the next, -1 the previous, 0 the next that failed."""

    BINDINGS = [
        Binding("left", "step(-1)", "neighbour", key_display="←→", priority=True),
        Binding("right", "step(1)", "neighbour", key_display="←→", priority=True),
        Binding("n", "step(0)", "next error"),
        Binding("escape,enter", "dismiss", "back", key_display="esc"),
    ]

    def __init__(self, run: RunView, row: int, step: Callable[[int], int | None] | None) -> None:
        """`step` None: there is no timeline to step through."""
        super().__init__(name="card")
        self._card = _Card(run, row)
        self._step = step

    def compose(self) -> ComposeResult:
        yield Title()
        with Scroll():
            yield self._card
        yield Keys()

    def on_mount(self) -> None:
        """Focus the card, so that it scrolls."""
        self.query_one(Scroll).focus()
        self._show()

    def on_resize(self) -> None:
        self.call_after_refresh(self._card.fit)

    def show_frame(self, frame: Frame) -> None:
        """Show the end of a running invocation."""
        run = None if frame.view is None else frame.view.runs.get(self._card.run.id)
        if run is not None and self._card.row in frame.touched.get(run.id, ()):
            self._show()

    def _show(self) -> None:
        run, row = self._card.run, self._card.row
        values = run.columns.row(row)
        glyph, role = STATE[values["status"]]
        status = values["status"] or "running"
        label = run.planned.label
        self.query_one(Title).show(
            [
                (f"task {values['task']}", "bright!"),
                (" on ", "text"),
                (label, role_of(run.planned.backend, label)),
                (f" · repeat {run.planned.repeat + 1}", "text"),
                (f" · stage {values['stage'] + 1}" if len(run.stages) > 1 else "", "text"),
            ],
            [(f"{glyph} {status}", role)],
        )
        self._card.fit()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "step" or self._step is not None

    def action_step(self, by: int) -> None:
        row = None if self._step is None else self._step(by)
        if row is not None:
            self._card.row = row
            self._show()
