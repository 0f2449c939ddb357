"""Lending Club's columns: which are used, how a cell becomes a number, and which would be cheating.

A column is used only if it is known on the day when the loan is offered to lenders. What the file learned
later (payments, recoveries, the last credit check) tells the outcome itself; such columns are named here, so
that a reader and a test can see that none is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

__all__ = [
    "ALIASES",
    "CATEGORIES",
    "FEATURES",
    "MISSING",
    "MISSING_TEXTS",
    "known_only_after",
    "outcome",
]

MISSING = -1.0  # what a missing value becomes: below every real one, so that one split sets them apart
MISSING_TEXTS = frozenset({"", "n/a", "na", "nan", "null", "none", "-"})
_LARGEST = 1e15  # a larger number is a damaged cell, not money

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _number(text: str) -> float:
    value = float(text.removesuffix("%"))
    if not abs(value) <= _LARGEST:  # also catches nan
        raise ValueError(text)
    return value


def _term(text: str) -> float:
    """' 36 months', '36.0' or '36': months."""
    return _number(text.removesuffix("months").removesuffix("month").rstrip())


def _grade(text: str) -> float:
    """'A' to 'G': 1 to 7."""
    if len(text) != 1 or not "A" <= text <= "G":
        raise ValueError(text)
    return float(ord(text) - ord("A") + 1)


def _sub_grade(text: str) -> float:
    """'A1' to 'G5': 1 to 35."""
    if len(text) != 2 or text[1] not in "12345":
        raise ValueError(text)
    return (_grade(text[0]) - 1) * 5 + float(text[1])


def _years(text: str) -> float:
    """'< 1 year', '1 year', '10+ years' or '7.0': whole years of employment."""
    if text.startswith("<"):
        return 0.0
    return _number(re.sub(r"\s*years?$", "", text).rstrip("+"))


def _zip(text: str) -> float:
    """'860xx' or '86001': the first three digits."""
    return float(int(text[:3]))


def _month(text: str) -> float:
    """'Aug-1985', '1985-08' or '1985.0': months since the year 0."""
    if match := re.fullmatch(r"([A-Za-z]{3})-(\d{4})", text):
        return int(match[2]) * 12.0 + _MONTHS.index(match[1].lower())
    if match := re.fullmatch(r"(\d{4})-(\d{2})(-\d{2})?", text):
        return int(match[1]) * 12.0 + int(match[2]) - 1
    return math.floor(_number(text)) * 12.0


# In the order of X's columns. None: a category, numbered in alphabetical order of what the file holds.
FEATURES: dict[str, Callable[[str], float] | None] = {
    "loan_amnt": _number,  # USD
    "term": _term,  # months
    "int_rate": _number,  # percent a year (one public file has the fraction; a tree does not mind)
    "installment": _number,  # USD a month
    "grade": _grade,
    "sub_grade": _sub_grade,
    "emp_length": _years,
    "home_ownership": None,
    "annual_inc": _number,  # USD
    "verification_status": None,
    "purpose": None,
    "zip_code": _zip,
    "addr_state": None,
    "dti": _number,  # percent: monthly debt payments to income
    "delinq_2yrs": _number,
    "earliest_cr_line": _month,
    "credit_length": _number,  # days of credit history, where a file has it in earliest_cr_line's place
    "fico_range_low": _number,  # at application; last_fico_range_low is another thing altogether
    "inq_last_6mths": _number,
    "mths_since_last_delinq": _number,
    "mths_since_last_record": _number,
    "open_acc": _number,
    "pub_rec": _number,
    "revol_bal": _number,  # USD
    "revol_util": _number,  # percent
    "total_acc": _number,
}
CATEGORIES = tuple(name for name, read in FEATURES.items() if read is None)

# openintro's names for the same columns (its documentation of loans_full_schema).
ALIASES = {
    "loan_amount": "loan_amnt",
    "interest_rate": "int_rate",
    "annual_income": "annual_inc",
    "debt_to_income": "dti",
    "homeownership": "home_ownership",
    "verified_income": "verification_status",
    "state": "addr_state",
    "loan_purpose": "purpose",
    "delinq_2y": "delinq_2yrs",
    "earliest_credit_line": "earliest_cr_line",
    "months_since_last_delinq": "mths_since_last_delinq",
    "open_credit_lines": "open_acc",
    "total_credit_lines": "total_acc",
}

# Lending Club's data dictionary: filled in, or brought up to date, after the loan was made.
_AFTER = frozenset(
    {
        "loan_status",
        "is_bad",
        "pymnt_plan",
        "out_prncp",
        "out_prncp_inv",
        "total_pymnt",
        "total_pymnt_inv",
        "total_rec_prncp",
        "total_rec_int",
        "total_rec_late_fee",
        "recoveries",
        "collection_recovery_fee",
        "last_pymnt_d",
        "last_pymnt_amnt",
        "next_pymnt_d",
        "last_credit_pull_d",
        "last_fico_range_high",
        "last_fico_range_low",
        "deferral_term",
        "payment_plan_start_date",
        "orig_projected_additional_accrued_interest",
        "balance",
        "paid_total",
        "paid_principal",
        "paid_interest",
        "paid_late_fees",
    }
)
_AFTER_STARTS = (
    "debt_settlement",
    "hardship",
    "last_fico",
    "last_pymnt",
    "next_pymnt",
    "out_prncp",
    "recover",
    "settlement",
    "total_pymnt",
    "total_rec_",
)

_POLICY = "does not meet the credit policy. status:"
_OUTCOMES = {"fully paid": 0, "charged off": 1}


def known_only_after(column: str) -> bool:
    """Whether a column is known only after the loan was made: using it would give the outcome away."""
    return column in _AFTER or column.startswith(_AFTER_STARTS)


def outcome(status: str) -> int | None:
    """1: charged off; 0: fully paid; None: not finished (Current, Late, In Grace Period, Default, Issued).

    Loans of 2007 to 2010 that later policies would refuse carry a prefix; they ended like the others. Default
    is a state on the way to a charge-off, and a few are still paid.
    """
    return _OUTCOMES.get(status.strip().lower().removeprefix(_POLICY).strip())
