"""The Census-Income (KDD) and Adult files: neither has a header, both are known by their form.

42 fields that end in `- 50000.` or `50000+.`, or 15 that end in `<=50K` or `>50K`.
Source of the columns: census-income.names and adult.names (UCI Machine Learning Repository).
"""

from __future__ import annotations

import msgspec

__all__ = ["ADULT", "KDD", "Form", "form_of"]


class Form(msgspec.Struct, frozen=True):
    """A kind of file: its columns in their order, and which of them are numbers or not used at all."""

    name: str
    columns: tuple[str, ...]
    numbers: frozenset[str]
    unused: frozenset[str]
    labels: frozenset[str]


# fmt: off
KDD = Form(
    "Census-Income (KDD)",
    (
        "age", "class_of_worker", "industry_code", "occupation_code", "education", "wage_per_hour",
        "enrolled_last_week", "marital_status", "major_industry", "major_occupation", "race", "hispanic_origin", "sex",
        "union_member", "unemployment_reason", "employment", "capital_gains", "capital_losses", "dividends",
        "tax_filer", "previous_region", "previous_state", "household_detail", "household_summary", "instance_weight",
        "migration_msa", "migration_region", "migration_within_region", "same_house", "previous_sunbelt",
        "employer_size", "parents_present", "father_born", "mother_born", "self_born", "citizenship", "own_business",
        "veterans_questionnaire", "veterans_benefits", "weeks_worked", "year", "label",
    ),
    frozenset((
        "age", "wage_per_hour", "capital_gains", "capital_losses", "dividends", "employer_size", "weeks_worked",
    )),
    frozenset(("instance_weight", "label")),
    frozenset(("- 50000", "50000+")),
)
ADULT = Form(
    "Adult",
    (
        "age", "workclass", "fnlwgt", "education", "education_years", "marital_status", "occupation", "relationship",
        "race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "label",
    ),
    frozenset(("age", "education_years", "capital_gain", "capital_loss", "hours_per_week")),
    frozenset(("fnlwgt", "label")),
    frozenset(("<=50K", ">50K")),
)
# fmt: on
_FORMS = {len(form.columns): form for form in (KDD, ADULT)}


def form_of(row: list[str]) -> Form | None:
    """The form of the file whose row this is; None: neither."""
    form = _FORMS.get(len(row))
    return form if form is not None and row[-1].strip().removesuffix(".") in form.labels else None
