"""Generated loans, for whoever has no file: a full LoanStats file's columns, plausible values, a real signal.

They are not meant to pass for Lending Club's. What must be right is what a forest's time depends on: rows,
columns, how many distinct values a column has, and that there is something to learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.dataset import Dataset
from lbench.workloads.random_forest.columns import FEATURES, MISSING
from lbench.workloads.random_forest.loans import CLASSES

__all__ = ["DEFAULT_ROWS", "generate_loans"]

DEFAULT_ROWS = 40_000  # about LoanStats3a's
_CHARGED_OFF = 0.2  # about the share among Lending Club's finished loans of 2007 to 2018

_OWNERSHIP = ["MORTGAGE", "OTHER", "OWN", "RENT"]
_VERIFICATION = ["Not Verified", "Source Verified", "Verified"]
_PURPOSES = {
    "car": 0.02,
    "credit_card": 0.2,
    "debt_consolidation": 0.55,
    "educational": 0.005,
    "home_improvement": 0.06,
    "house": 0.01,
    "major_purchase": 0.025,
    "medical": 0.015,
    "moving": 0.01,
    "other": 0.06,
    "renewable_energy": 0.002,
    "small_business": 0.023,
    "vacation": 0.01,
    "wedding": 0.01,
}  # shares
# fmt: off
_STATES = [
    "AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN", "KS",
    "KY", "LA", "MA", "MD", "ME", "MI", "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ", "NM", "NV",
    "NY", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VA", "VT", "WA", "WI", "WV", "WY",
]
# fmt: on


def generate_loans(rows: int, seed: int) -> Dataset:
    """The same loans for the same rows and seed (numpy's legacy RandomState, whose streams do not change)."""
    random = np.random.RandomState(seed)
    columns, risk = _columns(random, rows)
    features = [name for name in FEATURES if name in columns]
    X = np.empty((rows, len(features)), dtype=np.float32)
    for at, name in enumerate(features):
        X[:, at] = columns[name]
    # The worst by a noisy risk are charged off: an exact share, whatever the seed.
    worst = np.argsort(risk + random.logistic(size=rows), kind="stable")[rows - round(rows * _CHARGED_OFF) :]
    y = np.zeros(rows, dtype=np.uint8)
    y[worst] = 1
    return Dataset(
        {"X": X, "y": y},
        source=f"generated, not real loans: {rows:,} rows, seed {seed} (real ones: see `lbench data`)",
        rows=rows,
        columns=len(features),
        notes=[
            f"{rows:,} generated loans: {rows - len(worst):,} fully paid, {len(worst):,} charged off; "
            "`lbench data` tells how to use real ones",
            f"{len(features)} columns: {', '.join(features)}",
        ],
        meta={
            "features": features,
            "categories": {
                "home_ownership": _OWNERSHIP,
                "verification_status": _VERIFICATION,
                "purpose": list(_PURPOSES),
                "addr_state": _STATES,
            },
            "classes": CLASSES,
        },
    )


def _columns(random: np.random.RandomState, n: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """Columns by name, each (n,), and the log-odds (n,) of a charge-off up to a constant."""
    risk = random.normal(size=n)  # what Lending Club's own grading sees
    hidden = random.normal(size=n)  # what it does not
    sub_grade = np.clip(np.round(12 + 7 * (0.9 * risk + 0.45 * random.normal(size=n))), 1, 35)
    term = np.where(random.random_sample(n) < 0.15 + 0.012 * sub_grade, 60.0, 36.0)
    income = np.round(np.exp(random.normal(11.05 - 0.12 * risk, 0.5)), -2)
    amount = np.round(np.clip(income * random.gamma(2.5, 0.08, n), 1000, 40_000) / 25) * 25
    rate = np.round(5.0 + 0.72 * sub_grade + random.normal(0, 0.6, n), 2)
    monthly = rate / 1200
    dti = np.round(np.clip(random.normal(17 + 2 * risk + 3 * hidden, 6.5), 0, 60), 2)
    utilisation = np.round(np.clip(random.normal(52 + 12 * risk + 8 * hidden, 20), 0, 120), 1)
    accounts = random.poisson(11, n) + 1
    delinquencies = random.poisson(np.exp(-1.6 + 0.4 * risk))
    records = random.poisson(np.exp(-2.2 + 0.3 * risk))
    inquiries = random.poisson(np.exp(-0.5 + 0.3 * risk + 0.3 * hidden))
    employed = random.randint(0, 11, n).astype(np.float64)
    odds = 1.9 * risk + 1.3 * hidden + 0.9 * (term == 60) + 3.5 * (amount / income - 0.2)
    odds += 0.8 * ((risk > 0.5) & (dti > 20)) + 0.5 * (inquiries > 2) - 0.03 * employed

    def holes(values: NDArray[Any], share: float) -> NDArray[Any]:
        return np.where(random.random_sample(n) < share, MISSING, values)

    return {
        "loan_amnt": amount,
        "term": term,
        "int_rate": rate,
        "installment": np.round(amount * monthly / (1 - (1 + monthly) ** -term), 2),
        "grade": (sub_grade + 4) // 5,
        "sub_grade": sub_grade,
        "emp_length": holes(employed, 0.03),
        "home_ownership": random.choice(len(_OWNERSHIP), n, p=(0.49, 0.01, 0.1, 0.4)),
        "annual_inc": income,
        "verification_status": random.randint(0, len(_VERIFICATION), n),
        "purpose": random.choice(len(_PURPOSES), n, p=list(_PURPOSES.values())),
        "zip_code": random.randint(7, 1000, n),
        "addr_state": random.randint(0, len(_STATES), n),
        "dti": dti,
        "delinq_2yrs": delinquencies,
        "earliest_cr_line": np.round(random.normal(2000 * 12, 85, n)),
        "fico_range_low": np.clip(np.round(random.normal(698 - 16 * risk - 6 * hidden, 20) / 5) * 5, 610, 845),
        "inq_last_6mths": inquiries,
        "mths_since_last_delinq": holes(np.round(random.gamma(2.2, 16, n)), 0.55),
        "mths_since_last_record": holes(np.round(random.normal(75, 25, n).clip(0)), 0.85),
        "open_acc": accounts,
        "pub_rec": records,
        "revol_bal": np.round(utilisation * income * random.gamma(2, 0.002, n)),
        "revol_util": holes(utilisation, 0.001),
        "total_acc": accounts + random.poisson(13, n),
    }, odds
