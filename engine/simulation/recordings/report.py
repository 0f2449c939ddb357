"""Predicted figures beside measured ones, and their tables in Markdown."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

__all__ = ["BEGIN", "END", "HIGH", "LOW", "Coverage", "Figure", "Report", "page_with", "table"]


BEGIN, END = "<!-- figures: written by lbench.engine.simulation.recordings -->\n", "<!-- end of figures -->\n"
LOW, HIGH = 0.05, 0.95  # the ends of a 90 % interval
_Z_90 = 1.2816  # one-sided, 10 %


@dataclass(frozen=True)
class Figure:
    """A measured value and the model's."""

    what: str
    measured: float
    predicted: float
    unit: str = "s"
    seen: bool = False  # whether it was fitted on this very value

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1 if self.measured else math.nan


@dataclass(frozen=True)
class Coverage:
    """How many measured values lie in their 90 % intervals."""

    what: str
    inside: int
    count: int

    @property
    def share(self) -> float:
        return self.inside / self.count

    @property
    def is_shown(self) -> bool:
        """Whether two one-sided tests at 10 % show that the share is above 85 and below 95 %."""
        return all(
            abs(self.share - edge) > _Z_90 * math.sqrt(edge * (1 - edge) / self.count) for edge in (0.85, 0.95)
        ) and (0.85 < self.share < 0.95)


@dataclass
class Report:
    """All figures, by section."""

    figures: dict[str, list[Figure]] = field(default_factory=lambda: defaultdict(list))
    coverage: list[Coverage] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # what is not predicted, and why

    def errors(self, section: str, *, seen: bool = False) -> list[float]:
        """The absolute relative errors of a section."""
        return [abs(one.error) for one in self.figures[section] if one.seen == seen]


def table(report: Report) -> str:
    """The figures as Markdown: a table of the sections, the coverage, then every figure."""
    lines = ["| predicted | figures | mean error | worst |", "|---|---|---|---|"]
    for section in report.figures:
        for seen in (False, True):
            errors = report.errors(section, seen=seen)
            if errors:
                name = section + (" (fitted on them)" if seen else "")
                lines.append(f"| {name} | {len(errors)} | {np.mean(errors):.1%} | {max(errors):.1%} |")
    lines += [
        "",
        "| 90 % intervals | values | inside | 85 to 95 % (two one-sided tests at 10 %) |",
        "|---|---|---|---|",
    ]
    for one in report.coverage:
        lines.append(f"| {one.what} | {one.count} | {one.share:.1%} | {'yes' if one.is_shown else 'not shown'} |")
    if report.coverage:
        every = Coverage("all", sum(one.inside for one in report.coverage), sum(one.count for one in report.coverage))
        lines.append(
            f"| {every.what} | {every.count} | {every.share:.1%} | {'yes' if every.is_shown else 'not shown'} |"
        )
    lines += ["", "| every figure | measured | predicted | error |", "|---|---|---|---|"]
    for section, figures in report.figures.items():
        lines.append(f"| **{section}** | | | |")
        lines += [
            f"| {one.what} | {one.measured:.3g} {one.unit} | {one.predicted:.3g} {one.unit} | {one.error:+.1%} |"
            for one in figures
        ]
    return "\n".join(lines) + "\n"


def page_with(page: str, figures: str) -> str:
    """The page with these figures between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{figures}{END}{after}"
