"""Lending Club's columns: which are used, how a cell becomes a number, and which would be cheating.

A column is used only if it is known on the day when the loan is offered to lenders. Columns that were filled in
later (payments, recoveries, the last credit check) give the outcome away; they are named here, so that a reader
and a test can see that none is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

__all__ = [
    "ALIASES",
    "CATEGORIES",
    "FEATURES",
    "MISSING",
    "day_may_come_first",
    "known_only_after",
    "outcome",
]

MISSING = -1.0  # what a missing value becomes: below every real one, so that one split sets them apart
_LARGEST = 1e15  # a larger number is a damaged cell, not money
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NEWEST = 25  # of two-digit years: 00 to this are of this century
_MONEY = re.compile(
    r"(?P<sign>[+-]?)(?:\$|usd)? ?(?P<digits>\d{1,3}(?:,\d{3})+|\d*)(?P<rest>(?:\.\d*)?(?:e[+-]?\d+)?)", re.I | re.A
)
_TIME = re.compile(r"[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[ap]m)?(z|[+-]\d{2}:?\d{2})?$", re.I | re.A)
_NAMED_MONTH = re.compile(
    r"(?:(?P<day>\d{1,2})[- /.])?(?P<month>[a-z]{3,9})[- /.,]{1,2}(?P<year>\d{4}|\d{2})", re.I | re.A
)
_YEAR_FIRST = re.compile(r"(?P<year>\d{4}|\d{1,2})[- /.](?P<month>[a-z]{3,9})(?:[- /.]\d{1,2})?", re.I | re.A)
_ISO = re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})(?:[-/.]\d{1,2})?", re.A)
_SLASHES = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-]\d{2}", re.A)
_AMERICAN = re.compile(r"(?P<month>\d{1,2})[/.-](?:\d{1,2}[/.-])?(?P<year>\d{4}|\d{2})", re.A)


def _number(text: str) -> float:
    """'13.5', '13.5%', '$21,200' or '21,200.50'."""
    found = _MONEY.fullmatch(text.removesuffix("%").rstrip())
    if found is None:
        raise ValueError(text)
    value = float(found["sign"] + found["digits"].replace(",", "") + found["rest"])
    if not abs(value) <= _LARGEST:
        raise ValueError(text)
    return value


def _term(text: str) -> float:
    """' 36 months', '36.0' or '36': months."""
    return _number(re.sub(r"\s*(months?|mos?\.?)$", "", text, flags=re.IGNORECASE))


def _grade(text: str) -> float:
    """'A' to 'G': 1 to 7."""
    text = text.upper()
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
    return _number(re.sub(r"\s*(years?|yrs?)$", "", text, flags=re.IGNORECASE).rstrip("+"))


def _zip(text: str) -> float:
    """'860xx' or '86001': the first three digits."""
    if not text[:3].isascii() or not text[:3].isdigit():
        raise ValueError(text)
    return float(int(text[:3]))


def _month(text: str) -> float:
    """Months since the year 0, of a date as copies of the files have it, with or without a time of day.

    'Aug-1985', 'Aug-85', '1-Aug-85', '85-Aug' (also '5-Aug', the year 2005 as a spreadsheet writes it), '1985-08',
    '1985-08-01', '8/1/1985' (month first) and '1985.0'.
    """
    text = _TIME.sub("", text)
    for form in (_NAMED_MONTH, _YEAR_FIRST):
        if (match := form.fullmatch(text)) and match["month"][:3].lower() in _MONTHS:
            return _year(match["year"]) * 12.0 + _MONTHS.index(match["month"][:3].lower())
    for form in (_ISO, _AMERICAN):
        if (match := form.fullmatch(text)) and 1 <= int(match["month"]) <= 12:
            return _year(match["year"]) * 12.0 + int(match["month"]) - 1
    year = _number(text)
    if not 1900 <= year < 2100:
        raise ValueError(text)
    return math.floor(year) * 12.0


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if year <= _NEWEST else 1900)


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


def day_may_come_first(texts: Iterable[str]) -> bool:
    """Whether a column's dates like 1/4/1985 are all of the first month if the month comes first: then it is the day."""
    dates = [match for text in texts if (match := _SLASHES.match(text.strip()))]
    return len({match[2] for match in dates}) > 1 and all(int(match[1]) == 1 for match in dates)


def known_only_after(column: str) -> bool:
    """Whether a column is known only after the loan was made: using it would give the outcome away."""
    return column in _AFTER or column.startswith(_AFTER_STARTS)


def outcome(status: str) -> int | None:
    """1: charged off; 0: fully paid; None: not finished (Current, Late, In Grace Period, Default, Issued).

    Loans of 2007 to 2010 that later policies would refuse carry a prefix; they ended like the others. Default
    is a state on the way to a charge-off, and a few are still paid.
    """
    words = " ".join(re.split(r"[\s_-]+", status.lower().strip()))
    return _OUTCOMES.get(words.removeprefix(_POLICY).strip())
