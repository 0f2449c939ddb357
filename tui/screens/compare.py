"""The Compare screen: sessions of several machines and days side by side, and what differs between them."""

from __future__ import annotations

from pathlib import Path

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.worker import Worker, get_current_worker

from lbench.analysis.session_comparison import SessionComparison
from lbench.analysis.session_comparison_text import comparison_sentence
from lbench.errors import LbenchError
from lbench.tui.compare.board import answer_of, lines_of, title_of
from lbench.tui.compare.loader import compare_folders
from lbench.tui.host import ReadingScreen, keys_of
from lbench.tui.widgets.chart import Rows
from lbench.tui.widgets.title import Answer, Keys, Title

__all__ = ["CompareScreen"]


class CompareScreen(ReadingScreen[None]):
    """Sessions against the first of them."""

    BINDINGS = [
        Binding("up", "scroll_lines(-1)", "scroll", key_display="↑↓"),
        Binding("down", "scroll_lines(1)", "scroll", key_display="↑↓"),
        Binding("pageup", "page(-1)", "a page up", show=False),
        Binding("pagedown", "page(1)", "a page down", show=False),
        Binding("b", "base", "base", tooltip="against another session"),
        Binding("y", "copy", "copy", tooltip="copy the sentence"),
        Binding("escape", "app.go('sessions')", "back", key_display="esc"),
    ]
    AUTO_FOCUS = ""
    KEPT = keys_of(BINDINGS)

    def __init__(self, folders: list[Path]) -> None:
        super().__init__("compare")
        self._folders = folders
        self._reading = False
        self.comparison: SessionComparison | None = None

    def compose(self) -> ComposeResult:
        yield Title()
        yield Answer()
        yield Rows(id="lines")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(Title).show([("compare", "text")], [])
        self._begin()

    @property
    def reads_first(self) -> bool:
        return self._reading

    def _begin(self) -> None:
        self._reading = True
        self.query_one(Answer).show([("reading the sessions", "quiet")])
        self._compare(list(self._folders))

    @work(thread=True, exclusive=True, group="compare", exit_on_error=False)
    def _compare(self, folders: list[Path]) -> None:
        worker = get_current_worker()
        found: SessionComparison | LbenchError
        try:
            found = compare_folders(folders)
        except LbenchError as error:
            found = error
        self.app.call_from_thread(self._take, worker, found)

    def _take(self, worker: Worker[None], found: SessionComparison | LbenchError) -> None:
        if worker.is_cancelled or not self.is_attached:
            return
        self._reading = False
        answer, rows = self.query_one(Answer), self.query_one("#lines", Rows)
        if isinstance(found, LbenchError):
            self.comparison = None
            rows.show("", "", lambda width: [])
            answer.show([(str(found), "quiet" if len(self._folders) < 2 else "wrong")])
        else:
            self.comparison = found
            self.query_one(Title).show([("compare · ", "quiet"), (title_of(found), "text")], [])
            answer.show([(answer_of(found, 3 * self.size.width - 20), "text")])
            rows.show("", "", lambda width: lines_of(found, width))
        self.refresh_bindings()
        self.hand_back()

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "scroll_lines":
            return self.comparison is not None and self.query_one("#lines", Rows).scrolls
        if action in ("base", "copy", "page"):
            return self.comparison is not None
        return True

    def action_scroll_lines(self, by: int) -> None:
        self.query_one("#lines", Rows).scroll_by(by)

    def action_page(self, by: int) -> None:
        rows = self.query_one("#lines", Rows)
        rows.scroll_by(by * max(1, rows.size.height - 1))

    def action_base(self) -> None:
        self._folders = [*self._folders[1:], *self._folders[:1]]
        self._begin()

    def action_copy(self) -> None:
        if self.comparison is not None:
            self.host.copy_out(comparison_sentence(self.comparison), "sentence")
