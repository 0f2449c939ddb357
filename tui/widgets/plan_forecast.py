"""The forecast below the form: tasks, runs and cost of the plan, and whether the machine is busy."""

from __future__ import annotations

from collections.abc import Callable

from textual import work
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, get_current_worker

from lbench.engine.plan.plan import Plan
from lbench.errors import InputError, LbenchError
from lbench.tui.background_errors import FaultsEnd
from lbench.tui.bench.forecast import Forecast, busy_notice, forecast
from lbench.tui.draw.ink import sentence_lines, shorter
from lbench.tui.widgets.fields import Text

__all__ = ["PlanForecast"]

_QUIET_S = 0.15  # without a change, before the forecast is made again
_BUSY_EVERY_S = 5.0
_ANEW = "working it out"  # figures of another plan than the form's are dimmed, which few colours, or none, do not show
_BEFORE = "before the errors"
_LOW = 30  # rows of the screen under which each thing takes one line


class PlanForecast(FaultsEnd, Text):
    """Takes the height of its lines; the form above gives way."""

    def __init__(self) -> None:
        super().__init__(id="forecast")
        self._forecast: Forecast | None = None
        self._stale = False  # the figures are of another plan than the form's, whose own are being worked out
        self._void = False  # the form has errors: they are of what it was before
        self._workload = ""  # of the form
        self._shown_workload = ""  # of the figures
        self._busy: str | None = None
        self._waiting: Timer | None = None

    class Made(Message):
        """The figures are those of the form's plan."""

    @property
    def stale(self) -> bool:
        """Whether the figures shown are of another plan."""
        return self._stale and self._forecast is not None

    def on_mount(self) -> None:
        self._look_at_machine()
        self.set_interval(_BUSY_EVERY_S, self._look_at_machine)

    def look(self, plan: Callable[[], Plan] | None, workload: str) -> None:
        """Forecast the form's plan soon; None: the form has errors. Figures of another workload go then."""
        self._workload = workload
        if plan is None and workload != self._shown_workload:
            self._forecast = None
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
        self.workers.cancel_group(self, "forecast")  # of a plan that is the form's no more
        self._stale, self._void = plan is not None, plan is None
        self.fit()
        if plan is not None:
            self._waiting = self.set_timer(_QUIET_S, lambda: self._look_ahead(plan))

    def take(self, made: Forecast) -> None:
        self._forecast, self._stale, self._void = made, False, False
        self._shown_workload = self._workload
        self.fit()
        self.post_message(self.Made())

    def fit(self) -> None:
        width = max(20, self.app.size.width - 4)
        low = self.app.size.height < _LOW
        lines = [] if self._forecast is None else self._forecast.lines(width, 4 if low else 9)
        if lines and (self._stale or self._void):
            lines = [[(text, "quiet") for text, _ in pieces] for pieces in lines]
            lines[0].append((f" · {_ANEW}" if self._stale else f" · {_BEFORE}", "text"))
        elif self._stale:
            lines = [[(_ANEW, "quiet")]]
        if self._busy:
            notice = f"! {self._busy}"
            busy = [shorter(notice, width)] if low else sentence_lines(notice, width, indent="  ")
            lines = [*lines, *([(part, "key")] for part in busy)]
        self.styles.height = 1 + len(lines)
        self.show([[], *([("   ", "text"), *pieces] for pieces in lines)])

    def _look_ahead(self, plan: Callable[[], Plan]) -> None:
        try:
            self._make_forecast(plan())
        except InputError as error:  # a file has gone since the form was checked
            self.take(Forecast(problem=str(error)))

    @work(thread=True, exclusive=True, group="forecast", exit_on_error=False)
    def _make_forecast(self, plan: Plan) -> None:
        try:
            made = forecast(plan)
        except LbenchError as error:
            made = Forecast(problem=str(error))
        self.app.call_from_thread(self._take_from, get_current_worker(), made)

    def _take_from(self, worker: Worker[None], made: Forecast) -> None:
        if not worker.is_cancelled:  # else the form has changed meanwhile
            self.take(made)

    @work(thread=True, exclusive=True, group="busy", exit_on_error=False)
    def _look_at_machine(self) -> None:
        notice = busy_notice()
        self.app.call_from_thread(self._take_busy, notice)

    def _take_busy(self, notice: str | None) -> None:
        self._busy = notice
        self.fit()
