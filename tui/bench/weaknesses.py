"""The weaknesses of a comparison's results: every warning of the command line's report, and injected faults."""

from __future__ import annotations

from lbench.analysis.warnings import order_text, stability_warnings
from lbench.engine.backends import catalog
from lbench.engine.session.view import RunView, SessionView
from lbench.tui.feeds.feed import Frame
from lbench.tui.run_form import form_fields, text_of

__all__ = ["weaknesses"]

_SHOWN_ELSEWHERE = ("failed", "disk", "explore")  # on line 2


def weaknesses(frame: Frame) -> tuple[str, ...]:
    """One sentence each; those about the session first."""
    if frame.view is None:
        return ()
    part = SessionView()
    part.header, part.runs = frame.view.header, {run.id: run for run in frame.runs}
    texts = [*filter(None, [order_text(part)]), *(warning.text for warning in stability_warnings(part))]
    recorded = (warning for warning in frame.view.warnings if warning.code not in _SHOWN_ELSEWHERE)
    texts += [warning.text for warning in recorded if warning.run is None or warning.run in part.runs]
    return tuple(dict.fromkeys([*texts, *_injected(frame.runs)]))


def _injected(runs: list[RunView]) -> list[str]:
    """The faults that were injected on purpose, for each backend."""
    texts = []
    for run in runs:
        if run.started is None or run.planned.backend not in catalog.names():
            continue
        fields = form_fields(catalog.settings_type(run.planned.backend))
        injected = {field.name: field.default for field in fields if field.meaning.startswith("injected")}
        changed = [
            f"{name} {text_of(value)}"
            for name, value in run.started.settings.items()
            if name in injected and value != injected[name]
        ]
        if changed:
            texts.append(f"{run.planned.label}: faults were injected: {', '.join(changed)}")
    return texts
