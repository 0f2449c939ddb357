"""The set-up's form: workload, parameters, backends and runs, editing a draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget

from lbench.engine.backends import catalog
from lbench.engine.plan.plan import Plan
from lbench.engine.processes.daemon_thread import in_daemon_thread
from lbench.tui.background_errors import FaultsEnd
from lbench.tui.draw.ink import Piece
from lbench.tui.run_form import OWN_FIELD, OWN_FILE, Draft, OwnWorkload, RunSettings, form_fields, read_own
from lbench.tui.theme import role_of
from lbench.tui.widgets.fields import Changed, Choice, FieldRow, Heading, Ticks, id_at
from lbench.tui.widgets.prose import Prose
from lbench.workloads.parameters import Field

__all__ = ["SetupForm"]

_QUIET_S = 0.3  # without a change of the path, before its file is read
_HIGH = 50  # rows from which the settings of the chosen backends are open


class SetupForm(FaultsEnd, VerticalScroll, inherit_bindings=False):
    """Scrolls as the focus moves; the arrows move the focus."""

    class Edited(Message):
        """The draft or its fields changed."""

    class OwnRead(Message):
        """The own file was read, or why it cannot be used is known."""

        def __init__(self, found: OwnWorkload) -> None:
            self.found = found
            super().__init__()

    def __init__(self, plan: Plan) -> None:
        super().__init__(id="form", can_focus=False)
        self.draft = Draft(plan)
        self._opened: set[int] = set()  # backends whose settings are in sight
        self._errors: Mapping[str, str] = {}
        self._quiet: Timer | None = None
        self._params_shown: object = None

    # -- parts

    def compose(self) -> ComposeResult:
        """Two parts, side by side where there is room."""
        with Vertical(id="left"):
            yield Heading("workload")
            yield Choice(tuple(self.draft.params), self.draft.workload, place="workload")
            yield Vertical(*self._own_rows(), id="own")
            yield Prose(id="about")
            yield Heading("backends", id="backends-heading")
            yield Vertical(*self._backend_rows(), id="backends")
        with Vertical(id="right"):
            yield Heading("parameters")
            yield Vertical(*self._param_rows(), id="params")
            yield Heading("runs")
            yield Vertical(*self._run_rows(), id="runs")

    def _rows(self, place: str, fields: Sequence[Field], texts: dict[str, str]) -> list[FieldRow]:
        return [FieldRow(f"{place}.{field.name}", field, texts[field.name]) for field in fields]

    def _own_rows(self) -> list[FieldRow]:
        return self._rows("own", [OWN_FIELD], self.draft.own) if self.draft.workload == OWN_FILE else []

    def _param_rows(self) -> list[FieldRow]:
        description = self.draft.description
        self._params_shown = self._params_now
        fields = () if description is None else form_fields(description.params)
        return self._rows("params", fields, self.draft.params[self.draft.workload])

    def _run_rows(self) -> list[FieldRow]:
        fields = [field for field in form_fields(RunSettings) if field.name in self.draft.run_names]
        return self._rows("run", fields, self.draft.run)

    def _backend_rows(self) -> list[Widget]:
        rows: list[Widget] = []
        for index, form in enumerate(self.draft.backends):
            rows.append(Ticks(index))
            if index in self._opened:
                label = Field(name="label", type="text", default="", meaning="name in the results")
                fields = [label, *form_fields(catalog.settings_type(form.name))]
                rows.append(Vertical(*self._rows(f"backend.{index}", fields, form.settings), classes="settings"))
        return rows

    async def on_mount(self) -> None:
        """Read the own file; on a high screen, open the settings of the chosen backends."""
        if self.draft.unread:
            self.read_own()
        if self.app.size.height >= _HIGH:
            self._opened = {index for index, form in enumerate(self.draft.backends) if form.chosen}
            if self._opened:
                await self._rebuild_backends(None)

    # -- what is shown

    def fit(self) -> None:
        """Wrap the workload's description to the new width."""
        description = self.draft.description
        if description is None:
            texts = [
                "a job of yours, a plain function with values for its parameters, or what `lbench record` recorded"
            ]
        else:
            texts = [description.summary, *([f"data: {description.data}"] if description.data else [])]
        room = self.app.size.width // (1 + self.screen.has_class("wide")) - 4
        self.query_one("#about", Prose).set_text(*((text, "quiet") for text in texts), room=room)

    def show_errors(self, errors: Mapping[str, str]) -> None:
        self._errors = {} if self.draft.unread else errors
        for row in self.query(FieldRow):
            row.show_error(self._errors.get(row.place))
        self._show_backends()

    def _show_backends(self) -> None:
        errors = {place.split(".")[1] for place in self._errors if place.startswith("backend.")}
        width = max([12, *(len(form.label) + 1 for form in self.draft.backends)])
        for ticks in self.query(Ticks):
            form = self.draft.backends[ticks.index]
            role = role_of(form.name, form.label) + "!" if form.chosen else "quiet"
            more = ("▾ " if ticks.index in self._opened else "▸ ", "quiet")
            summary: Piece = (catalog.summary(form.name), "quiet")
            if changed := form.changed:
                summary = (changed, "text")
            if reason := self._errors.get(f"backend.{ticks.index}"):
                summary = (f"✘ {reason}", "wrong")
            elif str(ticks.index) in errors and ticks.index not in self._opened:
                summary = ("✘ a setting is wrong: → shows it", "wrong")
            ticks.show(form.chosen, [(f"{form.label:{width}}", role), more, summary])
        chosen = sum(form.chosen for form in self.draft.backends)
        self.query_one("#backends-heading", Heading).set_title(
            "backends", self._errors.get("backends", f"{chosen} chosen")
        )

    # -- changes

    async def on_changed(self, message: Changed) -> None:
        message.stop()
        if not message.editor.is_attached:  # its row went meanwhile, and its place may be another's now
            return
        if message.place == "workload":
            self.draft.workload = message.value
            own = self.query_one("#own")
            await own.remove_children()
            await own.mount_all(self._own_rows())
            await self._rebuild_params()
            if self.draft.unread:
                self.read_own()
            return
        texts, name = self._texts_of(message.place), message.place.rpartition(".")[2]
        if texts.get(name, message.value) != message.value:  # a field also tells the text that it begins with
            texts[name] = message.value
            if texts is self.draft.own:
                self._read_soon()
            self.post_message(self.Edited())

    def _texts_of(self, place: str) -> dict[str, str]:
        """The draft's texts that a field at a place edits."""
        part, _, rest = place.partition(".")
        if part == "own":
            return self.draft.own
        if part == "params":
            return self.draft.params[self.draft.workload]
        return self.draft.run if part == "run" else self.draft.backends[int(rest.partition(".")[0])].settings

    def _read_soon(self) -> None:
        if self._quiet is not None:
            self._quiet.stop()
        self._quiet = self.set_timer(_QUIET_S, self.read_own)

    def read_own(self) -> None:
        """Read the own file that is named now; `OwnRead` follows."""
        if self._quiet is not None:
            self._quiet.stop()
        self._read(self.draft.own[OWN_FIELD.name])

    @work(exclusive=True, group="own", exit_on_error=False)
    async def _read(self, typed: str) -> None:
        self.post_message(self.OwnRead(await in_daemon_thread(lambda: read_own(typed), name="own-file")))

    async def on_setup_form_own_read(self, message: OwnRead) -> None:
        """Show its parameters. The screen hears of it then."""
        if not self.draft.take_own(message.found):
            message.stop()
            return
        if self._params_shown != self._params_now:
            focused = getattr(self.screen.focused, "id", None)
            await self._rebuild_params()
            if self.screen.focused is None and focused is not None:
                kept = self.query(f"#{focused}")
                (kept.first() if kept else self.query_one("#" + id_at(f"own.{OWN_FIELD.name}"))).focus()
        self.post_message(self.Edited())

    @property
    def _params_now(self) -> object:
        """What the form shows of the workload."""
        description = self.draft.description
        return None if description is None else (form_fields(description.params), description.summary, description.data)

    def first_parameter(self) -> None:
        rows = self.query("#params FieldRow")
        (rows.first() if rows else self.query("#runs FieldRow").first()).children[0].focus()

    async def _rebuild_params(self) -> None:
        self.fit()
        params, runs = self.query_one("#params"), self.query_one("#runs")
        async with self.batch():
            await params.remove_children()
            await params.mount_all(self._param_rows())
            await runs.remove_children()
            await runs.mount_all(self._run_rows())
        self.post_message(self.Edited())

    async def _rebuild_backends(self, focus: int | None) -> None:
        backends = self.query_one("#backends")
        async with self.batch():
            await backends.remove_children()
            await backends.mount_all(self._backend_rows())
        if focus is not None:
            self.query_one(f"#backend-{focus}").focus()
        self.post_message(self.Edited())

    def on_ticks_ticked(self, message: Ticks.Ticked) -> None:
        form = self.draft.backends[message.index]
        form.chosen = not form.chosen
        self.post_message(self.Edited())

    async def on_ticks_opened(self, message: Ticks.Opened) -> None:
        if (message.index in self._opened) != message.opened:
            self._opened ^= {message.index}
            await self._rebuild_backends(message.index)

    async def on_ticks_counted(self, message: Ticks.Counted) -> None:
        """Add or remove a backend of its kind."""
        index = message.index
        if message.more:
            self.draft.another(index)
            self._opened = {one + (one > index) for one in self._opened} | {index + 1}
            await self._rebuild_backends(index + 1)
        elif self.draft.without(index):
            self._opened = {one - (one > index) for one in self._opened if one != index}
            await self._rebuild_backends(min(index, len(self.draft.backends) - 1))

    def collect(self) -> None:
        """Take the texts from the editors: a change may still be on its way here."""
        for row in self.query(FieldRow):
            texts, name = self._texts_of(row.place), row.place.rpartition(".")[2]
            if name in texts:  # else the row is about to go: its file was read again, and has no such parameter now
                texts[name] = row.value

    # -- where to go

    def jump(self, place: str) -> None:
        """Focus the workload or the backends."""
        if place == "workload":
            self.query_one("#at-workload").focus(scroll_visible=False)
            self.scroll_home(animate=False)
            return
        self.query(Ticks).first().focus(scroll_visible=False)
        self.scroll_to_widget(self.query_one("#backends-heading"), animate=False, top=True)

    async def go_to(self, place: str) -> None:
        """Focus the field of an error."""
        part, _, rest = place.partition(".")
        if part == "backends":
            self.jump("backends")
        elif part == "backend" and "." not in rest:
            self.query_one(f"#backend-{rest}").focus()
        elif place:
            if part == "backend" and (index := int(rest.partition(".")[0])) not in self._opened:
                self._opened.add(index)
                await self._rebuild_backends(None)
            self.query_one("#" + id_at(place)).focus()
