"""The set-up: workload, its parameters, backends, repeats; ready-filled, so that Enter starts it."""

from __future__ import annotations

from collections.abc import Sequence

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from lbench.engine.backends import catalog
from lbench.engine.plan import Plan
from lbench.errors import LbenchError
from lbench.tui.draw.ink import Piece
from lbench.tui.forecast import Forecast, money_question
from lbench.tui.forms import Draft, RunSettings, form_fields
from lbench.tui.screens.ask import AskYes
from lbench.tui.theme import role_of
from lbench.tui.widgets.ahead import Ahead
from lbench.tui.widgets.fields import Changed, Choice, FieldRow, Heading, Ticks
from lbench.tui.widgets.prose import Prose
from lbench.tui.widgets.title import Answer, Keys, Title
from lbench.workloads import registry
from lbench.workloads.parameters import Field

__all__ = ["SetupScreen"]

_WIDE = 150  # columns from which the form has two columns
_HIGH = 50  # rows from which the settings of the chosen backends are open


class _Form(VerticalScroll, inherit_bindings=False):
    """Scrolls by itself as the focus moves: the arrows move the focus."""


class SetupScreen(Screen[Plan | None]):
    """Dismissed with the plan to start, or None."""

    BINDINGS = [
        Binding("enter", "start", "start", key_display="↵", priority=True),
        Binding("escape", "leave", "back", key_display="esc"),
        Binding("up", "app.focus_previous", "field", key_display="↑↓", tooltip="the next or last field"),
        Binding("down", "app.focus_next", "field", key_display="↑↓", tooltip="the next or last field"),
        Binding("w", "jump('workload')", "workload", tooltip="to the workload"),
        Binding("b", "jump('backends')", "backends", tooltip="to the backends"),
    ]
    AUTO_FOCUS = ""

    def __init__(self, plan: Plan, focus: str = "") -> None:
        """`focus`: "workload" or "backends", what to begin with."""
        super().__init__(id="setup")
        self.draft = Draft(plan)
        self._plan = plan
        self._first = focus
        self._opened: set[int] = set()
        self._errors: dict[str, str] = {}
        self._ahead = Ahead()
        self._to_backends = False  # as soon as they are there

    # -- parts

    def compose(self) -> ComposeResult:
        """Title, a form that scrolls, what it comes to, keys."""
        yield Title()
        yield Answer()
        with _Form(id="form", can_focus=False):
            with Vertical(id="left"):
                yield Heading("workload")
                yield Choice(tuple(self.draft.params), self.draft.workload, place="workload", roomy=True)
                yield Prose(id="about")
                yield Heading("backends", id="backends-heading")
                yield Vertical(*self._backend_rows(), id="backends")
            with Vertical(id="right"):
                yield Heading("parameters")
                yield Vertical(*self._param_rows(), id="params")
                yield Heading("runs")
                yield Vertical(*self._rows("run", self._run_fields(), self.draft.run), id="runs")
        yield self._ahead
        yield Keys()

    def _rows(self, place: str, fields: Sequence[Field], texts: dict[str, str]) -> list[FieldRow]:
        return [FieldRow(f"{place}.{field.name}", field, texts[field.name]) for field in fields]

    def _param_rows(self) -> list[FieldRow]:
        fields = form_fields(registry.describe(self.draft.workload).params)
        return self._rows("params", fields, self.draft.params[self.draft.workload])

    def _run_fields(self) -> list[Field]:
        return [field for field in form_fields(RunSettings) if field.name != "data" or self.draft.takes_data]

    def _backend_rows(self) -> list[Widget]:
        told: list[Widget] = []
        for index, form in enumerate(self.draft.backends):
            told.append(Ticks(index))
            if index in self._opened:
                label = Field(name="label", type="text", default="", meaning="what it is called in the results")
                fields = [label, *form_fields(catalog.settings_type(form.name))]
                told.append(Vertical(*self._rows(f"backend.{index}", fields, form.settings), classes="settings"))
        return told

    def on_mount(self) -> None:
        """Begin where it was asked to; look at the machine."""
        if self.app.size.height >= _HIGH:
            self._opened = {index for index, form in enumerate(self.draft.backends) if form.chosen}
            if self._opened:
                self._rebuild_backends(None)
        self._lay_out()
        self._tell_about()
        self._tell_backends()
        self.call_after_refresh(self.action_jump, self._first or "workload")
        self._look()

    def on_resize(self) -> None:
        """One column or two."""
        self._lay_out()
        self._tell_about()
        self._ahead.fit()
        self._tell_answer()

    def _lay_out(self) -> None:
        self.set_class(self.app.size.width >= _WIDE, "wide")
        self.query_one(Title).show([("set up a comparison", "text")], [])

    # -- what is told

    def _tell_about(self) -> None:
        description = registry.describe(self.draft.workload)
        told = [description.summary, *([f"data: {description.data}"] if description.data else [])]
        room = self.app.size.width // (1 + self.has_class("wide")) - 4
        self.query_one("#about", Prose).tell(*((text, "quiet") for text in told), room=room)

    def _tell_backends(self) -> None:
        errors = {place.split(".")[1] for place in self._errors if place.startswith("backend.")}
        width = max([12, *(len(form.label) + 1 for form in self.draft.backends)])
        for ticks in self.query(Ticks):
            form = self.draft.backends[ticks.index]
            role = role_of(form.name, form.label) + "!" if form.chosen else "quiet"
            more = ("▾ " if ticks.index in self._opened else "▸ ", "quiet")
            said: Piece = (catalog.summary(form.name), "quiet")
            if changed := form.changed:
                said = (changed, "text")
            if str(ticks.index) in errors and ticks.index not in self._opened:
                said = ("✘ a setting is wrong: → shows it", "wrong")
            ticks.show(form.chosen, [(f"{form.label:{width}}", role), more, said])
        chosen = sum(form.chosen for form in self.draft.backends)
        self.query_one("#backends-heading", Heading).tell("backends", self._errors.get("backends", f"{chosen} chosen"))

    def _tell_answer(self) -> None:
        """Line 2: what is wrong, else what the focused field means."""
        bad = len(self._errors)
        if bad:
            first = self._errors.get("") or self._errors.get("backends")
            said = first or f"{bad} field{'s' * (bad > 1)} cannot be used: marked with ✘"
            self.query_one(Answer).show([(f"✘ {said}", "wrong")])
            return
        answer: list[Piece] = [("ready: ", "quiet"), ("enter", "key!"), (" starts it", "quiet")]
        if isinstance(self.focused, Ticks):
            form = self.draft.backends[self.focused.index]
            answer = [(f"{form.label}: ", "text"), (catalog.summary(form.name), "quiet")]
        rows = [] if self.focused is None else [one for one in self.focused.ancestors if isinstance(one, FieldRow)]
        if rows:
            answer = [(f"{rows[0].name_shown}: ", "text"), *rows[0].hint()]
        self.query_one(Answer).show(answer)

    # -- before money is spent

    def _start_or_ask(self, plan: Plan) -> None:
        """Only what AWS is paid for is asked about."""
        if any(choice.name == "lambda" for choice in plan.backends):
            self._ask_about(plan)
        else:
            self.dismiss(plan)

    @work(thread=True, exclusive=True, group="money", exit_on_error=False)
    def _ask_about(self, plan: Plan) -> None:
        worker = get_current_worker()
        try:
            why = money_question(plan)
        except LbenchError as error:
            self.app.call_from_thread(self._ahead.take, Forecast(problem=str(error)))
            return
        self.app.call_from_thread(self._ask_or_start, worker, plan, why)

    def _ask_or_start(self, worker: Worker[None], plan: Plan, why: str | None) -> None:
        if worker.is_cancelled or self.app.screen is not self:
            return  # another plan was given since, or left meanwhile, or it is being asked already
        if why is None:
            self.dismiss(plan)
        else:

            def answered(yes: bool | None) -> None:
                if yes:
                    self.dismiss(plan)  # the form may have been typed in since: what starts is what was asked about

            self.app.push_screen(AskYes("start it? it costs money", why), answered)

    # -- looking ahead

    def _look(self) -> None:
        """Check what was typed, and soon tell what it comes to."""
        self._check()
        self._ahead.look(None if self._errors else self.draft.plan)

    def _check(self) -> None:
        self._errors = self.draft.errors()
        for row in self.query(FieldRow):
            row.say(self._errors.get(row.place))
        self._tell_backends()
        self._tell_answer()

    # -- changes

    def on_changed(self, message: Changed) -> None:
        """A field has another text."""
        part, _, name = message.place.partition(".")
        if part == "workload":
            self.draft.workload = message.value
            self._rebuild_params()
            return
        if part == "params":
            texts = self.draft.params[self.draft.workload]
        elif part == "run":
            texts = self.draft.run
        else:
            index, _, name = name.partition(".")
            texts = self.draft.backends[int(index)].settings
        if texts.get(name) != message.value:  # a field also tells the text that it begins with
            texts[name] = message.value
            self._look()

    @work(exclusive=True, group="rebuild")
    async def _rebuild_params(self) -> None:
        self._tell_about()
        params, runs = self.query_one("#params"), self.query_one("#runs")
        async with self.batch():
            await params.remove_children()
            await params.mount_all(self._param_rows())
            await runs.remove_children()
            await runs.mount_all(self._rows("run", self._run_fields(), self.draft.run))
        self._look()

    @work(exclusive=True, group="rebuild")
    async def _rebuild_backends(self, focus: int | None) -> None:
        backends = self.query_one("#backends")
        async with self.batch():
            await backends.remove_children()
            await backends.mount_all(self._backend_rows())
        if focus is not None:
            self.query_one(f"#backend-{focus}").focus()
        if self._to_backends:
            self._to_backends = False
            self.action_jump("backends")
        self._look()

    def on_ticks_ticked(self, message: Ticks.Ticked) -> None:
        """A backend is chosen, or not."""
        form = self.draft.backends[message.index]
        form.chosen = not form.chosen
        self._look()

    def on_ticks_opened(self, message: Ticks.Opened) -> None:
        """Its settings come into sight, or go."""
        if (message.index in self._opened) != message.opened:
            self._opened ^= {message.index}
            self._rebuild_backends(message.index)

    def on_ticks_counted(self, message: Ticks.Counted) -> None:
        """Another of its kind, or one less."""
        index = message.index
        if message.more:
            self.draft.another(index)
            self._opened = {one + (one > index) for one in self._opened} | {index + 1}
            self._rebuild_backends(index + 1)
        elif self.draft.without(index):
            self._opened = {one - (one > index) for one in self._opened if one != index}
            self._rebuild_backends(min(index, len(self.draft.backends) - 1))

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a text is typed; and where one is there is no need to go."""
        if action == "jump":
            there = "at-workload" if parameters == ("workload",) else "backend-0"
            return not isinstance(self.focused, Input) and getattr(self.focused, "id", None) != there
        return super().check_action(action, parameters)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Other keys mean something."""
        self.refresh_bindings()
        self._tell_answer()

    def action_jump(self, place: str) -> None:
        """To the workload or to the backends."""
        form = self.query_one("#form")
        if place == "workload":
            self.query_one("#at-workload").focus(scroll_visible=False)
            form.scroll_home(animate=False)
        else:
            ticks = list(self.query(Ticks))
            if not ticks:  # they are being mounted anew, and then it is gone to
                self._to_backends = True
                return
            ticks[0].focus(scroll_visible=False)
            form.scroll_to_widget(self.query_one("#backends-heading"), animate=False, top=True)

    def action_leave(self) -> None:
        """Back, nothing is changed."""
        self.dismiss(None)

    def action_start(self) -> None:
        """Start it, if it can be; else go to the first field that is wrong."""
        self._check()
        if not self._errors:
            self._start_or_ask(self.draft.plan())
            return
        place = next(iter(self._errors))
        part, _, rest = place.partition(".")
        if part == "backends":
            self.action_jump("backends")
        elif part == "backend" and (index := int(rest.partition(".")[0])) not in self._opened:
            self._opened.add(index)
            self._rebuild_backends(index)
        elif place:
            self.query_one("#at-" + place.replace(".", "-")).focus()
