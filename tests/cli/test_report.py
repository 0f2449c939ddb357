"""The result table fits the terminal and keeps what answers the question."""

import pytest

from lbench.analysis.comparison import Comparison, summarise
from lbench.analysis.statistics import Estimate
from lbench.cli.report import result_columns
from lbench.cli.tables import table_lines
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.journal.events import RunPlanned
from lbench.engine.session.view import RunView


def comparison() -> Comparison:
    import msgspec

    def summary(label: str, origin: str) -> object:
        run = RunView(RunPlanned("r1", "w", {}, 1, label, label, origin, 0, False, "isolated"))  # type: ignore[arg-type]
        found = summarise([run], lambda run, now_s: RunCost(CostItems()))
        figures = {
            "makespan_s": Estimate(12.41, 12.31, 12.55, 3),
            "speedup": Estimate(0.94, 0.91, 0.97, 3),
            "duration_p50_ms": 124.2,
            "duration_p99_ms": 141.9,
            "duration_cv": 0.034,
            "cold_starts": 8,
            "init_p50_ms": 467.0,
        }
        from decimal import Decimal

        return msgspec.structs.replace(found, **figures, usd=Decimal("0.00079"), answer="same")

    return Comparison([summary("sequential", "measured"), summary("emulated", "emulated")], "sequential")  # type: ignore[list-item]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_table_fits_and_keeps_what_matters(width: int) -> None:
    lines = [line.plain for line in table_lines(result_columns(comparison()), width)]
    assert max(map(len, lines)) <= width
    for title in ("BACKEND", "RUNS", "MAKESPAN", "SPEEDUP", "COST", "ANSWER"):
        assert title in lines[0]


def test_at_80_columns_spread_and_cold_starts_are_there() -> None:
    head = table_lines(result_columns(comparison()), 80)[0].plain
    assert "95 %" in head and "COLD" in head
