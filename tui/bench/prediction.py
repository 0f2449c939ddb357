"""The prediction of AWS Lambda for a comparison that has ended. Slow: not for the event loop."""

from __future__ import annotations

from lbench.analysis.comparison import Comparison
from lbench.analysis.format import ratio_text, seconds_text, times_spread_text
from lbench.analysis.prediction import (
    PredictedLine,
    baseline_doubt,
    predict_comparison,
    predicted_sentence,
    too_large_text,
)
from lbench.engine.cost.format import usd_short
from lbench.engine.session.view import RunView
from lbench.errors import InputError, count_text

__all__ = ["predicted_texts"]


def predicted_texts(comparison: Comparison, runs: list[RunView]) -> list[str]:
    """The prediction in a sentence, and shorter ones for less room; else why tasks have no room on Lambda."""
    try:
        line = predict_comparison(comparison, runs)
    except InputError:  # no prices for its region
        return []
    if line is None:
        why = too_large_text(comparison)
        return [] if why is None else [f"AWS itself is not predicted: {why}"]
    return [predicted_sentence(line, comparison.baseline), _short(line), _shortest(line)]


def _speed(line: PredictedLine, *, spread: bool) -> str:
    ratio = line.speedup(line.warm)
    if ratio is None:
        return seconds_text(line.warm.makespan_s.value)
    aside = "; ".join(filter(None, (times_spread_text(ratio), baseline_doubt(ratio))))
    return ratio_text(ratio) + (f" ({aside})" if spread else "")


def _short(line: PredictedLine) -> str:
    usd = usd_short(line.warm.usd, assumed=bool(line.warm.assumed))
    places, without = count_text(line.environments, "environment"), " without S3" if line.exchanges else ""
    return f"AWS itself, predicted: {_speed(line, spread=True)} warm, for {usd}{without}, with {places}"


def _shortest(line: PredictedLine) -> str:
    return f"AWS itself, predicted: {_speed(line, spread=True)} warm"
