"""A fault in work beside the event loop ends the screens, as any other does: what waits for it would wait for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textual.worker import Worker, WorkerState

if TYPE_CHECKING:
    from textual.app import App

__all__ = ["FaultsEnd", "beside"]


class FaultsEnd:
    """A node with workers. What a person did wrong is no fault: those workers handle it."""

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """End the app by the worker's fault."""
        error, app = event.worker.error, event.worker.node.app
        if event.state is WorkerState.ERROR and isinstance(error, Exception) and not app._exit:
            _end(app, error)


def _end(app: App[Any], error: Exception) -> None:
    """End the app by this error, which Textual wants to be the one that is being handled."""
    try:
        raise error
    except Exception as again:
        app._handle_exception(again)


def beside(app: App[Any], function: Callable[[], None], *, name: str) -> None:
    """Call a function in a daemon's thread, which nobody who leaves waits for."""

    def call() -> None:
        try:
            function()
        except Exception as error:
            with suppress(RuntimeError, CancelledError):  # left meanwhile
                app.call_from_thread(_end, app, error)

    threading.Thread(target=call, name=name, daemon=True).start()
