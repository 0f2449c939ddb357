"""The command palette: Textual's, for hasty hands."""

from __future__ import annotations

import contextlib

from textual.command import CommandList, CommandPalette
from textual.worker import WorkerError

from lbench.tui.input_queue import AnswersInputs
from lbench.tui.textual_fixes import Steady

__all__ = ["Palette"]


class Palette(AnswersInputs, Steady, CommandPalette):
    """Enter waits for the commands that fit what was typed; a list without lines has no pages."""

    async def answered(self) -> None:
        """Return once the search for what was typed is over."""
        while searches := [
            worker
            for worker in self.workers
            if worker.node is self and worker.group == self._GATHER_COMMANDS_GROUP and not worker.is_finished
        ]:
            for search in searches:
                with contextlib.suppress(WorkerError):  # another search has taken its place
                    await search.wait()

    def _action_command_list(self, action: str) -> None:
        paging = action in ("page_down", "page_up")
        if paging and not self.query_one(CommandList).scrollable_content_region:
            return  # nothing is laid out: Textual would look for the line of an option that has none
        super()._action_command_list(action)
