"""The Sessions screen: opens, names, tags, exports and deletes the recorded sessions of this machine."""

from __future__ import annotations

import shutil
import time
from decimal import Decimal
from pathlib import Path

import msgspec
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from lbench.engine.cost.format import usd_short
from lbench.engine.journal.lock import is_live
from lbench.engine.session.index import when
from lbench.engine.session.labels import Meta, check_label, read_meta, tags_of, write_meta
from lbench.errors import InputError, LbenchError, count_text
from lbench.tui.draw.ink import Piece
from lbench.tui.host import ReadingScreen, keys_of
from lbench.tui.screens.prompts import AskText, AskYes
from lbench.tui.session_index import Entry, entries
from lbench.tui.theme import EMULATED
from lbench.tui.widgets.fields import Heading, Text
from lbench.tui.widgets.session_table import SessionTable, error_of, local_time, matches, title_of, whole_outcome
from lbench.tui.widgets.title import Answer, Keys, Title

__all__ = ["SessionsScreen"]

_SHOW_EVERY_S = 0.1  # while they are found


class SessionsScreen(ReadingScreen[None]):
    """The recorded sessions, the last first."""

    BINDINGS = [
        Binding("enter", "open", "open", key_display="↵", priority=True),
        Binding("slash", "filter", "filter", key_display="/", tooltip="only those with a word"),
        Binding("space", "mark", "mark", tooltip="mark it, to compare it with others that are marked"),
        Binding("c", "compare", "compare", tooltip="compare the marked sessions"),
        Binding("n", "rename", "name", tooltip="call it something"),
        Binding("t", "tag", "tag", tooltip="give it tags"),
        Binding("x", "export", "export", tooltip="write it as JSON or CSV"),
        Binding("d", "delete", "delete", tooltip="delete it, once asked"),
        Binding("f5", "load", "look again", show=False),
        Binding("escape", "back", "back", key_display="esc"),
    ]
    AUTO_FOCUS = "SessionTable"
    KEPT = keys_of((*BINDINGS, *SessionTable.BINDINGS)) - {"slash", "f5"}

    def __init__(self) -> None:
        super().__init__("sessions")
        self._entries: dict[tuple[str, int], Entry] = {}
        self._deleted: set[str] = set()  # paths: a list that was being read may still hold them
        self._loading = False
        self._loaded = 0
        self._outcome: list[Piece] | None = None  # of the last command, until the next one

    def compose(self) -> ComposeResult:
        """Title, count, filter, table, the chosen session, keys."""
        yield Title()
        yield Answer()
        yield Input(placeholder="filter by machine, workload, backend, tag, date", compact=True, id="filter")
        yield SessionTable()
        yield Heading("", id="chosen")
        yield Text(id="about")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self.query_one(Title).show([("recorded sessions", "text")], [])
        table = self.query_one(SessionTable)
        table.wanted, table.marked = self.host.session_chosen, self.host.sessions_marked
        self.action_load()

    def on_screen_resume(self) -> None:
        """Load again: others may have measured meanwhile."""
        if self._loaded:
            self.action_load()

    # -- loading

    def action_load(self) -> None:
        if not self._loading:
            self._load_anew()

    def _load_anew(self) -> None:
        """Load; what is being loaded is dropped, as it may be older than what has just been written."""
        self._loading = True
        self._load()

    @work(thread=True, exclusive=True, group="load", exit_on_error=False)
    def _load(self) -> None:
        worker = get_current_worker()
        found: dict[tuple[str, int], Entry] = {}
        problem: str | None = None
        shown_s = time.monotonic()
        try:
            for entry in entries():
                if worker.is_cancelled:
                    return
                found[entry.key] = entry
                if time.monotonic() - shown_s > _SHOW_EVERY_S:
                    shown_s = time.monotonic()
                    self.app.call_from_thread(self._take, worker, dict(found), None, False)
        except LbenchError as error:
            problem = str(error)
        self.app.call_from_thread(self._take, worker, found, problem, True)

    def _take(self, worker: Worker[None], found: dict[tuple[str, int], Entry], problem: str | None, last: bool) -> None:
        if worker.is_cancelled or not self.is_attached:
            return
        found = {key: entry for key, entry in found.items() if key[0] not in self._deleted}
        self._entries = found if last else self._entries | found
        self._loading = not last
        if last:
            self._loaded += 1
        if problem is not None:
            self._outcome = [(f"✘ {problem}", "wrong")]
        self._show()
        self.hand_back()

    @property
    def reads_first(self) -> bool:
        return self._loading and not self._entries

    # -- what is shown

    def _show(self) -> None:
        text = self.query_one("#filter", Input).value
        newest_first = sorted(self._entries.values(), key=lambda one: when(one.recorded), reverse=True)
        shown = [entry for entry in newest_first if matches(entry, text)]
        empty = "no session is recorded yet: 1 then r measures one"
        if newest_first:
            empty = "no session is like that: esc shows all"
        elif self._loading:
            empty = "looking for sessions"
        self.query_one(SessionTable).show(shown, empty)
        self._show_counts(len(shown), len(newest_first))
        self.refresh_bindings()

    def _show_counts(self, shown: int, known: int) -> None:
        count = count_text(known, "comparison") if shown == known else f"{shown:,} of {count_text(known, 'comparison')}"
        pieces: list[Piece] = [(count, "text"), (" on this machine" + (", looking" if self._loading else ""), "quiet")]
        running = sum(
            one.recorded.running and one.recorded.runs_ended < one.recorded.runs for one in self._entries.values()
        )
        if running:
            pieces += [(f" · {running} running now", "bright")]
        if any(entry.usd is not None and not entry.charged for entry in self._entries.values()):
            pieces.append((f" · {EMULATED} emulated here: AWS would charge it", "quiet"))
        self.query_one(Answer).show(self._outcome or pieces)

    def on_session_table_moved(self) -> None:
        """Describe the session under the cursor."""
        table = self.query_one(SessionTable)
        entry = table.chosen
        self.host.session_chosen = table.wanted
        title = "no session" if entry is None else title_of(entry) or entry.recorded.id
        self.query_one("#chosen", Heading).set_title(title, "" if entry is None else local_time(entry))
        self.query_one("#about", Text).show([] if entry is None else _about(entry))
        self.refresh_bindings()

    def _say(self, text: str, role: str = "text") -> None:
        self._outcome = [(text, role)]
        self.query_one(Answer).show(self._outcome)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done with the session under the cursor."""
        if action not in ("open", "rename", "tag", "export", "delete", "mark", "compare"):
            return True
        table = self.query(SessionTable)
        entry = table.first().chosen if table else None
        if action == "compare":
            return bool(table) and len(table.first().marked) > 1 and not isinstance(self.focused, Input)
        if entry is None or isinstance(self.focused, Input):
            return action == "open" and isinstance(self.focused, Input)
        if action == "delete":
            return not entry.recorded.running
        return entry.recorded.error is None

    @property
    def _chosen(self) -> Entry:
        entry = self.query_one(SessionTable).chosen
        assert entry is not None
        self._outcome = None
        return entry

    def action_open(self) -> None:
        """Show the session on the Bench screen. From the filter, go to the table."""
        if isinstance(self.focused, Input):
            self.query_one(SessionTable).focus()
            return
        entry = self._chosen
        self.host.open_session(entry.folder, entry.part)

    async def action_back(self) -> None:
        """Clear the filter; without one, go back to the Bench screen."""
        field = self.query_one("#filter", Input)
        if not field.display:
            await self.host.action_go("bench")
            return
        field.value = ""
        field.display = False
        self.query_one(SessionTable).focus()

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def on_input_changed(self, message: Input.Changed) -> None:
        self._outcome = None  # how many are like that comes in its place
        self._show()

    def action_mark(self) -> None:
        """Mark the session, or take the mark away."""
        table = self.query_one(SessionTable)
        table.mark(str(self._chosen.folder))
        self.host.sessions_marked = table.marked
        count = len(table.marked)
        self._say(f"{count_text(count, 'session')} marked" + (": c compares them" if count > 1 else ""), "quiet")
        self.refresh_bindings()

    async def action_compare(self) -> None:
        """Compare the marked sessions; the one that was marked first is the base."""
        self.host.compared = [Path(path) for path in self.query_one(SessionTable).marked]
        await self.host.action_go("compare")

    def action_rename(self) -> None:
        entry = self._chosen
        now = "" if entry.recorded.name == entry.recorded.id else entry.recorded.name or ""

        def done(text: str | None) -> None:
            if text is not None:
                self._keep(entry, read_meta(entry.folder), name=text)

        self.app.push_screen(
            AskText(
                f"name of {entry.recorded.id}", now, hint="empty: the name it was recorded with", check=check_label
            ),
            done,
        )

    def action_tag(self) -> None:
        entry = self._chosen

        def done(text: str | None) -> None:
            if text is not None:
                self._keep(entry, read_meta(entry.folder), tags=tags_of(text))

        self.app.push_screen(
            AskText(
                f"tags of {entry.recorded.id}",
                " ".join(entry.recorded.tags),
                hint="words with spaces between them",
                check=_check_tags,
            ),
            done,
        )

    def _keep(self, entry: Entry, meta: Meta, *, name: str | None = None, tags: list[str] | None = None) -> None:
        if name is not None:
            meta = msgspec.structs.replace(meta, name=name or None)
        if tags is not None:
            meta = msgspec.structs.replace(meta, tags=tags)
        try:
            write_meta(entry.folder, meta)
        except InputError as error:
            self._say(f"✘ {error}", "wrong")
            return
        shown = meta.name if meta.name is not None else entry.recorded.id
        recorded = msgspec.structs.replace(entry.recorded, name=shown, tags=meta.tags)
        for key, one in list(self._entries.items()):
            if key[0] == recorded.path:
                labelled = msgspec.structs.replace(one.recorded, name=shown, tags=meta.tags)
                self._entries[key] = msgspec.structs.replace(one, recorded=labelled)
        self._show()
        self._load_anew()

    def action_export(self) -> None:
        self.host.export(self._chosen.folder, self._say_exported)

    def _say_exported(self, text: str, role: str) -> None:
        """On line 2; in a note once the list was left."""
        if self.is_attached:
            self._say(text, role)
        else:
            self.notify(text, severity="error" if role == "wrong" else "information")

    def action_delete(self) -> None:
        entry = self._chosen
        parts = sum(key[0] == entry.recorded.path for key in self._entries)
        beside = f", with the {count_text(parts - 1, 'other comparison')} of its session" if parts > 1 else ""
        what = f"{local_time(entry)} {', '.join(entry.recorded.workloads)}"
        detail = f"{what}: {entry.recorded.path} is removed for good{beside}"

        def done(yes: bool | None) -> None:
            if yes:
                self._delete(entry.folder)

        self.app.push_screen(AskYes(f"delete {title_of(entry) or entry.recorded.id}?", detail), done)

    @work(thread=True, group="delete", exit_on_error=False)
    def _delete(self, folder: Path) -> None:
        outcome = (f"deleted {folder.name}", "text")
        try:
            if is_live(folder):
                raise InputError(f"{folder.name} is running: cancel it first")
            shutil.rmtree(folder)
        except OSError as error:
            outcome = (f"✘ cannot delete {folder.name}: {error.strerror}", "wrong")
        except LbenchError as error:
            outcome = (f"✘ {error}", "wrong")
        self.app.call_from_thread(self._show_deleted, folder, outcome)

    def _show_deleted(self, folder: Path, outcome: tuple[str, str]) -> None:
        if not folder.exists():
            self._deleted.add(str(folder))
            self.host.sessions_marked = [path for path in self.host.sessions_marked if path != str(folder)]
            self.host.forget_deleted(folder)
            self._entries = {key: one for key, one in self._entries.items() if key[0] != str(folder)}
        if not self.is_attached:
            return
        self.query_one(SessionTable).marked = list(self.host.sessions_marked)
        self._outcome = [outcome]
        self._show()


def _check_tags(text: str) -> None:
    for tag in tags_of(text):
        check_label(tag)


def _about(entry: Entry) -> list[list[Piece]]:
    """The chosen session in a few lines."""
    recorded = entry.recorded
    if recorded.error is not None:
        return [[("   ✘ ", "wrong"), (error_of(entry), "text")], [("   ", "text"), (recorded.path, "quiet")]]
    machine = " · ".join(filter(None, [recorded.machine, recorded.cpu_model]))
    live = "running now" if recorded.runs_ended < recorded.runs else "its engine is still there"
    state = {"complete": "complete", "running": live, "stopped": "stopped before it was done"}[entry.recorded.state]
    ended, runs = recorded.runs_done, count_text(recorded.runs, "run")
    runs = runs if ended == recorded.runs else f"{ended} of {runs}"
    count = f" · {count_text(entry.invocations, 'invocation')}" if entry.worked_out else ""
    cost = ""
    if entry.usd is not None:
        usd = usd_short(Decimal(entry.usd), assumed=entry.assumed)
        cost = f" · {usd} on AWS" if entry.charged else f" · AWS would charge {usd}{EMULATED}"
    return [
        [
            ("   ", "text"),
            (" ".join(filter(None, [", ".join(recorded.workloads), entry.point])), "text"),
            (f" on {', '.join(recorded.backends)}{' · enter, then 2: the whole sweep' * bool(entry.point)}", "quiet"),
        ],
        [
            ("   ", "text"),
            (f"{state}{cost} · {runs}{count}", "quiet"),  # an amount is never cut
        ],
        [
            ("   ", "text"),
            *(whole_outcome(entry) or [("no answer yet" if entry.recorded.running else "no answer", "quiet")]),
        ],
        [("   ", "text"), (machine, "quiet")],
        [("   ", "text"), (recorded.path, "quiet")],
    ]
