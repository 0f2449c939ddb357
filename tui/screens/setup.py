"""The set-up: workload, parameters, backends, repeats. It is ready-filled: Enter starts it."""

from __future__ import annotations

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from lbench.engine.backends import catalog
from lbench.engine.plan.plan import Plan
from lbench.errors import LbenchError
from lbench.tui.bench.forecast import Forecast, money_question
from lbench.tui.draw.ink import Piece
from lbench.tui.run_form import Draft
from lbench.tui.screens.ask import AskYes
from lbench.tui.widgets.fields import FieldRow, Ticks
from lbench.tui.widgets.plan_forecast import PlanForecast
from lbench.tui.widgets.setup_form import SetupForm
from lbench.tui.widgets.title import Answer, Keys, Title

__all__ = ["SetupScreen"]

_WIDE = 150  # columns from which the form has two columns


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
        """`focus`: "workload" or "backends", the part to focus first."""
        super().__init__(name="setup")
        self.form = SetupForm(plan)
        self._first = focus
        self._errors: dict[str, str] = {}
        self._left = False
        self._start_due = False  # Enter was pressed before the figures were those of the plan
        self._forecast = PlanForecast()

    @property
    def draft(self) -> Draft:
        """The plan being edited."""
        return self.form.draft

    # -- parts

    def compose(self) -> ComposeResult:
        """Title, a form that scrolls, the forecast, keys."""
        yield Title()
        yield Answer()
        yield self.form
        yield self._forecast
        yield Keys()

    def on_mount(self) -> None:
        """Focus the first part and forecast the plan."""
        self._lay_out()
        self.action_jump(self._first or "workload")
        self._look()

    def on_resize(self) -> None:
        self._lay_out()
        self._forecast.fit()
        self._show_answer()

    def _lay_out(self) -> None:
        self.set_class(self.app.size.width >= _WIDE, "wide")
        self.query_one(Title).show([("set up a comparison", "text")], [])
        self.form.fit()

    # -- line 2

    def _show_answer(self) -> None:
        """Line 2: the errors, else the meaning of the focused field."""
        bad = len(self._errors)
        if bad:
            first = self._errors.get("") or self._errors.get("backends")
            problem = first or f"{bad} field{'s' * (bad > 1)} cannot be used: marked with ✘"
            self.query_one(Answer).show([(f"✘ {problem}", "wrong")])
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
        """Ask first if AWS charges for the plan."""
        if any(choice.name == "lambda" for choice in plan.backends):
            self._ask_about(plan)
        else:
            self._leave_with(plan)

    @work(thread=True, exclusive=True, group="money", exit_on_error=False)
    def _ask_about(self, plan: Plan) -> None:
        worker = get_current_worker()
        try:
            why = money_question(plan)
        except LbenchError as error:
            self.app.call_from_thread(self._forecast.take, Forecast(problem=str(error)))
            return
        self.app.call_from_thread(self._ask_or_start, worker, plan, why)

    def _ask_or_start(self, worker: Worker[None], plan: Plan, why: str | None) -> None:
        if worker.is_cancelled or self.app.screen is not self:
            return  # another plan was given since, or left meanwhile, or it is being asked already
        if why is None:
            self._leave_with(plan)
        else:

            def answered(yes: bool | None) -> None:
                if yes:
                    self._leave_with(plan)  # the form may have been typed in since: what starts is what was asked about

            self.app.push_screen(AskYes("start it? it costs money", why), answered)

    # -- looking ahead

    def _look(self) -> None:
        """Check the form and forecast its plan."""
        self._start_due = False
        self._check()
        self._forecast.look(None if self._errors else self.draft.plan)

    def _check(self) -> None:
        self._errors = self.draft.errors()
        self.form.show_errors(self._errors)
        self._show_answer()

    async def on_plan_forecast_made(self) -> None:
        """Start what was waiting for its figures."""
        if self._start_due and self.is_current:
            self._start_due = False
            await self.action_start()

    def on_setup_form_edited(self) -> None:
        """A text or the fields changed."""
        self._look()

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a text is typed; a jump to the focused part is not offered."""
        if action == "jump":
            there = "at-workload" if parameters == ("workload",) else "backend-0"
            return not isinstance(self.focused, Input) and getattr(self.focused, "id", None) != there
        return super().check_action(action, parameters)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self.refresh_bindings()
        self._show_answer()

    def action_jump(self, place: str) -> None:
        """Focus the workload or the backends."""
        self.form.jump(place)

    def _leave_with(self, plan: Plan | None) -> None:
        """Dismiss the screen, once: figures that come later start nothing."""
        if not self._left:
            self._left = True
            self.dismiss(plan)

    def action_leave(self) -> None:
        self._leave_with(None)

    async def action_start(self) -> None:
        """Start the plan; if it has errors, go to the first."""
        self.form.collect()
        self._check()
        if not self._errors and self._forecast.stale:
            self._start_due = True
            self.query_one(Answer).show([("working out what it costs, then it starts", "quiet")])
            return
        if not self._errors:
            self._start_or_ask(self.draft.plan())
            return
        await self.form.go_to(next(iter(self._errors)))
