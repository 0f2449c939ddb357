"""Every option for the plan in the set-up, before it runs: what `lbench estimate` prints."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding

from lbench.engine.plan.plan import Plan
from lbench.engine.processes.daemon_thread import in_daemon_thread
from lbench.errors import LbenchError
from lbench.tui.host import LbenchScreen
from lbench.tui.widgets.prose import Prose
from lbench.tui.widgets.scroll import Scroll
from lbench.tui.widgets.title import Keys, Title

__all__ = ["OptionsScreen", "estimate_arguments"]

_MARGIN = 6
_NARROWEST = 74


def estimate_arguments(plan: Plan) -> list[str]:
    """The arguments of `lbench estimate` for the plan's job. As slow as `job_arguments`, and raises as it does."""
    from lbench.tui.bench.clipboard import job_arguments  # loads numpy: not with the set-up

    tasks = [] if plan.tasks is None else ["--tasks", str(plan.tasks)]
    return [plan.workload, "--seed", str(plan.seed), *tasks, *job_arguments(plan)]


class OptionsScreen(LbenchScreen[None]):
    """A text that scrolls; the command runs in a process of its own, which leaving ends."""

    BINDINGS = [Binding("escape,enter,ctrl+o", "dismiss", "back", key_display="esc")]

    def __init__(self, plan: Plan) -> None:
        super().__init__(name="options")
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None
        self._columns = 0  # for which the text was made
        self._asking = False

    def compose(self) -> ComposeResult:
        yield Title()
        with Scroll():
            yield Prose("running a sample of the tasks here; this takes up to 20 s, and is kept")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(Title).show([("options", "text")], [("predicted, before anyone pays", "quiet")])
        self.query_one(Scroll).focus()
        self._asking = True
        self._ask()

    def on_resize(self) -> None:
        """Ask for the text again where it was made for another width: the sample is kept."""
        if self._columns and not self._asking and self._columns != self._room:
            self._asking = True
            self._ask()

    @property
    def _room(self) -> int:
        """Columns for the text."""
        return max(_NARROWEST, self.app.size.width - _MARGIN)

    def on_unmount(self) -> None:
        """End the command."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    @work(exclusive=True, group="options", exit_on_error=False)
    async def _ask(self) -> None:
        try:
            while self._columns != self._room:  # the terminal may change meanwhile
                self._columns = self._room
                await self._show_options(self._columns)
        finally:
            self._asking = False

    async def _show_options(self, columns: int) -> None:
        try:
            arguments = await in_daemon_thread(lambda: estimate_arguments(self._plan), name="own-file")
        except LbenchError as error:  # an own file that has changed meanwhile
            self.query_one(Prose).set_text((f"✘ {error}", "wrong"))
            return
        self._process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-P", "-m", "lbench", "estimate", *arguments],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ) | {"COLUMNS": str(columns), "NO_COLOR": "1"},
        )
        output, errors = await self._process.communicate()
        if self._process.returncode:
            lines = errors.decode("utf-8", "replace").split("\n")  # above the reason: what was under way
            reason = next((line for line in reversed(lines) if line.strip()), "it was stopped")
            self.query_one(Prose).set_text((reason, "wrong"))
            return
        lines = output.decode("utf-8", "replace").splitlines()
        self.query_one(Prose).set_text(*[(text, "quiet" if text.startswith("!") else "text") for text in lines])
