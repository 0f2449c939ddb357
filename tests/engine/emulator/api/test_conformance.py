"""docs/emulator.md holds every error and field of Invoke that botocore knows, each with a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import botocore.session
import pytest

from lbench.engine.emulator.core.errors import ERRORS
from tests.engine.emulator.test_recorded import NOT_EQUAL

HERE = Path(__file__).parents[1]
DOCUMENT = HERE.parents[2] / "docs" / "emulator.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<what>[^|]+) \| `(?P<file>[\w/]+\.py)::(?P<test>\w+)` \|$")
MODEL = botocore.session.get_session().get_service_model("lambda")
INVOKE = MODEL.operation_model("Invoke")


def rows(section: str) -> dict[str, re.Match[str]]:
    """The rows of the table under that heading, by name."""
    text = DOCUMENT.read_text().partition(f"### {section}\n")[2].partition("\n#")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    found = {match["name"]: match for line in lines if (match := ROW.match(line))}
    assert len(found) == len(lines), "a row that is twice there, or has not name, what, test"
    return found


SECTIONS = (
    "Request",
    "Response",
    "Errors that occur",
    "Errors that are only injected",
    "Reasons of a 429",
    "In front of all operations",
)


def test_every_field_of_the_model_has_its_row() -> None:
    assert set(INVOKE.input_shape.members) <= set(rows("Request"))
    assert set(INVOKE.output_shape.members) <= set(rows("Response"))


def test_every_error_of_the_model_has_its_row() -> None:
    named = rows("Errors that occur").keys() | rows("Errors that are only injected").keys()
    assert {shape.name for shape in INVOKE.error_shapes} <= named
    assert not rows("Errors that occur").keys() & rows("Errors that are only injected").keys()


def test_every_reason_of_a_throttle_has_its_row() -> None:
    assert set(MODEL.shape_for("ThrottleReason").enum) == set(rows("Reasons of a 429"))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_names_a_test_that_exists(section: str) -> None:
    named = rows(section)
    assert named
    for row in named.values():
        assert re.search(rf"^(async )?def {row['test']}\(", (HERE / row["file"]).read_text(), re.MULTILINE), row["test"]


def test_statuses_in_the_table_are_those_of_the_replies() -> None:
    for name, row in rows("Errors that are only injected").items():
        assert int(row["what"]) == ERRORS[name][0]
    for name, row in rows("Errors that occur").items():
        assert int(row["what"][:3]) == ERRORS[name][0]


def test_errors_have_the_model_s_names_and_statuses() -> None:
    for shape in INVOKE.error_shapes:
        status, key = ERRORS[shape.name]
        assert status == shape.metadata["error"]["httpStatusCode"]
        assert key in shape.members


def test_every_operation_has_its_row() -> None:
    source = (HERE.parents[2] / "engine" / "emulator" / "api" / "app.py").read_text()
    routes = set(re.findall(r'"([A-Z][A-Za-z]+)",\s*(?:lambda|configs)', source))
    text = DOCUMENT.read_text().partition("## Operations\n")[2].partition("\nOf its own")[0]
    table = dict(re.findall(r"^\| ([A-Z]\w+) \|.*\| ([^|]+) \|$", text, re.MULTILINE))
    assert table.keys() == routes | {"Invoke"}
    assert routes <= set(MODEL.operation_names)
    assert all(re.match(r"20\d\d-\d\d", compared) for compared in table.values())


def test_every_answer_that_is_not_the_recorded_one_is_explained() -> None:
    text = DOCUMENT.read_text().partition("### What differs from the recordings\n")[2].partition("\n#")[0]
    assert set(re.findall(r"^- `([\w-]+)`:", text, re.MULTILINE)) == set(NOT_EQUAL)


def test_there_is_no_snapstart() -> None:
    sources = (HERE.parents[2] / "engine" / "emulator").rglob("*.py")
    assert not any("ConcurrentSnapshotCreateLimitExceeded" in path.read_text() for path in sources)
