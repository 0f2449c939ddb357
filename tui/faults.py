"""A fault in work beside the event loop ends the screens, as any other does: what waits for it would wait for ever."""

from __future__ import annotations

from textual.worker import Worker, WorkerState

__all__ = ["FaultsEnd"]


class FaultsEnd:
    """A node whose workers others wait for. What a person did wrong is no fault: those workers handle it."""

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """End the app by the worker's fault."""
        error, app = event.worker.error, event.worker.node.app
        if event.state is WorkerState.ERROR and isinstance(error, Exception) and not app._exit:
            app._handle_exception(error)
