"""The result table fits the terminal and keeps what answers the question."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from lbench.analysis.comparison import Comparison, Summary, summarise
from lbench.analysis.statistics import Estimate
from lbench.cli.report import result_columns, warning_lines
from lbench.cli.tables import table_lines
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.journal.events import RunPlanned
from lbench.engine.model import Warning_
from lbench.engine.session.view import RunView


def summary(label: str, origin: Any, temperatures: tuple[Any, ...], count: int) -> Summary:
    run = RunView(RunPlanned("r1", "w", {}, 1, label, label, origin, 0, False, "isolated"))
    found = summarise([run], lambda run, now_s: RunCost(CostItems()))
    kind: Any = "range" if count < 6 else "95 %"
    line = msgspec.structs.replace(
        found.lines[0],
        makespan_s=Estimate(12.41, 12.31, 12.55, count, kind),
        speedup=Estimate(0.94, 0.91, 0.97, count, kind),
        cold_starts=8,
        init_p50_ms=467.0,
        usd=Decimal("0.00079"),
    )
    return msgspec.structs.replace(
        found,
        lines=tuple(msgspec.structs.replace(line, temperature=one) for one in temperatures),
        duration_p50_ms=124.2,
        duration_p99_ms=141.9,
        duration_cv=0.034,
        answer="same",
    )


def comparison(count: int = 6) -> Comparison:
    backends = [
        summary("sequential", "measured", (None,), count),
        summary("emulated", "emulated", ("cold", "warm"), count),
    ]
    return Comparison(backends, "sequential")


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("count", [3, 6])
def test_the_table_fits_and_keeps_what_matters(width: int, count: int) -> None:
    lines = [line.plain for line in table_lines(result_columns(comparison(count)), width)]
    assert max(map(len, lines)) <= width
    for title in ("BACKEND", "RUNS", "MAKESPAN", "SPEEDUP", "COST", "ANSWER"):
        assert title in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["▌sequential", "▌emulated", "▌emulated"]


def test_cold_and_warm_are_two_rows_and_warm_quantiles_stand_with_warm() -> None:
    _, _, cold, warm = (line.plain for line in table_lines(result_columns(comparison()), 200))
    assert "emulated cold" in cold and "124 ms" not in cold
    assert "emulated warm" in warm and "124 ms" in warm


@pytest.mark.parametrize(("count", "title"), [(3, "RANGE"), (6, "95 %")])
def test_at_80_columns_the_spread_and_cold_starts_are_there(count: int, title: str) -> None:
    head = table_lines(result_columns(comparison(count)), 80)[0].plain
    assert title in head and "COLD" in head


def test_a_warning_of_many_runs_is_one_line_with_their_number() -> None:
    why = "the answer of threads could not be checked: out of memory"
    of_runs = [Warning_("unchecked", why, f"r{number}") for number in range(32)]
    others = [Warning_("steal", "2 % stolen"), Warning_("failed", "told elsewhere", "r1")]
    assert warning_lines([*of_runs[:20], *others, *of_runs[20:]]) == [f"! {why} (32 runs)", "! 2 % stolen"]
