"""The causes of the backends' speeds, and the sources of variance in their times, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from lbench.analysis.causes import explanations, held_runs
from lbench.analysis.comparison import by_label
from lbench.analysis.variance import VarianceParts, steadiness_text, variance_parts, variance_text
from lbench.engine.session.view import RunView, SessionView

__all__ = ["reason_texts"]


def reason_texts(view: SessionView, runs: Sequence[RunView]) -> tuple[list[str], list[VarianceParts]]:
    """The sentences on these runs of a session, and of what the variance of each backend's invocations is made."""
    groups = by_label(runs)
    held = held_runs(view)
    free = by_label(run for run in runs if run.id not in held)
    texts = [one.text for one in explanations(free, None if view.header is None else view.header.environment)]
    parts = [found for label, group in groups.items() if (found := variance_parts(label, group)) is not None]
    texts += map(variance_text, parts)
    if (line := steadiness_text(groups)) is not None:
        texts.append(line)
    return texts, parts
