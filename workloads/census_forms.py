"""The Census-Income (KDD) and Adult files, as published (without a header) and as copies of them are found.

A copy may have a header, an index column, labels of 0 and 1, or its columns in another order. A file without a header is
known by its first row: as many fields as the form has, numbers where it has numbers, a sex and a label.
Source of the columns: census-income.names and adult.names (UCI Machine Learning Repository).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lbench.workloads.csv_rows import MISSING_TEXTS, header_name, letters

__all__ = ["ADULT", "KDD", "Form", "FormedFile", "formed_file"]

_LABELS = frozenset(("0", "1", "0.0", "1.0", "true", "false", "yes", "no"))  # in copies, whatever the form
_ENOUGH = 2 / 3  # of a form's columns, in a header


class Form(msgspec.Struct, frozen=True):
    """A kind of file: its columns in their order, and which of them are numbers or not used at all."""

    name: str
    columns: tuple[str, ...]
    numbers: frozenset[str]
    unused: frozenset[str]
    labels: frozenset[str]


class FormedFile(msgspec.Struct, frozen=True):
    """A file of a form: where it has the form's columns."""

    form: Form
    columns: tuple[str, ...]  # the file's, by the form's names where they are known
    header: bool

    @property
    def used(self) -> list[str]:
        """The form's columns that the file has and that describe a person."""
        return [name for name in self.form.columns if name in self.columns and name not in self.form.unused]

    @property
    def absent(self) -> list[str]:
        """The form's columns that the file does not have."""
        return [name for name in self.form.columns if name not in self.columns and name not in self.form.unused]

    @property
    def others(self) -> list[str]:
        """The file's columns that the form does not have, such as an index."""
        return [name or "(without a name)" for name in self.columns if name not in self.form.columns]


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
    frozenset(("-50000", "50000+")),
)
ADULT = Form(
    "Adult",
    (
        "age", "workclass", "fnlwgt", "education", "education_years", "marital_status", "occupation", "relationship",
        "race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "label",
    ),
    frozenset(("age", "education_years", "capital_gain", "capital_loss", "hours_per_week")),
    frozenset(("fnlwgt", "label")),
    frozenset(("<=50k", ">50k", "≤50k")),
)
_ALIASES: dict[str, Mapping[str, str]] = {  # names without anything but letters and digits
    ADULT.name: {
        "educationnum": "education_years", "educationalnum": "education_years", "educationnumber": "education_years",
        "marital": "marital_status", "gender": "sex", "capitalgains": "capital_gain", "capitallosses": "capital_loss",
        "hours": "hours_per_week", "hoursweek": "hours_per_week", "country": "native_country",
        "nativecountry": "native_country", "finalweight": "fnlwgt", "fnlwt": "fnlwgt", "income": "label",
        "incomebracket": "label", "class": "label", "salary": "label", "target": "label", "income50k": "label",
    },
    KDD.name: {
        "aage": "age", "aclswkr": "class_of_worker", "adtind": "industry_code", "adtocc": "occupation_code",
        "detailedindustryrecode": "industry_code", "detailedoccupationrecode": "occupation_code",
        "ahga": "education", "ahrspay": "wage_per_hour", "ahscol": "enrolled_last_week",
        "enrollineduinstlastwk": "enrolled_last_week", "enrolledineduinstlastwk": "enrolled_last_week",
        "amaritl": "marital_status", "maritalstat": "marital_status", "amjind": "major_industry",
        "majorindustrycode": "major_industry", "amjocc": "major_occupation", "majoroccupationcode": "major_occupation",
        "arace": "race", "mace": "race", "areorgn": "hispanic_origin", "asex": "sex", "aunmem": "union_member",
        "memberofalaborunion": "union_member", "auntype": "unemployment_reason",
        "reasonforunemployment": "unemployment_reason", "awkstat": "employment",
        "fullorparttimeemploymentstat": "employment", "capgain": "capital_gains", "caploss": "capital_losses",
        "divval": "dividends", "divdendsfromstocks": "dividends", "dividendsfromstocks": "dividends",
        "filestat": "tax_filer", "taxfilerstat": "tax_filer", "taxfilerstatus": "tax_filer",
        "grinreg": "previous_region", "regionofpreviousresidence": "previous_region", "grinst": "previous_state",
        "stateofpreviousresidence": "previous_state", "hhdfmx": "household_detail",
        "detailedhouseholdandfamilystat": "household_detail", "hhdrel": "household_summary",
        "detailedhouseholdsummaryinhousehold": "household_summary", "marsupwt": "instance_weight",
        "migmtr1": "migration_msa", "migrationcodechangeinmsa": "migration_msa", "migmtr3": "migration_region",
        "migrationcodechangeinreg": "migration_region", "migmtr4": "migration_within_region",
        "migrationcodemovewithinreg": "migration_within_region", "migsame": "same_house",
        "liveinthishouse1yearago": "same_house", "migsun": "previous_sunbelt",
        "migrationprevresinsunbelt": "previous_sunbelt", "noemp": "employer_size",
        "numpersonsworkedforemployer": "employer_size", "parent": "parents_present",
        "familymembersunder18": "parents_present", "pefntvty": "father_born", "countryofbirthfather": "father_born",
        "pemntvty": "mother_born", "countryofbirthmother": "mother_born", "penatvty": "self_born",
        "countryofbirthself": "self_born", "prcitshp": "citizenship", "seotr": "own_business",
        "ownbusinessorselfemployed": "own_business", "vetqva": "veterans_questionnaire",
        "fillincquestionnaireforveteransadmin": "veterans_questionnaire", "vetyn": "veterans_benefits",
        "wkswork": "weeks_worked", "weeksworkedinyear": "weeks_worked", "income": "label", "class": "label",
        "target": "label", "incomeclass": "label",
    },
}
# fmt: on


def formed_file(first: Sequence[str], second: Sequence[str] = ()) -> FormedFile | None:
    """What a file with these first rows is; None: neither form."""
    for form in (KDD, ADULT):
        columns = _by_names(form, first)
        if len(set(columns) & set(form.columns)) >= _ENOUGH * len(form.columns):
            return FormedFile(form, columns, header=True)
    for row, header in ((first, False), (second, True)):
        for form in (KDD, ADULT):
            for index in ((), ("index",)):
                columns = (*index, *form.columns)
                if _fits(form, columns, row):
                    return FormedFile(form, columns, header)
    return None


def _by_names(form: Form, header: Sequence[str]) -> tuple[str, ...]:
    known = {letters(name): name for name in form.columns} | dict(_ALIASES[form.name])
    names: list[str] = []
    for cell in header:
        name = known.get(letters(cell))
        names.append(header_name(cell) if name is None or name in names else name)
    return tuple(names)


def _fits(form: Form, columns: Sequence[str], row: Sequence[str]) -> bool:
    if len(row) != len(columns):
        return False
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
    label = cells["label"].removesuffix(".").replace(" ", "").lower()
    if label not in form.labels and label not in _LABELS:
        return False
    numbers = [cells[name] for name in (*form.numbers, *({"index"} & cells.keys()))]
    sex = cells["sex"].lower()
    return (sex in ("male", "female", "m", "f") or sex in MISSING_TEXTS) and all(map(_is_number, numbers))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in MISSING_TEXTS
    return True
