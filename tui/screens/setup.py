"""The set-up: workload, parameters, backends, repeats. It is ready-filled: Enter starts it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from lbench.engine.backends import catalog
from lbench.engine.plan.plan import Plan
from lbench.errors import LbenchError, count_text
from lbench.tui.background_errors import FaultsEnd
from lbench.tui.bench.forecast import Forecast, money_question
from lbench.tui.draw.ink import Piece, shorter
from lbench.tui.host import host_of
from lbench.tui.input_queue import AnswersInputs
from lbench.tui.run_form import OWN_FIELD, OWN_FILE, Draft
from lbench.tui.screens.options import OptionsScreen
from lbench.tui.screens.prompts import AskYes
from lbench.tui.textual_fixes import Steady
from lbench.tui.widgets.fields import FieldRow, Ticks, id_at
from lbench.tui.widgets.plan_forecast import PlanForecast
from lbench.tui.widgets.setup_form import SetupForm
from lbench.tui.widgets.title import Answer, Keys, Title
from lbench.workloads.own.inspect_process import LIMIT_S

__all__ = ["SetupScreen"]

_OWN = f"own.{OWN_FIELD.name}"  # the place of an own file's path
_FIELD = "the next or last field"
_NAME = 60  # cells of a file that is read
_WIDE = 150  # columns from which the form has two columns


class SetupScreen(FaultsEnd, AnswersInputs, Steady, Screen[Plan | None]):
    """Dismissed with the plan to start, or None.

    Enter submits the plan as the form has it then. What is typed until its figures are there waits for the next screen.
    """

    BINDINGS = [
        Binding("enter", "start", "start", key_display="↵", priority=True),
        Binding("escape", "leave", "back", key_display="esc"),
        Binding("ctrl+s", "sweep", "sweep", tooltip="sweep this parameter"),
        Binding("ctrl+o", "options", "options", tooltip="options, before a run"),
        Binding("up", "app.focus_previous", "field", key_display="↑↓", tooltip=_FIELD, priority=True),
        Binding("down", "app.focus_next", "field", key_display="↑↓", tooltip=_FIELD, priority=True),
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
        self._submitted: Plan | None = None  # by Enter; its figures, or what it costs, are being worked out
        self._then: Callable[[], Awaitable[None]] | None = None  # once the own file is read
        self._entered = self.draft.own[OWN_FIELD.name]  # the path whose parameters were shown by Enter
        self._answered = asyncio.Event()  # not set while something is submitted
        self._answered.set()
        self._forecast = PlanForecast()

    @property
    def draft(self) -> Draft:
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
        if self.draft.unread:
            self._show_reading()
            return
        if bad:
            here = f"backend.{self.focused.index}" if isinstance(self.focused, Ticks) else ""
            own = next((f"{row.name_shown}: {row.error_shown}" for row in self._rows_in_focus if row.error), None)
            first = self._errors.get("") or self._errors.get("backends") or self._errors.get(here) or own
            problem = first or f"{count_text(bad, 'field')} cannot be used: marked with ✘"
            self.query_one(Answer).show([(f"✘ {problem}", "wrong")])
            return
        answer: list[Piece] = [("ready: ", "quiet"), ("enter", "key!"), (" starts it", "quiet")]
        if isinstance(self.focused, Ticks):
            form = self.draft.backends[self.focused.index]
            answer = [(f"{form.label}: ", "text"), (catalog.summary(form.name), "quiet")]
        if rows := self._rows_in_focus:
            answer = [(f"{rows[0].name_shown}: ", "text"), *rows[0].hint()]
        self.query_one(Answer).show(answer)

    @property
    def _rows_in_focus(self) -> list[FieldRow]:
        """The row of the field in focus; none: something else has it."""
        return [] if self.focused is None else [one for one in self.focused.ancestors if isinstance(one, FieldRow)]

    # -- what was submitted

    async def answered(self) -> None:
        """Return once the submitted plan starts, is asked about, or is back in the form."""
        await self._answered.wait()

    def _go_on(self) -> None:
        """Start the submitted plan once its figures are there; ask first if AWS charges for it."""
        plan = self._submitted
        if plan is None or self.app.screen is not self:
            return
        if self._forecast.stale:
            self.query_one(Answer).show([("working out what it costs, then it starts", "quiet")])
        elif any(choice.name == "lambda" for choice in plan.backends):
            self._ask_about(plan)
        else:
            self._leave_with(plan)

    @work(thread=True, exclusive=True, group="money", exit_on_error=False)
    def _ask_about(self, plan: Plan) -> None:
        worker = get_current_worker()
        why: str | LbenchError | None
        try:
            why = money_question(plan)
        except LbenchError as error:
            why = error
        self.app.call_from_thread(self._ask_or_start, worker, plan, why)

    def _ask_or_start(self, worker: Worker[None], plan: Plan, why: str | LbenchError | None) -> None:
        if worker.is_cancelled or self.app.screen is not self:
            return  # it was left meanwhile, or is asked again once the screen is back
        if why is None:
            self._leave_with(plan)
            return
        self._take_back()
        if isinstance(why, LbenchError):
            self._forecast.take(Forecast(problem=str(why)))
            host_of(self.app).drop_waiting_inputs()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._leave_with(plan)

        self.app.push_screen(AskYes("start it? it costs money", why), answered)

    def _take_back(self) -> None:
        """Let the form be edited again."""
        self._submitted = None
        self._answered.set()
        self._show_answer()

    # -- looking ahead

    def _look(self) -> None:
        """Check the form and forecast its plan."""
        self._check()
        self._forecast.look(None if self._errors or self.draft.unread else self.draft.plan, self.draft.workload)

    def _check(self) -> None:
        self._errors = {} if self.draft.unread else self.draft.errors()
        self.form.show_errors(self._errors)
        self._show_answer()

    def on_plan_forecast_made(self) -> None:
        """Start what was waiting for its figures."""
        self._go_on()

    def on_screen_resume(self) -> None:
        """Go on with what was submitted before another screen covered this one."""
        self._go_on()

    def on_setup_form_edited(self) -> None:
        self._look()

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a text is typed; a jump to the focused part is not offered."""
        if action == "jump":
            there = "at-workload" if parameters == ("workload",) else "backend-0"
            return not isinstance(self.focused, Input) and getattr(self.focused, "id", None) != there
        return super().check_action(action, parameters)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        host_of(self.app).axis_in_focus = self._axis_in_focus or host_of(self.app).axis_in_focus
        self.refresh_bindings()
        self._show_answer()

    @property
    def _axis_in_focus(self) -> str | None:
        """What the field in focus would be as the axis of a sweep."""
        rows = self._rows_in_focus
        part, _, name = rows[0].place.partition(".") if rows else ("", "", "")
        if part == "params":
            return name
        return {"tasks": "tasks", "concurrency": "workers", "memory": "memory"}.get(name.rpartition(".")[2])

    async def _once_read(self, then: Callable[[], Awaitable[None]]) -> None:
        """Go on with the form; an own file is read again before, since it may have been edited meanwhile."""
        if self._left or self._submitted is not None or self._then is not None:
            return
        self.form.collect()
        if self.draft.workload != OWN_FILE:
            await then()
            return
        self._then = then
        self._answered.clear()
        self.form.read_own()
        self._show_reading()

    def _show_reading(self) -> None:
        """Say what is waited for, until when, and how to go on without it."""
        name = shorter(self.draft.own[OWN_FIELD.name], _NAME)
        reading: list[Piece] = [(f"reading {name}, which is given up after {LIMIT_S} s", "quiet")]
        if self._then is not None:
            reading += [(" · ", "quiet"), ("esc", "key!"), (" goes back to the form", "quiet")]
        self.query_one(Answer).show(reading)

    async def on_setup_form_own_read(self) -> None:
        """Go on with what waited for the own file."""
        then, self._then = self._then, None
        if then is None or self._left:
            return
        await then()
        if self._submitted is None:
            self._answered.set()

    async def _is_valid(self) -> bool:
        """Check the form; with errors, go to the first."""
        self.form.collect()
        self._check()
        if self._errors:
            await self.form.go_to(next(iter(self._errors)))
            host_of(self.app).drop_waiting_inputs()
        return not self._errors

    async def _once_valid(self, then: Callable[[Plan], object]) -> None:
        async def go_on() -> None:
            if await self._is_valid() and self._submitted is None and not self._left:
                then(self.draft.plan())

        await self._once_read(go_on)

    async def action_sweep(self) -> None:
        """Ask for an axis over the parameter in focus; if the form has errors, go to the first."""
        ask = host_of(self.app).ask_for_axis
        await self._once_valid(lambda plan: ask(plan, self._axis_in_focus, lambda: self._leave_with(None)))

    async def action_options(self) -> None:
        """Show every option for the job; if the form has errors, go to the first."""
        await self._once_valid(lambda plan: self.app.push_screen(OptionsScreen(plan)))

    def action_jump(self, place: str) -> None:
        """Focus the workload or the backends."""
        self.form.jump(place)

    def _leave_with(self, plan: Plan | None) -> None:
        """Dismiss the screen, once: figures that come later start nothing."""
        if not self._left:
            self._left = True
            self.dismiss(plan)
        self._submitted = None
        self._answered.set()

    def action_leave(self) -> None:
        """Leave; what waits for an own file is given up first, and the form can be edited again."""
        if self._then is None:
            self._leave_with(None)
            return
        self._then = None
        self._answered.set()
        self._show_answer()

    async def action_start(self) -> None:
        """Submit the plan; if it has errors, go to the first. In the field of another own file, show its parameters."""
        self.form.collect()
        at_path = getattr(self.focused, "id", None) == id_at(_OWN)
        other = self.draft.own[OWN_FIELD.name] != self._entered
        await self._once_read(self._show_parameters if at_path and other else self._submit)

    async def _show_parameters(self) -> None:
        self._check()
        if _OWN in self._errors:
            host_of(self.app).drop_waiting_inputs()
        else:
            self._entered = self.draft.own[OWN_FIELD.name]
            lacking = next((place for place in self._errors if place.startswith("params.")), None)
            if lacking is None:
                self.form.first_parameter()
            else:
                await self.form.go_to(lacking)

    async def _submit(self) -> None:
        if not await self._is_valid():
            return
        self._submitted = self.draft.plan()
        self._answered.clear()
        self._go_on()
