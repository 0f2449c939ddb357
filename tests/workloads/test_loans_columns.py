import math

import pytest

from lbench.workloads.csv_rows import CsvRow
from lbench.workloads.random_forest.columns import ALIASES, FEATURES, known_only_after, outcome
from lbench.workloads.random_forest.table import Table

# What Lending Club's data dictionary describes as learned from payments and later credit checks, by name.
# fmt: off
LEAKS = [
    "loan_status", "is_bad", "recoveries", "collection_recovery_fee", "total_pymnt", "total_pymnt_inv",
    "total_rec_prncp", "total_rec_int", "total_rec_late_fee", "last_pymnt_d", "last_pymnt_amnt",
    "next_pymnt_d", "last_credit_pull_d", "last_fico_range_high", "last_fico_range_low", "out_prncp",
    "out_prncp_inv", "pymnt_plan", "hardship_flag", "hardship_type", "hardship_reason",
    "hardship_status", "hardship_amount", "hardship_start_date", "hardship_end_date", "hardship_length",
    "hardship_dpd", "hardship_loan_status", "hardship_payoff_balance_amount",
    "hardship_last_payment_amount", "payment_plan_start_date", "deferral_term",
    "orig_projected_additional_accrued_interest", "debt_settlement_flag", "debt_settlement_flag_date",
    "settlement_status", "settlement_date", "settlement_amount", "settlement_percentage",
    "settlement_term", "balance", "paid_total", "paid_principal", "paid_interest", "paid_late_fees",
]
# fmt: on


@pytest.mark.parametrize("name", LEAKS)
def test_a_column_known_only_after_the_outcome_is_never_used(name: str) -> None:
    assert known_only_after(name)
    assert name not in FEATURES
    assert ALIASES.get(name) not in FEATURES


def test_no_used_column_is_known_only_after_the_outcome() -> None:
    assert not [name for name in FEATURES if known_only_after(name)]
    assert not [name for name in ALIASES if known_only_after(name)]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("term", " 36 months", 36),
        ("term", "60.0", 60),
        ("int_rate", " 10.65%", 10.65),
        ("int_rate", "0.073", 0.073),
        ("revol_util", "83.70%", 83.7),
        ("emp_length", "10+ years", 10),
        ("emp_length", "< 1 year", 0),
        ("emp_length", "1 year", 1),
        ("emp_length", "7.0", 7),
        ("emp_length", "n/a", math.nan),
        ("grade", "A", 1),
        ("grade", "G", 7),
        ("sub_grade", "A1", 1),
        ("sub_grade", "G5", 35),
        ("zip_code", "027xx", 27),
        ("earliest_cr_line", "Aug-1985", 1985 * 12 + 7),
        ("earliest_cr_line", "1985-08-01", 1985 * 12 + 7),
        ("earliest_cr_line", "1985.0", 1985 * 12),
        *(
            ("earliest_cr_line", text, 1985 * 12 + 3)
            for text in (
                "Apr-85",
                "1-Apr-85",
                "85-Apr",
                "4/1/1985",
                "04/01/85",
                "4/1/1985 0:00",
                "1985-04-01 00:00:00",
                "1985/04/01",
                "1985-04-01T00:00:00Z",
                "4/1/1985 12:00:00 AM",
                "April 1985",
                "01-Apr-1985",
                "Apr 85",
                "4-1985",
            )
        ),
        ("earliest_cr_line", "5-Jan", 2005 * 12),
        ("earliest_cr_line", "Jan-46", 1946 * 12),
        ("loan_amnt", "$21,200", 21200),
        ("loan_amnt", "21,200.50", 21200.5),
        ("annual_inc", "USD 1,234,567", 1234567),
        ("emp_length", "8 yrs", 8),
        ("term", "36 mos", 36),
        ("mths_since_last_delinq", "NA", math.nan),
        ("mths_since_last_delinq", "", math.nan),
        ("annual_inc", "24000.0", 24000),
    ],
)
def test_a_cell_becomes_a_number(column: str, text: str, value: float, one_column) -> None:  # type: ignore[no-untyped-def]
    assert one_column(column)[text] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("loan_amnt", "five"),
        ("loan_amnt", "inf"),
        ("loan_amnt", "1e300"),
        ("term", "years"),
        ("grade", "H"),
        ("sub_grade", "A6"),
        ("zip_code", "xx"),
        ("earliest_cr_line", "Foo-1985"),
        ("earliest_cr_line", "13/1/1985"),
        ("earliest_cr_line", "1985-13"),
        ("loan_amnt", "1,2"),
        ("loan_amnt", "1_000"),
    ],
)
def test_an_invalid_cell_is_reported_with_its_column(column: str, text: str, one_column) -> None:  # type: ignore[no-untyped-def]
    texts = one_column(column)
    assert texts[text] == math.inf and texts.first_bad == text


@pytest.fixture
def one_column(tmp_path):  # type: ignore[no-untyped-def]
    def texts(column: str):  # type: ignore[no-untyped-def]
        table = Table(tmp_path, iter([CsvRow(1, [*FEATURES, "loan_status"], "")]))
        return table.texts[table.features.index(column)]

    return texts


@pytest.mark.parametrize(
    ("status", "label"),
    [
        ("Fully Paid", 0),
        ("Charged Off", 1),
        ("Does not meet the credit policy. Status:Fully Paid", 0),
        ("Does not meet the credit policy. Status:Charged Off", 1),
        (" fully paid ", 0),
        ("Current", None),
        ("Late (31-120 days)", None),
        ("In Grace Period", None),
        ("Default", None),
        ("", None),
    ],
)
def test_the_label_is_fully_paid_against_charged_off(status: str, label: int | None) -> None:
    assert outcome(status) == label
