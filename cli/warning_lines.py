"""Warnings as lines: each once, and those of several backends that differ in one figure together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from lbench.analysis.format import listed
from lbench.engine.model import Warning_
from lbench.errors import count_text

__all__ = ["warning_lines"]

_FIGURE = re.compile(r"\d(?:[\d,.]*\d)?(?: (?:%|µs|ms|s|MB)(?!\w))?")
_LONE_FIGURE = re.compile(r"(?<!\S)\d[\d.,]*(?!\S)")


def warning_lines(warnings: Iterable[Warning_]) -> list[str]:
    """Each warning once, with the number of runs that have it; failures stand above them."""
    counts = Counter(warning.text for warning in warnings if warning.code != "failed")
    alike: dict[tuple[int, str], list[str]] = {}
    for text, count in counts.items():
        words = text.partition(": ")[2]
        alike.setdefault((count, _FIGURE.sub("#", words) if words else text), []).append(text)
    lines = [(text, count) for (count, _), texts in alike.items() for text in _together(texts)]
    return [f"! {text}" if count == 1 else f"! {text} ({count_text(count, 'run')})" for text, count in lines]


def _together(texts: list[str]) -> list[str]:
    """Texts "LABEL: WORDS", of the same words but for figures, as one where one figure or none differs."""
    if len(texts) == 1:
        return texts
    labels = [text.partition(": ")[0] for text in texts]
    if len({_LONE_FIGURE.sub("#", label) for label in labels}) == 1:
        return _with_all_figures(texts, labels)
    words = texts[0].partition(": ")[2]
    figures = [_FIGURE.findall(text.partition(": ")[2]) for text in texts]
    differing = [at for at, values in enumerate(zip(*figures, strict=True)) if len(set(values)) > 1]
    if not differing:
        return [f"{listed(labels)}: {words}"]
    if len(differing) > 1:
        return texts
    at = differing[0]
    end = list(_FIGURE.finditer(words))[at].end()
    others = ", ".join(f"{label}: {values[at]}" for label, values in zip(labels[1:], figures[1:], strict=True))
    return [f"{labels[0]}: {words[:end]} ({others}){words[end:]}"]


def _with_all_figures(texts: list[str], labels: list[str]) -> list[str]:
    """Texts whose beginnings are the same but for one figure, as those of a resumed sweep's sessions, as one."""
    figures = [_LONE_FIGURE.findall(label) for label in labels]
    differing = [at for at, values in enumerate(zip(*figures, strict=True)) if len(set(values)) > 1]
    if len(differing) != 1 or len({text.partition(": ")[2] for text in texts}) > 1:
        return texts
    place = list(_LONE_FIGURE.finditer(labels[0]))[differing[0]]
    values = listed([values[differing[0]] for values in figures])
    return [f"{texts[0][: place.start()]}{values}{texts[0][place.end() :]}"]
